"""How often a supervisor may restart before it gives up: at most `max_restarts` in any `within` seconds."""

from __future__ import annotations

from collections import deque


class RestartWindow:
    """The restarts that still count.

    Source: OTP's supervisor (intensity, period); a restart exactly `within` seconds old still counts.
    """

    __slots__ = ("max_restarts", "times", "within")

    def __init__(self, max_restarts: int, within: float) -> None:
        self.max_restarts = max_restarts
        self.within = within
        self.times: deque[float] = deque()

    def allow(self, now: float) -> bool:
        """Count one restart at `now`; False if that is one too many."""
        times = self.times
        times.append(now)
        while times and times[0] + self.within < now:
            times.popleft()
        return len(times) <= self.max_restarts
