"""Restart one process on a person's wish: its supervisor ends it in order and starts it anew; no failure is counted.

Runs in a process (`node.run(restart, pid)` from outside). Does badly: a dynamic supervisor forgets what it ends, so its
children can only be killed, and come back if they are permanent.
"""

from planaria.otp import Pid, Supervisor, node_


class NotSupervised(LookupError):
    """Nobody would start the process again."""


async def restart(pid: Pid) -> Pid | None:
    """End `pid` in order and start it anew.

    Returns:
        The new process; None if its `init` declined to run.
    Raises:
        NotSupervised: it has no supervisor, or a dynamic one; nothing was done.
    """
    found = place_of(pid)
    if found is None:
        raise NotSupervised(f"{pid.name or pid} has no supervisor that could start it anew")
    parent, child_id = found
    await Supervisor.terminate_child.within(None)(parent, child_id)
    return await Supervisor.restart_child.within(None)(parent, child_id)


def place_of(pid: Pid) -> tuple[Pid, object] | None:
    """The supervisor of a process and its id there; None for one without, or with a dynamic one."""
    for parent in node_().info(pid).links:
        if isinstance(parent.body, Supervisor):
            for child_id, child, _ in parent.body.children_now():
                if child is pid:
                    return parent, child_id
    return None
