"""Accounts for people: a tree, with what is spent, set aside and allowed. Pure."""

import msgspec

from planaria.immune.amount import Amount
from planaria.immune.ledger.account import MEASURES, Account, amount, plain
from planaria.immune.ledger.book import Book
from planaria.immune.ledger.spender import GARDEN, agent_of, parent_of


class LimitView(msgspec.Struct, frozen=True):
    """One limit; dollars, tokens, calls, seconds.

    Attributes:
        limit: `usd_per_day`.
        reserved: for calls under way, and slices of children that are not spent yet.
        until: unix seconds from which on there is more; None if never.
        estimated: the part of `spent` that no provider has told.
    """

    limit: str
    most: float
    spent: float
    reserved: float
    until: float | None = None
    estimated: float = 0.0

    @property
    def share(self) -> float:
        """Spent and reserved of the limit, 0.0 to 1.0."""
        gone = self.spent + self.reserved
        return min(1.0, gone / self.most) if self.most else 1.0


class AccountView(msgspec.Struct, frozen=True):
    """One account.

    Attributes:
        under: the account it stands below in the tree; empty for the garden.
        depth: below the garden.
        today, ever: spent; of a session, run or turn `ever` is since it began.
        reserved: for calls under way.
        began: unix seconds of the first thing it spent; 0.0 if nothing.
        set: limits people have set at run time.
        today_estimated, ever_estimated: the part of what is spent that no provider has told, of money and tokens.
    """

    name: str
    kind: str
    under: str
    depth: int
    today: Amount
    ever: Amount
    reserved: Amount
    limits: tuple[LimitView, ...] = ()
    began: float = 0.0
    set: dict[str, float] = {}
    today_estimated: Amount = Amount()
    ever_estimated: Amount = Amount()


def account_views(book: Book, which: str = "") -> tuple[AccountView, ...]:
    """All accounts, each followed by those below it; or one with those below it."""
    below: dict[str, list[Account]] = {}
    for account in book.accounts.values():
        if account.name != GARDEN:
            below.setdefault(_under(account, book), []).append(account)
    found: list[AccountView] = []
    held = book.reserved()
    todo = [(book.accounts[which or GARDEN], 0)] if (which or GARDEN) in book.accounts else []
    while todo:
        account, depth = todo.pop()
        found.append(account_view(book, account, depth, held.get(account.name, Amount())))
        inner = sorted(below.get(account.name, ()), key=_order, reverse=True)
        todo += [(each, depth + 1) for each in inner]
    return tuple(found)


def account_view(book: Book, account: Account, depth: int, held: Amount) -> AccountView:
    """One account as it stands."""
    limits = tuple(
        LimitView(
            cap.limit,
            plain(cap.measure, cap.most),
            plain(cap.measure, account.used(cap)),
            plain(cap.measure, account.held[cap.measure] + account.aside(cap.measure, (account,))),
            book.day_ends if cap.daily else None,
            plain(cap.measure, account.estimated(cap)),
        )
        for cap in account.caps
    )
    return AccountView(
        account.name,
        account.kind,
        "" if account.name == GARDEN else _under(account, book),
        depth,
        amount(account.day),
        amount(account.life),
        held,
        limits,
        account.began,
        book.set[account.name].given() if account.name in book.set else {},
        *_estimated(account),
    )


def _estimated(account: Account) -> tuple[Amount, Amount]:
    micro, tokens, ever_micro, ever_tokens = account.guessed or (0, 0, 0, 0)
    return Amount(micro, tokens), Amount(ever_micro, ever_tokens)


_KINDS = ("agent", "provider", "room", "session", "run", "turn")


def _under(account: Account, book: Book) -> str:
    name = account.name
    match account.kind:
        case "turn":
            above = name[len("turn:") :].rpartition("#")[0]
        case "session":
            above = parent_of(name) or f"agent:{agent_of(name)}"
        case _:
            above = GARDEN
    return above if above in book.accounts else GARDEN


def _order(account: Account) -> tuple[int, float, str]:
    place = _KINDS.index(account.kind) if account.kind in _KINDS else len(_KINDS)
    return (place, -account.day[MEASURES.index("usd")], account.name)
