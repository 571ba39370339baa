"""A backup of the database: one snapshot of all tables, read through a connection of its own while others write.

The rows come through a cursor in a `REPEATABLE READ` transaction. `COPY` would stream them too, but its bytes would
have to be taken apart in Python: 6 µs of processor time a row beside 1 µs, as the driver makes a cursor's rows itself.
Keys are read last, and once more when the snapshot is over: who was erased meanwhile is not in the backup.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from planaria.cortex.errors import StoreDamaged
from planaria.cortex.store import SessionRow, SubjectKey
from planaria.cortex.stores.postgres.database import Connection, Database
from planaria.cortex.stores.postgres.rows import Names, learned, stored
from planaria.cortex.stores.postgres.statements import COLUMNS
from planaria.cortex.stores.sqlite.backup_file import BackupFile, begin_file, remove_file
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.cortex.stores.whole import PAGE_BYTES, PAGE_ROWS, Kept, KeptContent, KeptSnapshot
from planaria.otp import OneThread, run_blocking, timeout

PATIENT = "SET LOCAL idle_in_transaction_session_timeout = '10min'"
"""A slow disk for the backup is no reason for the server to give up."""
_EVENTS = f"SELECT {COLUMNS}, e.contents FROM events AS e ORDER BY e.seq"  # noqa: S608 - constants
_CONTENTS = "SELECT hash, size, data FROM contents"
_SESSIONS = """
SELECT n.name, s.events, s.first_seq, s.last_seq, s.last_at, s.digest
FROM sessions AS s JOIN names AS n ON n.id = s.session ORDER BY s.first_seq
"""
_SNAPSHOTS = """
SELECT n.name, s.name, s.version, s.seq, s.digest, s.data FROM snapshots AS s JOIN names AS n ON n.id = s.session
"""
_KEYS = "SELECT subject, generation, wrapped FROM subject_keys ORDER BY subject, generation"
_DESTROYED = "SELECT subject, generation FROM subject_keys WHERE wrapped IS NULL"


async def back_up(database: Database, path: Path) -> None:
    """Write a new file.

    Raises:
        StoreError: it could not be written, or the file exists; nothing is left of it.
    """
    begin_file(path)
    thread = OneThread("journal-backup")
    file = BackupFile(path)
    try:
        tables = SqliteStore(path)
        await tables.open()
        await tables.close()
        await run_blocking(file.open, executor=thread)
        async with database.alone() as connection:
            await _Copy(database, connection, file, thread).all()
        await run_blocking(file.finish, executor=thread)
    except BaseException:
        file.close()
        remove_file(path)
        raise
    finally:
        thread.shutdown(wait=False)


class _Copy:
    """One backup under way."""

    def __init__(
        self, database: Database, connection: Connection, file: BackupFile, thread: OneThread
    ) -> None:
        self.database = database
        self.connection = connection
        self.file = file
        self.thread = thread
        self.names = Names()

    async def all(self) -> None:
        """Read everything as of one moment."""
        connection, file = self.connection, self.file
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(PATIENT)
            async for rows in self._pages(_CONTENTS, 2):
                await self._write(file.contents, [KeptContent(*row) for row in rows])
            async for rows in self._pages(_EVENTS, 9):
                await self._write(file.events, await self._kept(rows))
            async for rows in self._pages(_SESSIONS, 0):
                await self._write(file.sessions, [SessionRow(row[0].decode(), *row[1:]) for row in rows])
            async for rows in self._pages("SELECT name, sealed FROM secrets", 1):
                await self._write(file.secrets, [(name.decode(), sealed) for name, sealed in rows])
            async for rows in self._pages("SELECT name, token FROM leases", 0):
                await self._write(file.leases, [(name.decode(), token) for name, token in rows])
            # Last, as the tables an erasure writes anew: it waits for whoever has read them.
            async for rows in self._pages(_SNAPSHOTS, 5):
                found = [KeptSnapshot(row[0].decode(), row[1].decode(), *row[2:]) for row in rows]
                await self._write(file.snapshots, found)
            keys = [
                SubjectKey(name.decode(), *rest)
                async for page in self._pages(_KEYS, 2)
                for name, *rest in page
            ]
        async with timeout(self.database.answer_within):
            destroyed = {(name.decode(), number) for name, number in await connection.fetch(_DESTROYED)}
        left = [
            msgspec.structs.replace(key, wrapped=None) if (key.subject, key.generation) in destroyed else key
            for key in keys
        ]
        if left != keys:
            await self._write(file.without_snapshots)
            await self._overwrite()
        await self._write(file.keys, left)

    async def _pages(self, statement: str, weight: int) -> AsyncIterator[Sequence[Any]]:
        """The rows of a statement, few at first and then as many as memory should have.

        Args:
            weight: the column that may be large.
        """
        within = self.database.answer_within
        async with timeout(within):
            cursor = await self.connection.cursor(statement)
        count = 20
        while True:
            async with timeout(within):
                rows = await cursor.fetch(count)
            if not rows:
                return
            yield rows
            size = sum(len(row[weight]) if isinstance(row[weight], bytes) else 0 for row in rows)
            count = max(1, min(PAGE_ROWS, PAGE_BYTES * len(rows) // max(size, 1)))

    async def _kept(self, rows: Sequence[Any]) -> list[Kept]:
        self.names.trim()
        unknown = self.names.unknown(rows)
        if unknown:
            self.names.learn(
                learned(
                    await self.connection.fetch(
                        "SELECT name, id FROM names WHERE id = ANY ($1)", list(unknown)
                    )
                )
            )
        kept: list[Kept] = []
        for row in rows:
            hashes = row["contents"]
            try:
                event = stored(row, self.names.texts)
            except (ValueError, LookupError) as error:  # changed by another program
                problem = f"{self.database.shown} is damaged: event {row[0]} cannot be told"
                raise StoreDamaged(
                    problem, "see `planaria journal verify`; restore an earlier backup"
                ) from error
            kept.append(Kept(event, tuple(hashes[at : at + 32] for at in range(0, len(hashes), 32))))
        return kept

    async def _overwrite(self) -> None:
        """Rows as they were before an erasure stand in a table's file while a snapshot may still ask for them."""
        async with timeout(self.database.answer_within):
            await self.connection.execute("VACUUM FULL subject_keys")
            await self.connection.execute("VACUUM FULL snapshots")

    async def _write(self, add: Callable[..., None], *rows: object) -> None:
        await run_blocking(add, *rows, executor=self.thread)
