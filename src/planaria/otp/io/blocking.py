"""The one way to leave the event loop: blocking work in a worker thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

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
