"""Stopping what agents do: a session, an agent, a room, or everything with the runs of workflows."""

from typing import Literal

import msgspec

from planaria.agents.guard.halting import PREFIX, Halted, Kind, Target
from planaria.agents.stop import stop
from planaria.agents.trees import known_sessions
from planaria.nerve.methods.method import Channel, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import CallError, whereis
from planaria.rooms.rooms import list_rooms
from planaria.workflows.engine import Workflows

MOST_RUNS = 1000


class Stopping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is stopped.

    Attributes:
        kind: empty: what `name` is, is found out.
        mode: `cancel` lets work unwind for a second, `kill` does not.
        by: who stops it; people are told.
    """

    kind: Kind | Literal[""] = ""
    name: str = ""
    mode: Literal["cancel", "kill"] = "cancel"
    by: str = ""
    why: str = ""


class StoppedWork(msgspec.Struct, frozen=True):
    """What was stopped: sessions with the turns that were ended, and ids of runs that were cancelled."""

    kind: Kind
    name: str
    sessions: tuple[Halted, ...]
    runs: tuple[str, ...] = ()


async def stop_work(params: Stopping, services: Services, channel: Channel) -> StoppedWork:
    """End what agents do and what waits for them; answered when it is in the journal."""
    target = await _target(params)
    halted = await stop(target, by=params.by or "somebody", mode=params.mode, why=params.why)
    runs = await _cancel_runs() if target.kind == "all" else ()
    return StoppedWork(target.kind, target.name, halted, runs)


async def _target(params: Stopping) -> Target:
    """What is meant.

    Raises:
        ControlError: there is no such thing, or several.
    """
    sessions = known_sessions()
    agents = {name.removeprefix(PREFIX).partition("@")[0] for name in sessions}
    rooms = set(await list_rooms())
    if params.kind == "all" or (not params.kind and params.name == "all"):
        return Target("all")
    found: list[Target] = []
    if params.kind in ("", "agent") and params.name in agents:
        found.append(Target("agent", params.name))
    if params.kind in ("", "room") and params.name in rooms:
        found.append(Target("room", params.name))
    if params.kind in ("", "session") and PREFIX + params.name.removeprefix(PREFIX) in sessions:
        found.append(Target("session", params.name.removeprefix(PREFIX)))
    if len(found) == 1:
        return found[0]
    if found:
        mend = f"write `planaria stop agent {params.name}` or `planaria stop room {params.name}`"
        raise ControlError("bad_request", f"{params.name!r} is an agent and a room", mend)
    what = params.kind or "agent, room or session"
    known = sorted(agents) if what == "agent" else sorted(rooms) if what == "room" else sorted(sessions)
    mend = f"there are: {', '.join(name.removeprefix(PREFIX) for name in known[:10]) or 'none'}"
    raise ControlError("not_found", f"no {what} {params.name!r}", mend)


async def _cancel_runs() -> tuple[str, ...]:
    """End the runs that go on; their ids."""
    if whereis("workflows") is None:
        return ()
    ended: list[str] = []
    for run in await Workflows.runs("workflows", MOST_RUNS):
        if run.status != "running":
            continue
        try:
            if await Workflows.cancel("workflows", run.id) is True:
                ended.append(run.id)
        except CallError:
            continue  # it has ended by itself
    return tuple(ended)
