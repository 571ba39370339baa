"""Drives the processes of one node: one run queue, one callback in the event loop, pooled runners.

The event loop sees a single callback, `_turn`, which activates ready processes until a budget of reductions is
spent and then lets I/O have its turn. A handler that is a plain function is simply called. A coroutine is driven
by hand, under the identity of a *runner*: a parked `asyncio.Task` that makes `asyncio.current_task()`,
`asyncio.timeout`, task groups and context variables right inside handlers, without a task per process. A runner
stays with a coroutine while that is suspended and returns to the pool afterwards.

Does badly: a handler that computes for long holds up everybody in the node.
Source: measured designs of run queues and pooled runners; reductions are the BEAM's.
"""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Generator
from contextvars import Context, copy_context
from random import Random
from typing import TYPE_CHECKING, Any, cast

from planaria.otp.kernel.event import CleanupFailed
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, READY, RECEIVING, RUNNING, SUSPENDED, WAITING, Process, running
from planaria.otp.kernel.reason import Killed, reason_of
from planaria.otp.kernel.signals import die

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node

_swap_current_task = asyncio.tasks._swap_current_task  # type: ignore[attr-defined]

TURN_REDUCTIONS = 2000
"""Reductions before the event loop gets a turn."""
BATCH = 16
"""Messages one process handles before the next has its turn."""
MAX_DEPTH = 12
"""How deep calls to idle processes run on the caller's stack."""


