"""The request of a model call, as its event says it: made, described by reference, rebuilt, and checked. Pure.

`model.requested` holds a digest of the request in its canonical form: JSON with sorted keys, of the model's name, the
messages, the tools on offer and the parameters. So whoever rebuilds a request from the journal knows whether it is
exactly the one that was sent.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from planaria.agents.prompt.prompt import Spoken, compose
from planaria.agents.turn.events import ModelRequested, PartSize, Talk
from planaria.agents.turn.turn import Turn
from planaria.membrane.provider import FilePart, ImagePart, Message, ModelRequest, ToolSpec
from planaria.rooms.message import RoomMessage

DIGITS = 32
"""Hexadecimal digits of a digest."""
LATER = ("response_schema", "reasoning_effort", "tool_choice", "stop")
"""Fields of a request that its canonical form has only when they are set."""

_specs = msgspec.json.Decoder(tuple[ToolSpec, ...])


class Kept:
    """What the requests of one turn have in common, kept from one step to the next: most of it is the same talk.

    Of one session. It keeps the talk of the last request alone, and is let go with the turn.
    """

    def __init__(self) -> None:
        self.spoken = Spoken()
        self._talk: tuple[Message, ...] = ()
        self._form = b""

    def form(self, messages: tuple[Message, ...]) -> list[dict[str, Any]] | msgspec.Raw:
        """The messages in their canonical form. The talk stands behind the system message."""
        talk = self.spoken.last
        end = 1 + len(talk)
        if not talk or len(messages) <= end or messages[1:end] != talk:
            return [_message(message) for message in messages]
        if self._talk is not talk:
            self._talk, self._form = talk, _encoded(talk)[1:-1]
        return msgspec.Raw(
            b"%b,%b,%b" % (_encoded(messages[:1])[:-1], self._form, _encoded(messages[end:])[1:])
        )


def canonical(request: ModelRequest, kept: Kept | None = None) -> bytes:
    """The request in the one form that its digest is made of. Its idempotency key and its patience are no part of it.

    A field that came later is there only when it is not at its default, so that digests stored before it stay true.

    Args:
        kept: of the steps before; it changes the time this takes, and nothing else.
    """
    messages = request.messages
    value: dict[str, Any] = {
        "model": request.model,
        "messages": [_message(message) for message in messages] if kept is None else kept.form(messages),
        "tools": [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in request.tools
        ],
        "max_tokens": request.max_tokens,
        "temperature": request.temperature,
    }
    value |= {name: told for name in LATER if (told := getattr(request, name)) not in (None, ())}
    if not request.cache:
        value["cache"] = False
    return msgspec.json.encode(value, order="sorted")


def _encoded(messages: tuple[Message, ...]) -> bytes:
    return msgspec.json.encode([_message(message) for message in messages], order="sorted")


def _message(message: Message) -> dict[str, Any]:
    calls = [
        {"id": call.id, "name": call.name, "arguments": call.arguments, "vendor": call.vendor}
        for call in message.tool_calls
    ]
    value: dict[str, Any] = {
        "role": message.role,
        "content": message.content,
        "tool_calls": calls,
        "tool_call_id": message.tool_call_id,
    }
    if message.parts:
        value["parts"] = [_part(part) for part in message.parts]
    if message.reasoning:
        value["reasoning"] = message.reasoning
    if message.vendor is not None:
        value["vendor"] = message.vendor
    return value


def _part(part: ImagePart | FilePart) -> dict[str, Any]:
    name = part.name if isinstance(part, FilePart) else None
    data = hashlib.sha256(part.data).hexdigest() if part.data else None
    return {"name": name, "media_type": part.media_type, "sha256": data, "url": part.url}


def digest_of(data: bytes) -> str:
    """The first 32 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def specs_text(specs: Iterable[ToolSpec]) -> str:
    """The tools on offer as one text, the same for the same tools: the journal keeps it once."""
    return msgspec.json.encode(list(specs), order="sorted").decode()


def read_specs(text: str) -> tuple[ToolSpec, ...]:
    """Tools from their text.

    Raises:
        msgspec.DecodeError: it is none.
    """
    return _specs.decode(text)


def talk_of(shown: Sequence[RoomMessage], hidden: Iterable[RoomMessage]) -> Talk:
    """Where the messages that are shown stand in the journal.

    Args:
        shown: oldest first.
        hidden: messages of the room that are not shown, in any order.
    """
    if not shown:
        return Talk()
    first, last = shown[0].seq, shown[-1].seq
    return Talk(first, last, tuple(message.id for message in hidden if first < message.seq < last))


def request_of(session: str, asked: ModelRequested, messages: tuple[Message, ...]) -> ModelRequest:
    """The request to send.

    Args:
        session: who asks. It is part of the key: several agents may answer one message, and ask one provider.
        asked: nothing of it left out.
        messages: as `agents/prompt/prompt.py` builds them.
    Raises:
        msgspec.DecodeError: its tools are no list of tools.
    """
    return ModelRequest(
        model=asked.model,
        messages=messages,
        tools=read_specs(asked.tools or "[]"),
        max_tokens=asked.max_tokens,
        temperature=asked.temperature,
        idempotency_key=f"{session}/{asked.key}",
        response_schema=asked.response_schema,
        tool_choice=asked.tool_choice,
    )


def rebuilt(
    session: str,
    asked: ModelRequested,
    turn: Turn,
    shown: Sequence[RoomMessage],
    kept: Kept | None = None,
) -> ModelRequest:
    """The request that a description means.

    Args:
        kept: as for `canonical`.
    Raises:
        msgspec.DecodeError: its tools are no list of tools.
    """
    agent = session.removeprefix("session:").partition("@")[0]
    system, room = asked.system or "", turn_room(asked.parts)
    spoken = None if kept is None else kept.spoken
    messages = compose(agent, turn, shown, system, asked.composition, room, spoken)
    return request_of(session, asked, messages)


def turn_room(parts: Sequence[PartSize] | None) -> int | None:
    """Characters that the tools' results of a turn may have, as a request says it; None: as many as they are."""
    return next((part.characters for part in parts or () if part.name == "turn"), None)


def lean(asked: ModelRequested, before: ModelRequested | None) -> ModelRequested:
    """The event without what the request before it in the same turn has as well."""
    if before is None:
        return asked
    return msgspec.structs.replace(
        asked,
        system=None if asked.system == before.system else asked.system,
        tools=None if asked.tools == before.tools else asked.tools,
        talk=None if asked.talk == before.talk else asked.talk,
        parts=None if asked.parts == before.parts else asked.parts,
    )
