"""Counting what comes too often to be written each time: the first at once, then one sum for each minute. Pure.

A flood of the same thing is one line a minute. Bounded: beyond 200 different things at a time, they are counted as one.
"""

from collections.abc import Hashable

PERIOD = 60.0
"""Seconds between two sums of one thing."""
MOST_KEYS = 200
OTHERS = "others"
"""The key of what there is no place for."""


class Tallies[K: Hashable]:
    """How often each thing came since it was last told."""

    def __init__(self) -> None:
        self._counts: dict[K | str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, key: K, count: int = 1) -> bool:
        """Count one thing; whether it is to be told at once, as it has not come in this period."""
        if key in self._counts:
            self._counts[key] += count
            return False
        if len(self._counts) >= MOST_KEYS:
            self._counts[OTHERS] = self._counts.get(OTHERS, 0) + count
            return False
        self._counts[key] = 0
        return True

    def sums(self) -> list[tuple[K | str, int]]:
        """What came since the last sums, and a new period; what did not come in this one is new when it comes again."""
        told = [(key, count) for key, count in self._counts.items() if count]
        self._counts = {key: 0 for key, _ in told if key != OTHERS}
        return told
