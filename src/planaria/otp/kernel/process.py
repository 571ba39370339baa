"""The process: what it is made of. `mailbox.py`, `signals.py` and `birth.py` say what is done with it.

A process is one small object and costs nothing while it waits: no task, no queue. It is driven by its node's
`Scheduler`. Its work is either a *body* (an object whose `handle(envelope)` is called for each message, as
`GenServer` does) or a coroutine (a plain function that takes messages with `receive`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from inspect import CO_COROUTINE
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

    def __init__(
        self, target: Process, watcher: Process | Callable[[Down], None], watched_as: Process | str
    ) -> None:
        self.target = target
        self.watcher = watcher
        self.watched_as = watched_as


class Process:
    """A process, and its address: the pid others hold is this object, opaque to them.

    Compare pids with `==`, put them in sets, send them anywhere. Everything with a leading underscore in the
    functions around it is the kernel's business; use `planaria.otp.kernel.ambient` and `Node` instead of attributes.
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
    process.node.scheduler.enqueue(process)


def is_async(fn: Any) -> bool:
    """Whether calling `fn` gives a coroutine; asked for every spawn, so without the inspect module's care."""
    code = getattr(fn, "__code__", None)
    return code is not None and bool(code.co_flags & CO_COROUTINE)


def name_of(fn: Callable[..., object]) -> str:
    """What people see of a function that runs as a process."""
    return str(getattr(fn, "__qualname__", None) or repr(fn))


def check_alive(process: Process) -> None:
    """Raise `Killed` in code whose process is dead: it may let go of things, not act."""
    if process.status == DEAD:
        raise Killed
