"""Links, monitors, exit signals, and the end of a process that follows from them.

Source: Erlang/OTP 25; see `tests/otp/vectors/RULES.md`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planaria.otp.kernel.event import ProcessExited
from planaria.otp.kernel.mailbox import deliver_kernel, mailbox
from planaria.otp.kernel.message import Down, ExitSignal
from planaria.otp.kernel.process import DEAD, RUNNING, WAITING, Monitor, Process, Request, running

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node


def link(one: Process, other: Process) -> None:
    """Tie two living processes together: when one ends the other gets its exit signal."""
    if one is other:
        return
    if one.links is None:
        one.links = {other}
    else:
        one.links.add(other)
    if other.links is None:
        other.links = {one}
    else:
        other.links.add(one)


def unlink(one: Process, other: Process) -> None:
    """Take the tie away; a signal that has arrived already stays in the mailbox."""
    if one.links is not None:
        one.links.discard(other)
    if other.links is not None:
        other.links.discard(one)


def watch(
    target: Process, watcher: Process | Callable[[Down], None], watched_as: Process | str | None = None
) -> Monitor:
    """Tell `watcher` once, by a `Down`, when `target` ends; with reason `noproc` if it is dead already."""
    monitor = Monitor()
    monitor.target = target
    monitor.watcher = watcher
    monitor.watched_as = target if watched_as is None else watched_as
    register_watch(monitor)
    return monitor


def new_monitor(
    target: Process, watcher: Process | Callable[[Down], None], watched_as: Process | str
) -> Monitor:
    """A monitor that has not begun. Not an `__init__`, see `new_process`."""
    monitor = Monitor()
    monitor.target = target
    monitor.watcher = watcher
    monitor.watched_as = watched_as
    return monitor


def register_watch(monitor: Monitor) -> None:
    """Let a new monitor begin."""
    target, watcher = monitor.target, monitor.watcher
    if target.status == DEAD:
        _tell(monitor, "noproc")
        return
    if target.watchers is None:
        target.watchers = {monitor: None}
    else:
        target.watchers[monitor] = None
    if isinstance(watcher, Process):
        if watcher.monitors is None:
            watcher.monitors = {monitor}
        else:
            watcher.monitors.add(monitor)


def unwatch(monitor: Monitor) -> bool:
    """End a monitor. True if it was still active; a `Down` delivered before stays in the mailbox."""
    watchers = monitor.target.watchers
    active = watchers is not None and monitor in watchers
    if watchers is not None and active:
        del watchers[monitor]
    if isinstance(monitor.watcher, Process) and monitor.watcher.monitors is not None:
        monitor.watcher.monitors.discard(monitor)
    return active


def _tell(monitor: Monitor, reason: object) -> None:
    watcher = monitor.watcher
    down = Down(monitor, monitor.watched_as, reason)
    if isinstance(watcher, Process):
        if watcher.monitors is not None:
            watcher.monitors.discard(monitor)
        deliver_kernel(watcher, "info", down)
    else:
        watcher(down)


def signal(target: Process, sender: Process | None, reason: object) -> None:
    """Send an explicit exit signal (Erlang's exit/2). `"kill"` ends the target whatever it does, as `"killed"`."""
    if target.status == DEAD:
        return
    if reason == "kill":
        die(target, "killed")
    else:
        _arrive(target, target if sender is None else sender, reason, explicit=True)


def _arrive(target: Process, sender: Process, reason: object, *, explicit: bool) -> None:
    if target.status == DEAD:
        return
    if target.trap_exit:
        deliver_kernel(target, "exit", ExitSignal(sender, reason), sender)
    elif reason != "normal" or (explicit and sender is target):
        die(target, reason)


# --- the end ---


def die(process: Process, reason: object) -> None:
    """End a process now: dead to everybody at once, whatever its code still does.

    Links get exit signals, monitors a `Down`, callers who wait a failure. Code that is suspended is thrown
    `Killed` on its next turn so that it lets go of what it holds. Iterative, so that a chain of ten thousand
    links does not overflow the stack.
    """
    was = process.status
    if was == DEAD:
        return
    process.status = DEAD
    process.reason = reason
    node = process.node
    name = process.name
    if name is not None and node.names.get(name) is process:
        del node.names[name]
    node.table.pop(process.id, None)
    if node.restarts:
        node.restarts.pop(process, None)
    if process.coro is not None and was != RUNNING and was != WAITING:
        process.wait = None
        node.scheduler.unwind(process)
    dying = node.dying
    dying.append(process)
    if len(dying) > 1:
        return  # an outer `die` is at work and will come to it
    # Nobody runs while the dead are buried: listeners and hooks must not act as the one that dies.
    before = running.process
    running.process = None
    try:
        for dead in dying:  # it grows meanwhile
            _bury(dead, node)
    finally:
        dying.clear()
        running.process = before


def _bury(process: Process, node: Node) -> None:
    reason = process.reason
    current = process.current
    if process.pending is not None or current is not None or node.deferred:
        if (
            process.pending is not None
            or process in node.deferred
            or (current is not None and (current[0] == "call" or current[0] == "start"))
        ):
            _fail_callers(process, reason)
            process.pending = process.queue = None
    monitors = process.monitors
    if monitors is not None:
        process.monitors = None
        for monitor in monitors:
            watching = monitor.target.watchers
            if watching is not None:
                watching.pop(monitor, None)
    links = process.links
    watchers = process.watchers
    if links is not None:
        process.links = None
    if watchers is not None:
        process.watchers = None
    if node.listeners:
        node.emit(ProcessExited(process, process.name, process.label, reason))
    if node.hooks:
        for hook in node.hooks.pop(process, ()):
            hook(process)
    trapping = node.trapping
    if trapping:
        trapping.discard(process)
    if links is not None:
        # Sets have no order of their own; ids make a run repeatable.
        for peer in sorted(links, key=lambda p: p.id) if len(links) > 1 else links:
            if peer.links is not None:
                peer.links.discard(process)
            if peer.status == DEAD:
                continue
            if peer in peer.node.trapping:  # `_arrive`, written out; a peer may live in another node
                deliver_kernel(peer, "exit", ExitSignal(process, reason), process)
            elif reason != "normal":
                die(peer, reason)
    if watchers is not None:
        for monitor in watchers:  # `_tell`, written out
            watcher = monitor.watcher
            if isinstance(watcher, Process):
                if watcher.monitors is not None:
                    watcher.monitors.discard(monitor)
                deliver_kernel(watcher, "info", Down(monitor, monitor.watched_as, reason))
            else:
                watcher(Down(monitor, monitor.watched_as, reason))
    # What refers to itself is only freed by the collector.
    process.body = process.current = None


def _fail_callers(process: Process, reason: object) -> None:
    node = process.node
    requests: list[Request] = []
    if process.current is not None and process.current[0] in ("call", "start"):
        requests.append(process.current[1])
    if process.calls is not None:
        requests.extend(process.calls)
        process.calls = None
    for envelope in mailbox(process):
        if envelope[0] in ("call", "start"):
            requests.append(envelope[1])
    for request in requests:
        if not request.done:
            request.fail(node.call_failure(request, process, reason))
