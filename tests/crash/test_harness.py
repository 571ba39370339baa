"""The harness finds nothing wrong with a node that keeps its promises, and finds each broken one."""

import sys
from pathlib import Path

import pytest

from tests.crash.harness import Outcome, run

pytestmark = pytest.mark.subprocess
ROOT = Path(__file__).parents[2]


@pytest.fixture
def try_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    monkeypatch.setattr("tests.crash.harness.ANSWER_TIME", 2.0)

    def attempt(broken: str, kills: int) -> Outcome:
        command = [sys.executable, "-m", "tests.crash.stand_in", *broken.split()]
        return run(command, tmp_path, kills=kills, messages=400, seed=5, longest=0.3)

    return attempt


def test_a_node_that_keeps_its_promises_is_cleared(try_stand_in) -> None:
    outcome = try_stand_in("", kills=8)
    assert outcome.verdict.faults() == {}
    assert outcome.kills_while_starting > 0 and outcome.posted_again > 0


@pytest.mark.parametrize(
    ("broken", "faults"),
    [
        ("--early", {"lost"}),
        ("--twice", {"answered_twice"}),
        ("--forgetful", {"unanswered"}),
        ("--anew", {"doubled"}),
    ],
)
def test_each_broken_promise_is_found(try_stand_in, broken: str, faults: set[str]) -> None:
    assert faults <= try_stand_in(broken, kills=6).verdict.faults().keys()
