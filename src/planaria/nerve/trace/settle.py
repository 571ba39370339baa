"""What became of each node: what still goes on, what was cut off, when things ended. Pure."""

from collections.abc import Sequence

from planaria.nerve.trace.knot import Knot
from planaria.nerve.trace.shape import Doing, State
from planaria.nerve.trace.state import message_of

WORST_FIRST: tuple[State, ...] = ("running", "waiting", "cut_off", "failed")
MOMENTS = ("dead", "side", "event")
"""Kinds that take no time themselves, whatever follows from them."""
WORKERS = ("model", "tool", "turn", "run", "work")
"""Kinds that only a living process goes on with."""


def settle(knots: Sequence[Knot], doing: Sequence[Doing] | None, last: float) -> None:
    """Give each node its state and its end.

    Args:
        knots: in the order of a tree drawn downwards.
        doing: what living processes do; None when no node runs.
        last: when the last event was written.
    """
    living = {each.session: each for each in doing or ()}
    for knot in knots:
        if knot.state is None and knot.kind in WORKERS:
            _go_on_or_cut_off(knot, living.get(knot.session), last)
        elif (knot.state is None and knot.kind == "question") or (
            knot.state == "running" and knot.kind == "job" and doing is None
        ):
            knot.state = "waiting"  # it is durable, so it is not cut off
    for knot in reversed(knots):
        if knot.kind == "step":
            _step(knot)
        elif knot.state is None:
            knot.state = _of_those_below(knot)
        if knot.ended is None and knot.state not in ("running", "waiting"):
            below = [child for child in knot.below if child.kind != "dead" and knot.kind not in MOMENTS]
            knot.ended = max([*(child.ended or child.begun for child in below), knot.begun])


def _go_on_or_cut_off(knot: Knot, alive: Doing | None, last: float) -> None:
    turn: Knot | None = knot
    while turn is not None and turn.kind != "turn":
        turn = turn.parent
    about = "" if turn is None else message_of(turn.key.partition("|")[2])
    if alive is None or (about and alive.message not in ("", about)):
        knot.end("cut_off", last)
        return
    knot.state = "running"
    if knot.kind in ("turn", "run") and alive.what:
        knot.said = alive.what


def _step(knot: Knot) -> None:
    """A step is what its last model call and its tools are."""
    calls = [child for child in knot.below if child.kind == "model"][-1:]
    tools = {child.key.rpartition("|")[0]: child for child in knot.below if child.kind == "tool"}
    states = [child.state for child in (*calls, *tools.values())]
    if "running" in states:
        knot.state = "running"
    elif "cut_off" in states:
        knot.state = "cut_off"
    elif calls and calls[0].state == "failed":
        knot.state = "failed"
    else:
        knot.state = "done"


def _of_those_below(knot: Knot) -> State:
    """What a message came to: what became of those who took it up."""
    states = [
        child.state for child in knot.below if child.kind in ("turn", "run", "dead", "question", "message")
    ]
    for state in WORST_FIRST:
        if state in states:
            return state
    return "done"
