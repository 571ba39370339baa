"""Runs of workflows in a trace: the run, its steps, and what a step was told. Pure."""

from planaria.cortex.event import Event
from planaria.nerve.trace.knot import Knot
from planaria.nerve.trace.shape import State
from planaria.nerve.trace.state import Fold
from planaria.nerve.trace.words import count, items, line, number, text, words

STATES: dict[str, State] = {"done": "done", "failed": "failed", "cancelled": "cut_off"}


def take_flow(fold: Fold, event: Event) -> None:
    """One `workflow.*` event."""
    run = _run(fold, event)
    payload, what = event.payload, event.kind.removeprefix("workflow.")
    match what:
        case "run.started":
            run.begun = event.at
            run.title = text(payload, "workflow") or run.title
            run.who = text(payload, "trigger")
            _tell(run, event)
        case "run.finished":
            _tell(run, event)
            run.end(STATES.get(text(payload, "status"), "done"), event.at)
            error, path = text(payload, "error"), " → ".join(words(step) for step in items(payload, "path"))
            run.said = line(error or path, 160)
            for knot in [k for k in fold.knots.values() if k.session == event.session and k.state is None]:
                if knot is not run:
                    knot.end("cut_off", event.at)
        case "step.started":
            _tell(_step(fold, event, run), event)
        case "step.finished":
            step = _step(fold, event, run)
            _tell(step, event)
            branch, error = text(payload, "branch"), text(payload, "error")
            step.end("failed" if branch == "failed" else "done", event.at)
            step.said = line(error or (f"took {branch}" if branch else ""), 160)
            fold.current[event.session] = run
        case "step.retried":
            step = _step(fold, event, run)
            _tell(step, event)
            step.said = line(f"try {count(payload, 'attempt')} failed: {text(payload, 'error')}", 160)
        case "item.finished":
            step = _step(fold, event, run)
            _tell(step, event)
            step.said = f"{(number(payload, 'index') or 0) + 1:.0f} done"
        case _:
            knot = fold.new(f"event:{event.id}", "event", event.kind, event)
            knot.title = "taken up again" if what == "run.resumed" else event.kind
            knot.said, knot.state = text(payload, "step"), "note"
            knot.leads = (fold.current.get(event.session, run).key,)


def _run(fold: Fold, event: Event) -> Knot:
    key = event.session or f"run:{text(event.payload, 'run')}"
    knot = fold.knots.get(key)
    if knot is None:
        knot = Knot(key, "run", "a workflow", event.at, (event.seq, 0))
        knot.session = event.session
        cause = event.cause_id
        if cause is not None:
            knot.leads = (f"call:{cause}", f"event:{cause}", f"turn:{cause}", f"message:{cause}")
        fold.knots[key] = knot
        fold.current[event.session] = knot
    return knot


def _step(fold: Fold, event: Event, run: Knot) -> Knot:
    name = text(event.payload, "step")
    current = fold.current.get(event.session, run)
    if not name and current is not run:
        return current
    key = f"work:{event.session}|{name}|{count(event.payload, 'visit')}"
    knot = fold.knots.get(key)
    if knot is None:
        knot = Knot(key, "work", name or "a step", event.at, (event.seq, 0), (run.key,))
        knot.session = event.session
        visit = count(event.payload, "visit")
        knot.title += f", visit {visit}" if visit > 1 else ""
        fold.knots[key] = knot
    if knot.state is None:
        fold.current[event.session] = knot
    return knot


def _tell(knot: Knot, event: Event) -> None:
    knot.add(event)
    if event.state != "whole":
        knot.said = f"({event.state})"
