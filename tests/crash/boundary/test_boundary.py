"""Killed at a boundary between two commits of a run, on either store: nothing lost or doubled, money exact.

One boundary in three, another third on each store; `python -m tests.crash.boundary.matrix` takes them all.
"""

from pathlib import Path

import pytest

from tests.crash.boundary.matrix import matrix
from tests.postgres import Postgres, the_server

pytestmark = pytest.mark.subprocess


@pytest.mark.parametrize(("store", "begin"), [("sqlite", 0), ("postgres", 1)])
async def test_every_promise_is_kept_whichever_boundary_the_node_is_killed_at(
    store: str, begin: int, tmp_path: Path
) -> None:
    def database() -> str | None:
        return Postgres(the_server()).url() if store == "postgres" else None

    results = await matrix(tmp_path, database, every=3, begin=begin, twice=3)
    assert {str(result.case): result.faults for result in results if result.faults} == {}
    whole, *killed = results
    assert whole.commits >= 25
    # One that finds less to commit than the undisturbed run may end before its trap.
    assert sum(result.kills > 0 for result in killed) >= 0.9 * len(killed)
