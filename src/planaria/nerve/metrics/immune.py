"""Figures of breakers and budgets, looked up at a scrape. No label holds a name: there may be many."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily, Metric

from planaria.immune.breakers.keeper import breaker_views
from planaria.immune.breakers.table import breakers_of
from planaria.immune.ledger.ledger import accounts_of
from planaria.otp import Node

MICRO = 1_000_000
STATES = ("closed", "open", "half_open")


def immune_figures(node: Node) -> Iterator[Metric]:
    """Asked by the collector of a scrape."""
    breakers = GaugeMetricFamily(
        "planaria_breakers", "Breakers by what they guard and how they stand.", labels=("guards", "state")
    )
    found: Counter[tuple[str, str]] = Counter(
        (view.guards, view.state) for view in breaker_views(breakers_of(node), node.clock.wall())
    )
    for guards in sorted({guards for guards, _ in found}):
        for state in STATES:
            breakers.add_metric((guards, state), found[guards, state])
    yield breakers
    book = accounts_of(node).book
    garden = book.garden
    yield _dollars("planaria_budget_spent_today_dollars", "What the garden has spent today.", garden.day[0])
    yield _dollars("planaria_budget_reserved_dollars", "Set aside for calls under way.", garden.held[0])
    for cap in garden.caps:
        if cap.limit == "usd_per_day":
            yield _dollars("planaria_budget_limit_dollars", "What the garden may spend today.", cap.most)
    full = sum(account.used(cap) >= cap.most for account in book.accounts.values() for cap in account.caps)
    yield GaugeMetricFamily(
        "planaria_budget_limits_met", "Limits that are spent, of all accounts.", value=full
    )
    waiting = "Calls that hold a reservation."
    yield GaugeMetricFamily("planaria_budget_reservations", waiting, value=len(book.open))


def _dollars(name: str, about: str, micro: float) -> Metric:
    return GaugeMetricFamily(name, about, value=micro / MICRO)
