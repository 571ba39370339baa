"""The process: a pid, a mailbox, links, monitors, exit signals. Behaviours are written on what this file offers.

A process is one small object and costs nothing while it waits: no task, no queue. It is driven by its node's
`Scheduler`. Its work is either a *body* (an object whose `handle(envelope)` is called for each message, as
`GenServer` does) or a coroutine (a plain function that takes messages with `receive`).

Signals follow Erlang/OTP 25: see `tests/otp/vectors/RULES.md`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from inspect import CO_COROUTINE
from typing import TYPE_CHECKING, Any, Protocol

from planaria.otp.event import ProcessExited, ProcessStarted
from planaria.otp.message import Down, Envelope, ExitSignal, Kind, Ref
from planaria.otp.reason import AlreadyStarted, Killed, StartFailed

if TYPE_CHECKING:
    from planaria.otp.node import Node
    from planaria.otp.scheduler import Runner

# Status of a process. Integers: compared for every message.
WAITING = 0  # no message in hand, none pending
READY = 1  # on the run queue
RUNNING = 2  # its code is on the stack
SUSPENDED = 3  # its code awaits a reply, a timer or the outside
RECEIVING = 4  # a plain function awaits a message
DEAD = 5

STATUS_NAMES = ("waiting", "ready", "running", "suspended", "waiting", "dead")


class Running:
    """Which process runs now. One for the interpreter's event loop thread, like asyncio's current task."""

    __slots__ = ("process",)

    def __init__(self) -> None:
        self.process: Process | None = None


running = Running()


class Body(Protocol):
    """What handles the messages of a process that is not a plain function."""

    def handle(self, envelope: Envelope) -> Coroutine[Any, Any, None] | None:
        """Handle one message, to the end: at once, or by the coroutine it returns. Raising ends the process."""
        ...


class Monitor(Ref):
    """One watch of `watcher` (a process, or a function for code outside) over `target`."""

    __slots__ = ("__weakref__", "target", "watched_as", "watcher")

    def __init__(
        self, target: Process, watcher: Process | Callable[[Down], None], watched_as: Process | str
    ) -> None:
        self.target = target
        self.watcher = watcher
        self.watched_as = watched_as


class Process:
    """A process, and its address: the pid others hold is this object, opaque to them.

    Compare pids with `==`, put them in sets, send them anywhere. Everything with a leading underscore in the
    functions around it is the kernel's business; use `planaria.otp.ambient` and `Node` instead of attributes.
    """

    __slots__ = (
        "body",
        "calls",
        "coro",
        "current",
        "id",
        "label",
        "links",
        "monitors",
        "name",
        "node",
        "on_death",
        "parent",
        "pending",
        "queue",
        "reason",
        "reductions",
        "resume",
        "runner",
        "started_at",
        "status",
        "trap_exit",
        "wait",
        "watchers",
    )

    def __init__(self, node: Node, label: str) -> None:
        self.node = node
        self.id = node.next_id()
        self.label = label
        self.name: str | None = None
        self.status = WAITING
        self.pending: Envelope | None = None  # the oldest message; `queue` only exists while there are more
        self.queue: deque[Envelope] | None = None
        self.current: Envelope | None = None
        self.body: Body | None = None
        self.coro: Coroutine[Any, Any, Any] | None = None
        self.runner: Runner | None = None
        self.wait: object = None  # what the suspended code waits for: only that may wake it
        self.resume: object = None
        self.links: set[Process] | None = None
        self.monitors: set[Monitor] | None = None  # those this process made
        self.watchers: dict[Monitor, None] | None = None  # those made of this process, in order
        self.calls: set[Request] | None = None  # requests put aside to be answered later
        self.on_death: list[Callable[[Process], None]] | None = None
        self.trap_exit = False
        self.parent: Process | None = None
        self.reason: object = None
        self.reductions = 0
        self.started_at = node.now

    def __repr__(self) -> str:
        return (
            f"<{self.node.name}.{self.id}>"
            if self.name is None
            else f"<{self.node.name}.{self.id} {self.name}>"
        )

    def __str__(self) -> str:
        return f"<{self.node.name}.{self.id}>"

    @property
    def alive(self) -> bool:
        """Whether it has not ended; it may end at any moment."""
        return self.status != DEAD


Pid = Process


class Request:
    """A call under way, and the right to answer it. `reply` may be called once, from any process."""

    __slots__ = ("args", "caller", "done", "due", "error", "handler", "kwargs", "notify", "target", "value")

    def __init__(
        self,
        handler: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        caller: Process | None,
        target: Process,
    ) -> None:
        self.handler = handler
        self.args = args
        self.kwargs = kwargs
        self.caller = caller
        self.target = target
        self.done = False
        self.value: Any = None
        self.error: BaseException | None = None
        self.notify: Callable[[], None] | None = None  # for callers that are not processes
        self.due = 0.0

    def reply(self, value: Any) -> None:
        """Answer the caller. A caller that has given up, or is dead, notices nothing."""
        if not self.done:
            self.done = True
            self.value = value
            self._wake()

    def fail(self, error: BaseException) -> None:
        """Let the call raise `error` at the caller."""
        if not self.done:
            self.done = True
            self.error = error
            self._wake()

    def abandon(self) -> None:
        """The caller is gone: a later reply goes nowhere."""
        self.done = True
        if self.target.calls is not None:
            self.target.calls.discard(self)

    def _wake(self) -> None:
        calls = self.target.calls
        if calls is not None:
            calls.discard(self)
        caller = self.caller
        if caller is not None:
            if caller.wait is self:
                wake(caller, None)
        elif self.notify is not None:
            self.notify()


# --- mailbox ------------------------------------------------------------------------------------------------


def deliver(target: Process, envelope: Envelope) -> None:
    """Put one message into the mailbox of `target`, waking it. The dead take nothing."""
    status = target.status
    if status == DEAD:
        return
    if target.pending is None:
        target.pending = envelope
    elif target.queue is None:
        target.queue = deque((envelope,))
    else:
        target.queue.append(envelope)
    if status == WAITING:
        target.node.scheduler.enqueue(target)
    elif status == RECEIVING:
        wake(target, None)


def deliver_kernel(target: Process, kind: Kind, body: object, sender: Process | None = None) -> None:
    """Deliver a message of the kernel's own making."""
    node = target.node
    deliver(target, (kind, body, sender, node.next_id(), None, 0, node.now))


