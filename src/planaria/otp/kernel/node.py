"""A node: the processes that share one event loop, their names, groups and topics. A value: a test may hold two.

```python
async with Node("garden") as node:
    root = await node.start(supervisor(child(Journal), name="node"))
    await node.run(work)          # `work` runs as a process
```
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from planaria.otp.kernel.birth import announce, create
from planaria.otp.kernel.clock import Clock, SystemClock
from planaria.otp.kernel.debug_messages import DebugMessages, debug_messages_from_environment
from planaria.otp.kernel.event import KernelEvent
from planaria.otp.kernel.groups import Groups
from planaria.otp.kernel.lazy_module import LazyModule
from planaria.otp.kernel.mailbox import deliver
from planaria.otp.kernel.message import Down, Envelope
from planaria.otp.kernel.process import DEAD, Process, Request, is_async, name_of, new_process, running
from planaria.otp.kernel.reason import MailboxFull, NoProcess, ServerExited, TaskFailed
from planaria.otp.kernel.scheduler import Scheduler
from planaria.otp.kernel.signals import die, link, signal, unwatch, watch
from planaria.otp.kernel.tap import pour
from planaria.otp.kernel.timers import Timers

if TYPE_CHECKING:
    from planaria.otp.kernel import introspection, message_watch
    from planaria.otp.kernel.introspection import MessageView, ProcessInfo, TreeNode
    from planaria.otp.kernel.message_watch import MessageWatch
else:
    introspection = LazyModule("planaria.otp.kernel.introspection")
    message_watch = LazyModule("planaria.otp.kernel.message_watch")

RECENT = 1024
"""Consumed messages a node remembers for those who look."""

LAST_PATIENCE = 1.0
"""Seconds the code of killed processes has to let go when the node stops."""

log = logging.getLogger(__name__)


class Node:
    """One runtime.

    Args:
        name: part of every pid; two nodes that talk must differ.
        clock: the machine's by default; a virtual one under test.
        seed: makes the order in which ready processes run a function of it (None: first come, first served).
        debug_messages: report messages that are changed after they were sent, see `message_watch.py`; `"crash"`
            also ends who changed them. None: as the environment variable `PLANARIA_DEBUG_MESSAGES` says (1, crash).
    """

    def __init__(
        self,
        name: str = "node",
        *,
        clock: Clock | None = None,
        seed: int | None = None,
        debug_messages: DebugMessages | None = None,
    ) -> None:
        self.name = name
        self.clock: Clock = SystemClock() if clock is None else clock
        self.seed = seed
        self.now = self.clock.now()
        self.next_id: Callable[[], int] = itertools.count(1).__next__
        self.table: dict[int, Process] = {}
        self.names: dict[str, Process] = {}
        self.dying: list[Process] = []
        self.listeners: list[Callable[[KernelEvent], None]] = []
        self.taps: dict[str, tuple[Callable[[Any], object], ...]] = {}  # see pubsub.py
        self.telemetry: Any = None  # who listens to the spans of the floors above, kept here for them
        self.recent: deque[Envelope] = deque(maxlen=RECENT)
        self.message_watch: MessageWatch | None = None
        watching = debug_messages_from_environment() if debug_messages is None else debug_messages
        if watching:
            self.message_watch = message_watch.MessageWatch(
                watching == "crash", self.emit, RECENT, self.table
            )
            self.recent = self.message_watch.consumed
        self.restarts: dict[Process, int] = {}
        self.tables: dict[Process, object] = {}  # what processes let others read; see table.py
        self.on_link: Callable[[Process, Process, bool], bool] | None = (
            None  # True: the tie is kept elsewhere
        )
        self.trapping: set[Process] = set()
        self.deferred: dict[Process, set[Request]] = {}
        self.hooks: dict[Process, list[Callable[[Process], None]]] = {}
        self.closed = False
        self.blocking = 0
        self.roots: list[Process] = []
        self.scheduler = Scheduler(self, seed, self.recent)
        self.timers = Timers(self)
        self.groups = Groups()
        self.topics = Groups()
        self.origin = new_process(
            self, "origin"
        )  # the parent of the roots; its exit signal stops them in order
        self.origin.body = _Origin()
        self.origin.trap_exit = True
        self._executor: ThreadPoolExecutor | None = None
        self._unblocked: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"<Node {self.name}, {len(self.table)} processes>"

    # --- life -------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self.scheduler.bind(loop)
        if self.message_watch is not None:
            self.message_watch.begin(loop)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self, spec: Startable) -> Process:
        """Start a root: a supervisor, or one supervised child of nobody.

        Raises:
            StartFailed: with the reason of the innermost failure inside.
        """
        root = await self.run(spec.start_child, label="starter")
        if root is None:
            raise ValueError(f"{spec!r} declined to start: its init raised Ignore")
        root.parent = self.origin
        link(root, self.origin)
        self.roots.append(root)
        return root

    async def stop(self, reason: object = "shutdown", *, timeout: float | None = None) -> None:
        """Stop the roots, last first, each in order; then whatever else runs is killed.

        Args:
            timeout: seconds for all roots together; those still there are killed. None waits for the
                children's own shutdown times.
        """
        if self.closed:
            return
        for root in reversed(self.roots):
            if root.status != DEAD:
                gone = self.wait_exit(root)
                signal(root, self.origin, reason)
                if await _wait(gone, timeout):
                    signal(root, None, "kill")
        if self.message_watch is not None:
            self.message_watch.close()
        self.closed = True
        for process in list(self.table.values()):
            die(process, "killed")
        await self.scheduler.drain(LAST_PATIENCE)
        self.scheduler.close()
        self.timers.close()
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    # --- from outside a process -----------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Process:
        """The process registered as `name`; raises `NoProcess`."""
        process = self.names.get(name)
        if process is None:
            raise NoProcess(name)
        return process

    def whereis(self, name: str) -> Process | None:
        """The process registered as `name`, if any."""
        return self.names.get(name)

    def find(self, what: str) -> Process | None:
        """A process by registered name, by `<node.id>` or by its bare id."""
        process = self.names.get(what)
        if process is not None:
            return process
        digits = what.strip("<>").removeprefix(f"{self.name}.")
        return self.table.get(int(digits)) if digits.isdecimal() else None

    def spawn[**P](
        self, fn: Callable[P, Awaitable[object] | object], *args: P.args, **kwargs: P.kwargs
    ) -> Process:
        """Run `fn` as a process of its own, linked to nobody."""
        process = create(self, name_of(fn))
        process.coro = as_coroutine(fn, args, kwargs)
        announce(process)
        self.scheduler.enqueue(process)
        return process

    async def run[R](self, fn: Callable[..., Awaitable[R]], *args: Any, label: str | None = None) -> R:
        """Run `fn(*args)` as a process and return what it returns; its error is raised here.

        Raises:
            TaskFailed: if the process was ended from outside.
        """
        result: list[R] = []
        failure: list[BaseException] = []

        async def work() -> None:
            try:
                result.append(await fn(*args))
            except Exception as error:  # noqa: BLE001  handed to the caller whole, who must see it as if called directly
                failure.append(error)

        process = create(self, label or name_of(fn))
        process.coro = work()
        announce(process)
        gone = self.wait_exit(process)
        self.scheduler.enqueue(process)
        try:
            reason = await gone
        except asyncio.CancelledError:
            die(process, "killed")
            raise
        if failure:
            raise failure[0]
        if not result:
            raise TaskFailed(reason)
        return result[0]

    def wait_exit(self, process: Process) -> asyncio.Future[object]:
        """A future of the reason `process` ends with (`noproc` if it is dead)."""
        future: asyncio.Future[object] = self.scheduler.loop.create_future()

        def tell(down: Down) -> None:
            if not future.done():
                future.set_result(down.reason)

        monitor = watch(process, tell)
        future.add_done_callback(lambda _: unwatch(monitor))
        return future

    def send(self, to: Process | str, message: object) -> None:
        """Send an info message; raises `NoProcess` for an unknown name, is silent for the dead."""
        target = self[to] if isinstance(to, str) else to
        deliver(target, ("info", message, None, self.next_id(), None, 0, self.now, target))

    def broadcast(self, topic: str, message: object) -> int:
        """Send to every subscriber of `topic`; how many that are."""
        members = self.topics.members(topic)
        if topic in self.taps:
            pour(self.taps[topic], topic, message)
        for member in members:
            try:
                deliver(member, ("info", message, None, self.next_id(), None, 0, self.now, member))
            except MailboxFull:
                continue  # its mailbox has counted and told it; the others get theirs
        return len(members)

    def subscribe(self, topic: str, process: Process) -> None:
        """Let `process` get what is broadcast on `topic`, until it ends or unsubscribes."""
        self.topics.join(topic, process, once=True)

    def unsubscribe(self, topic: str, process: Process) -> None:
        """End a subscription."""
        self.topics.leave(topic, process)

    @asynccontextmanager
    async def open_port(self) -> AsyncGenerator[Port]:
        """A mailbox for code outside: subscribe its pid, `await port.receive()`."""
        port = Port(self)
        try:
            yield port
        finally:
            die(port.pid, "normal")

    # --- events ------------------------------------------------------------------------------------------------

    def subscribe_events(self, callback: Callable[[KernelEvent], None]) -> Callable[[], None]:
        """Call `callback` with each kernel event, at once and in the event loop; returns the way to stop it."""
        self.listeners.append(callback)

        def stop() -> None:
            if callback in self.listeners:
                self.listeners.remove(callback)

        return stop

    def emit(self, event: KernelEvent) -> None:
        """Hand an event to those who listen. A listener that raises hurts nobody but itself."""
        before, running.process = running.process, None  # a listener is nobody's process
        try:
            for listener in tuple(self.listeners):
                try:
                    listener(event)
                except Exception:  # event delivery: the second of the two places that may catch everything
                    log.exception("a listener of kernel events raised on %r", event)
        finally:
            running.process = before

    # --- blocking work -----------------------------------------------------------------------------------------

    async def run_blocking[R](self, fn: Callable[..., R], *args: Any, executor: Executor | None = None) -> R:
        """Run `fn(*args)` in a worker thread and return its result; see `planaria.otp.run_blocking`."""
        if executor is None:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(4, thread_name_prefix=f"planaria-{self.name}")
            executor = self._executor
        self.blocking += 1
        future = self.scheduler.loop.run_in_executor(executor, fn, *args)
        future.add_done_callback(self.blocking_done)
        return await future

    def blocking_done(self, _: object) -> None:
        """A worker thread has ended its work: called in the event loop, once for each `blocking` counted."""
        self.blocking -= 1
        if self._unblocked is not None:
            self._unblocked.set()

    async def settle(self) -> None:
        """Return when every process waits: for a message, for time or for the outside; worker threads are idle."""
        while True:
            # Twice: futures of the event loop wake processes through call_soon.
            for _ in range(3):
                await asyncio.sleep(0)
                await self.scheduler.quiet()
            if self.blocking:
                self._unblocked = asyncio.Event()
                await self._unblocked.wait()
                self._unblocked = None
            elif not self.scheduler.busy:
                return

    # --- looking: nothing has to be prepared ---------------------------------------------------------------------

    def processes(self) -> list[Process]:
        """All living processes, oldest first."""
        return list(self.table.values())

    def info(self, process: Process) -> ProcessInfo:
        """Everything about one process; it is not asked, so it answers suspended or busy."""
        return introspection.process_info(self, process)

    def messages(self, process: Process) -> tuple[list[MessageView], list[MessageView]]:
        """(queued, consumed) messages, oldest first; consumed ones as far as the node remembers."""
        return introspection.queued_messages(process), introspection.consumed_messages(self, process)

    def state(self, process: Process) -> dict[str, object]:
        """The attributes of the server inside, or the local variables of a plain function."""
        return introspection.process_state(process)

    def tree(self) -> list[TreeNode]:
        """The supervision tree: one node for each root and each process without a parent."""
        return introspection.process_tree(self)

    # --- calls -------------------------------------------------------------------------------------------------

    def call_failure(self, request: Request, process: Process, reason: object) -> BaseException:
        """What a caller gets whose server ended with `reason` before it answered."""
        return ServerExited(process, reason)


class _Origin:
    """Takes note of nothing: that a root has ended is seen by those who watch it."""

    def handle(self, envelope: Envelope) -> None:
        """Drop it."""


class Startable(Protocol):
    """What `Node.start` takes: anything that can be a child."""

    async def start_child(self) -> Process | None:
        """Start it from the running process, linked to nobody; None if it declines."""
        ...


class Port:
    """A process without code whose messages are taken by code outside."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._messages: asyncio.Queue[object] = asyncio.Queue()
        self.pid = create(node, "port")
        self.pid.body = self

    def handle(self, envelope: Envelope) -> None:
        """Keep the message for `receive`."""
        self._messages.put_nowait(envelope[1])

    async def receive(self, timeout: float | None = None) -> Any:
        """The next message; raises `TimeoutError` after `timeout` seconds of the machine's clock."""
        async with asyncio.timeout(timeout):
            return await self._messages.get()


async def _wait(future: asyncio.Future[object], timeout: float | None) -> bool:
    """Wait for `future`; True if the time was up first."""
    done, _ = await asyncio.wait([future], timeout=timeout)
    return not done


def as_coroutine(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A coroutine that calls `fn`, which may be a plain function too."""
    if is_async(fn):
        return fn(*args, **kwargs)
    return _call(fn, args, kwargs)


async def _call(fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    value = fn(*args, **kwargs)
    if hasattr(value, "__await__"):
        value = await value
    return value
