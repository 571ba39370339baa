"""Tables on terminals of any width."""

import io

from rich.console import Console
from rich.text import Text

from planaria.cli.table import Rows

COLUMNS = ("trace", "asked", "question", "answered by", "took", "cost")
ROW = ("28BNYAGE", "20:06:10", "what do the notes say about welcome and all the rest?", "scout", "25 ms", "")


def drawn(width: int, rows: tuple[tuple[str, ...], ...] = (ROW,)) -> list[str]:
    out = io.StringIO()
    cells = [[Text(cell) for cell in row] for row in rows]
    Console(file=out, width=width, color_system=None).print(Rows(COLUMNS, cells))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_a_table_that_fits_has_a_line_for_each_row():
    lines = drawn(140)
    assert lines[0].split() == ["trace", "asked", "question", "answered", "by", "took", "cost"]
    assert len(lines) == 2


def test_a_narrower_one_leaves_out_what_is_empty_and_wraps_at_words():
    lines = drawn(64)
    assert "cost" not in lines[0]
    assert lines[1].startswith("28BNYAGE  20:06:10  what do the notes")
    assert all(word in "\n".join(lines) for word in ROW[2].split())


def test_on_a_phone_each_row_is_a_few_lines_and_no_word_is_broken():
    lines = drawn(48, (ROW, ROW))
    assert lines[0] == "28BNYAGE  asked 20:06:10"
    assert "    answered by scout  took 25 ms" in lines
    assert all(len(line) <= 48 for line in lines)
    assert lines.count(lines[0]) == 2


def test_of_no_rows_the_head_is_drawn():
    assert drawn(140, ()) == ["trace  asked  question  answered by  took  cost"]