def take(process: Process) -> Envelope | None:
    """Remove and return the oldest message."""
    envelope = process.pending
    if envelope is not None:
        queue = process.queue
        if queue is None:
            process.pending = None
        else:
            process.pending = queue.popleft()
            if not queue:
                process.queue = None
    return envelope


def mailbox(process: Process) -> Iterator[Envelope]:
    """The messages that wait, oldest first."""
    if process.pending is not None:
        yield process.pending
        if process.queue is not None:
            yield from process.queue


def take_where(process: Process, matches: Callable[[Envelope], bool]) -> Envelope | None:
    """Remove and return the oldest message that matches, leaving the others in their order."""
    pending = process.pending
    if pending is None:
        return None
    if matches(pending):
        return take(process)
    queue = process.queue
    if queue is not None:
        for index, envelope in enumerate(queue):
            if matches(envelope):
                del queue[index]
                if not queue:
                    process.queue = None
                return envelope
    return None


def queue_length(process: Process) -> int:
    """How many messages wait."""
    if process.pending is None:
        return 0
    return 1 if process.queue is None else 1 + len(process.queue)


def wake(process: Process, value: object) -> None:
    """Let suspended code go on with `value`. The caller has made sure that this is what it waits for."""
    process.wait = None
    process.resume = value
    process.node.scheduler.enqueue(process)


# --- links, monitors, exit signals ----------------------------------------------------------------------------


def link(one: Process, other: Process) -> None:
    """Tie two living processes together: when one ends the other gets its exit signal."""
    if one is other:
        return
    if one.links is None:
        one.links = set()
    one.links.add(other)
    if other.links is None:
        other.links = set()
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
    monitor = Monitor(target, watcher, target if watched_as is None else watched_as)
    if target.status == DEAD:
        _tell(monitor, "noproc")
        return monitor
    if target.watchers is None:
        target.watchers = {}
    target.watchers[monitor] = None
    if isinstance(watcher, Process):
        if watcher.monitors is None:
            watcher.monitors = set()
        watcher.monitors.add(monitor)
    return monitor


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
    down = Down(monitor, monitor.watched_as, reason)
    if isinstance(monitor.watcher, Process):
        deliver_kernel(monitor.watcher, "info", down)
    else:
        monitor.watcher(down)


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


