"""The process: what it is made of. `mailbox.py`, `signals.py` and `birth.py` say what is done with it.

A process is one small object and costs nothing while it waits: no task, no queue. It is driven by its node's
`Scheduler`. Its work is either a *body* (an object whose `handle(envelope)` is called for each message, as
`GenServer` does) or a coroutine (a plain function that takes messages with `receive`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from inspect import CO_COROUTINE
from types import FunctionType
from typing import TYPE_CHECKING, Any, Protocol

from planaria.otp.kernel.message import Down, Envelope, Ref
from planaria.otp.kernel.reason import Killed

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node
    from planaria.otp.kernel.runner import Runner

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

    target: Process
    watcher: Process | Callable[[Down], None]
    watched_as: Process | str


class Process:
    """A process, and its address: the pid others hold is this object, opaque to them.

    Compare pids with `==`, put them in sets, send them anywhere. Everything with a leading underscore in the
    functions around it is the kernel's business; use `planaria.otp.kernel.ambient` and `Node` instead of attributes.
    """

    __slots__ = (
        "body",
        "coro",
        "current",
        "id",
        "label",
        "links",
        "monitors",
        "name",
        "node",
        "parent",
        "pending",
        "queue",
        "reason",
        "reductions",
        "resume",
        "runner",
        "started_at",
        "status",
        "wait",
        "watchers",
    )

    node: Node
    id: int
    label: str
    name: str | None
    status: int
    pending: Envelope | None  # the oldest message; `queue` only exists while there are more
    queue: deque[Envelope] | None
    current: Envelope | None
    body: Body | None
    coro: Coroutine[Any, Any, Any] | None
    runner: Runner | None
    wait: object  # what the suspended code waits for: only that may wake it
    resume: object
    links: set[Process] | None
    monitors: set[Monitor] | None  # those this process made
    watchers: dict[Monitor, None] | None  # those made of this process, in order
    parent: Process | None
    reason: object
    reductions: int
    started_at: float

    def __repr__(self) -> str:
        return (
            f"<{self.node.name}.{self.id}>"
            if self.name is None
            else f"<{self.node.name}.{self.id} {self.name}>"
        )

    def __str__(self) -> str:
        return f"<{self.node.name}.{self.id}>"

    def __setstate__(self, state: object) -> None:
        raise TypeError("no pickle changes a process")  # one from elsewhere may name it, and could try

    @property
    def alive(self) -> bool:
        """Whether it has not ended; it may end at any moment."""
        return self.status != DEAD

    # What few processes have is kept by the node: a slot would cost each of a million processes eight bytes.

    @property
    def trap_exit(self) -> bool:
        """Whether exit signals arrive as messages."""
        return self in self.node.trapping

    @trap_exit.setter
    def trap_exit(self, on: bool) -> None:
        if on:
            self.node.trapping.add(self)
        else:
            self.node.trapping.discard(self)

    @property
    def calls(self) -> set[Request] | None:
        """Requests put aside to be answered later."""
        return self.node.deferred.get(self)

    @calls.setter
    def calls(self, calls: set[Request] | None) -> None:
        if calls is None:
            self.node.deferred.pop(self, None)
        else:
            self.node.deferred[self] = calls

    @property
    def on_death(self) -> list[Callable[[Process], None]] | None:
        """Called when it ends, before its links and monitors hear of it."""
        return self.node.hooks.get(self)

    @on_death.setter
    def on_death(self, hooks: list[Callable[[Process], None]] | None) -> None:
        if hooks is None:
            self.node.hooks.pop(self, None)
        else:
            self.node.hooks[self] = hooks


Pid = Process


def new_process(node: Node, label: str) -> Process:
    """A process nobody knows yet; `birth.create` makes one that is known.

    Not an `__init__`: for a class with slots that costs half as much again (measured: 300 against 200 ns).
    """
    process = Process()
    process.node = node
    process.id = node.next_id()
    process.label = label
    process.name = None
    process.status = WAITING
    process.pending = None
    process.queue = None
    process.current = None
    process.body = None
    process.coro = None
    process.runner = None
    process.wait = None
    process.resume = None
    process.links = None
    process.monitors = None
    process.watchers = None
    process.parent = None
    process.reason = None
    process.reductions = 0
    process.started_at = node.now
    return process


class Request:
    """A call under way, and the right to answer it. `reply` may be called once, from any process.

    Made by its attributes, without an `__init__` and without slots: the quickest that a class allows (measured: 100
    against 270 ns), since most calls are answered at once and never look at half of these.
    """

    handler: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    caller: Process | None
    target: Process
    done = False
    value: Any = None
    error: BaseException | None = None
    notify: Callable[[], None] | None = None  # for callers that are not processes
    due = 0.0

    def __setstate__(self, state: object) -> None:
        raise TypeError("no pickle changes a call under way")

    def reply(self, value: Any) -> None:
        """Answer the caller. A caller that has given up, or is dead, notices nothing."""
        if self.done:
            return
        self.done = True
        self.value = value
        # `_wake`, written out: each call ends here.
        if self.target.node.deferred:
            self._forget()
        caller = self.caller
        if caller is not None:
            if caller.wait is self:
                wake(caller, None)
        elif self.notify is not None:
            self.notify()

    def fail(self, error: BaseException) -> None:
        """Let the call raise `error` at the caller."""
        if not self.done:
            self.done = True
            self.error = error
            self._wake()

    def abandon(self) -> None:
        """The caller is gone: a later reply goes nowhere."""
        self.done = True
        self._forget()

    def _forget(self) -> None:
        """No longer put aside by its server."""
        deferred = self.target.node.deferred
        calls = deferred.get(self.target)
        if calls is not None:
            calls.discard(self)
            if not calls:
                del deferred[self.target]

    def _wake(self) -> None:
        self._forget()
        caller = self.caller
        if caller is not None:
            if caller.wait is self:
                wake(caller, None)
        elif self.notify is not None:
            self.notify()


def new_request(
    handler: str, args: tuple[Any, ...], kwargs: dict[str, Any], caller: Process | None, target: Process
) -> Request:
    """A request that has not been sent yet."""
    request = Request()
    request.handler = handler
    request.args = args
    request.kwargs = kwargs
    request.caller = caller
    request.target = target
    return request


def wake(process: Process, value: object) -> None:
    """Let suspended code go on with `value`. The caller has made sure that this is what it waits for."""
    process.wait = None
    process.resume = value
    scheduler = process.node.scheduler  # `enqueue`, written out
    process.status = READY
    scheduler.ready.append(process)
    if not scheduler.scheduled:
        scheduler.schedule()


def is_async(fn: Any) -> bool:
    """Whether calling `fn` gives a coroutine; asked for every spawn, so without the inspect module's care."""
    if type(fn) is FunctionType:
        return bool(fn.__code__.co_flags & CO_COROUTINE)
    code = getattr(fn, "__code__", None)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


def name_of(fn: Callable[..., object]) -> str:
    """What people see of a function that runs as a process."""
    if type(fn) is FunctionType:
        return fn.__qualname__
    return str(getattr(fn, "__qualname__", None) or repr(fn))


def check_alive(process: Process) -> None:
    """Raise `Killed` in code whose process is dead: it may let go of things, not act."""
    if process.status == DEAD:
        raise Killed
