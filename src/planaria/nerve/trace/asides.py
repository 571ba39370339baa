"""What a trace holds besides turns and runs: questions to people, dead letters, kinds nobody here knows. Pure."""

from planaria.cortex.event import Event
from planaria.nerve.trace.again import ENDS, cut_calls
from planaria.nerve.trace.state import Fold
from planaria.nerve.trace.words import called, line, text, words

BAD = ("failed", "crashed", "refused", "exceeded", "gave_up", "unavailable", "expired", "diverged")
"""Last words of kinds that tell of something bad."""
DEAD = {
    "dead.lettered": "given up, for a person to look at",
    "dead.replayed": "a person has it done again",
    "dead.dropped": "a person lets it be",
}
SIDE: dict[str, str] = {
    "process.crashed": "crashed",
    "process.killed": "was killed",
    "process.stalled": "held up the node",
    "child.restarted": "was started again",
    "supervisor.gave_up": "gave up",
    "node.started": "the node started",
}


def aside(fold: Fold, event: Event) -> None:
    """An event that stands for itself."""
    if event.kind.startswith("question."):
        _question(fold, event)
        return
    if event.kind.startswith("work."):
        _job(fold, event)
        return
    title = DEAD.get(event.kind, event.kind)
    knot = fold.new(f"event:{event.id}", "dead" if event.kind in DEAD else "event", title, event)
    knot.who = text(event.payload, "by")
    parts = text(event.payload, "target").split("/") if knot.kind == "dead" else []
    knot.leads = (
        *_leads(fold, event),
        *(f"turn:{part}" for part in parts),
        *(f"message:{part}" for part in parts),
    )
    knot.state = "failed" if event.kind.endswith(BAD) or event.kind == "dead.lettered" else "note"
    knot.said = brief(event)


def side(fold: Fold, event: Event) -> None:
    """An event of the node's own life, beside the trace: whose process, and why."""
    payload = event.payload
    who = text(payload, "child") if event.kind == "child.restarted" else event.process
    label = text(payload, "label")
    who = label if who.startswith("<") and label else who
    said = SIDE.get(event.kind, event.kind)
    title = said if event.kind == "node.started" else f"{who} {said}"
    knot = fold.new(f"event:{event.id}", "side", title, event)
    reason = text(payload, "reason")
    knot.said = "" if reason in ("killed", "kill") else line(reason, 160)
    knot.state = "failed" if event.kind.endswith(BAD) or event.kind == "process.killed" else "note"
    begun = [turn for turn in fold.turns.values() if turn.order <= knot.order]
    about = [turn for turn in begun if names(who, turn.session)]
    knot.leads = (about[-1].key,) if about else ()
    if event.kind in ENDS:
        for turn in begun if event.kind == "node.started" else about:
            cut_calls(fold, turn, event)


def names(who: str, session: str) -> bool:
    """Whether a process, by name or label, works for a session: `tasks:scout@garden`, `scout thinks`."""
    agent, _, room = session.removeprefix("session:").partition("@")
    return who in (session, f"tasks:{agent}@{room}", f"agent:{agent}@{room}") or who.startswith(f"{agent} ")


def brief(event: Event) -> str:
    """What an event of any kind says, in one line."""
    if event.state != "whole":
        return f"({event.state})"
    payload = event.payload
    said = text(payload, "reason") or text(payload, "error") or text(payload, "text")
    return line(said or called({"arguments": payload}), 160)


def _question(fold: Fold, event: Event) -> None:
    """`question.*`: all events of one question are one node; the later ones are caused by the first."""
    payload = event.payload
    name = event.id if event.kind == "question.asked" else event.cause_id or event.id
    knot = fold.questions.get(name)
    if knot is None:
        knot = fold.new(f"question:{name}", "question", "asks a person", event)
        knot.leads = _leads(fold, event)
        knot.said, knot.outside = brief(event), True
        fold.questions[name] = knot
    else:
        knot.add(event)
    match event.kind.partition(".")[2]:
        case "answered":
            answer = ": ".join(filter(None, (text(payload, "option"), text(payload, "text"))))
            knot.title = f"asks a person, {text(payload, 'by') or 'somebody'} answers"
            knot.said = line(f"{knot.said} → {answer or brief(event)}", 200)
            knot.end("done", event.at)
        case "expired" | "withdrawn" as how:
            knot.title = f"asks a person, {how}"
            knot.end("cut_off", event.at)
        case _:
            pass


def _job(fold: Fold, event: Event) -> None:
    """`work.*`: all events of one piece of deferred work are one node; the later ones are caused by the first."""
    payload, what = event.payload, event.kind.removeprefix("work.")
    name = event.id if what == "submitted" else event.cause_id or event.id
    knot = fold.jobs.get(name)
    if knot is None:
        knot = fold.new(f"job:{name}", "job", "deferred work", event)
        knot.leads = _leads(fold, event)
        fold.jobs[name] = knot
    else:
        knot.add(event)
    if event.state != "whole":
        knot.said = f"({event.state})"
    match what:
        case "submitted":
            knot.title = text(payload, "label") or text(payload, "work") or knot.title
            knot.who, knot.state = text(payload, "by"), "waiting"
        case "started":
            knot.state = "running"
        case "failed":
            knot.state, knot.said = "waiting", line(f"to be tried again: {text(payload, 'error')}", 160)
        case "finished":
            knot.said = line(words(payload.get("result")), 160) or knot.said
            knot.end("done", event.at)
        case "died" | "cancelled":
            knot.said = line(text(payload, "error") or text(payload, "why"), 160)
            knot.end("failed" if what == "died" else "cut_off", event.at)
        case _:
            pass


def _leads(fold: Fold, event: Event) -> tuple[str, ...]:
    cause = event.cause_id
    leads = (
        (f"event:{cause}", f"call:{cause}", f"turn:{event.session}|{cause}", f"turn:{cause}") if cause else ()
    )
    here = fold.latest.get(event.session) or fold.current.get(event.session)
    return (*leads, here.key) if here else leads
