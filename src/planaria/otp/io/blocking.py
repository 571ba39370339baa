"""The one way to leave the event loop: blocking work in a worker thread."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from planaria.otp.io.one_thread import OneThread
from planaria.otp.kernel.process import running


async def run_blocking[R](fn: Callable[..., R], *args: Any, executor: Executor | None = None) -> R:
    """Run `fn(*args)` in a worker thread; the process waits, the node goes on.

    Args:
        fn: must not touch processes: the kernel belongs to the event loop's thread.
        executor: a pool of your own, for instance of one thread for a resource that must stay in one.
    Returns:
        What `fn` returns; its exception is raised here.
    """
    process = running.process
    if process is None:
        return await asyncio.get_running_loop().run_in_executor(executor, fn, *args)
    return await process.node.run_blocking(fn, *args, executor=executor)


def post_blocking[R](
    fn: Callable[..., R], *args: Any, executor: OneThread, done: Callable[[R | BaseException], None]
) -> None:
    """Run `fn(*args)` in a worker thread and go on; `done` gets what it returned, or the exception it raised.

    For work that is begun so often that a process waiting for each would be most of its cost.

    Args:
        done: called in the event loop's thread, outside of any process; whoever it wakes runs next. Not at all once
            the loop is closed.
    """
    process = running.process
    loop = asyncio.get_running_loop()
    node = None if process is None else process.node
    if node is not None:
        node.blocking += 1

    def finish(outcome: R | BaseException) -> None:
        if node is None:
            done(outcome)
            return
        node.blocking_done(None)
        node.scheduler.wake_now(lambda: done(outcome))

    def work() -> None:
        outcome: R | BaseException
        try:
            outcome = fn(*args)
        except BaseException as error:  # noqa: BLE001  the caller's to judge
            outcome = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            loop.call_soon_threadsafe(finish, outcome)

    executor.post(work)
