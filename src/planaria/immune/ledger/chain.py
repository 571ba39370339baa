"""The accounts one call is charged to, ready to be gone through: what a reservation looks at, before every call.

Made once for a session, turn and provider, and kept as long as neither limits nor children change. Lists in it are the
accounts' own, so they are current; only accounts with limits take note of what is held.
"""

from planaria.immune.ledger.account import SECONDS, Account, Cap, Four

type Gate = tuple[int, Four, Four, float, float, Account, Cap]
"""Measure, what is spent of it, what is held, the limit, the part from which on people are warned, whose it is."""


class Chain:
    """See the module.

    Attributes:
        accounts: all that are charged, nearest first.
        sliced: whether one of them has children with a part to themselves.
    """

    __slots__ = ("_gates", "_holds", "_runs", "accounts", "sliced")

    def __init__(self, accounts: tuple[Account, ...], soft: float) -> None:
        self.accounts = accounts
        self.sliced = any(account.slices for account in accounts)
        self._holds = tuple(account.held for account in accounts if account.caps)
        self._runs = tuple(account.running for account in accounts if account.caps)
        self._gates: tuple[Gate, ...] = tuple(
            (
                cap.measure,
                account.day if cap.daily else account.life,
                account.held,
                cap.most,
                soft * cap.most,
                account,
                cap,
            )
            for account in accounts
            for cap in account.caps
        )

    def refusal(self, wanted: tuple[float, float, float, float]) -> tuple[Account, Cap] | None:
        """The first limit that does not allow this; None if all do."""
        for measure, spent, held, most, _, account, cap in self._gates:
            want = wanted[measure]
            if want or measure == SECONDS:
                gone = spent[measure] + held[measure] + want
                if self.sliced:
                    gone += account.aside(measure, self.accounts)
                if gone > most or (not want and gone >= most):
                    return account, cap
        return None

    def hold(self, wanted: tuple[float, float, float, float], sign: int = 1) -> None:
        """Count this as spent, or no longer."""
        micro, tokens, calls, seconds = wanted
        for held in self._holds:
            if micro:
                held[0] += sign * micro
            if tokens:
                held[1] += sign * tokens
            if calls:
                held[2] += sign * calls
            if seconds:
                held[3] += sign * seconds

    def run(self, micro: int, tokens: int) -> None:
        """Answers being written are taken to have cost so much more; below zero: that is spent now, or nobody's."""
        for running in self._runs:
            running[0] += micro
            running[1] += tokens

    def passed(self) -> list[tuple[Account, Cap]]:
        """The limits of which everything is spent, what is being written included."""
        return [
            (account, cap)
            for measure, spent, _, most, _, account, cap in self._gates
            if spent[measure] + account.under_way(measure) >= most
        ]

    def guess(self, micro: int, tokens: int, today: bool) -> None:
        """So much of what is spent is estimated; see `Account.guess`."""
        for account in self.accounts:
            account.guess(micro, tokens, today)

    def charge(
        self, spent: tuple[float, float, float, float], today: bool, at: float
    ) -> list[tuple[Account, Cap]]:
        """Count this as spent for good; the limits of which the soft part is gone and nobody was told."""
        micro, tokens, calls, seconds = spent
        for account in self.accounts:
            if not account.began:
                account.began = at
            life = account.life
            life[0] += micro
            life[1] += tokens
            life[2] += calls
            life[3] += seconds
            if today:
                day = account.day
                day[0] += micro
                day[1] += tokens
                day[2] += calls
                day[3] += seconds
        near = []
        for measure, gone, _, _, warn, account, cap in self._gates:
            if gone[measure] >= warn and cap.limit not in account.told:
                account.told.add(cap.limit)
                near.append((account, cap))
        return near
