"""From events to knots: which event belongs to which part of a trace. Pure.

Takes the events of one trace in order of `seq`. Nothing is required of them: a stream that is cut off, an event whose
payload was erased, and a kind nobody knows all find a place. Turns are told here, runs of workflows in `flows.py`, what
is only written down in `asides.py`.
"""

from collections.abc import Callable
from typing import Any

from planaria.cortex.event import Event
from planaria.nerve.trace.asides import aside
from planaria.nerve.trace.flows import take_flow
from planaria.nerve.trace.guards import GUARDS
from planaria.nerve.trace.kin import KIN
from planaria.nerve.trace.knot import Knot
from planaria.nerve.trace.prompt import prompt_facts
from planaria.nerve.trace.shape import Sum
from planaria.nerve.trace.state import Fold
from planaria.nerve.trace.words import called, count, inner, items, line, number, text, words

GONE = {"erased": "(erased)", "pruned": "(let go)"}
"""Instead of words, for an event whose payload is gone."""
UNANSWERED = ("failed", "refused", "given_up", "dead_lettered", "cancelled")
"""Outcomes of a turn that are no answer."""


def take(fold: Fold, event: Event) -> None:
    """Put one event into its place."""
    handle = HANDLERS.get(event.kind)
    if handle is not None:
        handle(fold, event)
    elif event.kind.startswith("workflow."):
        take_flow(fold, event)
    else:
        aside(fold, event)


def message(fold: Fold, event: Event) -> None:
    """`room.message`: a question, a reply, or a notice."""
    payload, said = event.payload, GONE.get(event.state, "")
    author, cause = text(payload, "author"), event.cause_id
    knot = fold.new(f"message:{event.id}", "message", author or "somebody", event)
    knot.said = said or text(payload, "text")
    knot.who, knot.outside = author, True
    room = event.session.removeprefix("room:")
    kind = text(payload, "author_kind")
    if cause is not None:
        attempt = count(payload, "attempt")
        turn = f"turn:session:{author}@{room}|{cause}" + (f"~{attempt}" if attempt > 1 else "")
        leads = [turn] if kind in ("agent", "notice") else []
        knot.leads = (*leads, f"event:{cause}", f"call:{cause}", f"message:{cause}", f"turn:{cause}")
    knot.state = "note" if kind == "notice" and cause is None else None
    fold.messages[event.id] = knot
    for agent in items(payload, "to"):
        if isinstance(agent, str):
            fold.expected.append((f"session:{agent}@{room}", event.id, knot))
    if cause is not None and author:
        attempt = count(payload, "attempt")
        fold.replies.add((author, room, f"{cause}~{attempt}" if attempt > 1 else cause))
        if kind != "notice":
            fold.answered_by[author] = None


def turn_started(fold: Fold, event: Event) -> None:
    """`turn.started`: an agent has taken the message up."""
    knot = fold.turn(event, _turn_of(event))
    knot.begun = min(knot.begun, event.at)
    knot.add(event)


def turn_finished(fold: Fold, event: Event) -> None:
    """`turn.finished`: the message is handled; what was still open in the turn was cut off."""
    knot = fold.turn(event, _turn_of(event))
    knot.add(event)
    outcome = text(event.payload, "outcome")
    knot.end("failed" if outcome in UNANSWERED else "done", event.at)
    if outcome not in ("", "answered", "failed"):
        knot.said = outcome.replace("_", " ")
    fold.over(knot, event.at)


def requested(fold: Fold, event: Event) -> None:
    """`model.requested`: a model is called, once more perhaps."""
    payload = event.payload
    step = fold.step(event, _turn_of(event), asks=True)
    tries = fold.tries[step.key]
    for earlier in tries:
        if earlier.state is None:
            earlier.end("cut_off", event.at)
    knot = fold.new(f"{step.key}|call{len(tries)}", "model", _model(event), event, rank=1)
    knot.leads, knot.session = (step.key,), event.session
    tries.append(knot)
    if len(tries) == 1:
        prompt = fold.derived(f"{step.key}|prompt", "prompt", "prompt", event, step, rank=0)
        turn = step.leads[0]
        fold.prompts[turn] = facts = prompt_facts(payload, fold.prompts.get(turn))
        prompt.said = GONE.get(event.state) or facts.line()
        prompt.end("done", event.at)


