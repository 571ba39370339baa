"""The pytest plugin: the fixture `node`. Load it with `pytest_plugins = ["planaria.testing.plugin"]`.

A failure under a seeded schedule is replayed with the seed the report prints: `PLANARIA_SEED=123 pytest ...`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from planaria.testing.node import TestNode, running_node, seed_for

_seed = pytest.StashKey[int]()


@pytest_asyncio.fixture
async def node(request: pytest.FixtureRequest) -> AsyncIterator[TestNode]:
    """A running node with a virtual clock and a seeded schedule."""
    seed = seed_for(request.node.nodeid)
    request.node.stash[_seed] = seed
    async with running_node(seed=seed) as running:
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Print the seed below a failure."""
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.when == "call" and report.failed and _seed in item.stash:
        report.sections.append(("schedule", f"replay with PLANARIA_SEED={item.stash[_seed]}"))
