"""Drives the processes of one node: one run queue, one callback in the event loop.

The event loop sees a single callback, `_turn`, which activates ready processes until a budget of reductions is
spent and then lets I/O have its turn. A handler that is a plain function is simply called, a coroutine is driven by
a pooled `Runner`.

Does badly: a handler that computes for long holds up everybody in the node.
Source: measured designs of run queues; reductions are the BEAM's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from random import Random
from typing import TYPE_CHECKING, Any

from planaria.otp.kernel.event import CleanupFailed
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, READY, RECEIVING, RUNNING, SUSPENDED, WAITING, Process, running
from planaria.otp.kernel.reason import Killed, reason_of
from planaria.otp.kernel.runner import FAILED, FINISHED, PAUSE, RECEIVE, SUSPEND, Runner, Throw
from planaria.otp.kernel.signals import die

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node

_swap_current_task = asyncio.tasks._swap_current_task  # type: ignore[attr-defined]

TURN_REDUCTIONS = 2000
"""Reductions before the event loop gets a turn."""
BATCH = 16
"""Messages one process handles before the next has its turn."""
LEFT = range(BATCH - 1, -1, -1)
POOL = 64
"""Runners kept for the next coroutine."""
MAX_DEPTH = 12
"""How deep calls to idle processes run on the caller's stack."""


