"""Tools for time: say something later, list and cancel what is planned.

What is planned is in the journal, so it survives restarts; what came due while the node was down is said when it is
back. It is keyed by the call, so a call that is made again plans it once.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from planaria.cortex.durable.job import Job
from planaria.cortex.durable.work import Work, WorkRefused
from planaria.immune.guards.circles import PAUSE
from planaria.membrane.capability import Touch
from planaria.membrane.scopes.names import HERE
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import wall_time, whereis
from planaria.rooms.deferred import POST, SAY, LaterSaid
from planaria.rooms.message import AuthorKind, room_name

LONGEST = 10 * 366 * 24 * 3600.0
"""Seconds ahead: ten years."""
SHOWN = 60
"""Characters of a text in a list."""
TIMER = "timer"
"""Who speaks when an agent has planned a message to itself."""
_KINDS: dict[str, AuthorKind] = {"agent": "agent", "workflow": "workflow", "person": "person"}


def _planned(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return (Touch("time.schedule", HERE), Touch("rooms.post", HERE))


@tool(needs={"time.schedule", "rooms.post"}, touches=_planned, branches=("planned",), idempotent=True)
async def later(context: Context, minutes: float, text: str, wake: bool = False) -> Done | Failed:
    """Say something in this room later.

    Args:
        minutes: from now; 0.5 is half a minute.
        text: what to say then, Markdown.
        wake: let it be a message that you are to answer then, so that you can go on working at that time.
    """
    if not 0 <= minutes <= LONGEST / 60:
        return Failed(f"minutes is from 0 to {LONGEST / 60:g}")
    return await _plan(context, wall_time() + 60 * minutes, text, wake)


@tool(needs={"time.schedule", "rooms.post"}, touches=_planned, branches=("planned",), idempotent=True)
async def at(context: Context, when: str, text: str, wake: bool = False) -> Done | Failed:
    """Say something in this room at a time.

    Args:
        when: ISO 8601 with a zone, such as 2030-01-31T08:00+01:00; without a zone it is UTC.
        text: what to say then, Markdown.
        wake: let it be a message that you are to answer then, so that you can go on working at that time.
    """
    try:
        moment = datetime.fromisoformat(when.strip())
    except ValueError:
        return Failed(f"{when!r} is no time; write it as 2030-01-31T08:00+01:00")
    due = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if due < wall_time() - 60:
        return Failed(f"{when} has passed; it is {_shown(wall_time())} now")
    if due > wall_time() + LONGEST:
        return Failed(f"{when} is more than ten years ahead")
    return await _plan(context, due, text, wake)


@tool(needs={"time.schedule"}, branches=("ok", "none"), idempotent=True)
async def planned(context: Context) -> Done | Failed:
    """List what is planned in this room: when, what, and the id to cancel it by."""
    jobs = await _jobs(context)
    value = [{"id": job.id, "at": _shown(job.due), "by": job.by, "what": job.label} for job in jobs]
    lines = [f"- {job.id}: {_shown(job.due)}, {job.label} (planned by {job.by})" for job in jobs]
    return Done(value, branch="ok" if jobs else "none", text="\n".join(lines) or "Nothing is planned here.")


@tool(needs={"time.schedule"}, branches=("ok", "none"), idempotent=True)
async def cancel(context: Context, id: str) -> Done | Failed:
    """Cancel something that is planned in this room.

    Args:
        id: as `time.planned` shows it.
    """
    if id not in {job.id for job in await _jobs(context)}:
        return Done({"cancelled": False}, branch="none", text=f"Nothing with the id {id} is planned here.")
    done = await Work.cancel("work", id, by=context.caller)
    text = f"{id} is cancelled." if done else f"{id} is over already."
    return Done({"cancelled": done}, branch="ok" if done else "none", text=text)


async def _plan(context: Context, due: float, text: str, wake: bool) -> Done | Failed:
    room = (context.room or "").removeprefix("room:")
    if not room or whereis(room_name(room)) is None:
        return Failed("there is no room here to speak in")
    if not text.strip():
        return Failed("there is nothing to say: the text is empty")
    kind, _, author = context.caller.partition(":")
    if wake and kind != "agent":
        return Failed("wake is for agents; leave it out")
    said = (
        LaterSaid(room, TIMER, text, "workflow", (author,), hops=_hops(context, due))
        if wake
        else LaterSaid(room, author or kind, text, _KINDS.get(kind, "agent"), cause_id=context.cause_id)
    )
    payload: dict[str, Any] = msgspec.to_builtins(said)
    first = text.strip().splitlines()[0]
    try:
        job = await Work.submit(
            "work",
            POST if wake else SAY,
            payload,
            key=context.effect,
            at=due,
            label=f"say: {first[:SHOWN]}{'…' if len(first) > SHOWN else ''}",
            by=context.caller,
            room=room,
            trace_id=context.trace_id,
            cause_id=context.cause_id,
            subject=context.subject,
        )
    except WorkRefused as error:
        return Failed(str(error))
    return Done({"id": job, "at": due}, branch="planned", text=f"Planned for {_shown(due)}, id {job}.")


def _hops(context: Context, due: float) -> int:
    """Turns that lead to a message planned now; what comes much later begins anew."""
    return context.hops if due - wall_time() < PAUSE else 0


async def _jobs(context: Context) -> tuple[Job, ...]:
    return await Work.jobs("work", (context.room or "").removeprefix("room:"), None, (SAY, POST))


def _shown(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