def is_async(fn: Any) -> bool:
    """Whether calling `fn` gives a coroutine; asked for every spawn, so without the inspect module's care."""
    code = getattr(fn, "__code__", None)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


def name_of(fn: Callable[..., object]) -> str:
    """What people see of a function that runs as a process."""
    return str(getattr(fn, "__qualname__", None) or repr(fn))


# --- start and end ----------------------------------------------------------------------------------------------


def create(
    node: Node,
    label: str,
    *,
    name: str | None = None,
    linked_to: Process | None = None,
    parent: Process | None = None,
) -> Process:
    """A new process without work yet; the caller gives it a body or a coroutine.

    Raises:
        StartFailed: with `AlreadyStarted`, if a process has the name.
    """
    if node.closed:
        raise StartFailed(label, "the node has stopped")
    if name is not None:
        holder = node.names.get(name)
        if holder is not None:
            raise StartFailed(label, AlreadyStarted(holder))
    process = Process(node, label)
    if name is not None:
        node.names[name] = process
        process.name = name
    node.table[process.id] = process
    process.parent = parent
    if linked_to is not None:
        link(process, linked_to)
    return process


def announce(process: Process) -> None:
    """Emit `process.started`."""
    node = process.node
    if node.listeners:
        node.emit(ProcessStarted(process, process.name, process.label))


def die(process: Process, reason: object) -> None:
    """End a process now: dead to everybody at once, whatever its code still does.

    Links get exit signals, monitors a `Down`, callers who wait a failure. Code that is suspended is thrown
    `Killed` on its next turn so that it lets go of what it holds. Iterative, so that a chain of ten thousand
    links does not overflow the stack.
    """
    if process.status == DEAD:
        return
    node = process.node
    _mark_dead(process, reason)
    node.dying.append(process)
    if len(node.dying) > 1:
        return  # an outer `die` is at work and will come to it
    # Nobody runs while the dead are buried: listeners and hooks must not act as the one that dies.
    before, running.process = running.process, None
    index = 0
    try:
        while index < len(node.dying):
            _bury(node.dying[index])
            index += 1
    finally:
        node.dying.clear()
        running.process = before


def _mark_dead(process: Process, reason: object) -> None:
    was = process.status
    process.status = DEAD
    process.reason = reason
    node = process.node
    if process.name is not None and node.names.get(process.name) is process:
        del node.names[process.name]
    node.table.pop(process.id, None)
    if node.restarts:
        node.restarts.pop(process, None)
    if was in (SUSPENDED, RECEIVING, READY) and process.coro is not None:
        process.wait = None
        node.scheduler.unwind(process)


def _bury(process: Process) -> None:
    reason = process.reason
    node = process.node
    if process.pending is not None or process.current is not None or process.calls is not None:
        _fail_callers(process, reason)
    process.pending = process.queue = None
    if process.monitors is not None:
        for monitor in process.monitors:
            if monitor.target.watchers is not None:
                monitor.target.watchers.pop(monitor, None)
        process.monitors = None
    links, process.links = process.links, None
    watchers, process.watchers = process.watchers, None
    hooks, process.on_death = process.on_death, None
    if node.listeners:
        node.emit(ProcessExited(process, process.name, process.label, reason))
    if hooks is not None:
        for hook in hooks:
            hook(process)
    if links is not None:
        # Sets have no order of their own; ids make a run repeatable.
        for peer in sorted(links, key=lambda p: p.id) if len(links) > 1 else links:
            if peer.links is not None:
                peer.links.discard(process)
            _arrive(peer, process, reason, explicit=False)
    if watchers is not None:
        for monitor in watchers:
            if isinstance(monitor.watcher, Process) and monitor.watcher.monitors is not None:
                monitor.watcher.monitors.discard(monitor)
            _tell(monitor, reason)


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


def check_alive(process: Process) -> None:
    """Raise `Killed` in code whose process is dead: it may let go of things, not act."""
    if process.status == DEAD:
        raise Killed
