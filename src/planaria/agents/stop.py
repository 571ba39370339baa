"""Stopping what agents do, from any surface: the spending ends at once, what was said so far stays.

    halted = await stop(Target("room", "garden"), by="ada")

A stopped message is over: it is not handled again, and its turn is `stopped`. Messages that wait behind it are stopped
with it. Children of a session are stopped with it, those too that have not begun; an agent is stopped wherever it
works as somebody's child.
"""

from collections.abc import Set
from functools import partial

from planaria.agents.guard.halting import PREFIX, Halted, Target
from planaria.agents.guard.unbegun import end_unbegun
from planaria.agents.kinship import ChildAsked, is_child
from planaria.agents.session import AgentProcess
from planaria.agents.trees import known_sessions
from planaria.agents.turn.guard_events import StopMode
from planaria.otp import CallError, Task, TaskFailed, now, sleep, whereis

LONGEST = 10.0
"""Seconds a session may take to say that its stop is in the journal; its spending has ended long before."""
AGAIN = 0.05
"""Seconds until a session that is being restarted is told again."""


async def stop(target: Target, *, by: str, mode: StopMode = "cancel", why: str = "") -> tuple[Halted, ...]:
    """Stop all that is meant; answered when it is in the journal. For code that runs in a process of the node.

    Args:
        by: who stops: a person, `budget`, or the name of a session.
        mode: `kill` lets nothing unwind.
        why: a word for the room.
    """
    unbegun = Task.start_link(end_unbegun, partial(_includes, target), by, label="stop children")
    halted = await _round(target, by, mode, why, frozenset())
    try:
        await unbegun.result(LONGEST)
    except (TaskFailed, TimeoutError) as error:
        halted[""] = Halted("children that had not begun", (), f"{error}")
    # A child may have begun while its parent was stopped. What had not begun by then is ended, so it was the last.
    halted |= await _round(target, by, mode, why, halted.keys())
    return tuple(each for each in halted.values() if each is not None)


async def _round(
    target: Target, by: str, mode: StopMode, why: str, done: Set[str]
) -> dict[str, Halted | None]:
    """Stop the sessions that are there now, by name; None for those that were not meant."""
    names = [name for name in known_sessions() if name not in done and _may_be(target, name)]
    # All at once: the spending of the last must not go on while the first one writes.
    tasks = [Task.start_link(_halt, name, target, by, mode, why, label=f"stop {name}") for name in names]
    return {name: await task.result() for name, task in zip(names, tasks, strict=True)}


def _may_be(target: Target, name: str) -> bool:
    """Whether a session is meant by its name; a child's does not tell who it is."""
    return target.includes(name) or (target.kind == "agent" and is_child(name))


def _includes(target: Target, stream: str, asked: ChildAsked) -> bool:
    return target.includes(stream) or (target.kind == "agent" and asked.agent == target.name)


async def _halt(name: str, target: Target, by: str, mode: StopMode, why: str) -> Halted | None:
    """Stop one session; None if it is a child of another name."""
    until = now() + LONGEST
    while True:
        try:
            if not target.includes(name):
                definition, _ = await AgentProcess.kin(name)
                if definition.name != target.name:
                    return None
            return await AgentProcess.halt.within(max(until - now(), AGAIN))(name, by, mode, why)
        except CallError as error:
            problem = str(error)
        # Restarted meanwhile, it would go on with what was to be stopped; so the next process is told.
        if now() >= until or whereis(name.removeprefix(PREFIX)) is None:
            return Halted(name, (), problem if whereis(name) is not None else "")
        await sleep(AGAIN)
