"""Draws traces in the terminal: the tree with a bar for each duration, tokens and cost; and the texts of its nodes."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from planaria.cli import output
from planaria.nerve.trace.detail import Detail
from planaria.nerve.trace.figures import STATE_WORDS, money, tail, tokens, took
from planaria.nerve.trace.settle import MOMENTS
from planaria.nerve.trace.shape import Trace, TraceNode
from planaria.nerve.trace.words import line as one_line

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

BAR, SHORT_BAR, NARROW = 24, 10, 90
"""Characters of the time axis, and of that in a terminal narrower than so many."""
MEANEST, WIDEST = 24, 100
"""Characters of the tree itself, at least and at most."""
COLORS = {
    "running": "yellow",
    "waiting": "yellow",
    "done": "green",
    "failed": "red",
    "cut_off": "magenta",
    "note": "",
}
BARE = ("prompt", "decision")
"""Kinds that are no work of their own: without bar and time."""


def draw(trace: Trace, now: float, details: Mapping[str, Detail] | None = None, width: int = 1000) -> "Group":
    """The whole trace.

    Args:
        width: characters of a line; texts of opened nodes may be longer.
        now: unix seconds; where the bars of what goes on end.
        details: nodes that are shown with their texts, by id.
    """
    from rich.console import Group

    guides = _guides(trace.nodes)
    long = BAR if width >= NARROW else SHORT_BAR
    rows = [_row(trace, node, guide, now, long) for node, guide in zip(trace.nodes, guides, strict=True)]
    # Columns that say nothing are left out: a model without a price leaves more room for words.
    used = [place for place in range(len(rows[0])) if any(row[place].plain for row in rows)] if rows else []
    widths = {place: max(row[place].cell_len for row in rows) for place in used}
    rest = sum(width + 1 for place, width in widths.items() if place)
    widths[0] = max(MEANEST, min(widths.get(0, 0), WIDEST, width - rest - 1))
    lines = [head(trace, now)]
    for node, guide, row in zip(trace.nodes, guides, rows, strict=True):
        lines.append(_line(row, widths))
        lines += _opened(details.get(node.id) if details else None, guide)
    return Group(*lines)


def _line(row: Sequence["Text"], widths: Mapping[int, int]) -> "Text":
    """The columns side by side; figures to the right."""
    line = output.styled("")
    for place, width in widths.items():
        cell = row[place].copy()
        if place <= 1:
            cell.truncate(width, overflow="ellipsis", pad=True)
        else:
            cell.align("right", width)
        line.append_text(cell)
        line.append(" ")
    line.rstrip()
    return line


def head(trace: Trace, now: float) -> "Text":
    """The trace in two lines."""
    line = output.styled("")
    line.append("trace ", "dim")
    line.append_text(output.styled(trace.id, "bold"))
    line.append_text(output.styled(f"  {STATE_WORDS[trace.state]}", COLORS[trace.state]))
    for each in (took(trace.seconds(now)), tokens(trace.spent), money(trace.spent)):
        line.append_text(output.styled(f"  {each}" if each else "", ""))
    where = f"  {trace.where}" if trace.where else ""
    line.append_text(output.styled(where, "dim"))
    return line


def _row(trace: Trace, node: TraceNode, guide: str, now: float, long: int) -> list["Text"]:
    label = output.styled("")
    label.append(guide, "dim")
    label.append_text(_label(node))
    bare = (
        node.kind in BARE
        or node.state == "note"
        or node.kind in MOMENTS
        or (node.kind == "message" and node.ended == node.begun)
    )
    seconds = "" if bare else took(node.seconds(now))
    spent = node.total if node.kind != "model" else node.own
    color = COLORS[node.state]
    return [
        label,
        output.styled("" if node.kind in BARE else bar(trace, node, now, long), color or "dim"),
        output.styled(seconds),
        output.styled(tokens(spent), "cyan"),
        output.styled(money(spent), "cyan"),
    ]


def _label(node: TraceNode) -> "Text":
    said = one_line(node.said, 200)
    line = output.styled("")
    if node.kind == "message":
        line.append_text(output.styled(f"{node.title}: ", "bold"))
        line.append_text(output.styled(said))
        return line
    bold = "bold" if node.kind in ("turn", "tool", "model", "run", "work", "job", "question") else ""
    bad = node.kind in ("dead", "side") and node.state == "failed"
    line.append_text(output.styled(node.title, "red" if bad else bold))
    if node.kind == "tool" and node.who:
        line.append_text(output.styled(f" {one_line(node.who, 40)}"))
    if node.state not in ("done", "note") and node.kind not in ("decision", "side", "dead"):
        line.append_text(output.styled(f"  {STATE_WORDS[node.state]}", COLORS[node.state]))
    if said:
        line.append_text(output.styled(f"{'  → ' if node.kind == 'tool' else '  '}{said}", "dim"))
    return line


def bar(trace: Trace, node: TraceNode, now: float, width: int) -> str:
    """Where on the time axis of the trace a node is: `   ━━━━━   `; a moment is a dot."""
    whole = max(trace.seconds(now), 1e-6)
    start = min(max((node.begun - trace.begun) / whole, 0.0), 1.0)
    length = min(node.seconds(now) / whole, 1.0 - start)
    left = min(int(start * width), width - 1)
    cells = max(1, round(length * width)) if length > 0 else 0
    cells = min(cells, width - left)
    shown = " " * left + ("━" * cells if cells else "·")
    return shown.ljust(width)


def _guides(nodes: Sequence[TraceNode]) -> list[str]:
    """The lines of a tree before each node: `│   └── `."""
    lasts: dict[str | None, str] = {}
    for node in nodes:
        lasts[node.parent] = node.id
    found: list[str] = []
    stems: dict[str, str] = {}
    for node in nodes:
        last = lasts[node.parent] == node.id
        stem = stems.get(node.parent or "", "")
        if node.parent is None:
            found.append("")
            stems[node.id] = ""
        else:
            found.append(f"{stem}{'└─ ' if last else '├─ '}")
            stems[node.id] = stem + ("   " if last else "│  ")
    return found


def _opened(detail: Detail | None, guide: str) -> list["Text"]:
    if detail is None:
        return []
    stem = guide.replace("├─ ", "│  ").replace("└─ ", "   ") + "   "
    lines = [output.styled(f"{stem}{name}: {value}", "dim") for name, value in detail.facts]
    for section in detail.sections:
        outside = ", outside content" if section.outside else ""
        lines.append(output.styled(f"{stem}{section.title} ({section.chars} characters{outside})", "bold"))
        lines += [output.styled(f"{stem}  {line}") for line in section.text.splitlines()]
    return lines


def listing(traces: Sequence[Trace], now: float) -> tuple[tuple[str, ...], list[list[object]]]:
    """The columns and rows of a list of traces."""
    columns = ("trace", "asked", "by", "question", "answered by", "state", "took", "tokens", "cost")
    rows: list[list[object]] = [
        [
            tail(trace.id),
            output.when(trace.begun),
            trace.asked_by,
            trace.question if len(trace.question) <= 60 else trace.question[:59] + "…",
            ", ".join(trace.answered_by),
            STATE_WORDS[trace.state],
            took(trace.seconds(now)),
            tokens(trace.spent),
            money(trace.spent),
        ]
        for trace in traces
    ]
    return columns, rows
