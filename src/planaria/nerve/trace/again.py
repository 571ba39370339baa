"""Model calls that were cut off by the end of their process and made again under the same key. Pure.

Such a call has one `model.requested`, whoever makes it: that it was made twice only the life of the processes tells.
"""

from planaria.cortex.event import Event
from planaria.nerve.trace.knot import Knot
from planaria.nerve.trace.shape import NOTHING
from planaria.nerve.trace.state import Fold

ENDS = ("process.killed", "process.crashed", "node.started")
"""Kinds that tell that whoever waited for a model is gone."""
TOGETHER = 1.0
"""Seconds within which several ends are told of one: a process dies with its tasks."""


def cut_calls(fold: Fold, turn: Knot, end: Event) -> None:
    """Part the model call of a turn that was under way when its process ended: one try before, one after."""
    for step in fold.steps[turn.key]:
        tries = fold.tries[step.key]
        knot = tries[-1] if tries else None
        over = knot is not None and knot.ended is not None and knot.ended <= end.at
        if knot is None or over or knot.begun > end.at or not knot.events:
            continue
        if knot.key.endswith("|again") and end.at - knot.begun < TOGETHER:
            knot.begun = end.at
            continue
        later = [ref for ref in knot.events if ref.kind != "model.requested"]
        if len(later) == len(knot.events) and not knot.key.endswith("|again"):
            continue  # nothing says that it was asked before
        again = Knot(f"{knot.key}|again", "model", knot.title, end.at, (end.seq, 1), knot.leads)
        again.session, again.state, again.ended = knot.session, knot.state, knot.ended
        again.own, again.said, again.events = knot.own, knot.said or "made again", later
        knot.own, knot.said, knot.events = NOTHING, "", [ref for ref in knot.events if ref not in later]
        knot.end("cut_off", end.at)
        fold.knots[again.key] = again
        tries.append(again)
