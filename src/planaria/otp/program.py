"""A node as a whole program: start a root, run until a signal or a request to stop, stop in order.

SIGINT and SIGTERM begin the orderly stop, also while the root is still starting; a second one ends the program at
once, whatever hangs. Exit codes: 0 after an orderly stop, 1 when the root ended by itself (its supervisor gave up) or
the stop took too long, 130 after a second signal.
Does badly: code that never returns to Python (a C function in a loop) hears no signal; it is ended by the deadline.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from types import FrameType
from typing import Any

from planaria.otp.kernel.event import ChildRestarted, KernelEvent, RestartsExceeded
from planaria.otp.kernel.node import Node, Startable
from planaria.otp.kernel.process import Process
from planaria.otp.kernel.reason import FailedToStartChild, reason_text, root_cause
from planaria.otp.observe.watchdog import Watchdog

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 5.0
"""Seconds beyond the deadline after which a program that is still there is ended by force."""
LAST_PATIENCE = 1.0
"""Seconds that worker threads get to finish when all else has ended; then the program ends without them."""


RECENT = 60.0
"""Seconds in which the end of another child may be why one could not be started."""
AGAIN = 1.0
"""Seconds until `ready` is tried once more."""


def tune_collector() -> None:
    """Set Python's collector up for a node that has started; for the whole interpreter.

    What lives as long as the node need not be looked at again and again, and messages make few cycles: measured,
    casts cost a quarter less with rarer collections.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


class Program:
    """One run of one node.

    Args:
        node: not started yet.
        root: what it runs.
        ready: called when the root is up, from code outside any process.
        failed: told, in words, why the root ended by itself or the stop was not orderly.
        deadline: seconds the orderly stop may take; then what is left is killed.
        around: entered in the loop's thread while the node runs; by default the watchdog with its own limits. For an
            observer, too, give a function of your own; None watches nothing.
    """

    def __init__(
        self,
        node: Node,
        root: Startable,
        ready: Callable[[Node], Awaitable[None]],
        failed: Callable[[str], None],
        deadline: float = 20.0,
        around: Callable[[Node], AbstractContextManager[object]] | None = Watchdog,
    ) -> None:
        self.node = node
        self.root = root
        self.ready = ready
        self.failed = failed
        self.deadline = deadline
        self.around = around
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._signals = 0
        self._asked = False
        self._alarm = threading.Event()
        self._ended = threading.Event()
        self._gave_up: deque[RestartsExceeded] = deque(maxlen=10)
        self._child_ends: deque[tuple[float, ChildRestarted]] = deque(maxlen=100)  # of their own

    def run(self) -> int:
        """Run to the end, in the main thread; the exit code.

        A worker thread that does not finish must not keep the program: then this does not return, but ends it.

        Raises:
            StartFailed: the root did not start.
        """
        threads = set(threading.enumerate())
        before = {each: signal.signal(each, self._signalled) for each in SIGNALS}
        loop = self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._guard, name="program deadline", daemon=True).start()
        try:
            code = loop.run_until_complete(self._run())
        finally:
            self._loop = None
            _close(loop)
            self._ended.set()
            self._alarm.set()
            for each, handler in before.items():
                signal.signal(each, handler)
        self._leave_threads(threads, code)
        return code

    def stop(self) -> None:
        """Begin the orderly stop; returns at once. May be called from any process or thread."""
        self._asked = True
        self._alarm.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._begin_stop)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """Called between two lines of whatever runs, so that a loop without end hears it too."""
        self._signals += 1
        if self._signals > 1:
            os._exit(130)  # the second one means it
        self.stop()

    def _guard(self) -> None:
        """In a thread of its own, since the loop may be what hangs."""
        self._alarm.wait()
        if not self._ended.wait(self.deadline + GRACE):
            self.failed(f"it did not stop within {self.deadline + GRACE:g} s and was ended by force")
            _exit(1)

    def _begin_stop(self) -> None:
        if self._stopping is not None:
            self._stopping.set()

    async def _run(self) -> int:
        self._stopping = stopping = asyncio.Event()
        if self._asked:
            stopping.set()
        self.node.subscribe_events(self._note)
        async with self.node as node:
            with nullcontext() if self.around is None else self.around(node):
                return await self._run_node(node, stopping)

    async def _run_node(self, node: Node, stopping: asyncio.Event) -> int:
        asked = asyncio.ensure_future(stopping.wait())
        starting = asyncio.ensure_future(node.start(self.root))
        await asyncio.wait((starting, asked), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            return await self._live(node, starting.result(), asked)
        starting.cancel()
        await asyncio.wait((starting,))
        await node.stop(timeout=self.deadline)
        return 0

    async def _live(self, node: Node, root: Process, asked: asyncio.Future[Any]) -> int:
        ended = node.wait_exit(root)
        if not asked.done() and not ended.done():
            getting_ready = asyncio.ensure_future(self.ready(node))
            await asyncio.wait((getting_ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done() and getting_ready.exception() is not None:
                # Somebody it asks is just being restarted: either that goes well, or the root is about to end.
                await asyncio.wait((ended,), timeout=AGAIN)
                getting_ready = asyncio.ensure_future(self.ready(node))
                await asyncio.wait((getting_ready, ended), return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                await getting_ready
            elif not getting_ready.cancel():
                getting_ready.exception()  # looked at: the end of the root is told, not what followed from it
        tune_collector()
        await asyncio.wait((ended, asked), return_when=asyncio.FIRST_COMPLETED)
        if ended.done() and not asked.done():
            asked.cancel()
            self.failed(self._why(ended.result()))
            return 1
        await node.stop(timeout=self.deadline)
        return 0

    def _note(self, event: KernelEvent) -> None:
        if isinstance(event, RestartsExceeded):
            self._gave_up.append(event)
        elif isinstance(event, ChildRestarted) and not isinstance(event.reason, FailedToStartChild):
            self._child_ends.append((self.node.clock.now(), event))

    def _why(self, reason: object) -> str:
        """Which child ended too often, and of what; the reason of the root alone is only `shutdown`."""
        for event in reversed(self._gave_up):
            if isinstance(event.reason, FailedToStartChild):
                return self._why_not_started(event, event.reason)
            if event.reason != "shutdown":
                return f"{event.id!s} ended again and again, last with: {reason_text(event.reason)}"
        return reason_text(reason)

    def _why_not_started(self, event: RestartsExceeded, failed: FailedToStartChild) -> str:
        """A child could not be started any more: perhaps as another ended again and again, which it needs."""
        since = self.node.clock.now() - RECENT
        ended = [each for at, each in self._child_ends if each.supervisor is event.supervisor and at >= since]
        what = f"{event.id!s} could not be started again: {root_cause(failed)}"
        if not ended:
            return what
        last = ended[-1]
        often = "again and again, last " if sum(each.id == last.id for each in ended) > 1 else ""
        return f"{last.id!s} ended {often}with: {reason_text(last.reason)}; then {what}"

    def _leave_threads(self, known: set[threading.Thread], code: int) -> None:
        """Wait a little for worker threads; the interpreter would wait for them without end."""
        until = time.monotonic() + LAST_PATIENCE
        for thread in set(threading.enumerate()) - known:
            if not thread.daemon:
                thread.join(max(0.0, until - time.monotonic()))
                if thread.is_alive():
                    _exit(code)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """As `asyncio.run` does, but without waiting for threads that look up names."""
    try:
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _exit(code: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
