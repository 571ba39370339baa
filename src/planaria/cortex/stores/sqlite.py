"""The journal in one SQLite file: the default store.

Opened by the journal. Write-ahead log with `synchronous=FULL`: a commit has reached the disk when `append` returns.
One connection writes and one reads, each in a thread of its own, so a long read holds up no commit.
Does badly: one writer, so two nodes cannot share a file; a read of very many events is held in memory; the file must
lie on a local disk, as the write-ahead log needs shared memory.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import msgspec

from planaria.cortex.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
    StoreTooNew,
)
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.schema import load_migrations
from planaria.cortex.store import Draft, Duplicate, Written
from planaria.otp import run_blocking

_APPLICATION = 0x506C616E  # "Plan", in the file's header
_INSERT = (
    "INSERT INTO events (seq, id, at, trace_id, cause_id, node, process, session, kind, payload)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS = "seq, id, at, trace_id, cause_id, node, process, session, kind, payload"


class SqliteStore:
    """An `EventStore` in one file.

    Args:
        path: the database; it and its folder are made, readable by their owner alone, if missing.
        max_bytes: the database grows no larger; an append beyond is `StoreFull`. None for no limit but the disk's.
        busy_timeout: seconds to wait for another program that holds the database.
    """

    def __init__(self, path: Path, *, max_bytes: int | None = None, busy_timeout: float = 2.0) -> None:
        self.path = path
        self.max_bytes = max_bytes
        self.busy_timeout = busy_timeout
        self._writer: apsw.Connection | None = None
        self._reader: apsw.Connection | None = None
        self._file: tuple[int, int] | None = None  # device and inode of the file first opened
        self._write_thread: ThreadPoolExecutor | None = None
        self._read_thread: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        """See `EventStore.open`."""
        await self.close()
        self._write_thread = ThreadPoolExecutor(1, "journal-write")
        self._read_thread = ThreadPoolExecutor(1, "journal-read")
        try:
            await run_blocking(self._create, executor=self._write_thread)
            await self.migrate()
        except StoreError:
            await self.close()
            raise

    async def migrate(self) -> int:
        """See `EventStore.migrate`."""
        return await run_blocking(self._migrate, executor=self._write_thread)

    async def append(self, batch: Sequence[Sequence[Draft]]) -> list[Written | Duplicate]:
        """See `EventStore.append`."""
        return await run_blocking(self._append, batch, executor=self._write_thread)

    async def read(self, query: Query) -> list[Event]:
        """See `EventStore.read`."""
        return await run_blocking(self._read, query, executor=self._read_thread)

    async def close(self) -> None:
        """See `EventStore.close`. The last connection to close folds the write-ahead log into the file."""
        readers, writers = self._read_thread, self._write_thread
        self._read_thread = self._write_thread = self._file = None
        if readers is not None:
            await run_blocking(self._drop_reader, executor=readers)
            readers.shutdown(wait=False)
        if writers is not None:
            await run_blocking(self._drop_writer, executor=writers)
            writers.shutdown(wait=False)

    # --- in the writing thread ---------------------------------------------------------------------------------

    def _create(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Only if it is new: closing a second handle of a database in use would drop this program's locks on it.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise _from_os(error, self.path) from error
        self._file = self._identity()

    def _open_writer(self) -> apsw.Connection:
        if self._writer is None:
            connection = self._connect()
            try:
                if connection.readonly("main"):
                    raise apsw.ReadOnlyError("opened read-only")
                if connection.pragma("journal_mode", "wal") != "wal":
                    mend = "put the journal on a local disk"
                    raise StoreFailed(f"{self.path} cannot have a write-ahead log", mend)
                connection.pragma("synchronous", "full")
                # macOS: an ordinary sync there leaves data in the drive's cache.
                connection.pragma("fullfsync", 1)
                connection.pragma("checkpoint_fullfsync", 1)
                if self.max_bytes is not None:
                    connection.pragma("max_page_count", self.max_bytes // connection.pragma("page_size"))
            except apsw.Error as error:
                connection.close(True)
                raise _from_sqlite(error, self.path) from error
            self._writer = connection
        return self._writer

    def _migrate(self) -> int:
        migrations = load_migrations("sqlite")
        connection = self._open_writer()
        try:
            try:
                if self._version(connection) < len(migrations):
                    connection.execute("BEGIN IMMEDIATE")
                    # Asked again with the lock held: another program may have been first.
                    for migration in migrations[self._version(connection) :]:
                        self._apply(connection, migration.version, migration.name, migration.sql)
                    connection.execute("COMMIT")
                version = self._version(connection)
            finally:
                _roll_back(connection)
        except apsw.Error as error:
            self._drop_writer()
            raise _from_sqlite(error, self.path) from error
        if version > len(migrations):
            self._drop_writer()
            problem = f"{self.path} has schema {version}, this program knows only up to {len(migrations)}"
            raise StoreTooNew(problem, "start the newer planaria that wrote it")
        return version

    def _version(self, connection: apsw.Connection) -> int:
        application = connection.pragma("application_id")
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
        if application == 0 and tables == 0:
            return 0
        if application != _APPLICATION:
            raise StoreDamaged(
                f"{self.path} is a database of another program", "name another file in planaria.toml"
            )
        version: int = connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations").get
        return version

    def _apply(self, connection: apsw.Connection, version: int, name: str, sql: str) -> None:
        if version == 1:
            connection.pragma("application_id", _APPLICATION)
            connection.execute(
                "CREATE TABLE schema_migrations"
                " (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TEXT NOT NULL) STRICT"
            )
        connection.execute(sql)
        connection.execute(
            "INSERT INTO schema_migrations VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%fZ'))", (version, name)
        )

    def _append(self, batch: Sequence[Sequence[Draft]]) -> list[Written | Duplicate]:
        self._check_file()
        connection = self._open_writer()
        try:
            try:
                connection.execute("BEGIN IMMEDIATE")
                next_seq = connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM events").get
                answers: list[Written | Duplicate] = []
                for drafts in batch:
                    answer = _insert(connection, drafts, next_seq)
                    if isinstance(answer, Written):
                        next_seq += len(drafts)
                    answers.append(answer)
                connection.execute("COMMIT")
                return answers
            finally:
                _roll_back(connection)
        except apsw.Error as error:
            if not isinstance(error, (apsw.BusyError, apsw.FullError)):
                # After a fault of the disk nothing this connection remembers is to be trusted.
                self._drop_writer()
            raise _from_sqlite(error, self.path) from error

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close(True)
            self._writer = None

    # --- in the reading thread ---------------------------------------------------------------------------------

    def _read(self, query: Query) -> list[Event]:
        self._check_file()
        sql, values = _select(query)
        try:
            if self._reader is None:
                self._reader = self._connect()
                self._reader.pragma("query_only", 1)
            return [_event(row) for row in self._reader.execute(sql, values)]
        except msgspec.DecodeError as error:
            raise _damaged(self.path, "a payload that is not JSON") from error
        except apsw.Error as error:
            self._drop_reader()
            raise _from_sqlite(error, self.path) from error

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close(True)
            self._reader = None

    # --- in either ---------------------------------------------------------------------------------------------

    def _connect(self) -> apsw.Connection:
        if self._file is None:
            raise StoreFailed(f"{self.path} is not open", "open the store first")
        try:
            # Never with CREATE: a file that has gone missing must not come back empty.
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            connection.set_busy_timeout(int(self.busy_timeout * 1000))
            return connection
        except apsw.Error as error:
            raise _from_sqlite(error, self.path) from error

    def _identity(self) -> tuple[int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise _from_os(error, self.path) from error
        return status.st_dev, status.st_ino

    def _check_file(self) -> None:
        """A file removed or replaced while open can still be written, and all of it would be lost."""
        if self._file is None:
            raise StoreFailed(f"{self.path} is not open", "open the store first")
        if self._identity() != self._file:
            mend = "put the old file back, or restart planaria to go on with the new one"
            raise StoreFailed(f"{self.path} was replaced by another file while in use", mend)


def _insert(connection: apsw.Connection, drafts: Sequence[Draft], first_seq: int) -> Written | Duplicate:
    """Write one append, or nothing of it."""
    seen: set[str] = set()
    for draft in drafts:
        if draft.id in seen:
            return Duplicate(draft.id)
        seen.add(draft.id)
    connection.execute("SAVEPOINT append")
    try:
        connection.executemany(_INSERT, (_row(draft, first_seq + n) for n, draft in enumerate(drafts)))
    except apsw.ConstraintError:
        connection.execute("ROLLBACK TO append")
        connection.execute("RELEASE append")
        for draft in drafts:
            if connection.execute("SELECT 1 FROM events WHERE id = ?", (draft.id,)).get is not None:
                return Duplicate(draft.id)
        raise
    connection.execute("RELEASE append")
    return Written(first_seq)


def _row(draft: Draft, seq: int) -> tuple[int | float | str | None, ...]:
    return (
        seq,
        draft.id,
        draft.at,
        draft.trace_id,
        draft.cause_id,
        draft.node,
        draft.process,
        draft.session,
        draft.kind,
        draft.payload.decode(),
    )


def _select(query: Query) -> tuple[str, list[int | str]]:
    """The statement for a query. A plus sign before a column keeps SQLite from choosing its index."""
    where = ["seq > ?"]
    values: list[int | str] = [_place(query.after_seq)]
    if query.before_seq is not None:
        where.append("seq < ?")
        values.append(_place(query.before_seq))
    if query.trace_id is not None:
        where.append("trace_id = ?")
        values.append(query.trace_id)
    if query.session is not None:
        where.append("session = ?" if query.trace_id is None else "+session = ?")
        values.append(query.session)
    if query.kinds:
        indexed = query.trace_id is None and query.session is None
        where.append(f"{'' if indexed else '+'}kind IN ({', '.join('?' * len(query.kinds))})")
        values.extend(query.kinds)
    order = "DESC" if query.newest_first else "ASC"
    conditions = " AND ".join(where)
    sql = f"SELECT {_COLUMNS} FROM events WHERE {conditions} ORDER BY seq {order}"  # noqa: S608 - values are bound
    if query.limit is not None:
        sql += " LIMIT ?"
        values.append(_place(query.limit))
    return sql, values


def _place(number: int) -> int:
    """Within what SQLite can count; no place lies beyond."""
    return min(max(0, number), 2**63 - 1)


def _event(row: Sequence[Any]) -> Event:
    values: list[Any] = [*row]
    values[-1] = msgspec.json.decode(values[-1], type=dict[str, Any])
    return Event(*values)


def _roll_back(connection: apsw.Connection) -> None:
    """End a transaction that did not commit. SQLite itself has ended it after most faults of the disk."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _damaged(path: Path, what: str) -> StoreDamaged:
    return StoreDamaged(
        f"{path} is damaged: {what}", "restore it from a copy, or move it away to begin a new journal"
    )


