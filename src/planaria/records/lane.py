"""Blocking work of one server: off the loop, one job at a time, in order.

A server that owns files puts each job here and keeps answering; the answer goes out when the job is done. In
order, because two reads of one file that overtake each other would leave the older content. The job runs in a
task linked to the server: an error nobody expected ends both, and the supervisor decides.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from planaria.otp import Task, TaskDone, run_blocking


class Lane:
    """Jobs of the server that made it. Call `put` and `finished` only from its handlers."""

    def __init__(self) -> None:
        self.waiting: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._running: tuple[object, Callable[[Any], None]] | None = None

    def put[T](self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `work` in a thread after the jobs before it, then `then` with its value inside the server."""
        self.waiting.append((work, then))
        self._next()

    def finished(self, message: object) -> bool:
        """Offer an info message; True if it was the end of a job (and `then` has run)."""
        if self._running is None or not isinstance(message, TaskDone) or message.ref != self._running[0]:
            return False
        _, then = self._running
        self._running = None
        then(message.value)
        self._next()
        return True

    def _next(self) -> None:
        if self._running is None and self.waiting:
            work, then = self.waiting.popleft()
            self._running = (Task.start_link(_in_thread, work, label="work on files"), then)


async def _in_thread[T](work: Callable[[], T]) -> T:
    return await run_blocking(work)
