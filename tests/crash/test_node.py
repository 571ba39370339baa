"""A node killed at random: what was acknowledged is answered exactly once, in order; nothing lost or doubled."""

import sys
from pathlib import Path

import pytest

from tests.crash.harness import new_garden, run

pytestmark = pytest.mark.subprocess
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_acknowledged_message_is_answered_once_and_in_order_however_the_node_is_killed(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    command = [sys.executable, "-m", "planaria.cli", "up", "--garden", "."]
    outcome = run(command, new_garden(tmp_path), kills=6, messages=60, seed=seed, longest=1.5)
    assert outcome.verdict.faults() == {}
    assert outcome.kills == 6 and outcome.messages >= 60
