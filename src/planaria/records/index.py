"""The index: finds notes by their words.

Started by the `records` supervisor under the name `index`, after the library. Keeps `.planaria/index.db`,
which is a
cache: deleted, outdated or corrupt, it is made anew from the notes; where it cannot be written (a full disk), it is
kept in memory until the next start, and the library is told that there is a problem. Follows `RecordChanged`.
Does badly: searching while a large garden is indexed for the first time waits for that to finish.
Emits on the topic `index`: `IndexRebuilt`, when a broken database was thrown away.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from planaria.otp import Deferred, GenServer, broadcast, call, run_blocking, subscribe, whereis
from planaria.records.errors import Problem
from planaria.records.fulltext import Corrupt, FullText, Hit
from planaria.records.lane import Lane
from planaria.records.library import TOPIC, Library
from planaria.records.paths import PRIVATE
from planaria.records.scan import RecordChanged

FILE = f"{PRIVATE}/index.db"
MAX_HITS = 100
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
        self._work(partial(self.store.search, query, min(max(limit, 1), MAX_HITS)), answer.reply)
        return answer

    def handle_info(self, message: object) -> None:
        match message:
            case RecordChanged(kind="notes", record=None, error=None, path=path):
                self._work(partial(self.store.delete, path), _nothing)
            case RecordChanged(kind="notes", record=record, error=None) if record is not None:
                self._work(partial(self.store.put, record), _nothing)
            case _:
                self.lane.finished(message)

    async def terminate(self, reason: object) -> None:
        await run_blocking(self.store.close)

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


def _nothing(_: object) -> None:
    return None
