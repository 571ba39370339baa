"""What may still be spent, for whoever is about to spend: reserve before, settle after. No message, no waiting.

    accounts = accounts_of(self_().node)
    path = AccountPath(desk.session, turn.id, provider="openai")
    held = accounts.reserve(path, Amount(micro_usd=1200, tokens=5000, calls=1))
    if isinstance(held, Exhausted): ...                # a sentence for people: str(held)
    ...                                                # the call; its end goes into the journal
    accounts.settle(held)                              # after that: what was spent is read from the journal itself

A reservation is what a call may cost at most; it counts as spent until it is settled. What was spent is the fold of
the journal's `model.responded`, `model.failed` and `tool.finished`, so it is exact after any crash and nothing is
counted twice; settle after the end of the call is in the journal, or for a moment it counts nowhere. Reservations
are in memory: those of a process that has died are let go of.

The process `ledger` (`immune/ledger_keeper.py`) owns the accounts; where it does not run nothing is limited.
"""

from datetime import UTC, datetime

import msgspec

from planaria.config.budget import Limits
from planaria.immune.amount import Amount
from planaria.otp import Node, Pid

OWNER = "ledger"
"""Registered name of the process that owns the accounts."""


class AccountPath(msgspec.Struct, frozen=True):
    """Who spends: every account above is charged, too.

    Attributes:
        session: the stream the call is noted in: `session:scout@garden`, `run:<id>`. Its name tells agent and room.
        turn: the turn it belongs to; empty if none.
        provider: of a model call; empty for a tool.
    """

    session: str
    turn: str = ""
    provider: str = ""


class Exhausted(msgspec.Struct, frozen=True):
    """There is not enough left.

    Attributes:
        account: whose limit is met: `agent:scout`, `garden`.
        limit: its name: `usd_per_day`, `children`.
        most: the limit; `spent` and `reserved` of it are gone, `wanted` was asked for. Dollars, tokens, calls, seconds.
        until: unix seconds from which on there is more; None if never.
    """

    account: str
    limit: str
    most: float
    spent: float
    reserved: float = 0.0
    wanted: float = 0.0
    until: float | None = None

    def __str__(self) -> str:
        if self.limit in ("depth", "children"):
            return f"{self.account} may have no more: its limit {self.limit} is {self.most:g}"
        most, spent, reserved, wanted = (
            spoken(self.limit, value) for value in (self.most, self.spent, self.reserved, self.wanted)
        )
        text = f"the budget of {self.account} does not allow it: {spent} of {most} {self.limit} are spent"
        if self.reserved:
            text += f", {reserved} are set aside for calls under way"
        if self.wanted:
            text += f", this may cost {wanted}"
        return text if self.until is None else f"{text}; there is more from {moment(self.until)}"


def spoken(limit: str, value: float) -> str:
    """An amount in the words of its limit: dollars to the cent or finer, whole numbers else."""
    if not limit.startswith("usd"):
        return f"{value:,.0f}"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.6f}".rstrip("0").ljust(5, "0")


def moment(at: float) -> str:
    """A time for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


class Reservation:
    """What is set aside for one call."""

    __slots__ = ("amount", "holder", "path")

    def __init__(self, path: AccountPath, amount: Amount, holder: Pid | None) -> None:
        self.path = path
        self.amount = amount
        self.holder = holder


class Accounts:
    """All accounts of a node."""

    def reserve(self, path: AccountPath, amount: Amount) -> Reservation | Exhausted:
        """Set aside what a call may cost at most, at every account above it, or at none.

        Args:
            amount: 1 call and what is known of the rest; 0 asks for nothing of that measure.
        """
        return Reservation(path, amount, None)

    def settle(self, reservation: Reservation, amount: Amount | None = None) -> None:
        """The call is over and its end is in the journal. Once; a second time changes nothing.

        Args:
            amount: what it cost. For whoever reads along; the journal's word counts.
        """

    def release(self, reservation: Reservation) -> None:
        """The call was not made."""

    def left(self, path: AccountPath) -> dict[str, float]:
        """What the tightest account leaves, by measure: `usd`, `tokens`, `calls`, `seconds`; those with a limit."""
        return {}

    def open_child(self, parent: AccountPath, child: str, limits: Limits | None = None) -> Limits | Exhausted:
        """Set a slice of a turn's budget aside for a sub-agent, from its start to its end.

        The slice is nobody else's: neither the parent nor its other children can spend it. Append `allotted(...)` of
        what comes back together with the event that says that the child was started.

        Args:
            child: the session of the child.
            limits: `usd`, `tokens`, `calls`, `seconds` that are wanted; what is not named gets half of what is left.
        Returns:
            The slice, which may be less than was wanted; or why there is none: too deep, too many, nothing left.
        """
        return limits or Limits()

    def close_child(self, child: str) -> None:
        """The child is over: what is left of its slice is its parent's again."""


_NONE = Accounts()


def accounts_of(node: Node) -> Accounts:
    """The accounts of a node, to be used at once; in one whose owner does not run nothing is limited."""
    owner = node.names.get(OWNER)
    table = None if owner is None else node.tables.get(owner)
    return table if isinstance(table, Accounts) else _NONE
