"""Every store of the journal passes the same suite."""

from pathlib import Path

from planaria.cortex.store import EventStore
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.testing.memory_store import MemoryStore
from planaria.testing.stores import EventStoreContract


class TestSqliteStore(EventStoreContract):
    def make_store(self, folder: Path) -> EventStore:
        return SqliteStore(folder / "journal.db")


class TestMemoryStore(EventStoreContract):
    def make_store(self, folder: Path) -> EventStore:
        return MemoryStore()
