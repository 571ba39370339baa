"""What a branch begins with: the steps of the turn it branched off, kept by reference to the session it left."""

from functools import reduce

import msgspec

from planaria.agents.kinship import ChildAsked, task_of
from planaria.agents.past.source import Source
from planaria.agents.turn.events import FORKS, SessionForked, TurnStarted
from planaria.agents.turn.turn import KINDS, UNREADABLE, Step, Turn, message_of_turn, place_of, take
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.query import Query
from planaria.rooms.message import RoomMessage
from planaria.rooms.transcript import message_of


class SeedLost(Exception):
    """What a branch was to go on from is not in the journal any more; the text says what."""


async def seeded(source: Source, fork: SessionForked, session: str, turn: Turn) -> Turn:
    """The turn with the steps it begins with, if it is the first of the branch; else as it is.

    Args:
        session: the branch's own stream.
    Raises:
        SeedLost: the steps were erased or pruned.
    """
    if not fork.kept:
        return turn
    for event in await source.read(Query(session=session, kinds=(TurnStarted.kind,), limit=1)):
        if event.cause_id != turn.id:
            return turn
    return with_steps(turn, await kept_steps(source, fork))


async def kept_steps(source: Source, fork: SessionForked) -> Turn:
    """The turn a session branched off, as far as the branch keeps it.

    Raises:
        SeedLost: it was erased or pruned.
    """
    turn = await turn_of(source, fork.session, fork.turn, until_seq=fork.until_seq)
    if turn.gone:
        what = turn.last_error if turn.gone == UNREADABLE else f"it was {turn.gone}"
        raise SeedLost(f"what {fork.session} did about {turn.message.id} cannot be read: {what}")
    steps = turn.steps[: fork.kept]
    if len(steps) < fork.kept:
        raise SeedLost(f"{fork.session} has {len(steps)} of {fork.kept} answers that were to be kept")
    if fork.answer is not None:
        steps = (*steps[:-1], Step(fork.answer))
    return msgspec.structs.replace(turn, steps=steps)


async def turn_of(source: Source, session: str, turn: str, until_seq: int | None = None) -> Turn:
    """A turn of a session, folded from its events, up to a place.

    Raises:
        SeedLost: its message is gone, or what a branch began with.
    """
    base, events = await trace_of_turn(source, session, turn, until_seq)
    return reduce(take, events, base)


async def trace_of_turn(
    source: Source, session: str, turn: str, until_seq: int | None = None
) -> tuple[Turn, list[Event]]:
    """What a turn began with, and its events, up to a place. Raises as `turn_of`."""
    message_id, attempt = message_of_turn(turn)
    message = await source.find(message_id)
    if message is None or message.state != "whole":
        what = f"was {message.state}" if message else "is not in the journal"
        raise SeedLost(f"the message {message_id} {what}")
    base = Turn(_message_of(message), attempt)
    query = Query(
        session=session,
        kinds=KINDS,
        trace_id=message.trace_id,
        before_seq=None if until_seq is None else until_seq + 1,
    )
    events = [event for event in await source.read(query) if event.cause_id == turn]
    fork = await fork_of(source, session)
    return (base if fork is None else await seeded(source, fork, session, base)), events


def _message_of(event: Event) -> RoomMessage:
    if event.kind != ChildAsked.kind:
        return message_of(event.session.removeprefix("room:"), event)
    try:
        return task_of(event)
    except EventMismatch as error:
        raise SeedLost(f"the task {event.id} cannot be read: {error}") from error


async def fork_of(source: Source, session: str) -> SessionForked | None:
    """How a session branched off another; None if it did not."""
    return next((fork for fork in await forks_of(source) if fork.branch == session), None)


async def forks_of(source: Source) -> list[SessionForked]:
    """All branches there ever were; those that were erased, or are of a later program, cannot be told."""
    found: list[SessionForked] = []
    for event in await source.read(Query(session=FORKS, kinds=(SessionForked.kind,))):
        try:
            found.append(SessionForked.of(event))
        except EventMismatch:
            continue
    return found


def with_steps(turn: Turn, kept: Turn) -> Turn:
    """The turn with the steps of another and what it was told, the results of its tools at their places in this one."""
    steps = tuple(
        Step(
            step.response,
            {
                place_of(turn, number, n): step.results[place]
                for n in range(len(step.response.tool_calls))
                if (place := place_of(kept, number, n)) in step.results
            },
        )
        for number, step in enumerate(kept.steps)
    )
    asides = tuple(
        msgspec.structs.replace(each, kept=True)
        for each in kept.asides
        if each.kind != "limit" and each.step <= len(steps)
    )
    return msgspec.structs.replace(turn, steps=steps, asides=asides)