def _from_sqlite(error: apsw.Error, path: Path) -> StoreError:
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(f"another program holds {path}", "end that program, or wait until it is done")
        case apsw.FullError():
            return StoreFull(
                f"no room left to write {path}", "free some disk space; writing then goes on by itself"
            )
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            return StoreReadOnly(
                f"{path} cannot be written", "make the file and its folder writable for this user"
            )
        case apsw.CorruptError() | apsw.NotADBError():
            return _damaged(path, str(error))
        case apsw.CantOpenError():
            mend = "see that the file exists and that it and its folder are writable for this user"
            return StoreFailed(f"{path} cannot be opened", mend)
        case _:
            pass
    code = apsw.mapping_extended_result_codes.get(getattr(error, "extendedresult", 0), type(error).__name__)
    return StoreFailed(f"writing or reading {path} failed: {error} ({code})", "see the state of the disk")


def _from_os(error: OSError, path: Path) -> StoreError:
    mend = "see that the file exists and that it and its folder are writable for this user"
    if isinstance(error, PermissionError):
        return StoreReadOnly(f"{path} cannot be written: {error.strerror}", mend)
    if isinstance(error, FileNotFoundError):
        return StoreFailed(f"{path} is gone", "put the file back, or restart planaria to begin a new journal")
    return StoreFailed(f"{path} cannot be used: {error.strerror}", mend)
