"""A trace as rows with bars on a time axis: what the template needs, in percent of the axis. Pure.

The axis of a trace that still grows ends at a round time ahead, so that its bars move seldom, not with every look.
"""

import math
from urllib.parse import quote

import msgspec

from planaria.nerve.show import clip
from planaria.nerve.trace.figures import STATE_WORDS, money, tokens, took
from planaria.nerve.trace.settle import MOMENTS
from planaria.nerve.trace.shape import Trace, TraceNode
from planaria.nerve.trace.words import line
from planaria.nerve.web.parts import dom_id

MOST_INDENT = 12
"""Levels that are drawn further to the right."""
MOST_ROWS = 600
"""Nodes that are drawn; the rest is a number, and `planaria trace` shows it."""
LONGEST = 140
LONG_STEPS = (
    30,
    60,
    120,
    300,
    600,
    1200,
    1800,
    3600,
    7200,
    18_000,
    36_000,
    86_400,
    172_800,
    432_000,
    864_000,
)
"""Seconds of the longer steps of an axis: half a minute to ten days."""


class Lane(msgspec.Struct, frozen=True):
    """A bar: where it begins and ends, in percent of the axis; `out`: it lies outside of what is shown."""

    begin: str
    end: str
    out: bool


class RowView(msgspec.Struct, frozen=True):
    """One node as a line."""

    dom: str
    href: str
    panel: str
    indent: int
    level: int
    kind: str
    state: str
    word: str
    title: str
    who: str
    said: str
    took: str
    tokens: str
    money: str
    lane: Lane | None


class Tick(msgspec.Struct, frozen=True):
    """A time on the axis."""

    at: str
    text: str


class Axis(msgspec.Struct, frozen=True):
    """The stretch of time that is drawn, unix seconds."""

    begin: float
    end: float
    ticks: tuple[Tick, ...]


def axis(trace: Trace, now: float, zoom: TraceNode | None = None) -> Axis:
    """The time axis of a trace, or of one of its nodes."""
    part = zoom or trace
    begin = part.begun
    length = max(part.seconds(now), 0.001)
    if part.open:
        length = round_up(length * 1.05)
    step = round_up(length / 3.2)
    ticks: list[Tick] = []
    place = 0.0
    while place <= length * 1.0001 and len(ticks) < 12:
        ticks.append(Tick(f"{100 * place / length:.2f}%", took(place) if place else "0"))
        place += step
    # The end of the axis has no room for a word beside it.
    return Axis(begin, begin + length, tuple(tick for tick in ticks if float(tick.at[:-1]) <= 80))


def round_up(seconds: float) -> float:
    """The next of 1, 2, 5, 10, 20 seconds and so on; from a minute on the next that people count in."""
    if seconds > 20:
        whole = next((step for step in LONG_STEPS if step >= seconds), 0)
        if whole:
            return float(whole)
    power = 10.0 ** math.floor(math.log10(max(seconds, 1e-6)))
    return next(power * step for step in (1, 2, 5, 10) if power * step >= seconds * 0.9999)


def rows(trace: Trace, shown: Axis, now: float, zoom: str) -> tuple[RowView, ...]:
    """The nodes of a trace as lines."""
    return tuple(_row(trace, node, shown, now, zoom) for node in trace.nodes[:MOST_ROWS])


def trace_url(trace_id: str, node: str = "", zoom: str = "") -> str:
    """The page of a trace, one of its nodes opened, the axis zoomed to one."""
    given = [f"{name}={quote(value, safe='')}" for name, value in (("node", node), ("zoom", zoom)) if value]
    return f"/traces/{quote(trace_id, safe='', errors='backslashreplace')}" + (
        "?" + "&".join(given) if given else ""
    )


def panel_url(trace_id: str, node: str, zoom: str = "") -> str:
    """The details of a node alone."""
    return trace_url(trace_id, node, zoom).replace("/traces/", "/trace-node/", 1)


def _row(trace: Trace, node: TraceNode, shown: Axis, now: float, zoom: str) -> RowView:
    moment = (
        node.state == "note" or node.kind in MOMENTS or (node.kind == "message" and node.ended == node.begun)
    )
    bare = node.kind in ("prompt", "decision")
    spent = node.own if node.kind == "model" else node.total
    return RowView(
        dom=dom_id("n", node.id),
        href=trace_url(trace.id, node.id, zoom) + "#node-detail",
        panel=panel_url(trace.id, node.id, zoom),
        indent=min(node.depth, MOST_INDENT),
        level=node.depth + 1,
        kind=node.kind,
        state=node.state,
        word=""
        if node.state in ("done", "note") or node.kind in ("side", "dead")
        else STATE_WORDS[node.state],
        title=clip(line(node.title, LONGEST), LONGEST),
        who=line(node.who, LONGEST) if node.kind == "tool" else "",
        said=line(node.said, LONGEST),
        took="" if moment or bare else took(node.seconds(now)),
        tokens=tokens(spent),
        money=money(spent),
        lane=None if bare else _lane(node, shown, now),
    )


def _lane(node: TraceNode, shown: Axis, now: float) -> Lane:
    length = shown.end - shown.begin
    begin = (node.begun - shown.begin) / length
    end = begin + node.seconds(now) / length
    out = end < 0 or begin > 1
    first, last = min(max(begin, 0.0), 1.0), min(max(end, 0.0), 1.0)
    return Lane(f"{100 * first:.2f}%", f"{100 * last:.2f}%", out)
