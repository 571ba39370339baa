"""Setting aside what a call may cost: who asks, what it gets, and why it gets nothing."""

from datetime import UTC, datetime

import msgspec

from planaria.immune.amount import Amount
from planaria.immune.ledger.account_path import AccountPath
from planaria.immune.ledger.chain import Chain


class Exhausted(msgspec.Struct, frozen=True):
    """There is not enough left.

    Attributes:
        account: whose limit is met: `agent:scout`, `garden`.
        limit: its name: `usd_per_day`, `children`.
        most: the limit; `spent` and `reserved` of it are gone, `wanted` was asked for. Dollars, tokens, calls, seconds.
        until: unix seconds from which on there is more; None if never.
        estimated: of `spent`, what calls under way are taken to have cost so far.
    """

    account: str
    limit: str
    most: float
    spent: float
    reserved: float = 0.0
    wanted: float = 0.0
    until: float | None = None
    estimated: float = 0.0

    def __str__(self) -> str:
        if self.limit in ("depth", "children"):
            return f"{whose(self.account)} may have no more: its limit {self.limit} is {self.most:g}"
        most, spent, reserved, wanted = (
            spoken(self.limit, value) for value in (self.most, self.spent, self.reserved, self.wanted)
        )
        text = (
            f"the budget of {whose(self.account)} does not allow it: {spent} of {most} {self.limit} are spent"
        )
        if self.reserved:
            text += f", {reserved} are set aside for calls under way"
        if self.wanted:
            text += f", this may cost {wanted}"
        return text if self.until is None else f"{text}; there is more from {moment(self.until)}"


def whose(account: str) -> str:
    """An account as people read it: a turn's name would tell them nothing."""
    return "this turn" if account.startswith("turn:") else account


def spoken(limit: str, value: float) -> str:
    """An amount in the words of its limit: dollars to the cent or finer, whole numbers else."""
    if not limit.startswith("usd"):
        return f"{value:,.0f}"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.6f}".rstrip("0").ljust(5, "0")


def moment(at: float) -> str:
    """A time for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


NOBODY = Chain((), 1.0)
"""Where nobody keeps accounts."""


class Reservation:
    """What is set aside for one call, at the accounts of `chain`, by the process `holder`.

    Attributes:
        streamed: micro-dollars and tokens it is taken to have cost as far as it has come.
        over: whether the call has ended, though that is not in the journal yet.
        told: whether its session was told that a limit is passed.
    """

    __slots__ = ("amount", "chain", "holder", "over", "path", "streamed", "told")

    def __init__(
        self, path: AccountPath, amount: Amount, holder: object = None, chain: Chain = NOBODY
    ) -> None:
        self.path = path
        self.amount = amount
        self.holder = holder
        self.chain = chain
        self.streamed: tuple[int, int] = (0, 0)
        self.over = self.told = False
