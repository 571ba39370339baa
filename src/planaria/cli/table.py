"""A table that stays readable on a narrow terminal: columns while they fit, else a few lines for each row."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType

GAP = 2
NARROW = 20
"""Cells that are wrapped get so many columns at least; if there is less, rows are drawn below each other."""
LONG = 24
"""A column that is wider may be wrapped; a narrower one is never."""


class Rows:
    """Draws itself for the width there is.

    Args:
        columns: their titles.
        rows: as many cells each as there are columns.
        right: places of the columns that are numbers.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Sequence[Sequence[Text]],
        right: frozenset[int] = frozenset(),
    ) -> None:
        self.columns, self.rows, self.right = columns, rows, right

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "Iterator[RenderableType]":
        """Called by Rich."""
        shown = list(range(len(self.columns)))
        if not self._fits(shown, options.max_width):  # a column in which nothing stands is the first to go
            shown = [place for place in shown if any(row[place].plain for row in self.rows)]
        if self._fits(shown, options.max_width):
            yield self._table(shown)
            return
        for row in self.rows:
            yield self._below(row, shown, options.max_width)

    def _fits(self, shown: Sequence[int], width: int) -> bool:
        widths = [self._width(place) for place in shown]
        needed = sum(each if each <= LONG else NARROW for each in widths)
        return needed + GAP * max(0, len(shown) - 1) <= width

    def _width(self, place: int) -> int:
        cells = (line.cell_len for row in self.rows for line in row[place].split())
        return max(len(self.columns[place]), *cells, 0)

    def _table(self, shown: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
        for place in shown:
            table.add_column(
                self.columns[place],
                justify="right" if place in self.right else "left",
                no_wrap=self._width(place) <= LONG,
                overflow="fold",
            )
        for row in self.rows:
            table.add_row(*(row[place] for place in shown))
        return table

    def _below(self, row: Sequence[Text], shown: Sequence[int], width: int) -> Text:
        """A row as lines: its first cell, then the others with their titles; broken between cells where it can be."""
        lines: list[Text] = []
        for place in shown:
            if not row[place].plain:
                continue
            cell = row[place] if not lines else Text.assemble((f"{self.columns[place]} ", "dim"), row[place])
            if lines and lines[-1].cell_len + GAP + cell.cell_len <= width:
                lines[-1] = Text.assemble(lines[-1], " " * GAP, cell)
            else:
                lines.append(Text.assemble("    " if lines else "", cell))
        return Text("\n").join(lines)
