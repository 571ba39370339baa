"""The work of a turn beside the model call, each piece in a task of its own.

Joining the room, taking a turn up from the journal, running a tool, speaking.

Tasks may await the outside; what they wrote into the journal goes to the session's process as `TaskDone`, which takes
it in. A message that is given up is answered with a notice and becomes a dead letter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain

import msgspec

from planaria.agents.definition import AgentError, read_agent
from planaria.agents.desk import Desk, Known, append, append_after, find, note, read
from planaria.agents.kinship import ChildAsked, Layer, asked_id, finished_id, task_of
from planaria.agents.past.seed import seeded
from planaria.agents.past.source import JournalSource
from planaria.agents.past.state import compare
from planaria.agents.prompt.plan import plan_path
from planaria.agents.thinking.brief import garden_texts
from planaria.agents.thinking.outcome import finish, formed
from planaria.agents.thinking.stand_in import named
from planaria.agents.turn.arrivals import in_order
from planaria.agents.turn.events import SessionDiverged, SessionForked, TurnFinished, TurnStarted
from planaria.agents.turn.guard_events import TurnStopped
from planaria.agents.turn.turn import KINDS, Say, ToolRun, Turn, message_of_turn, take
from planaria.cortex.errors import EventRefused
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.patience import PATIENCE
from planaria.cortex.query import Query
from planaria.membrane.events import ToolFinished, ToolStarted
from planaria.membrane.gate.prepared import Prepared
from planaria.membrane.tool import FAILED
from planaria.otp import CallError, Pid, sleep
from planaria.records.library import Library
from planaria.records.record import Record
from planaria.records.scan import RecordChanged
from planaria.rooms.admission import unanswered_by
from planaria.rooms.events import MessageSaid
from planaria.rooms.giving_up import given_up, reply_id
from planaria.rooms.message import Delivery, RoomMessage, room_name
from planaria.rooms.room import Room, RoomRefused

LATEST = 40
"""Beginnings and ends of turns that are looked at for turns that began and did not end."""


class Begun(msgspec.Struct, frozen=True):
    """The turn as the journal has it: `base`, and the events to be folded into it."""

    base: Turn
    events: tuple[Event, ...]


class Ran(msgspec.Struct, frozen=True):
    """A tool call is over; it is in the journal."""

    events: tuple[Event, ...]


class Executed(msgspec.Struct, frozen=True):
    """A tool call is over; that it is, is to be written with what comes next."""

    events: tuple[NewEvent, ...]


class Noted(msgspec.Struct, frozen=True):
    """How a tool call ended is in the journal now."""

    events: tuple[Event, ...]


@dataclass(slots=True)
class OpenCalls:
    """How many calls of one step are still running."""

    left: int


class Behind(msgspec.Struct, frozen=True):
    """Something of this turn is in the journal that the session does not know: it is to be read."""


class Said(msgspec.Struct, frozen=True):
    """The answer is in the room's transcript: the turn is over, and its end in the journal."""


class Stopped(msgspec.Struct, frozen=True):
    """The state held was not what the journal says. Room and journal know; nothing may go on from it."""


class Entered(msgspec.Struct, frozen=True):
    """The session is a member of its room; what waits for it, and what its prompts tell of the garden."""

    waiting: list[Delivery]
    files: dict[str, str]
    plan: Record | None = None
    layers: tuple[Layer, ...] = ()
    """Of a child: what it and those above it may do by their records as they are now."""


async def enter(desk: Desk, pid: Pid) -> Entered:
    """Become a member of the room, and read what a session has to know."""
    waiting = await join(desk, pid)  # first: whoever speaks now is to be heard
    files = await garden_texts()
    if desk.child is not None:
        names = sorted(desk.child.family)
        records = [await Library.read("library", f"agents/{name}.md") for name in names]
        layers = (_layers(record) for record in records if isinstance(record, Record))
        return Entered(waiting, files, layers=tuple(chain.from_iterable(layers)))
    plan = await Library.read("library", plan_path(desk.agent, desk.room))
    return Entered(waiting, files, plan if isinstance(plan, Record) else None)


def present(child: ChildAsked, change: RecordChanged) -> tuple[Layer, ...]:
    """What a change of an agent's record says about what a child may do; nothing if it is no kin of its."""
    if change.name not in child.family or change.error is not None:
        return ()
    return (Layer(change.name),) if change.record is None else _layers(change.record)


def _layers(record: Record) -> tuple[Layer, ...]:
    try:
        found = read_agent(record)
    except AgentError:
        return ()  # said by whoever keeps the agents: its last good version stays
    return (Layer(found.name, found.tools, found.grants),)


