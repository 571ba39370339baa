"""How `planaria top` and `planaria sessions` draw: plain data in, text out."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from planaria.cli import output

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

STATES = {
    "thinking": "bold magenta",
    "acting": "bold yellow",
    "waiting": "cyan",
    "idle": "dim",
    "down": "bold red",
    "running": "bold green",
    "done": "dim",
    "failed": "bold red",
    "cancelled": "dim",
}
IDLE_SHOWN = 8
"""Sessions at rest that `top` shows; the busy ones are all shown."""
BUSIEST = 6


def money(micro: int) -> str:
    """Millionths of a dollar for people: `$0.0042`, `$12.50`; nothing for none."""
    if not micro:
        return ""
    digits = 2 if micro >= 1_000_000 else 4 if micro >= 100 else 6
    return f"${micro / 1e6:.{digits}f}"


def number(value: float) -> str:
    """At most five characters: `999`, `12.3k`, `4.1M`."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= size:
            return f"{value / (1e3 if unit == 'k' else size):.1f}{unit}"
    return f"{value:g}"


def session_line(row: dict[str, Any], now: float) -> list[str]:
    """A session in words: what it does and since when; below it whom it answers and what it is writing."""
    since = output.seconds(max(0.0, now - row["since"])) if row["since"] else ""
    doing = f": {row['doing']}" if row["doing"] else ""
    queue = f", {row['queue']} waiting" if row["queue"] else ""
    lines = [
        f"{row['agent']}@{row['room']}  {row['status']}{doing}{f', for {since}' if since else ''}{queue}"
    ]
    if row["turn"]:
        asked = f" “{_one_line(row['asked'], 100)}”" if row["asked"] else ""
        lines.append(f"    answers {row['author'] or 'somebody'}{asked}")
    if row["saying"]:
        lines.append(f"    writes “{_one_line(row['saying'], 160, end=True)}”")
    if row["last_error"]:
        lines.append(f"    last error: {_one_line(row['last_error'], 160)}")
    spent = _spent(row)
    if spent:
        lines.append(f"    so far {spent}")
    return lines


def top_view(view: dict[str, Any], before: dict[str, Any] | None) -> "Group":
    """The whole screen. `before` is the look before this one: what processes did meanwhile is shown, too."""
    from rich.console import Group

    parts: list[Any] = [_head(view), _sessions(view)]
    if view["providers"]:
        parts.append(_providers(view))
    if view["breakers"]:
        rows = [[b["key"], b["guards"], b["state"], b["failures"]] for b in view["breakers"]]
        parts.append(_table(("breaker", "guards", "state", "failures"), rows))
    if view["runs"]:
        parts.append(_runs(view))
    parts.append(_processes(view, before))
    if view["lost"]:
        lost = ", ".join(f"{number} {name}" for name, number in view["lost"].items())
        parts.append(output.styled(f"telemetry lost: {lost}", "red"))
    return Group(*parts)


def _head(view: dict[str, Any]) -> "Text":
    node = view["node"]
    text = output.styled(node["name"], "bold")
    text.append_text(
        output.styled(
            f"  {output.when(view['at'])}  {node['processes']} processes, {node['queued']} messages waiting, "
            f"{node['restarts']} restarts, {node['rss_mb']} MB"
        )
    )
    return text


def _sessions(view: dict[str, Any]) -> "Group":
    busy = [row for row in view["sessions"] if row["status"] != "idle"]
    idle = [row for row in view["sessions"] if row["status"] == "idle"]
    rows: list[list[object]] = []
    for row in (*busy, *idle[:IDLE_SHOWN]):
        since = output.seconds(max(0.0, view["at"] - row["since"])) if row["since"] else ""
        now = row["doing"]
        if row["saying"]:
            now = f"writes “{_one_line(row['saying'], 90, end=True)}”"
        asked = f"{row['author']}: {_one_line(row['asked'], 40)}" if row["turn"] else ""
        rows.append(
            [
                f"{row['agent']}@{row['room']}",
                output.styled(row["status"], STATES.get(row["status"], "")),
                since,
                _one_line(now, 100),
                asked,
                row["queue"] or "",
                _tokens(row),
                money(row["cost_micro"]),
            ]
        )
    columns = ("agent", "state", "since", "right now", "answers", "queue", "tokens", "cost")
    return _table(columns, rows or [["none has been spoken to yet", *[""] * (len(columns) - 1)]])


