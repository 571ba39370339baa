"""A clock that stands still until told: an hour of back-off passes in a millisecond."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node


class _Alarm:
    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """Time for nodes under test; several nodes may share one.

    Args:
        start: what `now()` says first.
        wall: what `wall()` says at that moment (2026-01-01 00:00 UTC unless given).
    """

    def __init__(self, start: float = 1000.0, wall: float = 1767225600.0) -> None:
        self._now = start
        self._offset = wall - start
        self._heap: list[tuple[float, int, _Alarm]] = []
        self._count = itertools.count().__next__
        self.nodes: list[Node] = []

    def now(self) -> float:
        """Seconds that pass only by `advance` and `jump`."""
        return self._now

    def wall(self) -> float:
        """The same, since 1970."""
        return self._now + self._offset

    def call_at(self, when: float, callback: Callable[[], None]) -> _Alarm:
        """Plan a callback; due ones run at the next `advance` or `jump`, or at once through the event loop."""
        alarm = _Alarm(callback)
        if when <= self._now and self.nodes:
            self.nodes[0].scheduler.loop.call_soon(self._run, alarm)
        else:
            heapq.heappush(self._heap, (when, self._count(), alarm))
        return alarm

    def _run(self, alarm: _Alarm) -> None:
        callback, alarm.callback = alarm.callback, None
        if callback is not None:
            callback()

    def next_at(self) -> float | None:
        """When the next planned callback is due."""
        while self._heap and self._heap[0][2].callback is None:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    async def settle(self) -> None:
        """Return when every process of every node waits."""
        while True:
            for node in self.nodes:
                await node.settle()
            if not any(node.scheduler.busy or node.blocking for node in self.nodes):
                return

    async def advance(self, seconds: float) -> None:
        """Let time pass, running what is due on the way in its order, all processes settled in between."""
        until = self._now + seconds
        await self.settle()
        while (due := self.next_at()) is not None and due <= until:
            self._now = max(self._now, due)
            self._run(heapq.heappop(self._heap)[2])
            await self.settle()
        self._now = until

    async def jump(self) -> bool:
        """Go to the next planned callback and run it; False if there is none."""
        await self.settle()
        due = self.next_at()
        if due is None:
            return False
        self._now = max(self._now, due)
        self._run(heapq.heappop(self._heap)[2])
        await self.settle()
        return True
