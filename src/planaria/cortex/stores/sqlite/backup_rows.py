"""Reads a backup, or any journal's file nobody has open, row for row. In one thread."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import apsw

from planaria.cortex.query import Query
from planaria.cortex.store import SessionRow, SubjectKey
from planaria.cortex.stores.sqlite.faults import damaged, from_sqlite
from planaria.cortex.stores.sqlite.reader import RowReader, select
from planaria.cortex.stores.whole import PAGE_BYTES, PAGE_ROWS, Kept, KeptContent, KeptSnapshot


class BackupRows(RowReader):
    """All that a journal's file has.

    Args:
        path: the file. Every method raises `StoreError`; pages are as large as memory should have at a time.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            super().__init__(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE))
        except apsw.Error as error:
            raise from_sqlite(error, path) from error

    def close(self) -> None:
        """Let go of the file."""
        self.connection.close(True)

    def count(self) -> int:
        """How many events there are."""
        number: int = self.connection.execute("SELECT count(*) FROM events").get
        return number

    def event_pages(self) -> Iterator[list[Kept]]:
        """The events, in the order of their places."""
        try:
            after = 0
            while page := self._page(after):
                yield page
                after = page[-1].event.seq
        except apsw.Error as error:
            raise from_sqlite(error, self.path) from error
        except UnicodeDecodeError as error:
            raise damaged(self.path, f"a text in it is none: {error}") from error

    def _page(self, after: int) -> list[Kept]:
        events = []
        size = 0
        for event in self._stored(*select(Query(after_seq=after, limit=PAGE_ROWS))):
            events.append(event)
            size += len(event.payload)
            if size > PAGE_BYTES:
                break
        if not events:
            return []
        references: dict[int, list[bytes]] = {}
        for seq, digest in self.connection.execute(
            "SELECT r.seq, c.hash FROM event_contents r JOIN contents c ON c.id = r.content"
            " WHERE r.seq BETWEEN ? AND ?",
            (events[0].seq, events[-1].seq),
        ):
            references.setdefault(seq, []).append(digest)
        return [Kept(event, tuple(references.get(event.seq, ()))) for event in events]

    def content_pages(self) -> Iterator[list[KeptContent]]:
        """The long texts."""
        rows = self._rows("SELECT hash, size, data FROM contents ORDER BY id")
        page: list[KeptContent] = []
        size = 0
        for digest, characters, data in rows:
            page.append(KeptContent(digest, characters, data))
            size += len(data)
            if size > PAGE_BYTES or len(page) == PAGE_ROWS:
                yield page
                page, size = [], 0
        yield page

    def session_rows(self) -> list[SessionRow]:
        """What is kept of each session."""
        rows = self._rows("SELECT name, events, first_seq, last_seq, last_at, digest FROM sessions")
        return [SessionRow(*row) for row in rows]

    def snapshots(self) -> Iterable[KeptSnapshot]:
        """The folded states."""
        sql = (
            "SELECT s.name, p.name, p.version, p.seq, p.digest, p.data"
            " FROM snapshots p JOIN sessions s ON s.id = p.session"
        )
        return (KeptSnapshot(*row) for row in self._rows(sql))

    def keys(self) -> list[SubjectKey]:
        """Wrapped keys of subjects, destroyed ones too."""
        return [
            SubjectKey(*row) for row in self._rows("SELECT subject, generation, wrapped FROM subject_keys")
        ]

    def secrets(self) -> list[tuple[str, bytes]]:
        """Sealed secrets by name."""
        return [(name, sealed) for name, sealed in self._rows("SELECT name, sealed FROM secrets")]

    def leases(self) -> list[tuple[str, int]]:
        """The latest token of each lease."""
        return [(name, token) for name, token in self._rows("SELECT name, token FROM leases")]

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        try:
            yield from self.connection.execute(sql)
        except apsw.Error as error:
            raise from_sqlite(error, self.path) from error
        except UnicodeDecodeError as error:
            raise damaged(self.path, f"a text in it is none: {error}") from error
