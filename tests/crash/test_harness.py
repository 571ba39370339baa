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

    def attempt(broken: str, kills: int, seed: int = 5) -> Outcome:
        command = [sys.executable, "-m", "tests.crash.stand_in", *broken.split()]
        garden = tmp_path / str(seed)
        garden.mkdir()
        return run(command, garden, kills=kills, messages=400, seed=seed, longest=0.3)

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
    # Whether a kill meets the moment that matters is the machine's affair: each try may miss it.
    assert any(
        faults <= try_stand_in(broken, kills=6, seed=seed).verdict.faults().keys() for seed in range(5, 9)
    )
