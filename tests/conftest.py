"""What all tests share: the fixtures `node`, a running node with virtual time and a seeded schedule, and `postgres`."""

from collections.abc import Iterator

import pytest

from tests.postgres import Postgres, the_server

pytest_plugins = ["planaria.testing.plugin"]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A new database on a real server."""
    database = Postgres(the_server())
    yield database
    database.drop()
