"""What a session has put together for its last prompt, so that equal instructions are put together and masked once.

Owned by a session's process, used by the one task that makes its model call. Lost, it is made anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from planaria.agents.definition import AgentDefinition
from planaria.agents.prompt.prompt import CHARACTERS, Told
from planaria.agents.prompt.request import Kept
from planaria.agents.turn.estimate import Estimate
from planaria.agents.turn.events import PartSize
from planaria.cortex.event import Event, NewEvent
from planaria.membrane.authority import Authority
from planaria.membrane.provider import ModelRequest, Usage
from planaria.membrane.tool import Tool

ENOUGH = 200
"""Tokens of a prompt from which on its usage tells something about characters."""
FEWEST, MOST = 1.5, 8.0
"""Characters of a token that are believed."""


class Written(Protocol):
    """An answer on its way.

    Attributes:
        model: what writes it, `provider/model`.
    """

    model: str

    @property
    def written(self) -> str:
        """What there is of it, secrets masked."""
        ...

    @property
    def unbilled(self) -> Estimate | None:
        """What it is taken to have cost so far; None if nothing has come of it, or if it has ended."""
        ...


@dataclass(slots=True)
class Drafts:
    """The last system message, what it was made of, and the tools that were offered with it.

    Attributes:
        characters: of a token, as usage has shown so far.
        window: tokens the model takes, for the catalogue, wish and models left out it was looked up with.
        streaming: the answer that is written now, or was last.
        rereading: what the session may do, and the same with its own results to read.
        budgets: of the parts, and the record and window they are of.
        kept: of the requests of the turn in hand; let go with it.
        foreseen: an event of the turn in hand, and what the journal is expected to make of it; let go with it.
    """

    characters: float = CHARACTERS
    told: Told | None = None
    system: str = ""
    sizes: tuple[PartSize, ...] = ()
    offered: list[Tool] = field(default_factory=list)
    tools: str = ""
    window: tuple[object, object, int | None] = (None, None, None)
    streaming: "Written | None" = None
    rereading: tuple[Authority, Authority] | None = None
    budgets: tuple[AgentDefinition, int | None, Mapping[str, int]] | None = None
    kept: Kept | None = None
    foreseen: tuple[NewEvent, Event] | None = None

    def measure(self, request: ModelRequest, usage: Usage) -> None:
        """Learn from an answer how many characters a token has: half from this prompt, half from those before."""
        if usage.input_tokens < ENOUGH:
            return
        seen = min(max(sent(self.tools, request) / usage.input_tokens, FEWEST), MOST)
        self.characters = (self.characters + seen) / 2


def sent(tools: str, request: ModelRequest) -> int:
    """Characters of a prompt.

    Args:
        tools: on offer, as text.
    """
    return len(tools) + sum(len(message.content) for message in request.messages)
