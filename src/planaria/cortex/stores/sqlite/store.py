"""The journal in one SQLite file: the default store.

Opened by the journal. Write-ahead log with `synchronous=FULL`: a commit has reached the disk when `append` returns.
One connection writes and one reads, each in a thread of its own, so a long read holds up no commit.
Does badly: one writer, so two nodes cannot share a file; a read of very many events is held in memory; the file must
lie on a local disk, as the write-ahead log needs shared memory.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import apsw

from planaria.cortex.errors import StoreBusy, StoreDamaged, StoreError, StoreFailed, StoreTooNew
from planaria.cortex.query import Query
from planaria.cortex.store import (
    Draft,
    Fence,
    Lease,
    Outcome,
    SessionRow,
    Snapshot,
    Stored,
    SubjectKey,
)
from planaria.cortex.stores.schema import load_migrations
from planaria.cortex.stores.sqlite.backup_file import begin_file, remove_file
from planaria.cortex.stores.sqlite.carry import carry_over
from planaria.cortex.stores.sqlite.faults import damaged, from_os, from_sqlite, from_target
from planaria.cortex.stores.sqlite.reader import RowReader
from planaria.cortex.stores.sqlite.tables import (
    acquire_lease,
    check,
    destroy_subject_keys,
    erasures,
    held_lease,
    load_snapshot,
    put_secret,
    put_subject_key,
    release_lease,
    renew_lease,
    save_snapshot,
    secrets,
    strip,
    subject_keys,
    sweep_contents,
)
from planaria.cortex.stores.sqlite.writer import RowWriter
from planaria.otp import OneThread, post_blocking, run_blocking, wall_time

_APPLICATION = 0x506C616E  # "Plan", in the file's header
_CHECKPOINT = 4000
"""Pages the write-ahead log grows to before it is folded into the file."""
_STEPS: dict[int, Callable[[apsw.Connection], None]] = {2: carry_over}
"""What a migration needs a program for, after its SQL."""


class SqliteStore:
    """An `EventStore` in one file.

    Args:
        path: the database; it and its folder are made, readable by their owner alone, if missing.
        max_bytes: the database grows no larger; an append beyond is `StoreFull`. None for no limit but the disk's.
        busy_timeout: seconds to wait for another program that holds the database.
        after: the store that had this file open earlier in the life of the node. Then the file must be the same: one
            that is gone is not made anew, and another in its place is not taken for it.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int | None = None,
        busy_timeout: float = 2.0,
        after: "SqliteStore | None" = None,
    ) -> None:
        self.path = path
        self._place = str(path)
        self.max_bytes = max_bytes
        self.busy_timeout = busy_timeout
        self.clock = wall_time
        """Unix seconds, for leases; the node's."""
        self._writer: apsw.Connection | None = None
        self._rows: RowWriter | None = None
        self._reader: RowReader | None = None
        self._file: tuple[int, int] | None = None  # device and inode of the file that is open
        self._known: tuple[int, int] | None = (
            None if after is None else after._known
        )  # of the one first opened
        self._write_thread: OneThread | None = None
        self._read_thread: OneThread | None = None

    async def open(self) -> None:
        """See `EventStore.open`."""
        await self.close()
        self._write_thread = OneThread("journal-write")
        self._read_thread = OneThread("journal-read")
        try:
            await run_blocking(self._create, executor=self._write_thread)
            await self.migrate()
            self._known = self._file
        except StoreError:
            await self.close()
            raise

    async def migrate(self) -> int:
        """See `EventStore.migrate`."""
        return await run_blocking(self._migrate, executor=self._write_thread)

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Outcome]:
        """See `EventStore.append`."""
        return await run_blocking(self._append, batch, fences, executor=self._write_thread)

    def post_append(
        self,
        batch: Sequence[Sequence[Draft]],
        done: Callable[[list[Outcome] | BaseException], None],
        fences: Sequence[Fence | None] = (),
    ) -> None:
        """See `PostingStore.post_append`."""
        if self._write_thread is None:
            done(self._not_open())
            return
        post_blocking(self._append, batch, fences, executor=self._write_thread, done=done)

    async def read(self, query: Query) -> list[Stored]:
        """See `EventStore.read`."""
        return await self._reading(lambda rows: rows.events(query))

    async def find(self, id: str) -> Stored | None:
        """See `EventStore.find`."""
        return await self._reading(lambda rows: rows.find(id))

    async def contents(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """See `EventStore.contents`."""
        return await self._reading(lambda rows: rows.contents(hashes))

    async def sessions(self, prefix: str = "", limit: int | None = None) -> list[SessionRow]:
        """See `EventStore.sessions`."""
        return await self._reading(lambda rows: rows.sessions(prefix, limit))

    async def save_snapshot(self, snapshot: Snapshot) -> bool:
        """See `EventStore.save_snapshot`."""
        return await self._writing(lambda connection: save_snapshot(connection, snapshot))

    async def load_snapshot(self, session: str, name: str, version: int) -> Snapshot | None:
        """See `EventStore.load_snapshot`."""
        return await self._reading(lambda rows: load_snapshot(rows, session, name, version))

    async def subject_keys(self, subject: str | None = None, limit: int | None = None) -> list[SubjectKey]:
        """See `EventStore.subject_keys`."""
        return await self._reading(lambda rows: subject_keys(rows, subject, limit))

    async def erasures(self) -> int:
        """See `EventStore.erasures`."""
        return await self._reading(erasures)

    async def put_subject_key(self, key: SubjectKey) -> SubjectKey:
        """See `EventStore.put_subject_key`."""
        return await self._writing(lambda connection: put_subject_key(connection, key))

    async def destroy_subject_keys(self, subject: str) -> int:
        """See `EventStore.destroy_subject_keys`."""
        count = await self._writing(lambda connection: destroy_subject_keys(connection, subject))
        await run_blocking(self._fold_log, executor=self._write_thread)
        return count

    async def secrets(self, prefix: str = "") -> dict[str, bytes]:
        """See `EventStore.secrets`."""
        return await self._reading(lambda rows: secrets(rows, prefix))

    async def put_secret(self, name: str, sealed: bytes | None) -> None:
        """See `EventStore.put_secret`."""
        await self._writing(lambda connection: put_secret(connection, name, sealed))

    async def acquire_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        """See `EventStore.acquire_lease`."""
        now = self.clock()
        return await self._writing(lambda connection: acquire_lease(connection, name, holder, ttl, now))

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease | None:
        """See `EventStore.renew_lease`."""
        expires_at = self.clock() + ttl
        return await self._writing(lambda connection: renew_lease(connection, lease, expires_at))

    async def release_lease(self, lease: Lease) -> None:
        """See `EventStore.release_lease`."""
        await self._writing(lambda connection: release_lease(connection, lease))

    async def lease(self, name: str) -> Lease | None:
        """See `EventStore.lease`."""
        now = self.clock()  # here: the node's clock is not to be asked in a thread
        return await self._reading(lambda rows: held_lease(rows, name, now))

    def listen(self, notice: Callable[[], None]) -> None:
        """See `EventStore.listen`: the file has one writer."""

    async def keep_listening(self) -> None:
        """See `EventStore.keep_listening`."""

    async def strip(self, seqs: Sequence[int]) -> int:
        """See `EventStore.strip`."""
        return await self._writing(lambda connection: strip(connection, seqs))

    async def sweep_contents(self) -> int:
        """See `EventStore.sweep_contents`."""
        return await self._writing(sweep_contents)

    async def check(self) -> list[str]:
        """See `EventStore.check`. Through a connection of its own: it holds up neither reads nor commits."""
        return await run_blocking(lambda: self._aside(check))

    async def backup(self, path: Path) -> None:
        """See `EventStore.backup`. The copy is made anew, so it is compact, and its own owner's alone."""
        await run_blocking(self._backup, path)

    async def size(self) -> int:
        """See `EventStore.size`: of the file and its write-ahead log."""
        return await run_blocking(self._size, executor=self._read_thread)

    async def _reading[R](self, fn: Callable[[RowReader], R]) -> R:
        return await run_blocking(lambda: self._read(fn), executor=self._read_thread)

    async def _writing[R](self, fn: Callable[[apsw.Connection], R]) -> R:
        return await run_blocking(lambda: self._write(fn), executor=self._write_thread)

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
        if self._known is not None:
            self._file = self._known
            self._check_file()
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Only if it is new: closing a second handle of a database in use would drop this program's locks on it.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            pass
        except OSError as error:
            raise from_os(error, self.path) from error
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
                connection.pragma("secure_delete", 1)  # what is erased is overwritten
                connection.wal_autocheckpoint(_CHECKPOINT)
                # Its own statements keep the rules the triggers hold other programs to, and are spared their cost.
                connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
                if self.max_bytes is not None:
                    connection.pragma("max_page_count", self.max_bytes // connection.pragma("page_size"))
            except apsw.Error as error:
                connection.close(True)
                raise from_sqlite(error, self.path) from error
            self._writer, self._rows = connection, RowWriter(connection)
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
            raise from_sqlite(error, self.path) from error
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
        if step := _STEPS.get(version):
            step(connection)
        connection.execute(
            "INSERT INTO schema_migrations VALUES (?, ?, strftime('%Y-%m-%dT%H:%M:%fZ'))", (version, name)
        )

    def _append(self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None]) -> list[Outcome]:
        def add(check: bool) -> list[Outcome]:
            assert self._rows is not None
            return self._rows.append(batch, fences, check=check)

        try:
            return self._write(lambda connection: add(check=False))
        except StoreFailed as error:
            if not isinstance(error.__cause__, apsw.ConstraintError):
                raise
            # One of the ids is in the journal already: look which.
            return self._write(lambda connection: add(check=True))

    def _write[R](self, fn: Callable[[apsw.Connection], R]) -> R:
        """One transaction, on the disk when this returns."""
        self._check_file()
        connection = self._open_writer()
        rows = self._rows
        assert rows is not None
        try:
            try:
                connection.execute("BEGIN IMMEDIATE")
                rows.begun()
                answer = fn(connection)
                connection.execute("COMMIT")
                rows.committed()
                return answer
            except BaseException:
                rows.forget()
                _roll_back(connection)
                raise
        except apsw.Error as error:
            if not isinstance(error, (apsw.BusyError, apsw.FullError, apsw.ConstraintError)):
                # After a fault of the disk nothing this connection remembers is to be trusted.
                self._drop_writer()
            raise from_sqlite(error, self.path) from error

    def _fold_log(self) -> None:
        """Leave nothing in the write-ahead log: what was erased still stands there."""
        connection = self._open_writer()
        try:
            busy = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]
        except apsw.Error as error:
            raise from_sqlite(error, self.path) from error
        if busy:
            problem = f"another program reads {self.path}, so its log still holds what was erased"
            raise StoreBusy(problem, "end that program, and erase again")

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._writer.close(True)
            self._writer = self._rows = None

    # --- in the reading thread ---------------------------------------------------------------------------------

    def _read[R](self, fn: Callable[[RowReader], R]) -> R:
        self._check_file()
        try:
            if self._reader is None:
                connection = self._connect()
                connection.pragma("query_only", 1)
                self._reader = RowReader(connection)
            return fn(self._reader)
        except apsw.Error as error:
            self._drop_reader()
            raise from_sqlite(error, self.path) from error
        except UnicodeDecodeError as error:
            raise damaged(self.path, f"a text in it is none: {error}") from error

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.connection.close(True)
            self._reader = None

    # --- in threads of the node's ------------------------------------------------------------------------------

    def _aside[R](self, fn: Callable[[apsw.Connection], R]) -> R:
        self._check_file()
        connection = self._connect()
        try:
            return fn(connection)
        except apsw.Error as error:
            raise from_sqlite(error, self.path) from error
        finally:
            connection.close(True)

    def _vacuum_into(self, connection: apsw.Connection, path: Path) -> None:
        try:
            connection.execute("VACUUM INTO ?", (str(path),))
        except apsw.FullError as error:  # it is the copy's disk: the journal itself is only read
            raise from_target(error, path) from error

    def _backup(self, path: Path) -> None:
        begin_file(path)
        try:
            self._aside(lambda connection: self._vacuum_into(connection, path))
            with path.open("rb+") as file:
                os.fsync(file.fileno())
        except OSError as error:
            remove_file(path)
            raise from_os(error, path) from error
        except BaseException:
            remove_file(path)
            raise

    def _size(self) -> int:
        self._check_file()
        log = self.path.with_name(self.path.name + "-wal")
        return self.path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    # --- in either ---------------------------------------------------------------------------------------------

    def _connect(self) -> apsw.Connection:
        if self._file is None:
            raise self._not_open()
        try:
            # Never with CREATE: a file that has gone missing must not come back empty.
            connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            connection.set_busy_timeout(int(self.busy_timeout * 1000))
            return connection
        except apsw.Error as error:
            raise from_sqlite(error, self.path) from error

    def _not_open(self) -> StoreFailed:
        return StoreFailed(f"{self.path} is not open", "open the store first")

    def _identity(self) -> tuple[int, int]:
        try:
            status = os.stat(self._place)  # once a commit, and quicker than the path's own
        except OSError as error:
            raise from_os(error, self.path) from error
        return status.st_dev, status.st_ino

    def _check_file(self) -> None:
        """A file removed or replaced while open can still be written, and all of it would be lost."""
        if self._file is None:
            raise self._not_open()
        if self._identity() != self._file:
            mend = "put the old file back, or restart planaria to go on with the new one"
            raise StoreFailed(f"{self.path} was replaced by another file while in use", mend)


def _roll_back(connection: apsw.Connection) -> None:
    """End a transaction that did not commit. SQLite itself has ended it after most faults of the disk."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")
