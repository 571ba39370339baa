"""Timers of one node: a heap for messages and wake-ups, a queue per duration for the deadlines of calls.

Calls all but never time out, and most share one duration: their deadlines stand in a deque, oldest first, and
those of finished calls are dropped when the next one comes. One alarm at the clock serves each structure.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from planaria.otp.kernel.mailbox import deliver_kernel
from planaria.otp.kernel.message import Ref, TimerFired
from planaria.otp.kernel.process import DEAD, Process, Request
from planaria.otp.kernel.reason import CallTimeout

if TYPE_CHECKING:
    from planaria.otp.kernel.clock import Alarm
    from planaria.otp.kernel.node import Node


class TimerRef(Ref):
    """Names a timer, to cancel it or to read the time left."""

    __slots__ = ("action", "due", "to")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.to: Process | None = None  # whose death ends the timer; a name has none
        self.action: Callable[[], None] | None = action


class _Deadlines:
    """The calls that share one duration, in the order they end."""

    __slots__ = ("armed", "queue", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.queue: deque[Request] = deque()
        self.armed = False


class Timers:
    """What is planned in one node."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.heap: list[tuple[float, int, TimerRef]] = []
        self.cancelled = 0
        self.alarm: Alarm | None = None
        self.alarm_at = float("inf")
        self.deadlines: dict[float, _Deadlines] = {}

    # --- plain timers -----------------------------------------------------------------------------------------

    def plan(self, seconds: float, action: Callable[[], None]) -> TimerRef:
        """Run `action` in the event loop after `seconds` (0 or less: as soon as possible)."""
        due = self.node.clock.now() + max(0.0, seconds)
        timer = TimerRef(due, action)
        heapq.heappush(self.heap, (due, self.node.next_id(), timer))
        if due < self.alarm_at:
            self._arm(due)
        return timer

    def send_after(
        self, seconds: float, to: Process | str, message: object, *, tagged: bool = False
    ) -> TimerRef:
        """Send `message` to `to` after `seconds`; a name is looked up when the time has come."""
        node = self.node

        def fire() -> None:
            target = node.names.get(to) if isinstance(to, str) else to
            if target is not None:
                deliver_kernel(target, "info", TimerFired(timer, message) if tagged else message)

        timer = self.plan(seconds, fire)
        if not isinstance(to, str):
            timer.to = to
        return timer

    def cancel(self, timer: TimerRef) -> float | None:
        """Forget a timer. Seconds that were left; None if it has fired, was cancelled, or was for one now dead."""
        if timer.action is None:
            return None
        timer.action = None
        self.cancelled += 1
        if self.cancelled > 1000 and self.cancelled > len(self.heap) // 2:
            self.heap = [entry for entry in self.heap if entry[2].action is not None]
            heapq.heapify(self.heap)
            self.cancelled = 0
        if timer.to is not None and timer.to.status == DEAD:
            return None
        return max(0.0, timer.due - self.node.clock.now())

    def left(self, timer: TimerRef) -> float | None:
        """Seconds until a timer fires; None if it has fired, was cancelled, or was for one now dead."""
        if timer.action is None or (timer.to is not None and timer.to.status == DEAD):
            return None
        return max(0.0, timer.due - self.node.clock.now())

    def _arm(self, due: float) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
        self.alarm_at = due
        self.alarm = self.node.clock.call_at(due, self._fire)

    def _fire(self) -> None:
        self.alarm = None
        self.alarm_at = float("inf")
        now = self.node.now = self.node.clock.now()
        heap = self.heap
        while heap and (heap[0][0] <= now or heap[0][2].action is None):
            timer = heapq.heappop(heap)[2]
            if timer.action is None:
                self.cancelled -= 1
                continue
            action, timer.action = timer.action, None
            action()
        if heap:
            self._arm(heap[0][0])

    # --- deadlines of calls -------------------------------------------------------------------------------------

    def limit(self, request: Request, seconds: float) -> None:
        """Let `request` fail with `CallTimeout` unless it is answered within `seconds`."""
        line = self.deadlines.get(seconds)
        if line is None:
            line = self.deadlines[seconds] = _Deadlines(seconds)
        queue = line.queue
        while queue and queue[0].done:
            queue.popleft()
        request.due = self.node.clock.now() + seconds
        queue.append(request)
        if not line.armed:
            self._sweep_later(line)

    def _sweep_later(self, line: _Deadlines) -> None:
        line.armed = True
        self.plan(line.queue[0].due - self.node.clock.now(), lambda: self._sweep(line))

    def _sweep(self, line: _Deadlines) -> None:
        now = self.node.clock.now()
        queue = line.queue
        while queue and (queue[0].done or queue[0].due <= now):
            request = queue.popleft()
            if not request.done:
                request.fail(CallTimeout(request.target, line.seconds))
        if queue:
            self._sweep_later(line)
        else:
            line.armed = False
            self.deadlines.pop(line.seconds, None)

    def close(self) -> None:
        """Forget everything."""
        self.heap.clear()
        self.deadlines.clear()
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None
