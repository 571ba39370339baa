"""Counters and histograms that are cheap to feed: a dictionary look-up and an addition; made into families when read.

Labels have few values: `Capped` lets the first names through and calls all others `other`.
"""

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily

type Labels = tuple[str, ...]

OTHER = "other"


class Capped:
    """Names as values of a label: at most `most` different ones, the first that come."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """The name, or `other`."""
        if name in self._known:
            return name
        if len(self._known) < self.most and name:
            self._known.add(name)
            return name
        return OTHER


class Tally:
    """Numbers that only grow.

    Args:
        name: without `_total`.
        about: for people.
        labels: their names.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str] = ()) -> None:
        self.name = name
        self.about = about
        self.labels = tuple(labels)
        self.values: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count."""
        self.values[labels] = self.values.get(labels, 0.0) + by

    def family(self) -> CounterMetricFamily:
        """As Prometheus has it."""
        family = CounterMetricFamily(self.name, self.about, labels=self.labels)
        for labels, value in self.values.items():
            family.add_metric(labels, value)
        if not self.labels and not self.values:
            family.add_metric((), 0.0)
        return family


class Histogram:
    """How often values lay between bounds, and their sum.

    Args:
        bounds: upper ones, growing; a last bucket takes the rest.
    """

    def __init__(self, name: str, about: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self.name = name
        self.about = about
        self.bounds = tuple(bounds)
        self.labels = tuple(labels)
        self.counts: dict[Labels, list[int]] = {}
        self.sums: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Take one value in."""
        counts = self.counts.get(labels)
        if counts is None:
            counts = self.counts[labels] = [0] * (len(self.bounds) + 1)
            self.sums[labels] = 0.0
        counts[bisect_left(self.bounds, value)] += 1
        self.sums[labels] += value

    def family(self) -> HistogramMetricFamily:
        """As Prometheus has it."""
        family = HistogramMetricFamily(self.name, self.about, labels=self.labels)
        for labels, counts in self.counts.items():
            total, buckets = 0, []
            for bound, number in zip((*map(_bound, self.bounds), "+Inf"), counts, strict=True):
                total += number
                buckets.append((bound, float(total)))
            family.add_metric(labels, buckets, self.sums[labels])
        return family


def _bound(value: float) -> str:
    return str(float(value))
