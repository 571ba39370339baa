"""Single processes of a living node are killed while it works: nothing lost or doubled, money exact."""

from pathlib import Path

import pytest

from tests.crash.processes import offer_tools, run


@pytest.mark.parametrize("seed", [1, 2])
async def test_every_promise_is_kept_whichever_processes_are_killed(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer_tools(monkeypatch)
    outcome = await run(tmp_path, kills=25, rounds=5, seed=seed)
    assert outcome.faults == [], outcome.killed
    assert len(outcome.killed) == 25
