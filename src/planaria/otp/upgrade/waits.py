"""Who waits for whom, along calls and tasks."""

from __future__ import annotations

from planaria.otp.kernel.process import Process, Request
from planaria.otp.supervision.task import TaskRef
from planaria.otp.upgrade.hold import is_held


def awaited_from_held(process: Process) -> Request | None:
    """The call to a held process at the end of the chain of calls this one waits for, if there is one."""
    seen: set[Process] = set()
    while process not in seen:
        seen.add(process)
        if isinstance(process.wait, Request):
            request = process.wait
            process = request.target
            if is_held(process):
                return request
        elif isinstance(process.wait, TaskRef):
            process = process.wait.pid
        else:
            return None
    return None


def waiters_for(process: Process | None) -> frozenset[Process]:
    """A process that waits here, and those whose calls it has in hand."""
    found: set[Process] = set()
    while process is not None and process not in found:
        found.add(process)
        envelope = process.current
        process = envelope[2] if envelope is not None and envelope[0] in ("call", "start") else None
    return frozenset(found)
