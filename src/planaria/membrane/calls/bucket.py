"""A token bucket: so much at once, so much a minute. Pure, but for the two numbers it keeps.

Source: the leaky bucket as a meter (ITU-T I.371), which is also how OpenAI and Anthropic count their limits per minute.
Differs: a bucket may go into debt, since what a call really takes is known only when it is over.
"""

MINUTE = 60.0


class Bucket:
    """Holds at most one minute's worth and fills evenly.

    Args:
        per_minute: units that flow in each minute, and its size.
        at: seconds on the caller's clock now; it begins full.
    """

    __slots__ = ("at", "level", "per_minute")

    def __init__(self, per_minute: int, at: float) -> None:
        self.per_minute = per_minute
        self.level = float(per_minute)
        self.at = at

    def wait(self, amount: float, at: float) -> float:
        """Seconds until it has `amount`; one that is larger than the bucket waits until that is full."""
        self._fill(at)
        missing = min(amount, self.per_minute) - self.level
        # A millionth of a unit: sums of floats may fall short of a whole one.
        return missing * MINUTE / self.per_minute if missing > 1e-6 else 0.0

    def take(self, amount: float, at: float) -> None:
        """Take out `amount`, whether it is there or not; a negative one gives back."""
        self._fill(at)
        self.level = min(self.level - amount, float(self.per_minute))

    def resize(self, per_minute: int, at: float) -> None:
        """Another limit from now on; what was taken stays taken."""
        self._fill(at)
        self.level = min(self.level + per_minute - self.per_minute, float(per_minute))
        self.per_minute = per_minute

    def _fill(self, at: float) -> None:
        if at > self.at:
            self.level = min(float(self.per_minute), self.level + (at - self.at) * self.per_minute / MINUTE)
            self.at = at