class Throw:
    """Set as `process.resume` to raise `error` in suspended code."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class _Mark:
    """Yielded by kernel waits; what asyncio yields are futures or None."""

    __slots__ = ()


SUSPEND = _Mark()
FINISHED = _Mark()
FAILED = _Mark()
PAUSE = _Mark()
RECEIVE = _Mark()
"""The `wait` of a plain function that takes the next message."""


@types.coroutine
def suspend() -> Generator[Any, Any, Any]:
    """Give up the turn until `wake(process, value)`; the caller has set `process.wait`."""
    return (yield SUSPEND)


@types.coroutine
def pause() -> Generator[Any, Any, None]:
    """Let the others have their turn, then go on."""
    yield PAUSE


@types.coroutine
def _frame(runner: Runner) -> Generator[Any, Any, None]:
    """Runs one coroutine after the other, never ending itself.

    A coroutine driven from here returns through the interpreter's send path; driven by its own `send` it would end
    with a StopIteration, which costs more than most handlers (measured: 370 against 60 ns).
    """
    coro = yield FINISHED
    while True:
        outcome = FINISHED
        try:
            yield from coro
        except GeneratorExit:
            raise
        except BaseException as error:  # noqa: BLE001  handed to whoever drives this
            runner.error = error
            outcome = FAILED
        coro = None
        coro = yield outcome


class Runner:
    """The identity a coroutine runs under: a parked task, a context, and the frame that drives it."""

    __slots__ = ("bound", "closing", "context", "error", "frame", "future", "park", "scheduler", "task")

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.bound: Process | None = None
        self.future: asyncio.Future[Any] | object | None = (
            None  # what the bound coroutine awaits outside the kernel
        )
        self.error: BaseException | None = None
        self.frame = cast("Generator[Any, Any, None]", _frame(self))
        self.frame.send(None)
        self.closing = False
        self.park: asyncio.Future[None] | None = None
        self.context: Context = scheduler.context.copy()
        self.task: asyncio.Task[None] = asyncio.Task(
            self._stand_by(),
            loop=scheduler.loop,
            eager_start=True,
            context=self.context,
            name="planaria runner",
        )

    async def _stand_by(self) -> None:
        """Only cancellation wakes this task: hand it to the coroutine that runs under its name."""
        while not self.closing:
            self.park = self.scheduler.loop.create_future()
            try:
                await self.park
            except asyncio.CancelledError as error:
                if self.bound is None:
                    return  # the loop is closing down around a node that was not stopped
                if not self.closing:
                    self.scheduler.cancelled(self, error)

    def reusable(self) -> bool:
        """Whether the last coroutine left no cancellation behind."""
        return self.park is not None and not self.park.done()

    def close(self) -> None:
        """End the parked task."""
        self.closing = True
        self.bound = None
        if not self.task.done():
            self.task.cancel()
        self.frame.close()


class Scheduler:
    """The run queue of one node."""

    def __init__(self, node: Node, seed: int | None) -> None:
        self.node = node
        self.random: Random | None = None if seed is None else Random(seed)
        self.ready: deque[Process] = deque()
        self.zombies: deque[Process] = deque()
        self.pool: list[Runner] = []
        self.suspended: set[Process] = set()  # keeps coroutines alive while only the outside knows them
        self.scheduled = False
        self.depth = 0
        self.budget = 0
        self.loop: asyncio.AbstractEventLoop
        self.context: Context
        self.idle_waiters: list[asyncio.Future[None]] = []

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use this event loop from now on."""
        self.loop = loop
        self.context = copy_context()

    # --- run queue ---------------------------------------------------------------------------------------------

    def enqueue(self, process: Process) -> None:
        """Give a waiting or suspended process a turn."""
        process.status = READY
        self.ready.append(process)
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        node = self.node
        node.now = node.clock.now()
        self.budget = TURN_REDUCTIONS
        ready = self.ready
        random = self.random
        try:
            while ready or self.zombies:
                if self.zombies:
                    self._let_go(self.zombies.popleft(), Throw(Killed()))
                    continue
                if random is not None and len(ready) > 1:
                    ready.rotate(-random.randrange(len(ready)))
                process = ready.popleft()
                if process.status == READY:
                    self.activate(process, BATCH)
                if self.budget <= 0:
                    break
        except BaseException:  # Ctrl-C in a handler: the node must still be able to stop
            self.loop.call_soon(self._turn)
            raise
        if ready or self.zombies:
            self.loop.call_soon(self._turn)
            return
        self.scheduled = False
        if self.idle_waiters:
            waiters, self.idle_waiters = self.idle_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def activate(self, process: Process, limit: int) -> None:
        """One activation: go on with suspended code, then handle up to `limit` messages."""
        before = running.process
        running.process = process
        process.status = RUNNING
        self.budget -= 1  # for going on; messages cost more
        try:
            if process.coro is not None:
                resume, process.resume = process.resume, None
                if not self._drive(process, resume):
                    return
                process.current = None
            body = process.body
            if body is None:
                die(process, "normal")  # a plain function has returned
                return
            handle = body.handle
            remember = self.node.recent.append
            while process.status == RUNNING:
                envelope = process.pending
                if envelope is None:
                    process.status = WAITING
                    return
                if limit == 0:  # the batch is used up: to the end of the run queue with the rest
                    self.enqueue(process)
                    return
                # `take`, written out: this is the one loop every message goes through.
                queue = process.queue
                if queue is None:
                    process.pending = None
                else:
                    process.pending = queue.popleft()
                    if not queue:
                        process.queue = None
                limit -= 1
                self.budget -= 1
                process.reductions += 1
                process.current = envelope
                remember((process, envelope))
                coro = handle(envelope)
                if coro is not None:
                    process.coro = coro
                    if not self._drive(process, None):
                        return
                process.current = None
        except (KeyboardInterrupt, SystemExit):
            die(process, "killed")
            raise
        except Killed:
            die(process, "killed")
        except BaseException as error:  # noqa: BLE001  the process loop: whatever the code raised is its exit reason
            die(process, reason_of(error))
        finally:
            running.process = before

    # --- coroutines ---------------------------------------------------------------------------------------------

    def _step(self, process: Process, value: object) -> object:
        """Run the coroutine of `process` to its next wait and return what it yielded, or FINISHED."""
        runner = process.runner
        run: Any  # send or throw
        given: object
        if runner is not None:
            run, given = (
                (runner.frame.throw, value.error) if type(value) is Throw else (runner.frame.send, value)
            )
        else:
            coro = process.coro
            assert coro is not None
            if type(value) is Throw:  # it has not begun, so there is nothing to undo
                coro.close()
                process.coro = None
                raise value.error
            runner = self.pool.pop() if self.pool else Runner(self)
            runner.bound = process
            runner.context = self.context.copy()  # what it sets is seen by nobody else
            run, given = runner.frame.send, coro
        before = _swap_current_task(self.loop, runner.task)
        try:
            yielded = runner.context.run(run, given)
        finally:
            _swap_current_task(self.loop, before)
        if yielded is FINISHED:
            process.coro = None
            self._release(process, runner)
        elif yielded is FAILED:
            process.coro = None
            error, runner.error = runner.error, None
            self._release(process, runner)
            assert error is not None
            raise error
        else:
            process.runner = runner
        return yielded

    def _drive(self, process: Process, value: object) -> bool:
        """Run the coroutine of `process` until it ends (True) or suspends (False). Lets its exceptions through."""
        yielded = self._step(process, value)
        if yielded is FINISHED:
            return True
        if process.status == DEAD:  # killed while on the stack, and suspended all the same: it must let go
            self._await_outside(process, yielded)
            self.unwind(process)
        elif yielded is SUSPEND:
            process.status = RECEIVING if process.wait is RECEIVE else SUSPENDED
        elif yielded is PAUSE:
            self.enqueue(process)
        else:
            process.status = SUSPENDED
            self._await_outside(process, yielded)
        return False

    def _await_outside(self, process: Process, yielded: object) -> None:
        runner = process.runner
        if yielded is SUSPEND or yielded is PAUSE or runner is None:
            return
        self.suspended.add(process)
        if isinstance(yielded, asyncio.Future):
            yielded._asyncio_future_blocking = False
            runner.future = yielded
            yielded.add_done_callback(lambda future: self._outside_done(process, runner, future))
            return
        if yielded is not None:
            process.resume = Throw(
                RuntimeError(f"a process awaited {yielded!r}, which is no asyncio awaitable")
            )
        # A bare yield, as of asyncio.sleep(0): the others first.
        runner.future = turn = object()
        self.loop.call_soon(self._outside_done, process, runner, turn)

    def _outside_done(self, process: Process, runner: Runner, future: object) -> None:
        if runner.bound is not process or runner.future is not future:
            return  # it was thrown out of that wait meanwhile
        runner.future = None
        self.suspended.discard(process)
        if process.status == SUSPENDED:
            self.enqueue(process)
        elif process.status == DEAD:
            self._let_go(process, None)

    def cancelled(self, runner: Runner, error: asyncio.CancelledError) -> None:
        """Somebody cancelled the task a coroutine runs as (`asyncio.timeout`, a task group, anyio)."""
        process = runner.bound
        if process is None or not runner.task.cancelling():
            return  # too late: the code has left what was to be cancelled
        if isinstance(runner.future, asyncio.Future):
            runner.future.cancel(*error.args)  # its end wakes the coroutine with a CancelledError
        elif runner.future is not None:
            process.resume = Throw(asyncio.CancelledError(*error.args))
        elif process.status in (SUSPENDED, RECEIVING):
            process.wait = None
            process.resume = Throw(asyncio.CancelledError(*error.args))
            self.enqueue(process)
        elif process.status == READY:
            process.resume = Throw(asyncio.CancelledError(*error.args))

    def _release(self, process: Process, runner: Runner) -> None:
        process.runner = None
        runner.bound = None
        runner.future = None
        if runner.reusable() and len(self.pool) < 64:
            self.pool.append(runner)
        else:
            runner.close()

    # --- the dead ---------------------------------------------------------------------------------------------

    def unwind(self, process: Process) -> None:
        """Throw `Killed` into the suspended code of a dead process, on the next turn."""
        if process.coro is None:
            return
        self.zombies.append(process)
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self._turn)

    def _let_go(self, process: Process, value: object) -> None:
        """Run the clean-up code of a dead process. It may await the outside; kernel waits end at once."""
        runner = process.runner
        if process.coro is None:
            return
        if type(value) is Throw and runner is not None and runner.future is not None:
            future = runner.future
            runner.future = None
            if isinstance(future, asyncio.Future):
                future.cancel()
        before = running.process
        running.process = process
        try:
            yielded = self._step(process, value)
        except asyncio.CancelledError:
            self.suspended.discard(process)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  it is dead already: its last words become an event
            self.suspended.discard(process)
            self.node.emit(CleanupFailed(process, error))
        else:
            if yielded is FINISHED:
                self.suspended.discard(process)
            elif yielded is SUSPEND or yielded is PAUSE:
                self.unwind(process)
            else:
                self._await_outside(process, yielded)
        finally:
            running.process = before

    # --- quiet ------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether any process could go on without time passing or the outside answering."""
        return self.scheduled or bool(self.ready) or bool(self.zombies)

    async def quiet(self) -> None:
        """Return when the run queue is empty."""
        while self.busy:
            waiter = self.loop.create_future()
            self.idle_waiters.append(waiter)
            await waiter

    async def drain(self, patience: float) -> None:
        """Let the code of the dead let go, for `patience` seconds of the machine's time; then make it.

        Code that swallows its cancellation is thrown `Killed` again, and dropped if that does not help.
        """
        deadline = self.loop.time() + patience
        pause = 0.0
        await self.quiet()
        while self.suspended and self.loop.time() < deadline:
            await asyncio.sleep(pause)
            pause = min(0.02, pause + 0.001)
            await self.quiet()
        for _ in range(10):
            for process in tuple(self.suspended):
                self._let_go(process, Throw(Killed()))
            await self.quiet()
        for process in tuple(self.suspended):
            self._abandon(process)

    def _abandon(self, process: Process) -> None:
        runner = process.runner
        process.coro = process.runner = None
        self.suspended.discard(process)
        if runner is not None:
            try:
                runner.close()
            except RuntimeError as error:  # it ignored even GeneratorExit
                self.node.emit(CleanupFailed(process, error))

    def close(self) -> None:
        """End the pooled runners."""
        for runner in self.pool:
            runner.close()
        self.pool.clear()


def run_now(process: Process, envelope: Envelope) -> bool:
    """Handle a message for an idle process at once, on the caller's stack. False if it has to queue.

    Same order, same isolation, no turn of the queue: only while the turn has reductions left, to a bounded depth.
    The caller must see that it still lives afterwards (`check_alive`).
    """
    scheduler = process.node.scheduler
    if process.pending is not None or scheduler.budget <= 0 or scheduler.depth >= MAX_DEPTH:
        return False
    process.pending = envelope
    scheduler.depth += 1
    try:
        scheduler.activate(process, 1)
    finally:
        scheduler.depth -= 1
    return True
