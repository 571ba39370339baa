"""Start and watch in one step: a server that ends right after its start is still reported with its own reason."""

from __future__ import annotations

from planaria.otp.kernel.ambient import self_
from planaria.otp.kernel.mailbox import deliver_kernel
from planaria.otp.kernel.message import Down
from planaria.otp.kernel.process import DEAD, Monitor, Process
from planaria.otp.kernel.signals import new_monitor, watch


def watch_started(process: Process) -> Monitor:
    """Watch a process the running one has just started, as if from its first moment.

    The running process becomes its parent, as with OTP's start_monitor, linked or not.
    """
    me = self_()
    if process.status != DEAD:
        if process.parent is None:
            process.parent = me
        return watch(process, me)
    monitor = new_monitor(process, me, process)
    deliver_kernel(me, "info", Down(monitor, process, process.reason))
    return monitor
