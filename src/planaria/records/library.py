"""The library: the garden's records, held in their last good version.

Started by the `records` supervisor under the name `library`; the watcher tells it what changed on disk. File
work runs in a `Lane`, so a slow disk never blocks a caller that asks for what is in memory. Agents,
workflows, skills and the garden's own records are held in memory; notes may be many, so they are read from
disk when asked for and only their names are held.
Does badly: two people who edit the same note through two doors at once (the last write wins).
Emits on the topic `records`: `RecordChanged`, for every record once at start and then for each change.
"""

from functools import partial
from pathlib import Path
from typing import Any

from planaria.otp import Deferred, GenServer, broadcast, call, cast
from planaria.records.errors import Problem, RecordError, RecordsError
from planaria.records.kinds import FOLDERS, Kind, kind_of
from planaria.records.lane import Lane
from planaria.records.paths import inside
from planaria.records.record import Record
from planaria.records.scan import Found, RecordChanged, Written, load, scan, store

TOPIC = "records"
NOTES = "notes"

type Problems = list[Problem]
type Records = list[Record]
type Names = list[str]


class Library(GenServer):
    """The garden's files as records. Refusals and broken files are answers (`Problem`), not crashes."""

    async def init(self, garden: Path) -> None:
        self.garden = Path(garden)
        self.good: dict[str, Record | int] = {}  # of a note only the hash of its text, to see a change
        self.listed: dict[Kind, Records] = {}  # what `list` answers, until something changes
        self.broken: dict[str, RecordError] = {}
        self.reported: dict[str, Problems] = {}
        self.lane = Lane()
        self.ready: set[str] = set()  # kinds whose first scan is done
        self.asked_early: list[tuple[Kind, Deferred[Records]]] = []
        self.continue_with("scan")

    def handle_continue(self, what: object) -> None:
        # Notes may be very many, and nothing needs them to start: the few others come first.
        few = tuple(folder for folder in FOLDERS if folder != NOTES)
        self.lane.put(partial(scan, self.garden, "", few), partial(self._scanned, (*few, "garden")))
        self.lane.put(partial(scan, self.garden, NOTES), partial(self._scanned, (NOTES,)))

    @call
    def read(self, path: str) -> Deferred[Record | Problem]:
        """The record at a path, fresh from disk."""
        answer: Deferred[Record | Problem] = self.defer()
        self.lane.put(partial(_read, self.garden, path), answer.reply)
        return answer

    @call
    def write(
        self,
        path: str,
        front: dict[str, Any] | None,
        body: str,
        merge: bool = False,
        append: bool = False,
        instead_of: str | None = None,
    ) -> Deferred[Written | Problem]:
        """Write a record atomically; answers when it is on disk.

        Args:
            path: a `.md` file at a place where records live, relative to the garden.
            front: front matter, JSON-like; None keeps what is there.
            body: the new body.
            merge: lay `front` over what is there; a key given as None goes away.
            append: add `body` below the present one.
            instead_of: the body `body` was made from; if the file has another now, the problem is `CHANGED`.
        Returns:
            `Written` with the outcome `created`, `updated` or `unchanged`, or the `Problem` that refused it.
        """
        answer: Deferred[Written | Problem] = self.defer()

        def done(result: Written | Problem) -> None:
            if isinstance(result, Written):
                self._update({result.record.path: result.record}, gone=())
            answer.reply(result)

        work = partial(_store_and_place, self.garden, path, front, body, merge, append, instead_of)
        self.lane.put(work, done)
        return answer

    @call
    def list(self, kind: Kind) -> Deferred[Records]:
        """The records of one kind in their last good version, by path. Answers after their first scan."""
        answer: Deferred[Records] = self.defer()
        if kind in self.ready:
            self._list(kind, answer)
        else:
            self.asked_early.append((kind, answer))
        return answer

    @call
    def names(self, kind: Kind) -> Names:
        """The names of one kind, sorted, broken ones included; never waits for the disk."""
        found = (kind_of(path) for path in {*self.good, *self.broken})
        return sorted(place[1] for place in found if place is not None and place[0] == kind)

    @call
    def problems(self) -> Problems:
        """What a person should mend: broken files, and what other floors reported about good ones."""
        said = [error.as_problem() for error in self.broken.values()]
        said += [problem for reported in self.reported.values() for problem in reported]
        return sorted(said)

    @cast
    def report(self, problem: Problem) -> None:
        """Add a problem found in a record by another floor (an unknown tool, a bad schedule)."""
        known = self.reported.setdefault(problem.path, [])
        if problem not in known:
            known.append(problem)

    @cast
    def clear(self, path: str) -> None:
        """Forget what other floors reported about a record; they check it anew."""
        self.reported.pop(path, None)

    @cast
    def changed(self, path: str) -> None:
        """Something changed at or under this path (relative to the garden; empty: anywhere)."""
        self.lane.put(partial(scan, self.garden, path), partial(self._refreshed, path))

    def handle_info(self, message: object) -> None:
        self.lane.finished(message)

    def _scanned(self, kinds: tuple[str, ...], found: Found) -> None:
        self._update(found, gone=())
        self.ready.update(kinds)
        asked, self.asked_early = self.asked_early, []
        for kind, answer in asked:
            if kind in self.ready:
                self._list(kind, answer)
            else:
                self.asked_early.append((kind, answer))

    def _refreshed(self, path: str, found: Found) -> None:
        known = {*self.good, *self.broken}
        here = {each for each in known if not path or each == path or each.startswith(f"{path}/")}
        self._update(found, gone=sorted(here - found.keys()))

    def _list(self, kind: Kind, answer: Deferred[Records]) -> None:
        if kind == "notes":
            paths = [path for path in self.good if path.startswith("notes/")]
            self.lane.put(partial(_read_all, self.garden, sorted(paths)), answer.reply)
            return
        records = self.listed.get(kind)
        if records is None:
            # Each turn of each agent asks: the files are gone through once, not each time.
            paths = sorted(path for path in self.good if (kind_of(path) or (None,))[0] == kind)
            records = self.listed[kind] = [
                held for path in paths if isinstance(held := self.good[path], Record)
            ]
        answer.reply(records.copy())

    def _update(self, found: Found, gone: tuple[str, ...] | Names) -> None:
        for path in gone:
            self.good.pop(path, None)
            self.broken.pop(path, None)
            self.reported.pop(path, None)
            self._tell(path, None, None)
        for path, record in found.items():
            if isinstance(record, RecordError):
                if self.broken.get(path) is None or str(self.broken[path]) != str(record):
                    self.broken[path] = record
                    held = self.good.get(path)
                    self._tell(path, held if isinstance(held, Record) else None, record)
                continue
            mended = self.broken.pop(path, None) is not None
            held = hash((record.front_text, record.body)) if path.startswith("notes/") else record
            if not mended and self.good.get(path) == held:
                continue
            self.reported.pop(path, None)
            self.good[path] = held
            self._tell(path, record, None)

    def _tell(self, path: str, record: Record | None, error: RecordError | None) -> None:
        place = kind_of(path)
        if place is not None:
            self.listed.pop(place[0], None)
            broadcast(TOPIC, RecordChanged(place[0], place[1], path, record, error))


def _read(garden: Path, path: str) -> Record | Problem:
    try:
        return load(garden, path)
    except RecordsError as error:
        return error.as_problem()


def _read_all(garden: Path, paths: Names) -> Records:
    read = (_read(garden, path) for path in paths)
    return [record for record in read if isinstance(record, Record)]


def _store_and_place(
    garden: Path,
    path: str,
    front: dict[str, Any] | None,
    body: str,
    merge: bool,
    append: bool,
    instead_of: str | None,
) -> Written | Problem:
    """Write, and answer with the record under its real path, so that one file has one name."""
    written = store(garden, path, front, body, merge, append, instead_of)
    if isinstance(written, Problem):
        return written
    place = inside(garden, path).as_posix()
    return Written(load(garden, place), written.outcome) if place != path else written
