"""Breakers now: which way out is closed, and since when. None exist yet, so the table has no rows."""

from typing import ClassVar

from planaria.cortex.live.table import Row, Table
from planaria.nerve.live.projected import Projected


class BreakerRow(Row, frozen=True):
    """One breaker.

    Attributes:
        guards: what it stands before: a provider, a host, a tool.
        state: `closed` (all passes), `open` (nothing does), `half_open` (one call tries).
        since: unix seconds.
        failures: in a row.
        last_error: of the last failure.
    """

    labels: ClassVar[tuple[str, ...]] = ("guards", "state")
    guards: str
    state: str = "closed"
    since: float = 0.0
    failures: int = 0
    last_error: str = ""


class Breakers(Projected):
    """Keeps the table `breakers`."""

    def __init__(self) -> None:
        super().__init__()
        self.table: Table[BreakerRow] = Table(
            "breakers", BreakerRow, 1000, "what guards a way out; none exist yet"
        )
