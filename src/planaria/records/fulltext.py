"""Full-text search over notes in SQLite FTS5: the database behind the index, as plain blocking code.

Two tables over the same rows: `words` (Porter stems, accents folded) answers most queries, `grams` (trigrams)
finds parts of words and languages written without spaces. A third, `links`, holds what each note links to. The
file is a cache: a missing, old or corrupt one is made anew from the notes. One connection; a lock, since the
thread of a task that was killed may still be at work when the next comes or the database is closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import Any, Concatenate

import apsw
import msgspec

from planaria.records.errors import PathRefused, RecordError, RecordsError
from planaria.records.kinds import record_paths
from planaria.records.links import note_links
from planaria.records.paths import inside, read_file
from planaria.records.record import MAX_RECORD, Record, decode_record

VERSION = 2
MARKS = ("\x02", "\x03")  # around each match in a snippet; characters no note may hold
_NO_MARKS = str.maketrans("", "", "".join(MARKS))
MAX_QUERY = 400
MAX_TERMS = 16

_SCHEMA = """
create table notes (
    id integer primary key, path text not null unique, title text not null, body text not null,
    modified integer not null, size integer not null, name text not null, last text not null
);
create index notes_by_name on notes(name);
create index notes_by_last on notes(last);
create table links (target text not null, source integer not null, primary key (target, source)) without rowid;
create index links_by_source on links(source);
create virtual table words using fts5(title, body, content='notes', content_rowid='id',
    tokenize='porter unicode61 remove_diacritics 2');
create virtual table grams using fts5(title, body, content='notes', content_rowid='id', tokenize='trigram');
create trigger notes_added after insert on notes begin
    insert into words(rowid, title, body) values (new.id, new.title, new.body);
    insert into grams(rowid, title, body) values (new.id, new.title, new.body);
end;
create trigger notes_gone after delete on notes begin
    insert into words(words, rowid, title, body) values ('delete', old.id, old.title, old.body);
    insert into grams(grams, rowid, title, body) values ('delete', old.id, old.title, old.body);
    delete from links where source = old.id;
