"""Budgets: what may be spent, by whom, in what time: `[budget.garden]`, `[budget.agent]`, an agent's `budget:`.

    [budget]
    soft = 0.8                    # from this share of a limit on people are warned, once

    [budget.garden]               # all together
    usd_per_day = 20.0
    [budget.agent]                # each agent; its record may say otherwise
    usd_per_day = 10.0
    usd_per_turn = 5.0            # its sub-agents included

A limit is a measure and a time: `usd`, `tokens`, `calls` (of models and tools), `seconds` (that they took);
`_per_day` in the garden's zone, `_per_turn`, or neither: as long as the session lives. `depth` is how many sub-agents
may stand below one another, `children` how many one turn may start. What is not named has no limit.
"""

from typing import Annotated

import msgspec


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The limits of one account; None: no limit, or the one of whoever is asked next. See the module for the keys."""

    usd_per_day: float | None = None
    tokens_per_day: int | None = None
    calls_per_day: int | None = None
    seconds_per_day: float | None = None
    usd_per_turn: float | None = None
    tokens_per_turn: int | None = None
    calls_per_turn: int | None = None
    seconds_per_turn: float | None = None
    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None
    depth: int | None = None
    children: int | None = None

    def over(self, other: "Limits") -> "Limits":
        """These limits, and where they say nothing, the other's."""
        if self == NO_LIMITS:
            return other
        return msgspec.structs.replace(other, **self.given())

    def fault(self) -> str:
        """The first limit that is below zero, for people; empty if none is."""
        for name, value in self.given().items():
            if value < 0:
                return f"{name} is {value:g}; write 0 or more, or leave it out for no limit"
        return ""

    def given(self) -> dict[str, float]:
        """Those that say something, by name."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


NO_LIMITS = Limits()

SAFE_AGENT = Limits(
    usd_per_day=10.0,
    usd_per_turn=5.0,
    tokens_per_turn=5_000_000,
    calls_per_turn=1000,
    depth=3,
    children=16,
)
SAFE_GARDEN = Limits(usd_per_day=20.0)


class BudgetSettings(msgspec.Struct, frozen=True):
    """`[budget]`: limits by kind of account. A table that is given takes the place of the safe ones key by key.

    Attributes:
        soft: share of a limit from which on people are warned.
        garden: of everything together.
        agent, room, session, provider: of each of them.
    """

    soft: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)] = 0.8
    garden: Limits = NO_LIMITS
    agent: Limits = NO_LIMITS
    room: Limits = NO_LIMITS
    session: Limits = NO_LIMITS
    provider: Limits = NO_LIMITS

    def of(self, kind: str) -> Limits:
        """The limits of each account of a kind, where nobody has said otherwise."""
        match kind:
            case "garden":
                return self.garden.over(SAFE_GARDEN)
            case "agent":
                return self.agent.over(SAFE_AGENT)
            case "room":
                return self.room
            case "session":
                return self.session
            case "provider":
                return self.provider
            case _:
                return NO_LIMITS
