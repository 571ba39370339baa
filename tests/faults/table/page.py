"""The table as a part of `docs/faults.md`, between two marks. Pure."""

from collections.abc import Sequence

from tests.faults.table.case import Row

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
MORE = "recovers, ms | after waits of, ms | wasted: tokens, µ$ | never told us, µ$ | estimated for it, µ$ |"
LONGEST = 260
"""Characters of one thing that was said."""


def written(page: str, rows: Sequence[Row]) -> str:
    """The page with these rows in the place of those it has."""
    head, _, rest = page.partition(BEGIN)
    _, _, foot = rest.partition(END)
    return f"{head}{BEGIN}\n{table(rows)}\n{END}{foot}"


def table(rows: Sequence[Row]) -> str:
    """All rows, by group."""
    lines: list[str] = []
    group = ""
    for row in rows:
        if row.group != group:
            group = row.group
            lines += ["", f"### {group}", ""]
            lines += [
                "| fault | in the room | in the journal, beside what every turn writes | on the dashboard | "
                + MORE,
                "|---|---|---|---|---|---|---|---|---|",
            ]
        lines.append(_line(row))
    return "\n".join(lines[1:])


def _line(row: Row) -> str:
    room = "<br>".join(_said(text) for text in row.room)
    journal = "<br>".join(f"`{_cell(kind)}`" for kind in row.journal) or "-"
    shown = f"{row.page}: {_said(row.shown)}" if row.shown else row.page
    note = f"<br>{_said(row.note)}" if row.note else ""
    wasted = f"{row.wasted_tokens:,}, {row.wasted_micro_usd:,}" if row.wasted_tokens else "0"
    unknown = row.charged_micro_usd - row.billed_micro_usd
    cells = (
        *(f"{_cell(row.name)}", room, journal, shown + note, f"{row.beyond_ms:,.0f}", f"{row.waits_ms:,.0f}"),
        *(wasted, f"{unknown:,}" if unknown else "0", f"{row.estimated_micro_usd:,}"),
    )
    return "| " + " | ".join(cells) + " |"


def _said(text: str) -> str:
    short = " ".join(text.split())
    return _cell(short if len(short) <= LONGEST else short[: LONGEST - 1] + "…")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