class Scheduler:
    """The run queue of one node."""

    def __init__(self, node: Node, seed: int | None, recent: deque[Envelope]) -> None:
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
        self.remember: Callable[[Envelope], None] = recent.append

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
            self.schedule()

    def schedule(self) -> None:
        """Have a turn of the run queue soon."""
        self.scheduled = True
        self.loop.call_soon(self._turn)

    def wake_now(self, action: Callable[[], object]) -> None:
        """From a callback of the event loop: do what wakes processes, and let them run without another round of it."""
        if self.scheduled:
            action()
            return
        self.scheduled = True
        try:
            action()
        finally:
            self._turn()

    def _turn(self) -> None:
        """Activate ready processes: each goes on with its code, then handles up to `BATCH` messages."""
        node = self.node
        node.now = node.clock.now()
        self.budget = TURN_REDUCTIONS
        ready = self.ready
        zombies = self.zombies
        random = self.random
        try:
            # The one loop every message goes through, so what it calls is written out.
            while self.budget > 0:
                if zombies:
                    self._let_go(zombies.popleft(), Throw(Killed()))
                    continue
                if not ready:
                    break
                if random is not None and len(ready) > 1:
                    ready.rotate(-random.randrange(len(ready)))
                process = ready.popleft()
                if process.status != READY:
                    continue
                running.process = process
                process.status = RUNNING
                left = BATCH
                try:
                    coro = process.coro
                    if coro is not None:
                        if process.runner is None and process.resume is None:
                            ended = self._begin(process, coro)
                        else:
                            ended = self._go_on(process)
                        if not ended or process.status != RUNNING:  # it waits, or is dead or held
                            if ended:
                                process.current = None
                            self.budget -= 1
                            running.process = None
                            continue
                    body = process.body
                    if body is None:
                        die(process, "normal")  # a plain function has returned
                        self.budget -= 1
                        running.process = None
                        continue
                    direct: dict[str, Callable[..., Any]] | None = getattr(body, "_kernel_direct", None)
                    remember = self.remember
                    for left in LEFT:
                        envelope = process.pending
                        if envelope is None:
                            left += 1
                            process.current = None
                            if process.status == RUNNING:
                                process.status = WAITING
                            break
                        queue = process.queue  # `mailbox.take`
                        if queue is None:
                            process.pending = None
                        else:
                            process.pending = queue.popleft()
                            if not queue:
                                process.queue = None
                        process.current = envelope
                        remember(envelope)
                        # Most messages of quiet servers go to their handlers without a call more.
                        if direct is None:
                            work = body.handle(envelope)
                        elif envelope[0] == "cast":
                            name, args, keywords = envelope[1]
                            handler = direct.get(name)
                            if handler is None or keywords or len(args) != 1:
                                work = body.handle(envelope)
                            else:
                                server: Any = body
                                try:
                                    result = handler(server, args[0])
                                except BaseException as error:  # noqa: BLE001  the server decides what it ends with
                                    work = server._kernel_failed(error)
                                else:
                                    if result is None and not server._kernel_told:
                                        continue
                                    work = server._kernel_after(result)
                        elif envelope[0] == "info":
                            server = body
                            try:
                                result = server.handle_info(envelope[1])
                            except BaseException as error:  # noqa: BLE001  as above
                                work = server._kernel_failed(error)
                            else:
                                quiet = result is None and not server._kernel_told
                                work = None if quiet else server._kernel_after(result)
                        else:
                            work = body.handle(envelope)
                            direct = None  # the message may have changed the server's code, or have begun a silence
                        if work is not None:
                            if not self._begin(process, work):
                                break
                            direct = None  # as above
                        if process.status != RUNNING:  # dead, or held by the body it had
                            break
                    else:
                        process.current = None
                        if process.status != RUNNING:
                            pass
                        elif process.pending is None:
                            process.status = WAITING
                        else:  # to the end of the run queue with the rest
                            self.enqueue(process)
                except BaseException as error:  # noqa: BLE001  the process loop: what the code raised is its reason
                    _crash(process, error)
                process.reductions += BATCH - left
                self.budget -= BATCH + 1 - left  # one for the activation itself
                running.process = None
        except BaseException:  # Ctrl-C in a handler: the node must still be able to stop
            running.process = None
            self.loop.call_soon(self._turn)
            raise
        if ready or zombies:
            self.loop.call_soon(self._turn)
            return
        self.scheduled = False
        if self.idle_waiters:
            waiters, self.idle_waiters = self.idle_waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def run_now(self, process: Process, envelope: Envelope) -> bool:
        """Handle a message for an idle process at once, on the caller's stack. False if it has to queue.

        Same order, same isolation, no turn of the queue: only while the turn has reductions left, to a bounded depth.
        The caller must see that it still lives afterwards (`check_alive`).
        """
        body = process.body
        if self.budget <= 0 or self.depth >= MAX_DEPTH or body is None:
            return False
        self.depth += 1
        self.budget -= 1
        before = running.process
        running.process = process
        process.status = RUNNING
        process.reductions += 1
        process.current = envelope
        self.remember(envelope)
        try:
            coro = body.handle(envelope)
            if (coro is None or self._begin(process, coro)) and process.status == RUNNING:
                process.current = None
                if process.pending is None:
                    process.status = WAITING
                else:
                    self.enqueue(process)
        except BaseException as error:  # noqa: BLE001  as in the loop above
            _crash(process, error)
        finally:
            running.process = before
            self.depth -= 1
        return True

    # --- coroutines ---------------------------------------------------------------------------------------------

    def _begin(self, process: Process, coro: Coroutine[Any, Any, Any]) -> bool:
        """Run a new coroutine until it ends (True) or suspends (False). Lets its exceptions through."""
        process.coro = coro
        pool = self.pool
        runner = pool.pop() if pool else Runner(self)
        runner.bound = process
        context = runner.context = self.context.copy()  # what it sets is seen by nobody else
        loop = self.loop
        before = _swap_current_task(loop, runner.task)
        try:
            yielded = context.run(runner.send, coro)
        finally:
            _swap_current_task(loop, before)
        if yielded is FINISHED:
            process.coro = None
            runner.bound = None
            if runner.park.done() or len(pool) >= POOL:  # type: ignore[union-attr]
                runner.close()
            else:
                pool.append(runner)
            return True
        if yielded is FAILED:
            process.coro = None
            self._release(runner)
            raise runner.take_error()
        process.runner = runner
        if yielded is SUSPEND and process.status == RUNNING:
            process.status = RECEIVING if process.wait is RECEIVE else SUSPENDED
        else:
            self._waits(process, yielded)
        return False

    def _go_on(self, process: Process) -> bool:
        """Run the coroutine of a process, new or suspended, until it ends (True) or suspends (False)."""
        value = process.resume
        process.resume = None
        runner = process.runner
        if type(value) is Throw:
            yielded = self._step(process, value)
        elif runner is None:
            assert process.coro is not None
            return self._begin(process, process.coro)
        else:  # `_step`, written out for the usual case
            loop = self.loop
            before = _swap_current_task(loop, runner.task)
            try:
                yielded = runner.context.run(runner.send, value)
            finally:
                _swap_current_task(loop, before)
            if yielded is SUSPEND and process.status == RUNNING:
                process.status = RECEIVING if process.wait is RECEIVE else SUSPENDED
                return False
            self._note(process, runner, yielded)
        if yielded is FINISHED:
            return True
        self._waits(process, yielded)
        return False

    def _step(self, process: Process, value: object) -> object:
        """Run a suspended coroutine to its next wait and return what it yielded, or FINISHED."""
        runner = process.runner
        if runner is None:  # it has not begun, so there is nothing to undo
            assert process.coro is not None and type(value) is Throw
            process.coro.close()
            process.coro = None
            raise value.error
        loop = self.loop
        before = _swap_current_task(loop, runner.task)
        try:
            if type(value) is Throw:
                yielded = runner.context.run(runner.frame.throw, value.error)
            else:
                yielded = runner.context.run(runner.send, value)
        finally:
            _swap_current_task(loop, before)
        self._note(process, runner, yielded)
        return yielded

    def _note(self, process: Process, runner: Runner, yielded: object) -> None:
        """Free the runner of a coroutine that has ended; raise what that raised."""
        if yielded is FINISHED or yielded is FAILED:
            process.coro = process.runner = None
            self._release(runner)
            if yielded is FAILED:
                raise runner.take_error()

    def _waits(self, process: Process, yielded: object) -> None:
        """The coroutine of `process` has suspended, with `yielded`."""
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

    def _release(self, runner: Runner) -> None:
        runner.bound = None
        runner.future = None
        if runner.reusable() and len(self.pool) < POOL:
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
            self.schedule()

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


def _crash(process: Process, error: BaseException) -> None:
    """The code of a process has raised: that is its exit reason."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        die(process, "killed")
        raise error
    die(process, "killed" if isinstance(error, Killed) else reason_of(error))