end;
"""

_IN_WORDS = """
select notes.path, notes.title, snippet(words, 1, char(2), char(3), ' … ', 24), -bm25(words, 6.0, 1.0)
from words join notes on notes.id = words.rowid
where words match ? order by bm25(words, 6.0, 1.0), notes.path limit ?
"""

_IN_GRAMS = """
select notes.path, notes.title, snippet(grams, 1, char(2), char(3), ' … ', 64), -bm25(grams, 6.0, 1.0)
from grams join notes on notes.id = grams.rowid
where grams match ? order by bm25(grams, 6.0, 1.0), notes.path limit ?
"""

_SUBSTRING = """
select path, title, substr(body, max(1, instr(lower(body), ?1) - 40), 160), 0.0 from notes
where instr(lower(title), ?1) or instr(lower(body), ?1) order by path limit ?2
"""

_ENTRY = "select path, title, substr(body, 1, 1000) from notes"

# A name means the note of that full name, else the only one whose last part it is.
_MEANT = """
select name, path from notes where name = ?1
union all
select name, path from (select name, path from notes where last = ?1 limit 2)
where not exists (select 1 from notes where name = ?1)
"""

_MISSING = """
select target from links where source = ?
and not exists (select 1 from notes where name = target)
and (select count(*) from (select 1 from notes where last = target limit 2)) != 1
"""


class NoteEntry(msgspec.Struct, frozen=True):
    """A note in a list; `opening`: the first thousand characters of its body."""

    path: str
    title: str
    opening: str


class NoteList(msgspec.Struct, frozen=True):
    """A piece of the list of all notes, by path, and how many there are in all."""

    total: int
    notes: tuple[NoteEntry, ...]


class Ties(msgspec.Struct, frozen=True):
    """Where a note is, which of its links lead to no note, and which notes link to it."""

    name: str
    path: str
    missing: frozenset[str]
    linked_from: tuple[NoteEntry, ...]


class Hit(msgspec.Struct, frozen=True):
    """One note that matches.

    Attributes:
        snippet: a piece of the body; each match stands between the two characters of `MARKS` (see `marked`).
        score: higher is better; comparable within one answer only.
    """

    path: str
    title: str
    snippet: str
    score: float


class Corrupt(Exception):
    """The index database is broken; it has to be made anew."""


class Unwritable(Corrupt):
    """The file cannot be written (a full disk, no permission): from now on the index is kept in memory."""


_UNWRITABLE = (apsw.FullError, apsw.ReadOnlyError, apsw.CantOpenError, apsw.IOError, apsw.PermissionsError)


def _alone[**P, R](method: Callable[Concatenate[FullText, P], R]) -> Callable[Concatenate[FullText, P], R]:
    """Let one thread at a time into the store."""

    @wraps(method)
    def locked(self: FullText, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self, *args, **kwargs)

    return locked


class FullText:
    """The index database of one garden. Every method may raise `Corrupt`."""

    def __init__(self, garden: Path, file: Path) -> None:
        self.garden = garden
        self.file = file
        self.in_memory = False
        self._db: apsw.Connection | None = None
        self._lock = RLock()

    @_alone
    def open(self) -> bool:
        """Open the database, or make it anew. True if a broken one had to be thrown away."""
        existed = self.file.exists()
        try:
            self._connect()
        except Corrupt:
            self.discard()
            self._connect()
            return existed
        return False

    @_alone
    def close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    @_alone
    def discard(self) -> None:
        """Close and delete the database."""
        self.close()
        for suffix in ("", "-wal", "-shm", "-journal"):
            try:
                self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
            except OSError:  # a folder that cannot be written, or something else of this name
                self.in_memory = True

    @_alone
    def sync(self) -> int:
        """Make the index agree with the notes on disk; the number of notes read, all that changed."""
        known = {
            path: (modified, size)
            for path, modified, size in self._rows("select path, modified, size from notes")
        }
        present = {path: stamp for path in record_paths(self.garden, "notes") if (stamp := self._stamp(path))}
        read = 0
        with self._transaction():
            for path in known.keys() - present.keys():
                self._delete(path)
            for path, stamp in present.items():
                if known.get(path) != stamp:
                    read += self._put(path, self._read(path, keep_old=path in known), stamp)
        return read

    @_alone
    def apply(self, changes: Mapping[str, Record | None]) -> int:
        """Index notes as they now are, or as gone (None); how many of them were news."""
        news = 0
        with self._transaction():
            for path, record in changes.items():
                stamp = self._stamp(path) if record is not None else None
                if record is None:
                    self._delete(path)
                elif stamp is not None and not self._holds(record, stamp):
                    news += self._put(path, record, stamp)
        return news

    @_alone
    def page(self, offset: int, limit: int) -> NoteList:
        """Some of all notes, by path."""
        ((total,),) = self._rows("select count(*) from notes")
        return NoteList(total, self._entries("order by path limit ? offset ?", (limit, offset)))

    @_alone
    def ties(self, name: str, limit: int) -> Ties | None:
        """The note a name means with at most `limit` notes that link to it; None if it means no note, or several."""
        meant = self._rows(_MEANT, (name,))
        if len(meant) != 1:
            return None
        ((full, path),) = meant
        ((number,),) = self._rows("select id from notes where path = ?", (path,))
        missing = frozenset(target for (target,) in self._rows(_MISSING, (number,)))
        last = full.rpartition("/")[2]
        # Both the full name and its last part may lead here; the last part only if it means no other note.
        ways = {full, last} if self._rows(_MEANT, (last,)) == [(full, path)] else {full}
        linked = self._entries(
            "where id != ? and id in (select source from links where target in (?, ?)) order by path limit ?",
            (number, min(ways), max(ways), limit),
        )
        return Ties(full, path, missing, linked)

    @_alone
    def search(self, query: str, limit: int) -> list[Hit]:
        """Notes that match, best first: all words, then any word, then parts of words."""
        terms = query_terms(query)
        hits: dict[str, Hit] = {}
        for sql, match in _plans(terms):
            if len(hits) >= limit:
                break
            for path, title, snippet, score in self._rows(sql, (match, limit)):
                hits.setdefault(path, Hit(path, title, snippet, score))
        for term in terms:
            if len(hits) < limit and _needs_substring(term):
                for path, title, snippet, score in self._rows(_SUBSTRING, (term.lower(), limit)):
                    hits.setdefault(path, Hit(path, title, _mark_all(snippet, term), score))
        return list(hits.values())[:limit]

    def _connect(self) -> None:
        try:
            if not self.in_memory:
                self.file.parent.mkdir(parents=True, exist_ok=True)
            self._db = db = apsw.Connection(":memory:" if self.in_memory else str(self.file))
            db.set_busy_timeout(2000)
            db.execute("pragma journal_mode = wal; pragma synchronous = normal")
            version = db.pragma("user_version")
            if version == 0 and not db.execute("select 1 from sqlite_schema").fetchall():
                with db:
                    db.execute(_SCHEMA)
                    db.pragma("user_version", VERSION)
            elif version != VERSION or db.pragma("quick_check(1)") != "ok":
                raise Corrupt(f"{self.file}: not an index of version {VERSION}")
            else:
                db.execute("insert into words(words) values ('integrity-check')")
                db.execute("insert into grams(grams) values ('integrity-check')")
        except (*_UNWRITABLE, OSError) as error:
            raise self._to_memory(error) from error
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
            raise Corrupt(f"{self.file}: {error}") from error

    def _to_memory(self, error: Exception) -> Unwritable:
        self.in_memory = True
        return Unwritable(f"{self.file}: {error}")

    def _rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        assert self._db is not None, "open() comes first"
        try:
            return self._db.execute(sql, values).fetchall()
        except _UNWRITABLE as error:
            raise self._to_memory(error) from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise Corrupt(f"{self.file}: {error}") from error

    @contextmanager
    def _transaction(self) -> Generator[None]:
        assert self._db is not None, "open() comes first"
        try:
            with self._db:
                yield
        except _UNWRITABLE as error:
            raise self._to_memory(error) from error
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise Corrupt(f"{self.file}: {error}") from error

    def _entries(self, which: str, values: tuple[Any, ...]) -> tuple[NoteEntry, ...]:
        return tuple(NoteEntry(*row) for row in self._rows(f"{_ENTRY} {which}", values))

    def _holds(self, record: Record, stamp: tuple[int, int]) -> bool:
        """Whether the note is indexed just so: at its start the library tells of every note."""
        known = self._rows("select title, body, modified, size from notes where path = ?", (record.path,))
        return known == [(_clean(record.title), _clean(record.body), *stamp)]

    def _delete(self, path: str) -> None:
        self._rows("delete from notes where path = ?", (path,))

    def _put(self, path: str, record: Record | None, stamp: tuple[int, int]) -> int:
        if record is None:
            return 0
        self._delete(path)
        name = path.removeprefix("notes/").removesuffix(".md")
        ((number,),) = self._rows(
            "insert into notes(path, title, body, modified, size, name, last) values (?, ?, ?, ?, ?, ?, ?)"
            " returning id",
            (path, _clean(record.title), _clean(record.body), *stamp, name, name.rpartition("/")[2]),
        )
        for target in note_links(record.body):
            self._rows("insert into links(target, source) values (?, ?)", (target, number))
        return 1

    def _read(self, path: str, keep_old: bool) -> Record | None:
        """The note; a broken one keeps its old entry, or is found by its raw text if it never had one."""
        data = b""
        try:
            data = read_file(self.garden, inside(self.garden, path), MAX_RECORD)
            return decode_record(path, data)
        except RecordError:
            return None if keep_old else Record(path, {}, data[:MAX_RECORD].decode("utf-8", "replace"))
        except (PathRefused, FileNotFoundError):
            return None

    def _stamp(self, path: str) -> tuple[int, int] | None:
        with suppress(OSError, RecordsError):
            status = (self.garden / inside(self.garden, path)).stat()
            return status.st_mtime_ns, status.st_size
        return None


def _clean(text: str) -> str:
    return text.translate(_NO_MARKS)


def query_terms(query: str) -> list[str]:
    """The words and "quoted phrases" of what a person typed; everything else in it has no meaning."""
    terms = []
    for phrase, word in re.findall(r'"([^"]*)"|(\w+)', query[:MAX_QUERY]):
        found = " ".join(re.findall(r"\w+", phrase)) if phrase else word
        if found and found not in terms:
            terms.append(found)
    return terms[:MAX_TERMS]


def marked(snippet: str, start: str = "**", end: str = "**") -> str:
    """A snippet with its matches between `start` and `end`. For HTML, escape the snippet first."""
    return snippet.replace(MARKS[0], start).replace(MARKS[1], end)


def _plans(terms: list[str]) -> list[tuple[str, str]]:
    """FTS5 queries to try in turn. A quoted string holds no syntax, so nothing typed can be an operator."""
    if not terms:
        return []
    quoted = [f'"{term}"' for term in terms]
    plans = [(_IN_WORDS, " AND ".join([*quoted[:-1], quoted[-1] + "*"]))]
    if len(terms) > 1:
        plans.append((_IN_WORDS, " OR ".join(quoted)))
    long = [f'"{term}"' for term in terms if len(term) >= 3]
    if long:
        plans.append((_IN_GRAMS, " AND ".join(long)))
    return plans


def _needs_substring(term: str) -> bool:
    """Short terms in scripts without spaces: too short for trigrams, no words for the other table."""
    return len(term) < 3 and any(ord(letter) >= 0x2E80 for letter in term)


def _mark_all(text: str, term: str) -> str:
    return re.sub(
        re.escape(term), lambda found: MARKS[0] + found.group() + MARKS[1], text, flags=re.IGNORECASE
    )
