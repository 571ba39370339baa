"""Accounts now: what was spent, what is set aside, what may be spent. Looked up when somebody asks."""

from typing import ClassVar

from planaria.cortex.live.table import Row, Table
from planaria.immune.ledger.account_views import AccountView, account_views
from planaria.immune.ledger.ledger import accounts_of
from planaria.nerve.live.projected import Projected
from planaria.otp import Node

MOST = 2000


class AccountRow(Row, frozen=True):
    """One account; `key` is its name.

    Attributes:
        kind: `garden`, `agent`, `room`, `provider`, `session`, `run`, `turn`.
        under: the account above it; empty for the garden.
        micro_usd, tokens, calls, seconds: spent today; of a turn, since it began.
        reserved_micro_usd: for calls under way.
        limit: the one that is nearest: `usd_per_day`; empty if there is none.
        share: spent and reserved of it, 0.0 to 1.0.
    """

    labels: ClassVar[tuple[str, ...]] = ("kind", "under", "limit")
    kind: str
    under: str = ""
    micro_usd: int = 0
    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0
    reserved_micro_usd: int = 0
    limit: str = ""
    share: float = 0.0


class AccountsNow(Projected):
    """Keeps the table `accounts`."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.table: Table[AccountRow] = Table("accounts", AccountRow, MOST, "what somebody may spend")
        self.table.refresh = self.refresh

    def refresh(self) -> None:
        """Look at every account; those beyond the limit count as evicted."""
        accounts = accounts_of(self.node)
        accounts.sweep()
        views = account_views(accounts.book)
        self.table.evicted = max(0, len(views) - MOST)
        self.table.replace_all({view.name: _row(view) for view in views[:MOST]})


def _row(view: AccountView) -> AccountRow:
    spent = view.ever if view.kind == "turn" else view.today
    nearest = max(view.limits, key=lambda limit: limit.share, default=None)
    return AccountRow(
        view.name,
        view.kind,
        view.under,
        spent.micro_usd,
        spent.tokens,
        spent.calls,
        round(spent.seconds, 3),
        view.reserved.micro_usd,
        "" if nearest is None else nearest.limit,
        0.0 if nearest is None else round(nearest.share, 4),
    )
