"""Branching off a session at one of its steps: what is kept, what is changed, and where it goes on.

A branch is a session of the same agent in a room of its own. That room begins with what was said before the message in
hand, by reference; then the message is said anew. Answers of the turn that are kept, with the results of their tools,
are read from the session they were made in; everything after them is made live.
"""

import re
from collections.abc import Collection

import msgspec

from planaria.agents.past.ledger import Ledger
from planaria.agents.past.replay import Moment, NoSuchStep, moments, names_of
from planaria.agents.past.seed import fork_of, trace_of_turn
from planaria.agents.past.source import Source
from planaria.agents.turn.events import SessionForked
from planaria.membrane.provider import ModelResponse, ToolCall, Usage
from planaria.rooms.message import RoomMessage

LONGEST_NAME = 64
"""Characters of a room's name."""
EDITED = "edited"
"""Provider and model of an answer that a person wrote."""


class CannotFork(ValueError):
    """No branch can be made so; the text says why, and what to do instead."""


class Plan(msgspec.Struct, frozen=True):
    """A branch to be made.

    Attributes:
        fork: what is to be written.
        of: the room it goes on from.
        until_seq: the last event of that room's transcript which belongs to both.
        subject: whose data the message is.
    """

    fork: SessionForked
    of: str
    until_seq: int
    subject: str


class EditedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call in an edited answer."""

    name: str
    arguments: dict[str, object] = {}


class EditedAnswer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An answer that has tool calls, as people edit it."""

    text: str = ""
    tool_calls: tuple[EditedCall, ...] = ()


async def plan_fork(
    source: Source,
    ledger: Ledger,
    session: str,
    at: int,
    taken: Collection[str],
    *,
    model: str = "",
    edit: str | None = None,
    by: str = "",
) -> Plan:
    """What branching off at a step means.

    Args:
        at: the number of the step: a message is handled anew, an answer is asked for anew.
        taken: names of rooms there are.
        edit: given, the message has this text instead; or the answer is this instead, and is not asked for.
    Raises:
        NoSuchStep: the session has no such step.
        SeedLost: what the branch would go on from is not in the journal any more.
        CannotFork: the edited answer cannot be read, or the step is not this session's own.
    """
    found = ledger.find(at)
    if found is None:
        raise NoSuchStep(f"{session} has the steps 1 to {ledger.steps}, not {at}")
    position, before = found
    row = ledger.rows[position]
    base, events = await trace_of_turn(source, session, row.turn)
    steps = moments(base, events)
    number = at - before - 1
    if number >= len(steps):
        raise CannotFork(f"step {at} of {session} cannot be read any more")
    moment = steps[number]
    message = base.message
    agent, room = names_of(session)
    parent = await fork_of(source, session)
    fork = SessionForked(
        session=session,
        turn=row.turn,
        step=at,
        room=free_name(room, taken),
        agent=agent,
        author=message.author,
        author_kind=message.author_kind,
        text=message.text,
        origin=(parent.origin if parent is not None and parent.origin else room),
        model=model or (parent.model if parent is not None else ""),
        by=by,
    )
    if number == 0:
        if edit is not None:
            fork = msgspec.structs.replace(fork, text=edit, edit="message")
    else:
        fork = _at_answer(fork, moment, number, edit, at)
    return Plan(fork, room, max(_place(message) - 1, 1), message.subject)


def _at_answer(fork: SessionForked, moment: Moment, number: int, edit: str | None, at: int) -> SessionForked:
    if moment.responded is None:
        raise CannotFork(
            f"step {at} was made in the session that {fork.session} branched off; fork that one, or take a later step"
        )
    if edit is None:
        return msgspec.structs.replace(fork, kept=number - 1, until_seq=moment.responded.seq - 1)
    step = moment.after.steps[-1]
    answer = edited(edit, step.response)
    return msgspec.structs.replace(
        fork, kept=number, until_seq=moment.responded.seq, edit="answer", answer=answer
    )


def _place(message: RoomMessage) -> int:
    return message.seq


def editable(response_text: str, calls: Collection[tuple[str, dict[str, object]]]) -> str:
    """An answer as people edit it: its text, or JSON if it calls tools."""
    if not calls:
        return response_text
    value = EditedAnswer(response_text, tuple(EditedCall(name, arguments) for name, arguments in calls))
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def edited(text: str, before: ModelResponse) -> ModelResponse:
    """The answer that a person wrote in place of a model's.

    Raises:
        CannotFork: it begins like the JSON of an answer with tool calls, and is none.
    """
    said = text.strip()
    if not said:
        raise CannotFork("the edited answer is empty")
    calls: tuple[ToolCall, ...] = ()
    if said.startswith("{") and re.match(r'\{\s*"(text|tool_calls)"', said):
        try:
            value = msgspec.json.decode(said.encode(), type=EditedAnswer)
        except msgspec.DecodeError as error:
            raise CannotFork(f"the edited answer is no answer with tool calls: {error}") from error
        said = value.text
        calls = tuple(
            ToolCall(_call_id(before, n), call.name, dict(call.arguments))
            for n, call in enumerate(value.tool_calls)
        )
    finish = "tool_calls" if calls else "stop"
    return ModelResponse(said, calls, Usage(), finish, EDITED, EDITED)


def _call_id(before: ModelResponse, number: int) -> str:
    known = before.tool_calls
    return known[number].id if number < len(known) else f"edited_{number}"


def free_name(room: str, taken: Collection[str]) -> str:
    """A name for a branch's room: that of the room, `-fork-` and the first number that is free."""
    base = re.sub(r"-fork-\d+\Z", "", room)
    number = 1
    while True:
        tail = f"-fork-{number}"
        name = base[: LONGEST_NAME - len(tail)] + tail
        if name not in taken:
            return name
        number += 1
