"""Stopping what agents do: a session, an agent, a room, or everything with the runs of workflows."""

from typing import Literal

import msgspec

from planaria.agents.guard.halting import PREFIX, Halted, Kind, Target
from planaria.agents.keeper import Agents
from planaria.agents.stop import stop
from planaria.agents.trees import known_sessions
from planaria.nerve.methods.method import Channel, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import CallError, Task, TaskRef, now, sleep, whereis
from planaria.rooms.rooms import list_rooms
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import Refused

FLOOR = "workflow_floor"
"""Name of who supervises the workflows."""
LONGEST = 5.0
"""Seconds the workflows may be away."""
AGAIN = 0.05


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
    """What was stopped: sessions with the turns that were ended, and ids of runs that were cancelled.

    Attributes:
        unsure: runs whose end is not certain to be in the journal, each with the reason.
    """

    kind: Kind
    name: str
    sessions: tuple[Halted, ...]
    runs: tuple[str, ...] = ()
    unsure: dict[str, str] = {}


async def stop_work(params: Stopping, services: Services, channel: Channel) -> StoppedWork:
    """End what agents do and what waits for them; answered when it is in the journal."""
    target = await _target(params)
    by = params.by or "somebody"
    runs = {name: _cancel(name, by, params.why) for name in await _active()} if target.kind == "all" else {}
    halted = await stop(target, by=by, mode=params.mode, why=params.why)
    ended = {name: await task.result() for name, task in runs.items()}
    if ended:  # a run may have set agents to work before it ended
        later = await stop(target, by=by, mode=params.mode, why=params.why)
        halted = (*halted, *(each for each in later if each.turns or each.problem))
    return StoppedWork(
        *(target.kind, target.name, halted),
        runs=tuple(name for name, answer in ended.items() if answer is True),
        unsure={name: answer.error for name, answer in ended.items() if isinstance(answer, Refused)},
    )


async def _target(params: Stopping) -> Target:
    """What is meant.

    Raises:
        ControlError: there is no such thing, or several.
    """
    if params.kind == "all" or (not params.kind and params.name == "all"):
        return Target("all")
    sessions = known_sessions()
    agents = await _agents()
    agents |= {name.removeprefix(PREFIX).partition("@")[0] for name in sessions}
    rooms = set(await list_rooms())
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


async def _agents() -> set[str]:
    """The agents of the garden, those too that have no room: they may work as children of others."""
    try:
        return {each.name for each in await Agents.definitions("agents")}
    except CallError:
        return set()  # it is being restarted, and its sessions are there


async def _active() -> tuple[str, ...]:
    """The runs that go on. While the workflows are being restarted they are waited for: they take all up again."""
    until = now() + LONGEST
    while True:
        try:
            return await Workflows.active("workflows")
        except CallError:
            if whereis(FLOOR) is None or now() >= until:
                return ()
        await sleep(AGAIN)


def _cancel(run: str, by: str, why: str) -> TaskRef:
    """Begin to end a run."""
    reason = f"stopped by {by}{f': {why}' if why else ''}"
    return Task.start_link(Workflows.cancel, "workflows", run, reason, label=f"cancel {run}")
