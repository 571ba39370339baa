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
    # Commits join when the machine is slow: a run may end before its trap, and then it had fewer commits than that.
    escaped = [(str(result.case), result.commits) for result in killed if not result.kills]
    early = [
        result
        for result in killed
        if not result.kills and result.case and result.commits > result.case.first[0]
    ]
    assert early == [], "went past its trap alive"
    assert len(escaped) <= len(killed) / 2, escaped
