"""Children that were asked for and have not begun, as their job waits for a place: a stop ends them where they stand.

Their end is written for them, so whoever takes their job up finds that there is nothing to do.
"""

from collections.abc import Callable

from planaria.agents.desk import find, note
from planaria.agents.kinship import CHILD, ChildAsked, ChildFinished, asked_id, finished_id
from planaria.agents.turn.guard_events import TurnStopped
from planaria.cortex.durable.work import MOST_OPEN, Work
from planaria.cortex.event import Event, NewEvent, repeatable_id
from planaria.cortex.event_type import EventMismatch
from planaria.otp import CallError, NoProcess, now, send, sleep, whereis
from planaria.rooms.addressing import stop_asked
from planaria.rooms.message import StopAsked, room_name
from planaria.rooms.room import Room
from planaria.rooms.transcript import REMEMBERED

LONGEST = 5.0
"""Seconds the queue of jobs may take to answer."""
AGAIN = 0.1
"""Seconds until it is asked again."""


async def is_stopped(asked: ChildAsked) -> bool:
    """Whether the turn that asked for a child was stopped since."""
    return await find(repeatable_id(asked.parent, TurnStopped.kind, asked.turn)) is not None


async def stopped_by(asked: ChildAsked, place: int) -> str:
    """Who has stopped what a child works for, since it was asked for; empty if nobody.

    By what is in the journal: also if all was killed before a `/stop` in the room took hold.

    Args:
        place: of `asked` in the journal.
    """
    if await is_stopped(asked):
        return asked.by
    room, agent = room_name(asked.room), asked.parent.removeprefix("session:").partition("@")[0]
    if not asked.room or whereis(room) is None:
        return ""
    members = await Room.members(room)
    for message in await Room.transcript(room, place, REMEMBERED):
        found = stop_asked(message.text, members) if message.author_kind == "person" else None
        if found is not None and agent in found[0]:
            return message.author
    return ""


async def end_unbegun(meant: Callable[[str, ChildAsked], bool], by: str) -> None:
    """End the children that nobody waits for and that have no process yet; it is in the journal when this returns.

    Args:
        meant: whether a child is, by its stream and what it was asked.
    """
    ends: list[NewEvent] = []
    for stream in await _with_a_job():
        event = await find(asked_id(stream))
        if event is None or whereis(stream) is not None:
            continue
        try:
            asked = ChildAsked.of(event)
        except EventMismatch:
            continue  # of a later program: it never begins here
        if meant(stream, asked):
            ends.append(ending(event, by))
    await note(ends)
    for end in ends:
        try:
            send(end.session, StopAsked(by))  # it has begun just now
        except NoProcess:
            pass


def ending(asked: Event, by: str) -> NewEvent:
    """The end of a child that was stopped before it began."""
    stream = asked.session
    return ChildFinished(stream, "stopped", f"(stopped by {by})").new(
        session=stream,
        trace_id=asked.trace_id,
        cause_id=asked.id,
        id=finished_id(stream),
        subject=asked.subject,
    )


async def _with_a_job() -> list[str]:
    """The children that a job is to run, or runs."""
    until = now() + LONGEST
    while whereis("work") is not None:
        try:
            jobs = await Work.jobs("work", kinds=(CHILD,), limit=MOST_OPEN)
        except CallError:
            if now() >= until:
                break
            await sleep(AGAIN)
        else:
            return [str(job.payload.get("child", "")) for job in jobs]
    return []  # while it is away nothing begins, and later each job looks itself: `is_stopped`
