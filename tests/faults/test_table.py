"""The most telling faults of the table, each in a whole node: what room, journal and dashboard say. No times."""

from pathlib import Path

import pytest

from tests.faults.table.case import Row, inject
from tests.faults.table.every import CASES
from tests.faults.table.page import BEGIN, END, table, written

BY_NAME = {case.name: case for case in CASES}
PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
QUICK = (
    "no first byte",
    "hang in the middle of an answer",
    "429 with Retry-After",
    "429 with Retry-After: 3600, nobody else to ask, released by hand",
    "words without an end",
    "signs of life without a word or an end",
    "wrong key, 401, nobody else to ask",
    "name gone from the DNS",
    "a tool that fails again and again",
    "a tool that never answers",
    "the same call three times",
    "the context is full, and the hand-off fails",
    "the budget of a turn is used up",
    "the garden's budget of the day is used up",
    "an agent's budget of the day is used up while it writes in two rooms",
    "our own limit reached and the queue full",
    "stopped by a person while the answer is written",
    "the session's process killed while the answer is written",
    "the journal's process killed while the answer is written",
)
ESTIMATED = (
    "hang in the middle of an answer",
    "words without an end",
    "an agent's budget of the day is used up while it writes in two rooms",
    "stopped by a person while the answer is written",
)
"""Of those, what breaks off an answer that had begun, and whose attempt is not made again."""


@pytest.mark.parametrize("name", QUICK)
async def test_a_fault_is_seen_in_room_journal_and_dashboard(name: str, tmp_path: Path):
    row = await inject(BY_NAME[name], tmp_path)
    assert row.problems == ()
    # Nothing was told that was not charged, and what was begun and not told is charged as estimated.
    assert row.billed_micro_usd <= row.charged_micro_usd
    assert bool(row.estimated_micro_usd) == (name in ESTIMATED)


async def test_who_repeats_a_call_that_was_cut_off_is_charged_once(tmp_path: Path):
    row = await inject(BY_NAME["the session's process killed while the answer is written"], tmp_path)
    assert (row.wasted_tokens, row.charged_micro_usd) == (0, row.billed_micro_usd)


def test_every_fault_has_its_line_in_the_docs():
    page = PAGE.read_text()
    shown = page.partition(BEGIN)[2].partition(END)[0]
    assert [case.name for case in CASES if f"| {case.name} |" not in shown] == []
    assert len(BY_NAME) == len(CASES)


def test_the_table_is_written_between_its_marks():
    row = Row("A", "one | two", room=("a\nb",), journal=("x (y)",), page="rooms", shown="a", beyond_ms=12.4)
    page = written(f"before\n{BEGIN}\nstale\n{END}\nafter\n", [row])
    assert page.startswith(f"before\n{BEGIN}\n### A") and page.endswith(f"{END}\nafter\n")
    assert "stale" not in page and "| one \\| two | a b | `x (y)` | rooms: a | 12 |" in table([row])
