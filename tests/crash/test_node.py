"""A node killed at random: what was acknowledged is answered exactly once, in order; nothing lost or doubled."""

import sys
from pathlib import Path

import pytest

from tests.crash.harness import new_garden, run

pytestmark = pytest.mark.subprocess
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("seed", "store"), [(1, "sqlite"), (2, "postgres")])
def test_every_acknowledged_message_is_answered_once_and_in_order_however_the_node_is_killed(
    seed: int, store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT / 'src'}:{ROOT}")
    command = [sys.executable, "-m", "planaria.cli", "up", "--garden", "."]
    database = request.getfixturevalue("postgres").url() if store == "postgres" else None
    outcome = run(command, new_garden(tmp_path, database), kills=6, messages=60, seed=seed, longest=1.5)
    assert outcome.verdict.faults() == {}
    assert outcome.kills == 6 and outcome.messages >= 60
