"""A node as a whole program: start a root, run until a signal or a request to stop, stop in order.

SIGINT and SIGTERM begin the orderly stop; a second one ends the program at once. Exit codes: 0 after an orderly stop,
1 when the root ended by itself (its supervisor gave up), 130 after a second signal.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import Awaitable, Callable

from planaria.otp.node import Node, Startable
from planaria.otp.reason import reason_text

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Program:
    """One run of one node.

    Args:
        node: not started yet.
        root: what it runs.
        ready: called when the root is up, from code outside any process.
        failed: told, in words, why the root ended by itself.
        deadline: seconds the orderly stop may take; then what is left is killed.
    """

    def __init__(
        self,
        node: Node,
        root: Startable,
        ready: Callable[[Node], Awaitable[None]],
        failed: Callable[[str], None],
        deadline: float = 20.0,
    ) -> None:
        self.node = node
        self.root = root
        self.ready = ready
        self.failed = failed
        self.deadline = deadline
        self._stopping: asyncio.Event | None = None
        self._asked = False

    def run(self) -> int:
        """Run to the end; the exit code.

        Raises:
            StartFailed: the root did not start.
        """
        return asyncio.run(self._run())

    def stop(self) -> None:
        """Begin the orderly stop; returns at once."""
        self._asked = True
        if self._stopping is not None:
            self._stopping.set()

    def _signalled(self) -> None:
        if self._asked:
            os._exit(130)  # the second one means it: whatever hangs, ends here
        self.stop()

    async def _run(self) -> int:
        self._stopping = stopping = asyncio.Event()
        if self._asked:
            stopping.set()
        loop = asyncio.get_running_loop()
        for each in SIGNALS:
            loop.add_signal_handler(each, self._signalled)
        try:
            async with self.node as node:
                root = await node.start(self.root)
                await self.ready(node)
                # What lives as long as the node need not be looked at by the collector again and again, and
                # messages make few cycles: measured, casts cost a quarter less with rarer collections.
                gc.collect()
                gc.freeze()
                gc.set_threshold(50_000, 20, 50)
                ended = node.wait_exit(root)
                ended.add_done_callback(lambda _: stopping.set())
                await stopping.wait()
                if ended.done():
                    self.failed(reason_text(ended.result()))
                    return 1
                await node.stop(timeout=self.deadline)
                return 0
        finally:
            for each in SIGNALS:
                loop.remove_signal_handler(each)