def responded(fold: Fold, event: Event) -> None:
    """`model.responded`: the answer is there, and with it what the model wants."""
    payload = event.payload
    step, knot = _asked(fold, event)
    knot.title = _model(event) if text(payload, "model") else knot.title
    knot.own = _spent(event)
    first = number(payload, "first_ms")
    knot.said = GONE.get(event.state) or (f"first word after {_ms(first)}" if first and first >= 1 else "")
    knot.end("done", event.at)
    wanted = [text(call, "name") or "?" for call in items(payload, "tool_calls")]
    decision = fold.derived(f"{knot.key}|decision", "decision", "", event, step, rank=2)
    decision.title = "calls " + ", ".join(wanted) if wanted else "answers"
    reason = text(payload, "finish_reason")
    ended = "" if reason in ("", "stop", "tool_calls", "end_turn", "tool_use") else f"ended by {reason}"
    decision.said = GONE.get(event.state) or ended or line(text(payload, "text"))
    decision.outside = not ended
    decision.end("failed" if reason in ("length", "content_filter") else "done", event.at)
    fold.answered.add(step.key)


def failed(fold: Fold, event: Event) -> None:
    """`model.failed`: one try came to nothing."""
    payload = event.payload
    _, knot = _asked(fold, event)
    knot.said = GONE.get(event.state) or line(text(payload, "error"), 200) + _then(payload)
    knot.own = _spent(event)
    knot.end("failed", event.at)


def _then(payload: dict[str, Any]) -> str:
    """What was done about a failed call."""
    wait, after = number(payload, "wait"), number(payload, "retry_after")
    match text(payload, "then"):
        case "other":
            return " (another model is asked)"
        case "again":
            return f" (asked again{f' after {wait:g} s' if wait else ''})"
        case "stop":
            return " (given up)"
        case _ if payload.get("retry") is True:
            return f" (may be tried again{f' after {after:g} s' if after else ''})"
        case _:
            return ""


def tool_started(fold: Fold, event: Event) -> None:
    """`tool.started`: a tool runs; the same call a second time cuts off the first."""
    call = text(event.payload, "call_id")
    tries = fold.calls[event.session, call] if call else []
    for earlier in tries:
        if earlier.state is None:
            earlier.end("cut_off", event.at)
    knot = _tool(fold, event, call, len(tries))
    if call:
        tries.append(knot)
    else:
        fold.nameless[event.session].append(knot)
    if len(tries) > 1:
        knot.title += f", try {len(tries)}"


def tool_repeated(fold: Fold, event: Event) -> None:
    """`tool.repeated`: a call that was cut off is made once more."""
    tool_started(fold, event)
    made = fold.calls.get((event.session, text(event.payload, "call_id")))
    if made:
        made[-1].who = f"made again: {text(event.payload, 'why')}" if event.state == "whole" else ""


def redelivered(fold: Fold, event: Event) -> None:
    """`room.redelivered`: an agent is to answer a message once more."""
    payload = event.payload
    agent, message = text(payload, "agent"), text(payload, "message")
    knot = fold.new(f"event:{event.id}", "event", f"delivered again to {agent or 'an agent'}", event)
    knot.said = GONE.get(event.state) or f"attempt {count(payload, 'attempt')}"
    knot.state = "note"
    knot.leads = (f"message:{message}", f"event:{event.cause_id}")
    if agent and message in fold.messages:
        name = f"{message}~{count(payload, 'attempt')}"
        fold.expected.append((f"session:{agent}@{event.session.removeprefix('room:')}", name, knot))


