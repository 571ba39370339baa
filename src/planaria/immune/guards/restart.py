"""Restarts that change something: the reason a session was ended picks what its next process does otherwise. Pure.

A policy reads like a child specification, one rule for each cause, in the agent's record:

    restart:
      - {on: loop, do: amend, say: "Answer from what you have.", then: [fresh, ask], limit: 3, within: 3600}
      - {on: provider, do: reroute, then: [ask]}

or in Python: `RestartPolicy().on("loop").amend("Answer from what you have.").then("fresh", "ask")`.
The first time a turn is ended for a cause its rule's `do` is taken, the next time the next of `then`, the last of them
as long as the limit allows; after the limit it is given up.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

type Cause = Literal["loop", "stall", "fan_out", "context", "budget", "provider", "crash", "circle"]
"""Why a session is ended: its thoughts go in circles; nothing comes of what it does; it starts too much at once; its
context is full; its money is spent; no model answers; its work crashed too often; turn follows turn without a person
and without coming anywhere."""
type Mode = Literal["resume", "fresh", "amend", "reroute", "ask", "give_up"]
"""What changes: nothing (the turn goes on where it stood); the steps so far give way to a hand-off note; an instruction
is added; another model answers; a person decides; the turn ends with a notice."""

CAUSES: tuple[Cause, ...] = get_args(Cause.__value__)
MODES: tuple[Mode, ...] = get_args(Mode.__value__)
MOST_RESTARTS = 8
"""Times one turn may be ended and begun again, whatever the causes."""


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is done about one cause.

    Attributes:
        on: the cause.
        do: the mode of the first restart.
        say: the instruction that `amend` adds; empty for the guard's own words.
        then: the modes of those after it.
        limit: restarts for this cause in one turn; then it is given up.
        within: seconds after which one is no longer counted.
    """

    on: Cause
    do: Mode
    say: str = ""
    then: tuple[Mode, ...] = ()
    limit: int = 3
    within: float = 3600.0


class Past(msgspec.Struct, frozen=True):
    """A restart that a turn has behind it; `at` in unix seconds."""

    cause: Cause
    mode: Mode
    at: float


class Choice(msgspec.Struct, frozen=True):
    """What is to be done about a cause.

    Attributes:
        say: the instruction to add, if the rule has one.
        number, limit: the how-manieth restart for this cause this is, of how many.
        why: how the mode was come to, for people.
    """

    mode: Mode
    say: str
    number: int
    limit: int
    why: str


DEFAULTS: tuple[Rule, ...] = (
    Rule("loop", "amend", then=("fresh", "ask")),
    Rule("stall", "amend", then=("fresh", "ask")),
    Rule("fan_out", "amend", limit=2),
    Rule("context", "fresh", limit=5),
    Rule("budget", "give_up"),
    Rule("provider", "give_up"),
    Rule("crash", "give_up"),
    Rule("circle", "ask"),
)
"""The rules of who declares none."""


class RestartPolicy(msgspec.Struct, frozen=True):
    """One rule for each cause; where there is none, the default."""

    rules: tuple[Rule, ...] = ()

    def rule(self, cause: Cause) -> Rule:
        """The rule for a cause."""
        return next(each for each in (*self.rules, *DEFAULTS) if each.on == cause)

    def on(self, cause: Cause) -> "Draft":
        """Begin a rule; what follows says what it does."""
        return Draft(self, cause)

    def then(self, *modes: Mode) -> "RestartPolicy":
        """Let the rule that was added last go on with these."""
        last = msgspec.structs.replace(self.rules[-1], then=(*self.rules[-1].then, *modes))
        return RestartPolicy((*self.rules[:-1], last))

    def limit(self, number: int, within: float = 3600.0) -> "RestartPolicy":
        """Bound the rule that was added last."""
        last = msgspec.structs.replace(self.rules[-1], limit=number, within=within)
        return RestartPolicy((*self.rules[:-1], last))


class Draft(msgspec.Struct, frozen=True):
    """A rule whose cause is known."""

    policy: RestartPolicy
    cause: Cause

    def do(self, mode: Mode, say: str = "") -> RestartPolicy:
        """Restart in this mode."""
        kept = tuple(rule for rule in self.policy.rules if rule.on != self.cause)
        return RestartPolicy((*kept, Rule(self.cause, mode, say)))

    def amend(self, say: str = "") -> RestartPolicy:
        """Add an instruction; without one the guard says what it saw."""
        return self.do("amend", say)


def choose(policy: RestartPolicy, cause: Cause, history: Sequence[Past], now: float) -> Choice:
    """What to do about a cause. Pure: equal arguments, equal answer.

    Args:
        history: the restarts of the same turn, oldest first.
        now: unix seconds.
    """
    rule = policy.rule(cause)
    before = sum(past.cause == cause and past.at > now - rule.within for past in history)
    ladder = (rule.do, *rule.then)
    if before >= rule.limit:
        why = f"{before} restarts for {cause} were allowed, and are used up"
        return Choice("give_up", "", before + 1, rule.limit, why)
    if len(history) >= MOST_RESTARTS:
        why = f"the turn was restarted {len(history)} times"
        return Choice("give_up", "", before + 1, rule.limit, why)
    mode = ladder[min(before, len(ladder) - 1)]
    why = f"restart {before + 1} of {rule.limit} for {cause}"
    return Choice(mode, rule.say if mode == "amend" else "", before + 1, rule.limit, why)


def read_policy(value: object) -> RestartPolicy:
    """A policy as a record declares it: a list of rules.

    Raises:
        ValueError: it is none; the text says what is wrong and what to write.
    """
    if not isinstance(value, list):
        raise ValueError("restart must be a list of rules such as {on: loop, do: amend, then: [ask]}")
    return RestartPolicy(tuple(_rule(each) for each in value))


def _rule(value: object) -> Rule:
    if not isinstance(value, Mapping):
        raise ValueError(f"a rule is a mapping such as {{on: loop, do: amend}}, not {value!r}")
    given: dict[Any, Any] = {("on" if key is True else key): each for key, each in value.items()}
    try:
        rule = msgspec.convert(given, Rule, strict=False)
    except msgspec.ValidationError as error:
        raise ValueError(
            f"{error}; causes: {', '.join(CAUSES)}; modes: {', '.join(MODES)}; further keys: say, then, limit, within"
        ) from error
    if rule.limit < 0 or rule.within <= 0:
        raise ValueError("limit must be 0 or more restarts, within more than 0 seconds")
    return rule
