"""One account: what was spent today and in its whole life, what is set aside, and its limits."""

import msgspec

from planaria.config.budget import Limits
from planaria.immune.amount import Amount
from planaria.immune.ledger.account_path import AccountPath

USD, TOKENS, CALLS, SECONDS = range(4)
MEASURES = ("usd", "tokens", "calls", "seconds")
MICRO = 1_000_000

type Four = list[float]
"""Millionths of a dollar, tokens, calls, seconds; all but the seconds are whole numbers."""


class Cap(msgspec.Struct, frozen=True):
    """One limit of an account.

    Attributes:
        limit: its name: `usd_per_day`.
        measure: place in `Four`.
        daily: whether it is about today, else about the account's life.
        most: in the measure's own unit, millionths of a dollar.
    """

    limit: str
    measure: int
    daily: bool
    most: float


class Account(msgspec.Struct, eq=False):
    """See the module.

    Attributes:
        name: `garden`, `agent:scout`, `room:garden`, `provider:openai`, `session:scout@garden`, `run:<id>`,
            `turn:<session>#<turn>`.
        day, life: spent today, and since there is the account.
        held: set aside for calls under way, those of its children included; kept only by an account with limits.
        running: micro-dollars and tokens that answers being written are taken to have cost so far; as `held`.
        guessed: of `day` and `life`, the part that is estimated: micro-dollars and tokens of each.
        caps: its limits, from whatever they were said in; `limits` are those.
        slices: accounts of children who have a part of this one's budget to themselves.
        parent: of a child's session: whose slice it has; `turn` the turn there, as an account.
        agent: of a child's session: who the child is.
        began: unix seconds of the first thing it spent.
        children: of a turn: how many it has started.
        paths: of a turn: those chains of accounts are kept for.
        told: limits people were told of, `warned` or `exhausted`, since the last change.
    """

    name: str
    kind: str
    day: Four = msgspec.field(default_factory=lambda: [0, 0, 0, 0.0])
    life: Four = msgspec.field(default_factory=lambda: [0, 0, 0, 0.0])
    held: Four = msgspec.field(default_factory=lambda: [0, 0, 0, 0.0])
    running: list[int] = msgspec.field(default_factory=lambda: [0, 0])
    guessed: list[int] | None = None
    caps: tuple[Cap, ...] = ()
    limits: Limits = Limits()
    slices: dict[str, "Account"] | None = None
    parent: str = ""
    turn: str = ""
    agent: str = ""
    began: float = 0.0
    children: int = 0
    paths: list[AccountPath] = msgspec.field(default_factory=list)
    told: set[str] = msgspec.field(default_factory=set)

    def limit(self, limits: Limits) -> None:
        """From now on these are its limits."""
        self.limits = limits
        caps = caps_of(self.kind, limits)
        if caps != self.caps:
            self.caps = caps
            self.told.clear()

    def used(self, cap: Cap) -> float:
        """Spent of a limit."""
        return (self.day if cap.daily else self.life)[cap.measure]

    def guess(self, micro: int, tokens: int, today: bool) -> None:
        """So much of what is spent is estimated, or, below zero, no longer."""
        if self.guessed is None:
            self.guessed = [0, 0, 0, 0]
        guessed = self.guessed
        if today:
            guessed[0] += micro
            guessed[1] += tokens
        guessed[2] += micro
        guessed[3] += tokens

    def estimated(self, cap: Cap) -> int:
        """Of what is spent of a limit, the part that is estimated."""
        if self.guessed is None or cap.measure > TOKENS:
            return 0
        return self.guessed[cap.measure if cap.daily else 2 + cap.measure]

    def under_way(self, measure: int) -> int:
        """What answers being written are taken to have cost so far."""
        return self.running[measure] if measure <= TOKENS else 0

    def aside(self, measure: int, chain: tuple["Account", ...]) -> float:
        """What children who are not in `chain` have to themselves and have not spent yet."""
        if not self.slices:
            return 0
        return sum(
            max(0, cap.most - each.life[measure] - each.held[measure])
            for each in self.slices.values()
            if each not in chain
            for cap in each.caps
            if cap.measure == measure and not cap.daily
        )


def caps_of(kind: str, limits: Limits) -> tuple[Cap, ...]:
    """The limits that are about an account of this kind: a turn's are those per turn, all others' the rest."""
    found = []
    for limit, most in limits.given().items():
        measure, _, time = limit.partition("_per_")
        if measure in MEASURES and (time == "turn") == (kind == "turn"):
            place = MEASURES.index(measure)
            found.append(Cap(limit, place, time == "day", round(most * MICRO) if place == USD else most))
    return tuple(found)


def wants(amount: Amount) -> tuple[float, float, float, float]:
    """An amount by measure."""
    return (amount.micro_usd, amount.tokens, amount.calls, amount.seconds)


def amount(four: Four) -> Amount:
    """Spent measures as an amount."""
    return Amount(int(four[USD]), int(four[TOKENS]), int(four[CALLS]), four[SECONDS])


def plain(measure: int, value: float) -> float:
    """A value as people say it: dollars, not millionths."""
    return value / MICRO if measure == USD else value
