import pytest

from planaria.testing.node import TestNode
from tests.rooms.support import World, start


@pytest.fixture
async def world(node: TestNode) -> World:
    """A room and its journal."""
    return await start(node)
