"""The PostgreSQL store passes the suite of all stores."""

from pathlib import Path

import pytest

from planaria.cortex.store import EventStore
from planaria.cortex.stores.postgres.store import PostgresStore
from planaria.testing.stores import EventStoreContract
from tests.postgres import Postgres


class TestPostgresStore(EventStoreContract):
    @pytest.fixture(autouse=True)
    def _database(self, postgres: Postgres) -> None:
        self.postgres = postgres

    def make_store(self, folder: Path) -> EventStore:
        return PostgresStore(self.postgres.url())
