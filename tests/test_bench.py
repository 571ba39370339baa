"""How figures are told: tables and the page, without running a benchmark."""

from typing import Any

import pytest

from benchmarks.run import as_markdown, as_text, cell, docstring, names, page, table

ROWS: list[dict[str, Any]] = [
    {"benchmark": "x", "row": "call", "ns": {"median": 812.4, "low": 800.0, "high": 900.5}, "python": "3.13"},
    {"benchmark": "x", "row": "start", "ms": 12.345, "beam": None},
]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (12, "12"),
        (1234567, "1,234,567"),
        (0.012345, "0.0123"),
        (812.4, "812"),
        (3.0, "3"),
        (True, "yes"),
        ("as is", "as is"),
        ({"median": 2.5, "low": 1.0, "high": 4}, "2.5 (1..4)"),
    ],
)
def test_a_figure_has_as_many_digits_as_count(value, text):
    assert cell(value) == text


def test_rows_with_different_keys_share_a_table():
    assert table(ROWS) == [
        ["row", "ns", "ms", "beam"],
        ["call", "812 (800..900)", "", ""],
        ["start", "", "12.3", "-"],
    ]


def test_a_table_is_for_terminals_and_for_the_page():
    assert as_text([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc  d"
    assert as_markdown([["a", "b"], ["c", "d"]]) == "| a | b |\n| --- | --: |\n| c | d |"


def test_every_benchmark_asks_a_question():
    for name in names():
        assert docstring(name)[0].endswith("?"), name


def test_the_page_names_date_machine_and_command():
    text = page({"journal": ROWS}, "2026-01-02", failed=["node"])
    assert "Measured 2026-01-02 on: " in text
    assert "`python -m benchmarks.bench_journal --json`" in text
    assert "| call | 812 (800..900) |" in text
    assert "## node\n\nFailed when this page was written." in text
