"""What a model was sent, as far as the journal's `model.requested` tells: sizes for the tree, texts on demand. Pure.

The first request of a turn names all parts; a later one leaves out what has stayed the same.
"""

from typing import Any

import msgspec

from planaria.nerve.trace.words import count, inner, items, length


class PromptFacts(msgspec.Struct, frozen=True):
    """The parts of one prompt in figures: messages, characters of the instructions, names of the tools on offer.

    Attributes:
        system, tools: None where nothing tells.
    """

    messages: int = 0
    system: int | None = None
    tools: tuple[str, ...] | None = None

    def line(self) -> str:
        """In one line."""
        said = [f"{self.messages} message{'' if self.messages == 1 else 's'}"]
        if self.system is not None:
            said.append(f"instructions of {self.system} characters")
        if self.tools is not None:
            said.append(f"{len(self.tools)} tool{'' if len(self.tools) == 1 else 's'} offered")
        return ", ".join(said)


def prompt_facts(payload: dict[str, Any], before: PromptFacts | None = None) -> PromptFacts:
    """The parts of the prompt of a `model.requested`; what it does not say is as `before`."""
    system, tools = payload.get("system"), tool_names(payload.get("tools"))
    return PromptFacts(
        messages=len(items(payload, "messages")) or count(payload, "messages"),
        system=length(system) if system else None if before is None else before.system,
        tools=tools if tools is not None else None if before is None else before.tools,
    )


def tool_names(value: object) -> tuple[str, ...] | None:
    """The names of the tools on offer, of a list of names, a list of specs, or that as JSON."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, RecursionError):
            return None
    if not isinstance(value, list | tuple):
        return None
    found = [item.get("name") if isinstance(item, dict) else item for item in value]
    return tuple(name for name in found if isinstance(name, str))


def talk_of(payload: dict[str, Any]) -> tuple[int, int, frozenset[str]]:
    """The stretch of the room's talk a prompt had: first and last place in the journal, and the ids left out."""
    talk = inner(payload, "talk")
    left = frozenset(name for name in items(talk, "left_out") if isinstance(name, str))
    return count(talk, "first"), count(talk, "last"), left
