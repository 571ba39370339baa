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

The process `ledger` (`immune/ledger/keeper.py`) owns the accounts; where it does not run nothing is limited.
"""

from collections.abc import Callable

from planaria.config.budget import NO_LIMITS, BudgetSettings, Limits
from planaria.immune.amount import Amount
from planaria.immune.ledger.account import plain
from planaria.immune.ledger.account_path import AccountPath
from planaria.immune.ledger.book import Book
from planaria.immune.ledger.reserving import Exhausted, Reservation
from planaria.otp import Node, Pid
from planaria.otp.kernel.process import running

__all__ = ["AccountPath", "Accounts", "Amount", "Exhausted", "Reservation", "accounts_of"]

OWNER = "ledger"
"""Registered name of the process that owns the accounts."""


class Accounts:
    """All accounts of a node.

    Args:
        book: what is spent and held.
        clock: unix seconds.
        refused: called with each refusal and who was refused.
    """

    def __init__(
        self,
        book: Book,
        clock: Callable[[], float],
        refused: Callable[[Exhausted, AccountPath], object] = lambda exhausted, path: None,
    ) -> None:
        self.book = book
        self._clock = clock
        self._refused = refused

    def reserve(self, path: AccountPath, amount: Amount) -> Reservation | Exhausted:
        """Set aside what a call may cost at most, at every account above it, or at none.

        Args:
            amount: 1 call and what is known of the rest; 0 asks for nothing of that measure.
        """
        self._today()
        held = self.book.reserve(path, amount, running.process)
        if isinstance(held, Exhausted):
            if self.sweep():
                held = self.book.reserve(path, amount, running.process)
            if isinstance(held, Exhausted):
                self._refused(held, path)
        return held

    def settle(self, reservation: Reservation, amount: Amount | None = None) -> None:
        """The call is over and its end is in the journal. Once; a second time changes nothing.

        Args:
            amount: what it cost. For whoever reads along; the journal's word counts.
        """
        self.book.settle(reservation)

    def streamed(self, reservation: Reservation, amount: Amount) -> Exhausted | None:
        """The call is under way and has cost so much so far, estimated.

        Whoever spends from a limit that is passed is told to stop by the owner of the accounts, this one, too.

        Returns:
            The limit of its provider, if that is passed: of it nobody is told, as others may be asked.
        """
        return self.book.streamed(reservation, amount.micro_usd, amount.tokens)

    def over(self, reservation: Reservation) -> None:
        """The call has ended, and that is on its way into the journal; then `settle`."""
        self.book.over(reservation)

    def end(self, reservation: Reservation, call_id: str) -> None:
        """A tool call is over; what is held for it is let go of when its `tool.finished` is in the journal.

        For those who write that later, or leave it to others; in between the call counts as held.
        """
        self.book.end(reservation, call_id)

    def release(self, reservation: Reservation) -> None:
        """The call was not made."""
        self.book.settle(reservation)

    def left(self, path: AccountPath) -> dict[str, float]:
        """What the tightest account leaves, by measure: `usd`, `tokens`, `calls`, `seconds`; those with a limit."""
        self._today()
        self.sweep()
        found = self.book.left(path)
        return {name: plain(cap.measure, rest) for name, (rest, _, cap) in found.items()}

    def open_child(self, parent: AccountPath, child: str, limits: Limits | None = None) -> Limits | Exhausted:
        """Set a slice of a turn's budget aside for a sub-agent, from its start to its end.

        The slice is nobody else's: neither the parent nor its other children can spend it. It lasts until
        `child.finished` is in the journal, or `close_child`; write what comes back as the `budget` of `child.asked`,
        so that it is the same after a restart.

        Args:
            child: the stream of the child, `<parent's>/<name>`.
            limits: `usd`, `tokens`, `calls`, `seconds` that are wanted; what is not named gets half of what is left.
        Returns:
            The slice, which may be less than was wanted; or why there is none: too deep, too many, nothing left.
        """
        self._today()
        self.sweep()
        slice_ = self.book.allot(parent, child, limits or NO_LIMITS)
        if isinstance(slice_, Exhausted):
            self._refused(slice_, parent)
        else:
            self.book.adopt(child, parent.session, parent.turn, slice_)
        return slice_

    def close_child(self, child: str) -> None:
        """The child is over, or never began: what is left of its slice is its parent's again."""
        self.book.part(child)

    def sweep(self) -> int:
        """Let go of what dead processes hold; how many reservations that were."""
        gone = [each for each in self.book.open if isinstance(each.holder, Pid) and not each.holder.alive]
        for each in gone:
            self.book.settle(each)
        return len(gone)

    def _today(self) -> None:
        now = self._clock()
        if not self.book.day_starts <= now < self.book.day_ends:
            self.book.begin_day(now)


class _NoAccounts(Accounts):
    """Of a node that keeps none."""

    def streamed(self, reservation: Reservation, amount: Amount) -> Exhausted | None:
        return None

    def over(self, reservation: Reservation) -> None:
        pass

    def reserve(self, path: AccountPath, amount: Amount) -> Reservation | Exhausted:
        return Reservation(path, amount)

    def end(self, reservation: Reservation, call_id: str) -> None:
        pass

    def left(self, path: AccountPath) -> dict[str, float]:
        return {}

    def open_child(self, parent: AccountPath, child: str, limits: Limits | None = None) -> Limits | Exhausted:
        return limits or NO_LIMITS

    def close_child(self, child: str) -> None:
        pass


_NONE = _NoAccounts(Book(BudgetSettings()), lambda: 0.0)


def accounts_of(node: Node) -> Accounts:
    """The accounts of a node, to be used at once; in one whose owner does not run nothing is limited."""
    owner = node.names.get(OWNER)
    table = None if owner is None else node.tables.get(owner)
    return table if isinstance(table, Accounts) else _NONE
