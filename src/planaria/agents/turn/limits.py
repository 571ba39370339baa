"""What one turn may take, and whether it has taken it. Pure.

A turn that reaches a limit is not cut off: it has one more model call, without tools, to say what it has found.
What may be spent altogether, by day, agent and session, is the ledger's (`immune/`); these bound a single turn.
"""

from collections.abc import Collection

import msgspec

from planaria.agents.turn.steering import Limit


class TurnLimits(msgspec.Struct, frozen=True):
    """Limits of one turn beside its steps.

    Attributes:
        tool_calls: calls of tools.
        tokens: of all its model calls, input and output.
        seconds: spent in model calls and tools; waiting for people or for a moment does not count.
        usd: cost of its model calls, as far as their prices are known.
    """

    tool_calls: int = 100
    tokens: int = 1_000_000
    seconds: float = 1800.0
    usd: float = 2.0


class Spent(msgspec.Struct, frozen=True):
    """What a turn has come to; milliseconds in models and in tools by name, money in millionths of a dollar."""

    steps: int = 0
    tool_calls: int = 0
    tokens: int = 0
    model_ms: float = 0.0
    tool_ms: dict[str, float] = {}
    cost_micro: int = 0


class Reached(msgspec.Struct, frozen=True):
    """A limit, what was come to, and what was allowed; see `TurnLimited`."""

    limit: Limit
    reached: int
    allowed: int


def reached(
    spent: Spent, max_steps: int, limits: TurnLimits, waiting: Collection[str] = ()
) -> Reached | None:
    """The first limit a turn has reached; None if it may go on.

    Args:
        max_steps: model calls before the closing one.
        waiting: tools that spend their time waiting for people or a moment.
    """
    worked = spent.model_ms + sum(ms for name, ms in spent.tool_ms.items() if name not in waiting)
    found: tuple[tuple[Limit, int, int], ...] = (
        ("steps", spent.steps, max_steps),
        ("tool_calls", spent.tool_calls, limits.tool_calls),
        ("tokens", spent.tokens, limits.tokens),
        ("seconds", int(worked / 1000), int(limits.seconds)),
        ("usd", spent.cost_micro, int(limits.usd * 1_000_000)),
    )
    for limit, come_to, allowed in found:
        if come_to >= allowed:
            return Reached(limit, come_to, allowed)
    return None


def words(limit: Limit, reached: int, allowed: int) -> str:
    """A limit for people and models: `12 steps`, `$0.50`."""
    if limit == "usd":
        return f"${reached / 1_000_000:.2f} of ${allowed / 1_000_000:.2f}"
    return f"{reached} of {allowed} {limit.replace('_', ' ')}"
