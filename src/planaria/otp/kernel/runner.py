"""What drives a coroutine: a runner, and the words between it and code that waits.

A coroutine is driven by hand, under the identity of a *runner*: a parked `asyncio.Task` that makes
`asyncio.current_task()`, `asyncio.timeout`, task groups and context variables right inside handlers, without a task
per process. A runner stays with a coroutine while that is suspended and returns to the pool afterwards.

Source: measured designs of pooled runners.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Generator
from contextvars import Context
from typing import TYPE_CHECKING, Any, cast

from planaria.otp.kernel.process import Process

if TYPE_CHECKING:
    from planaria.otp.kernel.scheduler import Scheduler


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

    __slots__ = (
        "bound",
        "closing",
        "context",
        "error",
        "frame",
        "future",
        "park",
        "scheduler",
        "send",
        "task",
    )

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.bound: Process | None = None
        self.future: asyncio.Future[Any] | object | None = (
            None  # what the bound coroutine awaits outside the kernel
        )
        self.error: BaseException | None = None
        self.frame = cast("Generator[Any, Any, None]", _frame(self))
        self.frame.send(None)
        self.send: Callable[[Any], Any] = self.frame.send
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

    def take_error(self) -> BaseException:
        """What the coroutine that has just ended raised."""
        error, self.error = self.error, None
        assert error is not None
        return error

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