async def join(desk: Desk, pid: Pid) -> list[Delivery]:
    """Become a member of the room; what waits for an answer.

    A turn whose answer is in the room but whose end was not noted, since the process was killed in between, is ended.
    """
    if desk.child is not None:
        return await _task(desk)
    query = Query(
        session=desk.session, kinds=(TurnStarted.kind, TurnFinished.kind), limit=LATEST, newest_first=True
    )
    latest = await read(query)
    waiting = await Room.join(room_name(desk.room), desk.agent, pid, desk.definition.host)
    if desk.fork is not None and not latest:
        await _open_branch(desk, desk.fork)
    ended = {event.cause_id for event in latest if event.kind == TurnFinished.kind}
    begun = [event for event in latest if event.kind == TurnStarted.kind and event.cause_id not in ended]
    for event in begun:
        await _end(desk, event, waiting)
    turns = {message_of_turn(event.cause_id or "") for event in begun}
    return in_order(waiting, turns, desk.definition.arrivals)


async def _task(desk: Desk) -> list[Delivery]:
    """What a child is to do; nothing if it has finished, or its task was erased."""
    asked = await find(asked_id(desk.session))
    if asked is None or asked.state != "whole" or await find(finished_id(desk.session)) is not None:
        return []
    return [Delivery(task_of(asked))]


async def _open_branch(desk: Desk, fork: SessionForked) -> None:
    """Say the message a branch begins with. However often it starts before its first turn, it is one message."""
    await Room.post(
        room_name(desk.room),
        fork.author,
        fork.text,
        client_id=f"fork/{desk.room}",
        author_kind=fork.author_kind,
        to=(desk.agent,),
    )


async def _end(desk: Desk, event: Event, waiting: Sequence[Delivery]) -> None:
    """End a turn that was begun and does not wait any more."""
    try:
        started = TurnStarted.of(event)
    except EventMismatch:
        return
    if any((each.message.id, each.attempt) == (started.message, started.attempt) for each in waiting):
        return
    reply = await find(reply_id(desk.room, desk.agent, started.message, started.attempt))
    message = RoomMessage(
        started.message,
        *(0, event.at, desk.room, started.author, "person", ""),
        trace_id=event.trace_id,
        subject=event.subject,
    )
    turn = Turn(message, started.attempt, begun=True)
    if reply is not None:
        stopped = await find(desk.event(turn, TurnStopped(turn.id, ""), turn.id).id)
        words = _said(reply) if stopped is None else Say("", None, "stopped")
        await note(ending(desk, turn, words))
    elif (question := await find(started.message)) is None or question.state != "whole":
        await note([desk.finished(turn, "erased")])
    else:  # it was taken out of the room meanwhile
        await note(ending(desk, turn, Say(unanswered_by(desk.agent), None, "failed")))


def _said(reply: Event) -> Say:
    """What an answer in the room says about the turn it came from."""
    try:
        said = MessageSaid.of(reply)
    except EventMismatch:  # erased since
        return Say("", None)
    return Say(said.text, None, "failed" if said.author_kind == "notice" else "answered")


async def begin(desk: Desk, message: RoomMessage, attempt: int, ahead: Sequence[NewEvent]) -> Begun:
    """Note the beginning of a turn, and take it up where the journal says it stands.

    The note goes first: the journal writes in order, so whatever a killed process of this session had on its way is
    there to be read after it. Reads the trace of the message alone, so it costs the same however long the session
    has lived.
    """
    base = Turn(message, attempt)
    if desk.fork is not None:
        base = await seeded(JournalSource(), desk.fork, desk.session, base)
    try:
        await append_after(ahead, [desk.started(base, len(base.steps))])
    except Known:
        await note(ahead)
    query = Query(session=desk.session, kinds=KINDS, trace_id=message.trace_id)
    return Begun(base, tuple(await read(query)))


async def run_tool(
    desk: Desk, turn: Turn, run: ToolRun, prepared: Prepared | None, open_calls: OpenCalls
) -> Ran | Executed:
    """Make one tool call through the gate.

    Args:
        prepared: given, its start is in the journal.
        open_calls: of this step. The end of the last is written with the next request.
    """
    if prepared is None:
        name, context = await named(desk, turn, run), desk.context(turn, run.place)
        arguments, authority = run.call.arguments, desk.authority_in(turn)
        await desk.gate.call(name, arguments, context, authority, begun=run.cut_off)
        open_calls.left -= 1
        return Ran(await _of_call(desk, turn, run.place))
    ended = await desk.gate.execute(prepared)
    open_calls.left -= 1
    if open_calls.left == 0 and len(ended.events) == 1 and not ended.began:
        return Executed(ended.events)
    return Ran((*ended.began, *await write_results(desk, turn, prepared, ended.events)))


