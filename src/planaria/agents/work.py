"""The work of a turn, each piece in a task of its own: calling the model, running a tool, speaking in the room.

Tasks may await the outside; what they return goes to the session's process as `TaskDone`. Every model call is
journaled before and after, with tokens, cost and time, and so is every tool call (by the gate).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from planaria.agents.definition import AgentDefinition
from planaria.agents.prompt import build, system_text
from planaria.agents.turn import (
    FAILED,
    FINISHED,
    KINDS,
    REQUESTED,
    RESPONDED,
    STARTED,
    Say,
    ToolResult,
    ToolRun,
    Turn,
    response_payload,
    take,
)
from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import Event, NewEvent, new_id
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.directory import ModelDirectory
from planaria.membrane.errors import ProviderError
from planaria.membrane.gate import Gate, spoken
from planaria.membrane.provider import Message, ModelRequest, ModelResponse, Piece, TextDelta
from planaria.membrane.tool import Context, Failed
from planaria.otp import CallError, Pid, now, sleep
from planaria.records.library import Library
from planaria.rooms.message import RoomMessage, room_name
from planaria.rooms.outbox import repeatable_id
from planaria.rooms.room import Room, RoomRefused

PATIENCE = 0.5
"""Seconds between tries to reach the journal or the room while they are away."""
GARDEN_FILES = ("SOUL", "USER", "MEMORY", "contract")
"""What every agent of a garden is told, from the files of these names."""
PIECE = 24
"""Characters of a streamed answer that are sent on together, at least."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What a session needs to work: who it is, where, and with what."""

    definition: AgentDefinition
    room: str
    session: str
    garden: Path
    gate: Gate
    services: Mapping[type, object] = field(default_factory=dict)

    @property
    def agent(self) -> str:
        """The agent's name."""
        return self.definition.name


class Answered(msgspec.Struct, frozen=True):
    """The model has answered; it is in the journal."""

    response: ModelResponse


class NotAnswered(msgspec.Struct, frozen=True):
    """The model call failed; it is in the journal."""

    error: str
    retry: bool
    retry_after: float | None = None


class Ran(msgspec.Struct, frozen=True):
    """A tool call is over; it is in the journal."""

    place: str
    result: ToolResult


class Said(msgspec.Struct, frozen=True):
    """The answer is in the room's transcript: the turn is over."""


async def join(desk: Desk, pid: Pid) -> list[RoomMessage]:
    """Become a member of the room; what waits for an answer.

    A turn whose answer is in the room but whose end was not noted, since the process was killed in between, is ended.
    """
    query = Query(session=desk.session, kinds=(STARTED, FINISHED), limit=1, newest_first=True)
    latest = await _events(query)
    waiting = await Room.join(room_name(desk.room), desk.agent, pid, desk.definition.host)
    if latest and latest[0].kind == STARTED:
        turn = latest[0].payload["message"]
        if turn not in {message.id for message in waiting}:
            await _write(_finished(desk, turn, latest[0].trace_id, "answered"))
    return waiting


async def begin(desk: Desk, message: RoomMessage) -> Turn:
    """Note the beginning of a turn, or take it up where the journal says it stands.

    The note goes first: the journal writes in order, so whatever a killed process of this session had on its way is
    there to be read after it. Reads the trace of the message alone, so it costs the same however long the session
    has lived.
    """
    turn = msgspec.structs.replace(Turn(message), begun=True)
    note = repeatable_id(desk.session, STARTED, message.id)
    if await _note(desk, turn, STARTED, {"message": message.id, "author": message.author}, note):
        return turn
    for event in await _events(Query(session=desk.session, kinds=KINDS, trace_id=message.trace_id)):
        turn = take(turn, event)
    return msgspec.structs.replace(turn, resumed=True)


async def think(desk: Desk, turn: Turn, step: int, wait: float) -> Answered | NotAnswered:
    """Make one model call, its text streamed into the room."""
    if wait:
        await sleep(wait)
    models = await ModelDirectory.models("models")
    try:
        choice = models.resolve(desk.definition.model)
        messages = await _prompt(desk, turn)
        tools = tuple(tool.spec for tool in desk.gate.offered(desk.definition.tools))
        request = ModelRequest(
            choice.model, messages, tools, desk.definition.max_tokens, desk.definition.temperature
        )
        asked = {
            "turn": turn.id,
            "step": step,
            "provider": choice.provider.name,
            "model": choice.model,
            "messages": len(messages),
            "tools": [tool.name for tool in tools],
        }
        await _note(desk, turn, REQUESTED, asked)
        response, first, whole = await _stream(desk, turn, choice.provider.stream(request))
    except ProviderError as error:
        return await _not_answered(desk, turn, step, NotAnswered(str(error), error.retry, error.retry_after))
    payload = response_payload(turn, step, response)
    payload["cost_micro"] = models.cost_micro(choice.provider.name, choice.model, response.usage)
    payload["first_ms"] = round(first * 1000, 3)
    payload["duration_ms"] = round(whole * 1000, 3)
    try:
        await _note(desk, turn, RESPONDED, payload)
    except EventRefused as error:
        # Asking again would cost again and end the same.
        problem = NotAnswered(f"the model's answer cannot be written down: {error.reason}", retry=False)
        return await _not_answered(desk, turn, step, problem)
    return Answered(response)


async def _not_answered(desk: Desk, turn: Turn, step: int, problem: NotAnswered) -> NotAnswered:
    await _note(desk, turn, FAILED, {"turn": turn.id, "step": step, **msgspec.structs.asdict(problem)})
    return problem


