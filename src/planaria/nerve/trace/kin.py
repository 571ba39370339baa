"""Children in a trace, and what was said to a turn on its way. Pure.

A child's turn hangs below the tool call that asked for it, with all that the child did.
"""

from collections.abc import Callable

from planaria.cortex.event import Event
from planaria.nerve.trace.state import Fold
from planaria.nerve.trace.words import line, text


def child_asked(fold: Fold, event: Event) -> None:
    """`child.asked`: a session below the tool call, named after the agent it is."""
    turn = fold.turn(event, event.id)
    turn.add(event)
    agent = text(event.payload, "agent")
    turn.title = f"{agent or 'a child'}, a child"
    turn.leads = (f"call:{text(event.payload, 'call')}", f"turn:{event.cause_id}")
    turn.said = line(text(event.payload, "task"), 160) or turn.said
    turn.outside = True


def child_finished(fold: Fold, event: Event) -> None:
    """`child.finished`: how it ended, told where it began."""
    turn = fold.turn(event, event.cause_id or "")
    turn.add(event)
    outcome = text(event.payload, "outcome")
    if outcome not in ("", "answered"):
        turn.said = line(f"{turn.said} → {outcome}: {text(event.payload, 'text')}", 200)
    if turn.state is None:  # written by somebody else, as it never came to an end of its own
        turn.end("done" if outcome == "answered" else "failed", event.at)


def steered(fold: Fold, event: Event) -> None:
    """`turn.steered`: a further message is part of the turn."""
    author = text(event.payload, "author") or "somebody"
    how = "waiting with it" if text(event.payload, "how") == "collect" else "meanwhile"
    _note(fold, event, f"{author}, {how}", text(event.payload, "text"), outside=True)


def limited(fold: Fold, event: Event) -> None:
    """`turn.limited`: the next model call is the last."""
    limit = text(event.payload, "limit").replace("_", " ") or "a limit"
    said = f"{event.payload.get('reached')} of {event.payload.get('allowed')}"
    _note(fold, event, f"limit reached: {limit}", f"{said}; one last call may say what was found")


def checked(fold: Fold, event: Event) -> None:
    """`turn.checked`: an answer does not fit its schema."""
    _note(fold, event, "the answer does not fit its schema", text(event.payload, "problem"), outside=True)


def _note(fold: Fold, event: Event, title: str, said: str, *, outside: bool = False) -> None:
    turn = fold.turn(event, text(event.payload, "turn") or event.cause_id or "")
    knot = fold.new(f"event:{event.id}", "event", title, event)
    knot.leads, knot.state, knot.outside = (turn.key,), "note", outside
    knot.said = f"({event.state})" if event.state != "whole" else line(said, 200)


KIN: dict[str, Callable[[Fold, Event], None]] = {
    "child.asked": child_asked,
    "child.finished": child_finished,
    "turn.steered": steered,
    "turn.limited": limited,
    "turn.checked": checked,
}
