"""The journal's benchmark: its subjects speak the protocol, and its lines compare them."""

import sys

import pytest

from benchmarks.bench_journal import _compared, as_line
from benchmarks.subject import Subject


@pytest.mark.subprocess
@pytest.mark.parametrize("module", ["turns_planaria", "turns_floor"])
def test_a_subject_tells_turns_and_bytes(module: str):
    with Subject([sys.executable, "-m", f"benchmarks.peers.{module}", "sqlite"]) as subject:
        for row in ("one", "many"):
            rate, size = subject.ask(row, 2, 60.0)
            assert rate > 0 and size >= 0
        assert len(subject.ask("growth", 110, 60.0)) == 3


@pytest.mark.subprocess
def test_ours_tells_whole_turns_appends_and_rebuilds():
    with Subject([sys.executable, "-m", "benchmarks.peers.turns_planaria", "sqlite"]) as subject:
        assert subject.ask("agent_one", 2, 60.0)[0] > 0
        rate, p50, p99 = subject.ask("latency", 2, 60.0)
        assert rate > 0 and 0 < p50 <= p99
        assert subject.ask("rebuild", 1000, 60.0)[0] > 0


def test_a_line_has_ratios_and_says_whether_its_aim_is_met():
    found = {"ours": [[300.0], [330.0]], "DBOS": [[30.0], [33.0]]}
    line = _compared("turns/s", "SQLite", found, 500)
    assert line["ours / DBOS"]["median"] == 10.0
    assert line["met"] is False
    assert "aim 500: missed" in as_line(line)
    assert _compared("bytes a turn", "SQLite", found, 1536, unit="bytes")["met"] is True
    assert "aim" not in _compared("turns/s", "SQLite", {"DBOS": [[1.0]]}, 500)
