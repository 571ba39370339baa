"""Stopping what agents do, from any surface: the spending ends at once, what was said so far stays.

    halted = await stop(Target("room", "garden"), by="ada")

A stopped message is over: it is not handled again, and its turn is `stopped`. Messages that wait behind it are stopped
with it. Children of a session are stopped with it.
"""

from planaria.agents.guard.halting import PREFIX, Halted, Target
from planaria.agents.session import AgentProcess
from planaria.agents.trees import known_sessions
from planaria.agents.turn.guard_events import StopMode
from planaria.otp import CallError, Task, now, sleep, whereis

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
    names = [name for name in known_sessions() if target.includes(name)]
    # All at once: the spending of the last must not go on while the first one writes.
    tasks = [(name, Task.start_link(_halt, name, by, mode, why, label=f"stop {name}")) for name in names]
    return tuple([await task.result() for _, task in tasks])


async def _halt(name: str, by: str, mode: StopMode, why: str) -> Halted:
    until = now() + LONGEST
    while True:
        try:
            return await AgentProcess.halt.within(max(until - now(), AGAIN))(name, by, mode, why)
        except CallError as error:
            problem = str(error)
        # Restarted meanwhile, it would go on with what was to be stopped; so the next process is told.
        if now() >= until or whereis(name.removeprefix(PREFIX)) is None:
            return Halted(name, (), problem if whereis(name) is not None else "")
        await sleep(AGAIN)
