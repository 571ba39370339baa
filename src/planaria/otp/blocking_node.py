"""A node for plain blocking code: a command that starts a process or two, asks them, and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from planaria.otp.kernel.node import Node, Startable


class BlockingNode:
    """A node whose processes run only while something is asked of it. A context manager; in the main thread.

    Args:
        node: not started yet.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self._runner = asyncio.Runner()

    def start(self, child: Startable) -> None:
        """Start a process.

        Raises:
            StartFailed: it did not start.
        """
        self._runner.run(_awaited(self.node.start, child))

    def run[R](self, function: Callable[..., Awaitable[R]], *arguments: Any) -> R:
        """What an async function gives, run in a process of its own; raises what it raises."""
        result: R = self._runner.run(_awaited(self.node.run, function, *arguments))
        return result

    def __enter__(self) -> Self:
        self._runner.run(_awaited(self.node.__aenter__))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._runner.run(_awaited(self.node.stop))
        finally:
            self._runner.close()


async def _awaited(function: Callable[..., Any], *arguments: Any) -> Any:
    return await function(*arguments)
