"""Reading rows: from the tables of the SQLite store to events as they were handed in. In the store's reading thread."""

from collections.abc import Iterator, Sequence
from typing import Any

import apsw

from planaria.cortex.codec.id_codec import pack_id, unpack_id
from planaria.cortex.query import Query
from planaria.cortex.store import SessionRow, Stored

_COLUMNS = (
    "seq, id, at,"
    " CASE typeof(trace) WHEN 'integer' THEN (SELECT t.trace FROM events t WHERE t.seq = events.trace) ELSE trace END,"
    " CASE typeof(cause) WHEN 'integer' THEN (SELECT c.id FROM events c WHERE c.seq = events.cause) ELSE cause END,"
    " node, process, session, kind, payload, version, subject, digest, stripped"
)
_LAST_CHARACTER = "\U0010ffff"


def select(query: Query) -> tuple[str, list[Any]]:
    """The statement for a query. A plus sign before a column keeps SQLite from choosing its index."""
    values: list[Any] = []
    if query.trace_id is not None:
        # The first event of a trace has its id, the others have the place of the first. Traces are short.
        # A plus again: what it gives is then compared as it is, so the index can be used.
        first = "SELECT +seq FROM events WHERE trace = ?"
        where = [f"seq IN ({first} UNION ALL SELECT seq FROM events WHERE trace = ({first}))", "seq > ?"]  # noqa: S608
        values += [pack_id(query.trace_id), pack_id(query.trace_id)]
    else:
        where = ["seq > ?"]
    values.append(_place(query.after_seq))
    if query.before_seq is not None:
        where.append("seq < ?")
        values.append(_place(query.before_seq))
    if query.session is not None:
        column = "session" if query.trace_id is None else "+session"
        where.append(f"{column} = (SELECT id FROM sessions WHERE name = ?)")  # noqa: S608
        values.append(query.session)
    if query.kinds:
        indexed = query.trace_id is None and query.session is None
        names = ["(SELECT id FROM names WHERE name = ?)"] * len(query.kinds)
        among = f"= {names[0]}" if len(names) == 1 else f"IN ({', '.join(names)})"
        where.append(f"{'' if indexed else '+'}kind {among}")
        values.extend(query.kinds)
    if query.before_at is not None:
        where.append("at < ?")
        values.append(query.before_at)
    if query.stripped is not None:
        where.append("stripped = ?")
        values.append(int(query.stripped))
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


class _NoName(LookupError):
    """A row has the number of a name or session that is not there."""


class RowReader:
    """Reads through one connection; remembers names, which never change."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._names: dict[int, str] = {}
        self._sessions: dict[int, str] = {}

    def events(self, query: Query) -> list[Stored]:
        """The events a query asks for."""
        return list(self._stored(*select(query), as_found=query.as_found))

    def find(self, id: str) -> Stored | None:
        """The event of this id."""
        sql = f"SELECT {_COLUMNS} FROM events WHERE id = ?"  # noqa: S608 - values are bound
        return next(self._stored(sql, [pack_id(id)]), None)

    def contents(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """The data of contents by hash."""
        found: dict[str, bytes] = {}
        for digest in hashes:
            data = self.connection.execute(
                "SELECT data FROM contents WHERE hash = ?", (bytes.fromhex(digest),)
            ).get
            if data is not None:
                found[digest] = data
        return found

    def sessions(self, prefix: str, limit: int | None) -> list[SessionRow]:
        """The sessions whose name begins so, the one with the latest event first."""
        rows = self.connection.execute(
            "SELECT name, events, first_seq, last_seq, last_at, digest FROM sessions"
            " WHERE name >= ? AND name < ? ORDER BY last_seq DESC LIMIT ?",
            (prefix, prefix + _LAST_CHARACTER, -1 if limit is None else _place(limit)),
        )
        return [SessionRow(*row) for row in rows]

    def _stored(self, sql: str, values: Sequence[Any], *, as_found: bool = False) -> Iterator[Stored]:
        ids: dict[bytes | str, str] = {}  # traces and causes stand in many rows
        for row in self.connection.execute(sql, values):
            try:
                yield self._event(row, ids)
            except (TypeError, ValueError, LookupError) as error:  # changed by another program
                if not as_found:
                    raise apsw.CorruptError(f"event {row[0]} cannot be told: {error}") from error
                yield self._remains(row)

    def _event(self, row: tuple[Any, ...], ids: dict[bytes | str, str]) -> Stored:
        (
            seq,
            name,
            at,
            trace,
            cause,
            node,
            process,
            session,
            kind,
            payload,
            version,
            subject,
            digest,
            stripped,
        ) = row
        names = self._names
        place = names.get(node) or self._name(node)
        stream = self._sessions.get(session)
        return Stored(
            seq,
            unpack_id(name),
            at,
            ids.get(trace) or ids.setdefault(trace, unpack_id(trace)),
            None if cause is None else ids.get(cause) or ids.setdefault(cause, unpack_id(cause)),
            place,
            f"<{place}.{-process}>" if process < 0 else self._name(process),
            self._session(session) if stream is None else stream,
            names.get(kind) or self._name(kind),
            payload,
            version,
            "" if subject is None else self._name(subject),
            digest,
            stripped == 1,
        )

    def _remains(self, row: tuple[Any, ...]) -> Stored:
        """What can be told of a row that is no event: its place, its session and its id, if they can be."""
        try:
            session = self._session(row[7])
        except (TypeError, ValueError, LookupError):
            session = f"(session {row[7]} without a name)"
        try:
            name = unpack_id(row[1])
        except (TypeError, ValueError, LookupError):
            name = ""
        return Stored(row[0], name, 0.0, "", None, "", "", session, "", b"", 0, "", row[12])

    def _name(self, number: int) -> str:
        name = self._names.get(number)
        if name is None:
            name = self.connection.execute("SELECT name FROM names WHERE id = ?", (number,)).get
            if name is None:
                raise _NoName(f"there is no name {number}")
            if len(self._names) > 20_000:
                self._names.clear()
            self._names[number] = name
        return name

    def _session(self, number: int) -> str:
        name: str | None = self.connection.execute("SELECT name FROM sessions WHERE id = ?", (number,)).get
        if name is None:
            raise _NoName(f"there is no session {number}")
        if len(self._sessions) > 20_000:
            self._sessions.clear()
        self._sessions[number] = name
        return name