def _providers(view: dict[str, Any]) -> "Group":
    rows: list[list[object]] = [
        [
            row["key"],
            row["model"],
            row["in_flight"] or "",
            _waiting(row, view["at"]),
            row["calls"],
            output.styled(row["failures"] or "", "red"),
            "" if row["p50_ms"] is None else f"{row['p50_ms']:.0f} / {row['p99_ms']:.0f} ms",
            _tokens(row),
            money(row["cost_micro"]),
            _resting(row, view["at"]) or _one_line(row["last_error"], 60),
        ]
        for row in view["providers"]
    ]
    columns = (
        *("provider", "last model", "now", "waiting", "calls", "failed"),
        *("p50 / p99", "tokens", "cost", "last error"),
    )
    return _table(columns, rows)


def _waiting(row: dict[str, Any], at: float) -> str:
    """Who waits for a provider: `12 of 3 sessions, 40 s`."""
    if not row.get("waiting"):
        return ""
    since = output.seconds(max(0.0, at - (row["waiting_since"] or at)))
    return f"{row['waiting']} of {row['sessions']} session{'' if row['sessions'] == 1 else 's'}, {since}"


def _resting(row: dict[str, Any], at: float) -> "Text | None":
    """Why and how long a provider is left alone."""
    until = row.get("resting_until") or 0.0
    if until <= at:
        return None
    return output.styled(f"left alone for {output.seconds(until - at)}: {row['resting']}", "yellow")


def _runs(view: dict[str, Any]) -> "Group":
    rows: list[list[object]] = [
        [
            row["workflow"],
            row["key"].removeprefix("run:"),
            output.styled(row["status"], STATES.get(row["status"], "")),
            row["step"],
            output.seconds(max(0.0, (row["ended"] or view["at"]) - row["started"])),
            _one_line(row["error"], 60),
        ]
        for row in sorted(view["runs"], key=lambda row: row["status"] != "running")[:IDLE_SHOWN]
    ]
    return _table(("workflow", "run", "state", "step", "took", "error"), rows)


def _processes(view: dict[str, Any], before: dict[str, Any] | None) -> "Group":
    then = {row["pid"]: row["reductions"] for row in before["processes"]} if before is not None else {}
    took = view["at"] - before["at"] if before is not None else 0.0

    def rate(row: dict[str, Any]) -> float:
        return (row["reductions"] - then.get(row["pid"], 0)) / took if took > 0 else 0.0

    busiest = sorted(view["processes"], key=lambda row: (-row["queue"], -rate(row), -row["reductions"]))
    rows: list[list[object]] = [
        [
            row["name"] or f"{row['label']} {row['pid']}",
            row["status"],
            row["doing"],
            row["queue"] or "",
            f"{number(round(rate(row)))}/s" if took > 0 else number(row["reductions"]),
            row["restarts"] or "",
        ]
        for row in busiest[:BUSIEST]
    ]
    return _table(("busiest process", "state", "in hand", "queue", "reductions", "restarts"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> "Group":
    from rich.console import Group
    from rich.text import Text

    from planaria.cli.table import Rows

    numbers = ("queue", "calls", "failed", "tokens", "cost", "reductions", "now", "restarts")
    right = frozenset(place for place, column in enumerate(columns) if column in numbers)
    cells = [[cell if isinstance(cell, Text) else output.styled(cell) for cell in row] for row in rows]
    return Group(Rows(columns, cells, right), Text())


def _tokens(row: dict[str, Any]) -> str:
    if not row["tokens_in"] and not row["tokens_out"]:
        return ""
    return f"{number(row['tokens_in'])} → {number(row['tokens_out'])}"


def _spent(row: dict[str, Any]) -> str:
    turns = f"{row['turns']} turn{'' if row['turns'] == 1 else 's'}" if row["turns"] else ""
    tokens = f"{_tokens(row)} tokens" if _tokens(row) else ""
    return ", ".join(part for part in (turns, tokens, money(row["cost_micro"])) if part)


def _one_line(text: str, most: int, *, end: bool = False) -> str:
    flat = " ".join(text.split())
    if len(flat) <= most:
        return flat
    return f"…{flat[1 - most :]}" if end else f"{flat[: most - 1]}…"
