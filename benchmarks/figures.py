"""What many measurements come to: a median and its spread, and how two that were measured in turn compare."""

import statistics
from typing import Any

type Figure = dict[str, Any]
"""`median`, `low` and `high` over the rounds, `unit`, `rounds`; of many values a round also `p99`, its own median."""

MANY = 50
"""Values in one round from which on it has a p99."""


def quantile(values: list[float], part: float) -> float:
    """The value below which `part` (0..1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def figure(rounds: list[list[float]], unit: str) -> Figure:
    """Median over the rounds of each round's median; low and high are the lowest and the highest round."""
    medians = [statistics.median(values) for values in rounds]
    told: Figure = {"median": statistics.median(medians), "low": min(medians), "high": max(medians)}
    if all(len(values) >= MANY for values in rounds):
        told |= _of_tails([quantile(values, 0.99) for values in rounds])
    return _rounded(told) | {"unit": unit, "rounds": len(rounds)}


def ratio(ours: list[list[float]], theirs: list[list[float]]) -> Figure:
    """Ours to theirs, round by round: rounds follow each other closely, so what disturbs one disturbs both."""
    pairs = list(zip(ours, theirs, strict=False))
    ratios = [statistics.median(one) / statistics.median(other) for one, other in pairs]
    told: Figure = {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}
    if all(min(len(one), len(other)) >= MANY for one, other in pairs):
        told |= _of_tails([quantile(one, 0.99) / quantile(other, 0.99) for one, other in pairs])
    return _rounded(told) | {"unit": "x", "rounds": len(ratios)}


def _of_tails(tails: list[float]) -> Figure:
    return {"p99": statistics.median(tails), "p99_low": min(tails), "p99_high": max(tails)}


def _rounded(told: Figure) -> Figure:
    """Four figures that count: what lies beyond is noise."""
    return {key: float(f"{value:.4g}") for key, value in told.items()}


def number(value: float) -> str:
    """Three figures that count, no exponent."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
