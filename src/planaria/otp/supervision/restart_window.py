"""How often a supervisor may restart before it gives up: at most `max_restarts` in any `within` seconds."""

from __future__ import annotations


def check_budget(max_restarts: int, within: float) -> None:
    """Raise `ValueError` unless it makes sense as a budget of restarts."""
    if max_restarts < 0 or within <= 0:
        raise ValueError(
            f"max_restarts={max_restarts!r}, within={within!r}: at least 0 restarts, in more than 0 seconds"
        )


class RestartWindow:
    """The restarts that still count.

    Source: OTP's supervisor (intensity, period); a restart exactly `within` seconds old still counts.
    """

    __slots__ = ("max_restarts", "times", "within")

    def __init__(self, max_restarts: int, within: float) -> None:
        self.max_restarts = max_restarts
        self.within = within
        self.times: list[float] | None = None  # most supervisors never restart anything

    def allow(self, now: float) -> bool:
        """Count one restart at `now`; False if that is one too many."""
        self.times = times = [time for time in self.times or () if time + self.within >= now]
        times.append(now)
        return len(times) <= self.max_restarts
