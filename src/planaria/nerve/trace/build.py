"""Builds the trace: folds the events, hangs each node below what led to it, adds up. Pure.

    trace = build(trace_id, events, now=wall_time(), doing=[...], notes=[...])

Whatever the events are, each of them ends up in exactly one node, and the totals of the beginnings together are what
all model calls spent.
"""

from collections.abc import Iterable, Sequence

from planaria.cortex.event import Event
from planaria.cortex.redact import Redactor
from planaria.nerve.trace.asides import side
from planaria.nerve.trace.fold import take
from planaria.nerve.trace.knot import Knot
from planaria.nerve.trace.settle import settle
from planaria.nerve.trace.shape import NOTHING, Doing, State, Trace, TraceNode
from planaria.nerve.trace.state import Fold, message_of
from planaria.nerve.trace.words import line

MASKS = Redactor()
"""Masks again what the journal masks when it writes: the program that wrote an old one may have known less."""
LONGEST_SAID = 4000
"""Characters of a node's words; all of them are shown when it is opened."""
DEEPEST = 40
"""Levels that are drawn; what is deeper (agents that answer each other for ever) hangs at the last one."""


def build(
    trace_id: str,
    events: Iterable[Event],
    *,
    now: float,
    doing: Sequence[Doing] | None = None,
    notes: Iterable[Event] = (),
) -> Trace:
    """The tree of one trace.

    Args:
        events: all of this trace, in any order.
        now: unix seconds.
        doing: what living processes do about it; None when no node runs, so that nothing can be going on.
        notes: events of the session `node` in its time, about processes that take part.
    """
    fold = Fold()
    seen: set[int] = set()
    told: list[Event] = []
    for event in sorted(events, key=lambda event: event.seq):
        if event.seq not in seen:
            seen.add(event.seq)
            told.append(event)
            take(fold, event)
    for event in sorted(notes, key=lambda event: event.seq):
        if event.seq not in seen:
            seen.add(event.seq)
            side(fold, event)
    _expect(fold)
    _hang(fold)
    ordered = _downwards([knot for knot in fold.knots.values() if knot.parent is None])
    last = max((event.at for event in told), default=now)
    settle([knot for knot, _ in ordered], doing, last)
    nodes = _nodes(ordered)
    return _trace(trace_id, fold, nodes, told, now)


def _expect(fold: Fold) -> None:
    """Who was asked and has not begun waits."""
    for session, message, asked in fold.expected:
        agent, _, room = session.removeprefix("session:").partition("@")
        key = f"turn:{session}|{message}"
        if key not in fold.knots and (agent, room, message) not in fold.replies:
            knot = Knot(key, "turn", agent, asked.begun, (asked.order[0], 1), (asked.key,))
            knot.who, knot.session, knot.state = agent, session, "waiting"
            knot.said = "has not begun"
            fold.knots[key] = knot


def _hang(fold: Fold) -> None:
    """Give each node the first of its leads that is there and is not below it."""
    places: dict[str, Knot] = {}
    for knot in fold.knots.values():
        for ref in knot.events:
            places[f"event:{ref.id}"] = knot
    for (_, call), tries in fold.calls.items():
        places[f"call:{call}"] = tries[-1]
    for turn in fold.turns.values():  # the latest attempt wins
        session, _, name = turn.key.removeprefix("turn:").partition("|")
        places[f"turn:{message_of(name)}"] = turn
        places[f"turn:{session}|{message_of(name)}"] = turn
    places |= fold.knots
    for knot in fold.knots.values():
        starter = fold.starters.get(knot.key)
        above = [starter] if starter is not None else []
        above += [places[lead] for lead in knot.leads if lead in places]
        for candidate in above:
            if not _is_below(candidate, knot):
                knot.parent = candidate
                candidate.below.append(knot)
                break


def _is_below(knot: Knot, other: Knot) -> bool:
    here: Knot | None = knot
    while here is not None:
        if here is other:
            return True
        here = here.parent
    return False


def _downwards(roots: list[Knot]) -> list[tuple[Knot, int]]:
    """All nodes in the order a tree is drawn, each with its depth."""
    found: list[tuple[Knot, int]] = []
    waiting = [(knot, 0) for knot in sorted(roots, key=_order, reverse=True)]
    while waiting:
        knot, depth = waiting.pop()
        if depth > DEEPEST and knot.parent is not None and knot.parent.parent is not None:
            depth = DEEPEST
        found.append((knot, depth))
        waiting += [(child, depth + 1) for child in sorted(knot.below, key=_order, reverse=True)]
    return found


def _order(knot: Knot) -> tuple[int, int, str]:
    return (*knot.order, knot.key)


def _nodes(ordered: list[tuple[Knot, int]]) -> tuple[TraceNode, ...]:
    totals = {knot.key: knot.own for knot, _ in ordered}
    for knot, _ in reversed(ordered):  # below comes after above, so below is complete first
        if knot.parent is not None:
            totals[knot.parent.key] = totals[knot.parent.key].plus(totals[knot.key])
    return tuple(
        TraceNode(
            id=knot.key,
            parent=None if knot.parent is None else knot.parent.key,
            depth=depth,
            kind=knot.kind,
            title=MASKS.text(knot.title),
            who=MASKS.text(knot.who),
            said=MASKS.text(knot.said[:LONGEST_SAID]),
            state=knot.state or "note",
            begun=knot.begun,
            ended=knot.ended,
            own=knot.own,
            total=totals[knot.key],
            outside=knot.outside,
            events=tuple(knot.events),
        )
        for knot, depth in ordered
    )


def _trace(
    trace_id: str, fold: Fold, nodes: tuple[TraceNode, ...], told: Sequence[Event], now: float
) -> Trace:
    first = next((node for node in nodes if node.kind in ("message", "run")), nodes[0] if nodes else None)
    spent = NOTHING
    for node in nodes:
        spent = spent.plus(node.own)
    open_ = [node for node in nodes if node.open]
    about = [node for node in nodes if node.kind in ("turn", "run", "dead", "question")] or nodes
    states = [node.state for node in about]
    if open_:
        state: State = "running" if any(node.state == "running" for node in open_) else "waiting"
    else:
        state = "cut_off" if "cut_off" in states else "failed" if "failed" in states else "done"
    begun = min((node.begun for node in nodes), default=now)
    # What a person makes of a dead letter days later is no part of how long it took.
    timed = [node for node in nodes if node.kind != "dead"] or nodes
    ended = max((node.ended or node.begun for node in timed), default=now)
    sessions = [event.session for event in told if event.session]
    return Trace(
        id=trace_id,
        question="" if first is None else line(first.said if first.kind == "message" else first.title, 200),
        asked_by="" if first is None else first.who,
        where=next((s for s in sessions if s.startswith("room:")), sessions[0] if sessions else ""),
        answered_by=tuple(fold.answered_by),
        state=state,
        begun=begun,
        ended=None if open_ else ended,
        spent=spent,
        last_seq=max((event.seq for event in told), default=0),
        nodes=nodes,
    )
