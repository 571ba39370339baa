"""Writes a backup: a new journal's file from the rows of another store. In one thread, beside no other writer.

The file is nobody's journal yet, so nothing is synced before the end, and after any fault it is taken away.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw

from planaria.cortex.codec.id_codec import pack_id
from planaria.cortex.errors import StoreFailed
from planaria.cortex.store import SessionRow, Stored, SubjectKey
from planaria.cortex.stores.sqlite.faults import from_making, from_os, from_target
from planaria.cortex.stores.sqlite.writer import RowWriter
from planaria.cortex.stores.whole import Kept, KeptContent, KeptSnapshot

_EVENT = (
    "INSERT INTO events (seq, id, at, trace, cause, node, process, session, kind, version, subject, payload, stripped,"
    " digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_LATER = ("events_by_session", "events_by_kind")
"""Indexes made when all rows are in: it is quicker, and they are smaller."""


def begin_file(path: Path) -> None:
    """Make the file, its owner's alone.

    Raises:
        StoreError: it is there already, or cannot be made.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise StoreFailed(f"{path} is there already", "name a new file") from error
    except OSError as error:
        raise from_making(error, path) from error


def remove_file(path: Path) -> None:
    """Take an unfinished backup away, with what SQLite has put beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


class BackupFile:
    """A backup in the making.

    Args:
        path: a file that has the tables of a journal and no events. Every method raises `StoreError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: apsw.Connection | None = None
        self._indexes: list[str] = []

    def open(self) -> None:
        """Make ready for rows."""
        try:
            self._connection = connection = apsw.Connection(str(self.path), flags=apsw.SQLITE_OPEN_READWRITE)
            connection.pragma("locking_mode", "exclusive")
            connection.pragma("journal_mode", "off")
            connection.pragma("synchronous", "off")
            connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
            for name in _LATER:
                sql: str = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).get
                self._indexes.append(sql)
                connection.execute(f"DROP INDEX {name}")
            self._rows = _KeptWriter(connection)
        except apsw.Error as error:
            raise from_target(error, self.path) from error

    def contents(self, contents: Iterable[KeptContent]) -> None:
        """Long texts; before the events that refer to them."""
        rows = [(content.hash, content.size, content.data) for content in contents]
        self._do(lambda db: db.executemany("INSERT INTO contents (hash, size, data) VALUES (?, ?, ?)", rows))

    def events(self, kept: Sequence[Kept]) -> None:
        """Events, in the order of their places."""
        self._do(lambda db: self._rows.keep(kept))

    def sessions(self, sessions: Iterable[SessionRow]) -> None:
        """What is kept of each session; after its events."""
        sql = (
            "INSERT INTO sessions (name, events, first_seq, last_seq, last_at, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)"
            " ON CONFLICT (name) DO UPDATE SET events = ?2, first_seq = ?3, last_seq = ?4, last_at = ?5, digest = ?6"
        )
        rows = [
            (row.name, row.events, row.first_seq, row.last_seq, row.last_at, row.digest) for row in sessions
        ]
        self._do(lambda db: db.executemany(sql, rows))

    def snapshots(self, snapshots: Iterable[KeptSnapshot]) -> None:
        """Folded states; after the sessions."""
        sql = "INSERT INTO snapshots SELECT id, ?2, ?3, ?4, ?5, ?6 FROM sessions WHERE name = ?1"
        rows = [(s.session, s.name, s.version, s.seq, s.digest, s.data) for s in snapshots]
        self._do(lambda db: db.executemany(sql, rows))

    def without_snapshots(self) -> None:
        """Take them out again: somebody was erased."""
        self._do(lambda db: db.execute("DELETE FROM snapshots"))

    def keys(self, keys: Iterable[SubjectKey]) -> None:
        """Wrapped keys of subjects, destroyed ones too."""
        rows = [(key.subject, key.generation, key.wrapped) for key in keys]
        self._do(lambda db: db.executemany("INSERT INTO subject_keys VALUES (?, ?, ?)", rows))

    def secrets(self, secrets: Iterable[tuple[str, bytes]]) -> None:
        """Sealed secrets by name."""
        rows = list(secrets)
        self._do(lambda db: db.executemany("INSERT INTO secrets VALUES (?, ?)", rows))

    def leases(self, tokens: Iterable[tuple[str, int]]) -> None:
        """The latest token of each lease; nobody holds one in a backup."""
        rows = list(tokens)
        self._do(lambda db: db.executemany("INSERT INTO leases VALUES (?, '', ?, 0, 0)", rows))

    def finish(self) -> None:
        """Make the indexes, and see the file to the disk."""

        def end(db: apsw.Connection) -> None:
            for sql in self._indexes:
                db.execute(sql)

        self._do(end)
        self.close()
        try:
            with self.path.open("rb+") as file:
                os.fsync(file.fileno())
        except OSError as error:
            raise from_os(error, self.path) from error

    def close(self) -> None:
        """Let go of the file, whatever is in it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(True)

    def _do(self, work: Callable[[apsw.Connection], object]) -> None:
        connection = self._connection
        if connection is None:
            raise StoreFailed(f"{self.path} is not open", "open the backup first")
        try:
            connection.execute("BEGIN")
            self._rows.begun()
            work(connection)
            connection.execute("COMMIT")
            self._rows.committed()
        except apsw.Error as error:
            raise from_target(error, self.path) from error


class _KeptWriter(RowWriter):
    """Writes events with the places and digests they have."""

    def keep(self, kept: Sequence[Kept]) -> None:
        self.connection.executemany(_EVENT, [self._kept_row(one.event) for one in kept])
        references = [(one.event.seq, digest) for one in kept for digest in one.contents]
        if references:
            sql = "INSERT OR IGNORE INTO event_contents SELECT ?, id FROM contents WHERE hash = ?"
            self.connection.executemany(sql, references)

    def _kept_row(self, event: Stored) -> tuple[Any, ...]:
        seq = event.seq
        session = self._sessions.get(event.session) or self._session(event.session)
        trace: int | bytes | str | None = self._traces.get(event.trace_id)
        if trace is None:
            trace = self._trace(event.trace_id, seq)
        cause: int | bytes | str | None = None
        if event.cause_id is not None:
            cause = self._places.get(event.cause_id) or self._cause(event.cause_id)
        self._places[event.id] = seq
        names = self._names
        return (
            seq,
            pack_id(event.id),
            event.at,
            trace,
            cause,
            names.get(event.node) or self._name(event.node),
            self._processes.get((event.process, event.node)) or self._process(event.process, event.node),
            session.id,
            names.get(event.kind) or self._name(event.kind),
            event.version,
            (names.get(event.subject) or self._name(event.subject)) if event.subject else None,
            event.payload,
            int(event.stripped),
            event.digest,
        )
