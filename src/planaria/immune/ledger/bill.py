"""What an event of the journal says was spent. Pure.

Known by their kinds and payloads alone: the floors that write them are above this one.
"""

from typing import Any

import msgspec

from planaria.cortex.event import Event
from planaria.immune.amount import Amount
from planaria.immune.ledger.spender import is_session

RESPONDED, FAILED, TOOL = "model.responded", "model.failed", "tool.finished"
HANDED_OFF, TRIPPED, STOPPED = "session.handed_off", "session.tripped", "turn.stopped"
BILLS = frozenset({RESPONDED, FAILED, TOOL, HANDED_OFF, TRIPPED, STOPPED})


class Bill(msgspec.Struct, frozen=True):
    """What one call cost, and who pays.

    Attributes:
        estimated: whether that is what it is taken to have cost: its provider had not told.
        step, attempt: of a model call in a turn: which attempt it was; those with the same numbers are one and the
            same, made again under its key. None for other calls.
    """

    session: str
    turn: str
    provider: str
    amount: Amount
    estimated: bool = False
    step: int | None = None
    attempt: int = 1


def bill_of(event: Event) -> Bill | None:
    """What an event says was spent; None if nothing, or if it was erased or pruned.

    What was refused before anybody was asked is no call; a model call that failed is one. It costs what the provider
    said, or else, if an answer had begun, what that is taken to cost (`estimate`).
    """
    payload = event.payload
    if event.state != "whole":
        return None
    turn = event.cause_id or "" if is_session(event.session) else ""
    if event.kind == TOOL:
        # Only one that was refused names its caller in its end; one held back later says by what.
        if payload.get("caller") or payload.get("held_back") or payload.get("denied"):
            return None
        amount = Amount(_whole(payload.get("cost_micro")), 0, 1, _seconds(payload))
        return Bill(event.session, turn, "", amount)
    if event.kind not in BILLS:
        return None
    estimate = payload.get("estimate")
    told = estimate if isinstance(estimate, dict) else payload
    if (event.kind != RESPONDED or told is not payload) and not told.get("provider"):
        return None  # nobody was asked
    spent = _seconds(told) or _seconds(payload)
    amount = Amount(_whole(told.get("cost_micro")), _tokens(told.get("usage")), 1, spent)
    numbered = event.kind in (RESPONDED, FAILED) or told is not payload
    step = told.get("step") if numbered and turn else None
    return Bill(
        *(event.session, turn, str(told.get("provider") or ""), amount),
        estimated=told is not payload,
        step=step if isinstance(step, int) else None,
        attempt=_whole(told.get("attempt")) or 1,
    )


def _tokens(usage: Any) -> int:
    if not isinstance(usage, dict):
        return 0
    return _whole(usage.get("input_tokens")) + _whole(usage.get("output_tokens"))


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _seconds(payload: dict[str, Any]) -> float:
    spent = payload.get("duration_ms")
    return spent / 1000 if isinstance(spent, int | float) and spent > 0 else 0.0
