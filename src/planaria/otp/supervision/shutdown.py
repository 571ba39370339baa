"""Stopping children: ask, wait for as long as each may take, then kill."""

from __future__ import annotations

from collections.abc import Iterable

from planaria.otp.kernel.ambient import exit_signal, now, self_, unlink, wait_down
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.supervision.child import ShutdownTime


async def stop_child(process: Process, shutdown: ShutdownTime) -> object:
    """End one child of the running process and wait for it. Returns the reason it ended with."""
    unlink(process)  # what it ends with is ours to know, not to die of
    if process.status == DEAD:
        return process.reason
    if shutdown == "brutal_kill":
        exit_signal(process, "kill")
        return await wait_down(process)
    exit_signal(process, "shutdown")
    if process.status == DEAD:
        return process.reason
    try:
        return await wait_down(process, None if shutdown == "infinity" else shutdown)
    except TimeoutError:
        exit_signal(process, "kill")
        return await wait_down(process)


async def stop_all(children: Iterable[tuple[Process, ShutdownTime]]) -> None:
    """End many children at once; each has its own time, counted from now (OTP's dynamic supervisors)."""
    self_()
    begun = now()
    asked = [(process, shutdown) for process, shutdown in children if process.status != DEAD]
    for process, shutdown in asked:
        unlink(process)
        exit_signal(process, "kill" if shutdown == "brutal_kill" else "shutdown")
    for process, shutdown in asked:
        if process.status == DEAD:
            continue
        limit = None if isinstance(shutdown, str) else max(0.0, shutdown - (now() - begun))
        try:
            await wait_down(process, limit)
        except TimeoutError:
            exit_signal(process, "kill")
