"""What an event of the journal says was spent. Pure.

Known by their kinds and payloads alone: the floors that write them are above this one.
"""

from typing import Any

import msgspec

from planaria.cortex.event import Event
from planaria.immune.amount import Amount
from planaria.immune.ledger.spender import is_session

RESPONDED, FAILED, TOOL = "model.responded", "model.failed", "tool.finished"
HANDED_OFF = "session.handed_off"
BILLS = frozenset({RESPONDED, FAILED, TOOL, HANDED_OFF})


class Bill(msgspec.Struct, frozen=True):
    """What one call cost, and who pays."""

    session: str
    turn: str
    provider: str
    amount: Amount


def bill_of(event: Event) -> Bill | None:
    """What an event says was spent; None if nothing, or if it was erased or pruned.

    What was refused before anybody was asked is no call; a model call that failed is one, and has a price only if the
    provider said so.
    """
    payload = event.payload
    if event.state != "whole":
        return None
    if event.kind == TOOL:
        # Only one that was refused names its caller in its end; one held back later says by what.
        if payload.get("caller") or payload.get("held_back") or payload.get("denied"):
            return None
        amount = Amount(_whole(payload.get("cost_micro")), 0, 1, _seconds(payload))
    elif event.kind in BILLS:
        if event.kind in (FAILED, HANDED_OFF) and not payload.get("provider"):
            return None  # nobody was asked
        amount = Amount(
            _whole(payload.get("cost_micro")), _tokens(payload.get("usage")), 1, _seconds(payload)
        )
    else:
        return None
    turn = event.cause_id or "" if is_session(event.session) else ""
    return Bill(event.session, turn, str(payload.get("provider") or ""), amount)


def _tokens(usage: Any) -> int:
    if not isinstance(usage, dict):
        return 0
    return _whole(usage.get("input_tokens")) + _whole(usage.get("output_tokens"))


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _seconds(payload: dict[str, Any]) -> float:
    spent = payload.get("duration_ms")
    return spent / 1000 if isinstance(spent, int | float) and spent > 0 else 0.0