async def run_tool(desk: Desk, turn: Turn, run: ToolRun) -> Ran:
    """Make one tool call through the gate."""
    tool = desk.gate.find(run.call.name)
    if run.cut_off and (tool is None or not tool.idempotent):
        text = (
            "Failed: the node stopped while this tool ran, so nobody knows whether it took effect. "
            "It was not run again; look before you repeat it."
        )
        await _note(desk, turn, "tool.finished", _unknown(desk, run, text))
        return Ran(run.place, ToolResult(run.call.id, text, failed=True))
    context = Context(
        caller=f"agent:{desk.agent}",
        garden=desk.garden,
        session=desk.session,
        room=desk.room,
        trace_id=turn.message.trace_id,
        cause_id=turn.id,
        call_id=run.place,
        services=desk.services,
    )
    outcome = await desk.gate.call(run.call.name, run.call.arguments, context, desk.definition.tools)
    return Ran(run.place, ToolResult(run.call.id, spoken(outcome), isinstance(outcome, Failed)))


async def say(desk: Desk, turn: Turn, words: Say) -> Said:
    """Speak, as often as it takes: the room takes one answer to a message, whoever repeats it."""
    message = turn.message
    text, failed = words.text, words.failed
    while True:
        try:
            await Room.say(
                room_name(desk.room),
                desk.agent,
                text,
                cause_id=message.id,
                author_kind="notice" if failed else "agent",
                model=words.model,
                trace_id=message.trace_id,
            )
            break
        except RoomRefused as error:
            text, failed = f"I could not say my answer: {error}", True
        except CallError:
            await sleep(PATIENCE)  # the room is being restarted, or the disk is full: an outage is no bug
    await _write(_finished(desk, turn.id, message.trace_id, "failed" if failed else "answered"))
    return Said()


async def _prompt(desk: Desk, turn: Turn) -> tuple[Message, ...]:
    name = room_name(desk.room)
    talk = await Room.transcript(name, limit=200)
    pending = [message.id for message in await Room.pending(name, desk.agent)]
    others = [member for member in await Room.members(name) if member != desk.agent]
    files = [
        record.body.strip()
        for record in await Library.list("library", "garden")
        if record.path.removesuffix(".md") in GARDEN_FILES and record.body.strip()
    ]
    system = system_text(desk.definition, desk.room, turn.message.author, others, files)
    return build(desk.definition, turn, talk, pending, system)


async def _stream(desk: Desk, turn: Turn, pieces: AsyncIterator[Piece]) -> tuple[ModelResponse, float, float]:
    begun = now()
    first = 0.0
    sent = False
    # What it says after its tools, or once more after a failure or a kill, begins a new paragraph.
    held = "\n\n" if turn.steps or turn.failures or turn.resumed else ""
    response: ModelResponse | None = None
    async for piece in pieces:
        first = first or now() - begun
        if isinstance(piece, ModelResponse):
            response = piece
        elif isinstance(piece, TextDelta):
            held += piece.text
            # The first piece goes at once, to be seen; later ones in handfuls.
            if len(held) >= PIECE or not sent:
                Room.delta(room_name(desk.room), desk.agent, turn.id, held)
                held = ""
                sent = True
    if held.strip():
        Room.delta(room_name(desk.room), desk.agent, turn.id, held)
    if response is None:
        raise ProviderError("the provider ended its stream without an answer", retry=True)
    return response, first, now() - begun


def _unknown(desk: Desk, run: ToolRun, text: str) -> dict[str, object]:
    return {
        "call_id": run.place,
        "tool": run.call.name,
        "caller": f"agent:{desk.agent}",
        "branch": "failed",
        "outcome": None,
        "error": text.removeprefix("Failed: "),
        "retry": False,
        "duration_ms": 0.0,
    }


def _finished(desk: Desk, turn: str, trace_id: str, outcome: str) -> NewEvent:
    payload = {"turn": turn, "outcome": outcome}
    once = repeatable_id(desk.session, FINISHED, turn)
    return NewEvent(FINISHED, payload, session=desk.session, trace_id=trace_id, cause_id=turn, id=once)


async def _note(desk: Desk, turn: Turn, kind: str, payload: Mapping[str, object], id: str = "") -> bool:
    """Journal one event of the turn, once; while the journal is away, wait. False if it was there already."""
    # With an id of its own: an append that got no answer may have been written, and tokens must not count twice.
    event = NewEvent(
        kind,
        dict(payload),
        session=desk.session,
        trace_id=turn.message.trace_id,
        cause_id=turn.id,
        id=id or new_id(),
    )
    return await _write(event)


async def _write(event: NewEvent) -> bool:
    while True:
        try:
            await Journal.append("journal", [event])
            return True
        except EventRefused as error:
            if error.duplicate_of != event.id:
                raise
            return False
        except JournalUnavailable as error:
            if not error.retry:
                raise
        except CallError:
            pass
        await sleep(PATIENCE)


async def _events(query: Query) -> list[Event]:
    """Read the journal; while it is away, wait."""
    while True:
        try:
            return await Journal.read("journal", query)
        except JournalUnavailable as error:
            if not error.retry:
                raise
        except CallError:
            pass
        await sleep(PATIENCE)


def lines_of(runs: Sequence[ToolRun]) -> str:
    """What a session is doing, for people."""
    return ", ".join(run.call.name for run in runs)
