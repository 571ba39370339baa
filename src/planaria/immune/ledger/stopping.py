"""Who is stopped when a limit is passed: those whose calls under way spend from it; and what they are told."""

import msgspec

from planaria.immune.ledger.account import SECONDS, Account, Cap, wants
from planaria.immune.ledger.reserving import Exhausted, Reservation, moment, spoken, whose
from planaria.immune.ledger.spender import PROVIDER, TURN, agent_of


class OverLimit(msgspec.Struct, frozen=True):
    """To a session: a limit is passed that its turn spends from; it is to end at once.

    Attributes:
        turn: which is meant; another one goes on.
        words: for the room: which limit, and what gives more.
    """

    turn: str
    account: str
    limit: str
    words: str


def spending(open_: dict[Reservation, None], account: Account, cap: Cap) -> list[Reservation]:
    """Calls under way that spend what a limit is about, and were not told yet that it is passed.

    Those at a provider whose own limit it is are not meant: other providers may go on.
    """
    if account.name.startswith(PROVIDER):
        return []
    return [
        each
        for each in open_
        if not each.over
        and not each.told
        and account in each.chain.accounts
        and (cap.measure == SECONDS or wants(each.amount)[cap.measure] > 0)
    ]


def passed_words(why: Exhausted) -> str:
    """A limit that is passed while calls are under way, in a sentence."""
    spent, most = spoken(why.limit, why.spent), spoken(why.limit, why.most)
    roughly = " (what is being written is estimated)" if why.estimated else ""
    later = "" if why.until is None else f"; there is more from {moment(why.until)}"
    return (
        f"the budget of {whose(why.account)} is spent: {spent} of {most} {why.limit}{roughly}{later}. "
        f"`planaria budget set {limited(why.account)} {why.limit}=…` gives it more"
    )


def limited(account: str) -> str:
    """The account whose limits an account has: a turn's are its agent's."""
    return f"agent:{agent_of(account[len(TURN) :])}" if account.startswith(TURN) else account
