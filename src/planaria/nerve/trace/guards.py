"""What guards saw in a turn, what was changed by it, and stops. Pure.

They stand below the turn, between its steps, in the order they happened.
"""

from collections.abc import Callable

from planaria.cortex.event import Event
from planaria.nerve.trace.shape import Sum
from planaria.nerve.trace.state import Fold
from planaria.nerve.trace.words import count, inner, line, number, text

MODES = {
    "resume": "goes on where it stood",
    "fresh": "begins afresh from a hand-off note",
    "amend": "goes on with an added instruction",
    "reroute": "asks another model from now on",
    "ask": "asks a person how to go on",
    "give_up": "gives the message up",
}


def tripped(fold: Fold, event: Event) -> None:
    """`session.tripped`: the process is ended; what was under way is cut off."""
    cause = text(event.payload, "cause").replace("_", " ")
    _note(fold, event, f"guard: {cause or 'interrupted'}", text(event.payload, "words"), bad=True)
    _cut(fold, event)


def chosen(fold: Fold, event: Event) -> None:
    """`restart.chosen`: what the next process does otherwise."""
    mode, payload = text(event.payload, "mode"), event.payload
    more = next(
        (text(payload, key) for key in ("amendment", "exclude", "question", "notice") if text(payload, key)),
        "",
    )
    said = ": ".join(filter(None, (text(payload, "why"), more)))
    _note(fold, event, MODES.get(mode, mode or "restart"), said, bad=mode == "give_up")


def handed_off(fold: Fold, event: Event) -> None:
    """`session.handed_off`: the note a fresh process begins with, and what it cost."""
    by = text(event.payload, "by")
    title = (
        f"hand-off note by {text(event.payload, 'model')}" if by == "model" else "hand-off note, put together"
    )
    problem = text(event.payload, "problem")
    said = f"no model wrote it: {problem}" if problem else text(event.payload, "text")
    _note(fold, event, title, said)
    knot = fold.knots[f"event:{event.id}"]
    knot.outside = not problem
    usage = inner(event.payload, "usage")
    tokens_in, tokens_out = count(usage, "input_tokens"), count(usage, "output_tokens")
    cost = number(event.payload, "cost_micro")
    if tokens_in + tokens_out:
        knot.own = Sum(tokens_in, tokens_out, int(cost or 0), int(cost is None), 1)


def guided(fold: Fold, event: Event) -> None:
    """`turn.guided`: a person has said how it goes on."""
    said = ": ".join(filter(None, (text(event.payload, "option"), text(event.payload, "text"))))
    by = text(event.payload, "by")
    _note(fold, event, f"{by} says how to go on" if by else "nobody says how to go on", said)


def stopped(fold: Fold, event: Event) -> None:
    """`turn.stopped`: somebody ended it."""
    why = text(event.payload, "why")
    title = f"stopped by {text(event.payload, 'by') or 'somebody'}"
    said = ": ".join(filter(None, (why, line(text(event.payload, "partial"), 120))))
    _note(fold, event, title, said)
    _cut(fold, event)


def _cut(fold: Fold, event: Event) -> None:
    """Model calls and tools of the turn that were under way end here."""
    turn = fold.turn(event, text(event.payload, "turn") or event.cause_id or "")
    for step in fold.steps[turn.key]:
        for knot in fold.tries[step.key]:
            if knot.state is None:
                knot.end("cut_off", event.at)
    begins = f"{text(event.payload, 'turn')}/"
    for (session, call), tries in list(fold.calls.items()):
        if session == event.session and call.startswith(begins):
            for knot in tries:
                if knot.state is None:
                    knot.end("cut_off", event.at)


def _note(fold: Fold, event: Event, title: str, said: str, *, bad: bool = False) -> None:
    turn = fold.turn(event, text(event.payload, "turn") or event.cause_id or "")
    knot = fold.new(f"event:{event.id}", "event", title, event)
    knot.leads, knot.state = (turn.key,), "failed" if bad else "note"
    knot.said = f"({event.state})" if event.state != "whole" else line(said, 240)


GUARDS: dict[str, Callable[[Fold, Event], None]] = {
    "session.tripped": tripped,
    "restart.chosen": chosen,
    "session.handed_off": handed_off,
    "turn.guided": guided,
    "turn.stopped": stopped,
}
