"""Breakers now: what is called, how it does, and what is held back. Looked up when somebody asks."""

from typing import ClassVar

from planaria.cortex.live.table import Row, Table
from planaria.immune.breakers.keeper import BreakerView, breaker_views
from planaria.immune.breakers.table import breakers_of
from planaria.nerve.live.projected import Projected
from planaria.otp import Node

MOST = 1000


class BreakerRow(Row, frozen=True):
    """One breaker; `key` is its name.

    Attributes:
        guards: what it stands before: `tool`, `provider`, `mcp`, `gateway`.
        state: `closed` (all passes), `open` (nothing does), `half_open` (one call tries, or may).
        since: unix seconds of the last change; 0.0 if there was none.
        until: of an open one: unix seconds until one call may try; None until a person closes it.
        failures: in a row.
        calls, failed: of the window of its policy.
        last_error: of the last failure, or a person's word.
    """

    labels: ClassVar[tuple[str, ...]] = ("guards", "state")
    guards: str
    state: str = "closed"
    since: float = 0.0
    until: float | None = None
    failures: int = 0
    calls: int = 0
    failed: int = 0
    last_error: str = ""


class Breakers(Projected):
    """Keeps the table `breakers`."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.table: Table[BreakerRow] = Table("breakers", BreakerRow, MOST, "what guards a way out")
        self.table.refresh = self.refresh

    def refresh(self) -> None:
        """Look at every breaker; those that are not closed are kept before others."""
        views = breaker_views(breakers_of(self.node), self.node.clock.wall())
        self.table.evicted = max(0, len(views) - MOST)
        self.table.replace_all({view.name: _row(view) for view in views[:MOST]})


def _row(view: BreakerView) -> BreakerRow:
    until = view.until if view.state != "closed" else None
    return BreakerRow(
        view.name,
        view.guards,
        view.state,
        view.since,
        until,
        view.failures,
        view.calls,
        view.failed,
        view.why[:200],
    )
