"""The index: finds notes by their words, lists them, and knows which note links to which.

Started by the `records` supervisor under the name `index`, after the library. Keeps `.planaria/index.db`, which is a
cache: deleted, outdated or corrupt, it is made anew from the notes; where it cannot be written (a full disk), it is
kept in memory until the next start, and the library is told that there is a problem. Follows `RecordChanged`.
Changes that come while it is at work are taken together, and an answer never lags behind what was told before it.
Does badly: whoever asks while a large garden is indexed for the first time waits for that to finish.
Emits on the topic `index`: `IndexRebuilt`, when a broken database was thrown away.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from planaria.otp import Deferred, GenServer, broadcast, call, run_blocking, subscribe, whereis
from planaria.records.errors import Problem
from planaria.records.fulltext import Corrupt, FullText, Hit, NoteList, Ties
from planaria.records.lane import Lane
from planaria.records.library import TOPIC, Library
from planaria.records.links import plain_name
from planaria.records.paths import PRIVATE
from planaria.records.record import Record
from planaria.records.scan import RecordChanged

FILE = f"{PRIVATE}/index.db"
MAX_HITS = 100
MAX_PAGE = 500
MAX_BACKLINKS = 200
UNWRITABLE = Problem(
    FILE,
    0,
    "the search index cannot be written, so it is kept in memory",
    "Free space on the disk, see that the file may be written, then restart the node.",
)


class IndexRebuilt(msgspec.Struct, frozen=True):
    """The index database was broken and has been made anew from the notes."""

    file: str
    notes: int


class Index(GenServer):
    """Full-text search over the garden's notes."""

    def init(self, garden: Path) -> None:
        self.store = FullText(Path(garden), Path(garden) / FILE)
        self.lane = Lane()
        self.changes: dict[str, Record | None] = {}  # told by the library, not yet handed to the lane
        self.at_work = False  # whether a job with changes is in the lane
        subscribe(TOPIC)  # before the first sync, so that no change falls between
        self.continue_with("sync")

    def handle_continue(self, what: object) -> None:
        self.lane.put(partial(_open_and_sync, self.store), self._rebuilt)

    @call
    def search(self, query: str, limit: int = 10) -> Deferred[list[Hit]]:
        """Notes that match, best first.

        Args:
            query: what a person typed: words, and "phrases" in quotation marks; no other syntax.
            limit: at most this many, from 1 to 100.
        """
        answer: Deferred[list[Hit]] = self.defer()
        self._ask(partial(self.store.search, query, min(max(limit, 1), MAX_HITS)), answer.reply)
        return answer

    @call
    def notes(self, offset: int = 0, limit: int = 100) -> Deferred[NoteList]:
        """Some of all notes, by path: at most `limit`, up to 500, after the first `offset`."""
        answer: Deferred[NoteList] = self.defer()
        self._ask(partial(self.store.page, max(offset, 0), min(max(limit, 1), MAX_PAGE)), answer.reply)
        return answer

    @call
    def ties(self, name: str) -> Deferred[Ties | None]:
        """The note that a link of this name means, its links to nothing, and the first 200 notes that link to it.

        None if there is no such note, or if `name` is the last part of several.
        """
        answer: Deferred[Ties | None] = self.defer()
        self._ask(partial(self.store.ties, plain_name(name), MAX_BACKLINKS), answer.reply)
        return answer

    def handle_info(self, message: object) -> None:
        match message:
            case RecordChanged(kind="notes", record=None, error=None, path=path):
                self._changed(path, None)
            case RecordChanged(kind="notes", record=record, error=None, path=path) if record is not None:
                self._changed(path, record)
            case _:
                self.lane.finished(message)

    async def terminate(self, reason: object) -> None:
        await run_blocking(self.store.close)

    def _changed(self, path: str, record: Record | None) -> None:
        self.changes[path] = record
        if not self.at_work:
            self._hand_over()

    def _hand_over(self) -> None:
        """Put the changes into the lane, all as one job."""
        if self.changes:
            changes, self.changes = self.changes, {}
            self.at_work = True
            self._work(partial(self.store.apply, changes), self._handed_over)

    def _handed_over(self, _: int) -> None:
        self.at_work = False
        self._hand_over()

    def _ask[T](self, question: Callable[[], T], then: Callable[[T], None]) -> None:
        """Answer after all that was told before the question."""
        self._hand_over()
        self._work(question, then)

    def _work[T](self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        def done(result: tuple[T, int | None]) -> None:
            value, rebuilt = result
            self._rebuilt(rebuilt)
            then(value)

        self.lane.put(partial(_mending, self.store, work), done)

    def _rebuilt(self, notes: int | None) -> None:
        if notes is None:
            return
        if self.store.in_memory and whereis("library") is not None:
            Library.report("library", UNWRITABLE)
        broadcast("index", IndexRebuilt(str(self.store.file), notes))


def _open_and_sync(store: FullText) -> int | None:
    """Open and bring up to date; the number of notes read if a broken database was thrown away."""
    broken = store.open()
    try:
        read = store.sync()
    except Corrupt:
        return _anew(store)
    return read if broken else None


def _mending[T](store: FullText, work: Callable[[], T]) -> tuple[T, int | None]:
    """Do the work; if the database turns out broken, make it anew and do the work again."""
    try:
        return work(), None
    except Corrupt:
        notes = _anew(store)
        return work(), notes


def _anew(store: FullText) -> int:
    store.discard()
    store.open()
    return store.sync()
