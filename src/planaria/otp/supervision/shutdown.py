"""Stopping children: ask, wait for as long as each may take, then kill."""

from __future__ import annotations

from collections.abc import Iterable

from planaria.otp.kernel.ambient import exit_signal, now, self_, unlink, wait_down
from planaria.otp.kernel.mailbox import take_where
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.supervision.child import ShutdownTime


async def stop_child(process: Process, shutdown: ShutdownTime) -> object:
    """End one child of the running process and wait for it. Returns the reason it ended with.

    A process that traps exits stays linked until the child is gone: if it is killed while it waits, the child hears.
    """
    if process.status == DEAD:
        return process.reason
    me = self_()
    if not me.trap_exit:
        unlink(process)  # what it ends with is ours to know, not to die of
    reason = await _end(process, shutdown)
    if me.trap_exit:
        take_where(me, lambda envelope: envelope[0] == "exit" and envelope[1].sender is process)
    return reason


async def _end(process: Process, shutdown: ShutdownTime) -> object:
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
    """End many children at once; each has its own time, counted from now (OTP's dynamic supervisors).

    For a process that traps exits and ends after this: it stays linked to them, and what they end with is not taken
    from its mailbox.
    """
    begun = now()
    asked = [(process, shutdown) for process, shutdown in children if process.status != DEAD]
    for process, shutdown in asked:
        exit_signal(process, "kill" if shutdown == "brutal_kill" else "shutdown")
    for process, shutdown in asked:
        if process.status == DEAD:
            continue
        limit = None if isinstance(shutdown, str) else max(0.0, shutdown - (now() - begun))
        try:
            await wait_down(process, limit)
        except TimeoutError:
            exit_signal(process, "kill")
