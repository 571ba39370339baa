"""What the immune system writes into the journal: breakers in the stream `breakers`, budgets in `budget`."""

from typing import ClassVar

import msgspec

from planaria.config.budget import Limits
from planaria.cortex.event_type import EventType
from planaria.immune.amount import Amount

BREAKERS = "breakers"
"""The stream of the breakers."""
BUDGET = "budget"
"""The stream of the accounts."""


class BreakerOpened(EventType, frozen=True, omit_defaults=True):
    """A breaker lets nothing pass.

    Attributes:
        name: `tool:web.fetch`.
        why: the last failure, or a person's word.
        until: unix seconds until one call may try; None until a person closes it.
        failures: counted in a row.
        times: opened since it was closed last, this one included.
        by: who opened it; empty if it did itself.
        grown: steps by which its next wait is longer than the first; None if an older program wrote this: `times`.
    """

    kind: ClassVar[str] = "breaker.opened"
    name: str
    why: str = ""
    until: float | None = None
    failures: int = 0
    times: int = 1
    by: str = ""
    grown: int | None = None


class BreakerHalfOpened(EventType, frozen=True):
    """One call tries whether an open breaker may close."""

    kind: ClassVar[str] = "breaker.half_opened"
    name: str


class BreakerClosed(EventType, frozen=True, omit_defaults=True):
    """A breaker lets everything pass again: a try worked, or somebody (`by`) says so.

    Attributes:
        grown: steps by which its next wait would be longer than the first, if it opened again at once.
    """

    kind: ClassVar[str] = "breaker.closed"
    name: str
    why: str = ""
    by: str = ""
    grown: int = 0


class BudgetSet(EventType, frozen=True, omit_defaults=True):
    """Somebody has set limits of an account; they go before those of the settings and of records.

    Attributes:
        account: `agent:scout`, `garden`, `room:garden`, `session:scout@garden`, `provider:openai`.
        limits: all that are set for it from now on; none takes the account back to settings and record.
    """

    kind: ClassVar[str] = "budget.set"
    account: str
    limits: Limits = Limits()
    by: str = ""


class BudgetWarned(EventType, frozen=True, omit_defaults=True):
    """Most of a limit is spent. Once for a limit and a day, or a turn.

    Attributes:
        limit: `usd_per_day`.
        most, spent: in dollars, tokens, calls, seconds.
        until: unix seconds from which on there is more; None if never.
    """

    kind: ClassVar[str] = "budget.warned"
    account: str
    limit: str
    most: float
    spent: float
    until: float | None = None


class BudgetExhausted(EventType, frozen=True, omit_defaults=True):
    """A limit is spent: a call was not made, or those under way were stopped. Once for a limit and a day, or a turn.

    Attributes:
        reserved, wanted: set aside for calls under way; what this call might have cost.
        session: who wanted to make it.
        estimated: of what is spent, that of answers being written.
        stopped: the sessions whose turns were stopped; none where a call was not made.
    """

    kind: ClassVar[str] = "budget.exhausted"
    account: str
    limit: str
    most: float
    spent: float
    reserved: float = 0.0
    wanted: float = 0.0
    until: float | None = None
    session: str = ""
    estimated: float = 0.0
    stopped: tuple[str, ...] = ()


class BudgetDay(EventType, frozen=True, omit_defaults=True):
    """A day of the garden's zone has begun.

    Attributes:
        day: `2026-03-01`.
        before: the last day on which something was spent; empty for none.
        spent: what each account spent then.
    """

    kind: ClassVar[str] = "budget.day"
    day: str
    before: str = ""
    spent: dict[str, Amount] = msgspec.field(default_factory=dict)