async def write_results(
    desk: Desk, turn: Turn, prepared: Prepared, events: Sequence[NewEvent]
) -> tuple[Event, ...]:
    """Write down how a call ended. The first end counts, whoever wrote it."""
    try:
        return tuple(await append(events))
    except Known:
        return await _of_call(desk, turn, prepared.context.call_id)
    except EventRefused as error:
        problem = f"{prepared.name} answered what cannot be written down: {error.reason}"
        finished = ToolFinished(prepared.context.call_id, prepared.name, FAILED, 0.0, error=problem)
        return tuple(await append([prepared.event(finished)]))


async def note_results(desk: Desk, turn: Turn, events: Sequence[NewEvent]) -> Noted:
    """Write down how a call ended, alone."""
    try:
        return Noted(tuple(await append(events)))
    except Known:
        return Noted(await _of_call(desk, turn, str(events[-1].payload["call_id"])))


async def _of_call(desk: Desk, turn: Turn, place: str) -> tuple[Event, ...]:
    kinds = (ToolStarted.kind, ToolFinished.kind)
    noted = await read(Query(session=desk.session, kinds=kinds, trace_id=turn.message.trace_id))
    return tuple(event for event in noted if event.payload.get("call_id") == place)


async def say(desk: Desk, turn: Turn, words: Say, base: Turn | None) -> Said | Stopped:
    """Speak, as often as it takes: the room takes one answer to a message, whoever repeats it.

    Args:
        base: given, the turn is read from the journal once more before, and folded into this; nothing is said from a
            state that is not the one its events make.
    """
    if base is not None and words.outcome == "answered":
        query = Query(session=desk.session, kinds=KINDS, trace_id=turn.message.trace_id)
        folded = reduce(take, await read(query), base)
        found = compare(turn, folded)
        if found is not None:
            return await stop(desk, turn, found)
    await _speak(desk, turn, words)
    return Said()


async def stop(desk: Desk, turn: Turn, found: SessionDiverged) -> Stopped:
    """Say and note that the state of a turn cannot be trusted, and end the turn."""
    text = (
        "I stopped before answering this: what I remembered of it was not what the journal says "
        f"({found.difference}). Nothing was said from it; I start afresh. Please ask again."
    )
    place = f"{turn.id}/{found.held}/{found.folded}"
    await _speak(desk, turn, Say(text, None, "failed"), (desk.event(turn, found, place),))
    return Stopped()


async def _speak(desk: Desk, turn: Turn, words: Say, before: tuple[NewEvent, ...] = ()) -> None:
    """Put words into the room and, in one append with them, the end of the turn into the journal.

    Args:
        before: what is noted before the end.
    """
    if desk.child is not None:
        await finish(desk, turn, words)
        return
    message, words = turn.message, formed(desk, words)
    while True:
        try:
            await Room.say(
                room_name(desk.room),
                desk.agent,
                words.text,
                cause_id=message.id,
                author_kind="notice" if words.notice else "agent",
                model=words.model,
                trace_id=message.trace_id,
                attempt=turn.attempt,
                subject=message.subject,
                answers=turn.answers,
                ending=(*before, *ending(desk, turn, words)),
            )
            return
        except RoomRefused as error:
            words = Say(f"I could not say my answer: {error}", None, "failed")
        except CallError:
            await sleep(PATIENCE)  # the room is being restarted, or the disk is full: an outage is no bug


def ending(desk: Desk, turn: Turn, words: Say) -> tuple[NewEvent, ...]:
    """What ends a turn in the journal: its end, and a dead letter if the message was given up."""
    first = () if turn.begun else (desk.started(turn, len(turn.steps)),)
    finished = desk.finished(turn, words.outcome)
    if not words.failed:
        return (*first, finished)
    letter = given_up(
        *(desk.room, turn.message, desk.agent, words.text),
        attempt=turn.attempt,
        turn=turn.id,
        session=desk.session,
        steps=len(turn.steps),
    )
    # What it took in is given up with it, each in a letter of its own.
    more = [
        given_up(
            *(desk.room, each.message, desk.agent, words.text),
            attempt=each.attempt,
            turn=turn.id,
            session=desk.session,
        )
        for each in turn.asides
        if each.message is not None and not each.kept
    ]
    return (*first, finished, letter, *more)
