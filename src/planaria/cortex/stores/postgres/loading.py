"""Puts a backup in the journal's place: new tables, filled with `COPY`, in one transaction with renaming the old.

Until it commits everybody sees the journal before; after that, whoever still writes for it is refused, as all leases
have later tokens.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import planaria.cortex.stores.postgres.statements as sql
from planaria.cortex.errors import StoreBusy, StoreDamaged, StoreFailed
from planaria.cortex.store import Stored
from planaria.cortex.stores.postgres.backing_up import PATIENT
from planaria.cortex.stores.postgres.database import DURABLE, LOCK, Connection, Database
from planaria.cortex.stores.postgres.migrating import apply_migrations
from planaria.cortex.stores.postgres.rows import id_bytes
from planaria.cortex.stores.sqlite.backup_rows import BackupRows
from planaria.cortex.stores.whole import Kept
from planaria.otp import OneThread, run_blocking, timeout

_WITHIN = 60.0
"""Seconds the server may take for one page of rows."""
_THERE = """
SELECT CASE WHEN to_regclass('planaria.events') IS NULL THEN 0 ELSE 1 END,
       CASE WHEN to_regnamespace('planaria') IS NULL THEN 0 ELSE 1 END
"""
_EVENT_COLUMNS = (
    *("seq", "at", "session", "kind", "node", "process", "subject", "version", "stripped"),
    *("id", "trace_id", "cause_id", "digest", "contents", "payload"),
)
_NUMBERED = "SELECT setval(pg_get_serial_sequence('planaria.names', 'id'), greatest($1::bigint, 1))"


async def load(
    database: Database,
    file: Path,
    aside: str,
    *,
    holder: str,
    replace: bool,
    progress: Callable[[int, int], object],
) -> str | None:
    """See `LoadingStore.load`."""
    thread = OneThread("journal-restore")
    rows: BackupRows | None = None
    try:
        rows = await run_blocking(BackupRows, file, executor=thread)
        async with database.alone() as connection:
            await connection.execute(DURABLE)
            async with connection.transaction():
                await connection.execute(sql.NO_HURRY)
                await connection.execute(PATIENT)
                kept, tokens = await _make_room(database, connection, aside, holder, replace)
                async with timeout(_WITHIN):
                    await apply_migrations(connection, 0)
                await _Load(connection, rows, thread, progress).all(tokens)
                async with timeout(sql.LONG):
                    problems = [row[0] for row in await connection.fetch(sql.CHECK)]
                    if problems:
                        raise StoreDamaged(f"{file} is damaged: {problems[0]}", "use another backup")
                    await connection.execute("ANALYZE names, events, sessions, contents")
    finally:
        if rows is not None:
            await run_blocking(rows.close, executor=thread)
        thread.shutdown(wait=False)
    return aside if kept else None


async def _make_room(
    database: Database, connection: Connection, aside: str, holder: str, replace: bool
) -> tuple[bool, dict[bytes, int]]:
    """Put the tables that are there aside; whether there were any, and the tokens of their leases."""
    async with timeout(_WITHIN):
        await connection.execute("SELECT pg_advisory_xact_lock($1, 1)", LOCK)
        await connection.execute(sql.COMMIT_LOCK, LOCK)
        has_tables, has_schema = await connection.fetchrow(_THERE)
        if not has_schema:
            return False, {}
        tokens: dict[bytes, int] = {}
        used = not has_tables  # what it is cannot be told, so it is kept
        if has_tables:
            tokens = dict(await connection.fetch("SELECT name, token FROM leases"))
            lease = await connection.fetchrow(sql.LEASE, b"node")
            if lease is not None and lease["holder"] != holder:
                where = lease["holder"].partition("#")[0]
                raise StoreBusy(f"another node works on {database.shown}: {where}", "end that node first")
            events: int = await connection.fetchval("SELECT count(*) FROM events")
            if events and not replace:
                mend = "with --force they are put aside, and kept"
                raise StoreFailed(f"{database.shown} has {events} events", mend)
            keys: int = await connection.fetchval("SELECT count(*) FROM subject_keys")
            secrets: int = await connection.fetchval("SELECT count(*) FROM secrets")
            used = bool(events or keys or secrets)
        await connection.execute(
            f'ALTER SCHEMA planaria RENAME TO "{aside}"' if used else "DROP SCHEMA planaria CASCADE"
        )
    return used, tokens


class _Load:
    """One restore under way."""

    def __init__(
        self,
        connection: Connection,
        rows: BackupRows,
        thread: OneThread,
        progress: Callable[[int, int], object],
    ) -> None:
        self.connection = connection
        self.rows = rows
        self.thread = thread
        self.progress = progress
        self.numbers: dict[str, int] = {}
        self.new: list[tuple[int, bytes]] = []

    async def all(self, tokens: dict[bytes, int]) -> None:
        """Copy everything; leases get later tokens than both journals have given."""
        rows = self.rows
        contents = rows.content_pages()
        while page := await self._page(contents):
            await self._copy("contents", ("hash", "size", "data"), [(c.hash, c.size, c.data) for c in page])
        total = await self._read(rows.count)
        events, done = rows.event_pages(), 0
        while kept := await self._page(events):
            records = [self._event(one) for one in kept]
            await self._flush_names()
            await self._copy("events", _EVENT_COLUMNS, records)
            done += len(kept)
            self.progress(done, total)
        sessions = [
            (self._number(row.name), row.events, row.first_seq, row.last_seq, row.last_at, row.digest)
            for row in await self._read(rows.session_rows)
        ]
        await self._flush_names()
        await self._copy(
            "sessions", ("session", "events", "first_seq", "last_seq", "last_at", "digest"), sessions
        )
        for snapshot in await self._read(lambda: list(rows.snapshots())):
            columns = ("session", "name", "version", "seq", "digest", "data")
            row = (
                *(self._number(snapshot.session), snapshot.name.encode(), snapshot.version),
                *(snapshot.seq, snapshot.digest, snapshot.data),
            )
            await self._copy("snapshots", columns, [row])
        keys = [(key.subject.encode(), key.generation, key.wrapped) for key in await self._read(rows.keys)]
        await self._copy("subject_keys", ("subject", "generation", "wrapped"), keys)
        secrets = [(name.encode(), sealed) for name, sealed in await self._read(rows.secrets)]
        await self._copy("secrets", ("name", "sealed"), secrets)
        latest = dict(tokens)
        for name, token in await self._read(rows.leases):
            latest[name.encode()] = max(token, latest.get(name.encode(), 0))
        leases = [(name, "", token + 1, 0.0, 0.0) for name, token in latest.items()]
        await self._copy("leases", ("name", "holder", "token", "since", "expires_at"), leases)
        async with timeout(_WITHIN):
            await self.connection.execute(_NUMBERED, len(self.numbers))

    async def _read[R](self, work: Callable[..., R], *arguments: Any) -> R:
        return await run_blocking(work, *arguments, executor=self.thread)

    async def _page[T](self, pages: Iterator[list[T]]) -> list[T]:
        """The next one; empty after the last."""
        nothing: list[T] = []
        return await self._read(lambda: next(pages, nothing))

    async def _copy(self, table: str, columns: Sequence[str], records: Iterable[tuple[Any, ...]]) -> None:
        async with timeout(_WITHIN):
            await self.connection.copy_records_to_table(
                table, schema_name="planaria", columns=columns, records=records
            )

    async def _flush_names(self) -> None:
        new, self.new = self.new, []
        if new:
            await self._copy("names", ("id", "name"), new)

    def _number(self, name: str) -> int:
        number = self.numbers.get(name)
        if number is None:
            number = self.numbers[name] = len(self.numbers) + 1
            self.new.append((number, name.encode()))
        return number

    def _event(self, kept: Kept) -> tuple[Any, ...]:
        event: Stored = kept.event
        number = self._number
        return (
            event.seq,
            event.at,
            number(event.session),
            number(event.kind),
            number(event.node),
            number(event.process),
            number(event.subject) if event.subject else 0,
            event.version,
            event.stripped,
            id_bytes(event.id),
            id_bytes(event.trace_id),
            b"" if event.cause_id is None else id_bytes(event.cause_id),
            event.digest,
            b"".join(kept.contents),
            event.payload,
        )
