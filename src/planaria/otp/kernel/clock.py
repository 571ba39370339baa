"""Where a node's time comes from; `planaria.testing.VirtualClock` is the other implementation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """One planned callback."""

    def cancel(self) -> None:
        """Forget it; harmless when it has run."""
        ...


class Clock(Protocol):
    """Time as a parameter of the node."""

    def now(self) -> float:
        """Seconds that only grow; the origin means nothing."""
        ...

    def wall(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        """Run `callback` once `now()` has reached `when`, from the event loop."""
        ...


class SystemClock:
    """The machine's own clocks and the running event loop's timers."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def call_at(self, when: float, callback: Callable[[], None]) -> Alarm:
        # The loop's clock is time.monotonic too, but a custom loop may differ: go by distance.
        loop = asyncio.get_running_loop()
        return loop.call_later(max(0.0, when - self.now()), callback)
