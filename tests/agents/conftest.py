from pathlib import Path

import pytest

from planaria.testing.models import ScriptedProvider
from planaria.testing.node import TestNode
from tests.agents.support import SCOUT, TrapStore, World


@pytest.fixture
async def world(node: TestNode, tmp_path: Path) -> World:
    """A garden with the agent scout in the room garden; its model has no lines yet. Not started."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "scout.md").write_text(SCOUT)
    return World(node, tmp_path, ScriptedProvider(), TrapStore())