def tool_finished(fold: Fold, event: Event) -> None:
    """`tool.finished`: it answered, or was refused before it ran."""
    payload, call = event.payload, text(event.payload, "call_id")
    tries = fold.calls[event.session, call] if call else fold.nameless[event.session]
    knot = next((earlier for earlier in tries if earlier.state is None), None)
    if knot is None:
        knot = _tool(fold, event, call, len(tries))
        tries.append(knot)
    else:
        knot.add(event)
    error = text(payload, "error")
    outcome = inner(payload, "outcome")
    result = text(outcome, "text") or words(outcome.get("value"))
    branch = text(payload, "branch")
    knot.said = GONE.get(event.state) or line(error or result, 120)
    unknown = payload.get("unknown") is True or error.startswith("the node stopped while")
    knot.end("cut_off" if unknown else "failed" if branch == "failed" or error else "done", event.at)
    knot.outside = not error
    started = text(inner(outcome, "value"), "run")
    if started:
        fold.starters[f"run:{started}"] = knot


def _tool(fold: Fold, event: Event, call: str, number: int) -> Knot:
    """The node of one try of a tool call, below the step that wanted it."""
    title = text(event.payload, "tool") or "a tool"
    knot = fold.new(f"tool:{event.session}|{call or event.id}|{number}", "tool", title, event, rank=3)
    knot.who = called(event.payload)
    knot.session = event.session
    knot.said = GONE.get(event.state, "")
    turn, _, rest = call.partition("/")
    place = rest.partition("/")[0]
    if event.session.startswith("session:"):
        step = int(place) if place.isascii() and place.isdecimal() else None
        knot.leads = (fold.step(event, turn, number=step).key,)
    else:
        here = fold.current.get(event.session)
        knot.leads = (*((here.key,) if here else ()), f"event:{event.cause_id}", event.session)
    return knot


def _asked(fold: Fold, event: Event) -> tuple[Knot, Knot]:
    """The step and the model call this is the end of."""
    step = fold.step(event, _turn_of(event))
    tries = fold.tries[step.key]
    knot = next((earlier for earlier in tries if earlier.state is None), None)
    if knot is None:
        knot = fold.new(f"{step.key}|call{len(tries)}", "model", _model(event), event, rank=1)
        knot.leads, knot.session = (step.key,), event.session
        knot.begun = event.at - (number(event.payload, "duration_ms") or 0.0) / 1000
        tries.append(knot)
    else:
        knot.add(event)
    return step, knot


def _turn_of(event: Event) -> str:
    """The turn an event is of: as it says, else the one of the message that caused it."""
    attempt = count(event.payload, "attempt") if event.kind == "turn.started" else 0
    message = text(event.payload, "message")
    if message and attempt > 1:
        message += f"~{attempt}"
    return text(event.payload, "turn") or message or event.cause_id or ""


def _model(event: Event) -> str:
    provider, model = text(event.payload, "provider"), text(event.payload, "model")
    return (model if provider in ("", model) else f"{provider}/{model}") or "a model"


def _spent(event: Event) -> Sum:
    usage = inner(event.payload, "usage")
    tokens_in, tokens_out = count(usage, "input_tokens"), count(usage, "output_tokens")
    cost = number(event.payload, "cost_micro")
    unpriced = int(cost is None and tokens_in + tokens_out > 0)
    return Sum(tokens_in, tokens_out, int(cost or 0), unpriced, 1)


def _ms(value: float) -> str:
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


HANDLERS: dict[str, Callable[[Fold, Event], None]] = {
    "room.message": message,
    "room.redelivered": redelivered,
    "turn.started": turn_started,
    "turn.finished": turn_finished,
    "model.requested": requested,
    "model.responded": responded,
    "model.failed": failed,
    "tool.started": tool_started,
    "tool.repeated": tool_repeated,
    "tool.finished": tool_finished,
    **KIN,
    **GUARDS,
}
