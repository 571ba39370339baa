"""Budgets: what may be spent, by whom, in what time: `[budget.garden]`, `[budget.agent]`, an agent's `budget:`.

    [budget]
    soft = 0.8                    # from this share of a limit on people are warned, once

    [budget.garden]               # all together
    usd_per_day = 20.0
    [budget.agent]                # each agent; its record may say otherwise
    usd_per_day = 10.0
    usd_per_turn = 2.0

A limit is a measure and a time: `usd`, `tokens`, `calls` (of models and tools), `seconds` (that they took);
`_per_day` in the garden's zone, `_per_turn`, or neither: as long as the session lives. `depth` is how many sub-agents
may stand below one another, `children` how many one turn may start. What is not named has no limit.
"""

from typing import Annotated

import msgspec

type Most = Annotated[float, msgspec.Meta(ge=0.0)]
type Count = Annotated[int, msgspec.Meta(ge=0)]


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The limits of one account; None: no limit, or the one of whoever is asked next. See the module for the keys."""

    usd_per_day: Most | None = None
    tokens_per_day: Count | None = None
    calls_per_day: Count | None = None
    seconds_per_day: Most | None = None
    usd_per_turn: Most | None = None
    tokens_per_turn: Count | None = None
    calls_per_turn: Count | None = None
    seconds_per_turn: Most | None = None
    usd: Most | None = None
    tokens: Count | None = None
    calls: Count | None = None
    seconds: Most | None = None
    depth: Count | None = None
    children: Count | None = None

    def over(self, other: "Limits") -> "Limits":
        """These limits, and where they say nothing, the other's."""
        said = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return msgspec.structs.replace(other, **said)


NO_LIMITS = Limits()

SAFE_AGENT = Limits(
    usd_per_day=10.0,
    usd_per_turn=2.0,
    tokens_per_turn=2_000_000,
    calls_per_turn=500,
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
