"""Writing rows: what an event becomes in the tables of the SQLite store, and the few things remembered between.

All of it runs in the store's writing thread, inside a transaction the store has begun. What it remembers (numbers of
names, heads of sessions, places of traces) is taken from the database, and let go when another program has written
or a transaction came to nothing.
"""

from collections.abc import Sequence
from typing import Any

import apsw

from planaria.cortex.codec.chain import START, link
from planaria.cortex.codec.id_codec import pack_id
from planaria.cortex.store import Draft, Duplicate, Fence, Outcome, Stale, Written

_INSERT = (
    "INSERT INTO events (seq, id, at, trace, cause, node, process, session, kind, version, subject, payload, stripped,"
    " digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?)"
)
_SAVE_SESSION = (
    "UPDATE sessions SET events = ?, first_seq = ?, last_seq = ?, last_at = ?, digest = ? WHERE id = ?"
)
_MOST = 20_000
"""Of each kind of thing remembered; beyond, all are let go."""


class _Session:
    """The head of one session."""

    __slots__ = ("digest", "events", "first_seq", "id", "last_at", "last_seq")

    def __init__(
        self, id: int, events: int, first_seq: int, last_seq: int, last_at: float, digest: bytes
    ) -> None:
        self.id = id
        self.events = events
        self.first_seq = first_seq
        self.last_seq = last_seq
        self.last_at = last_at
        self.digest = digest

    def row(self) -> tuple[int, int, int, float, bytes, int]:
        return self.events, self.first_seq, self.last_seq, self.last_at, self.digest, self.id


class RowWriter:
    """Adds events through one connection."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._seen = -1  # the database's version when it was last written here
        self._next_seq = 1
        self._names: dict[str, int] = {}
        self._processes: dict[tuple[str, str], int] = {}  # with the node
        self._sessions: dict[str, _Session] = {}
        self._traces: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._remembered: tuple[dict[Any, Any], ...] = (
            *(self._names, self._processes, self._sessions, self._traces, self._places),
        )

    def begun(self) -> None:
        """A transaction has begun: see whether what is remembered still stands in the database."""
        version = self.connection.data_version()
        if version != self._seen:
            self._seen = version
            self._next_seq = self.connection.execute("SELECT coalesce(max(seq), 0) + 1 FROM events").get
            for remembered in self._remembered:
                remembered.clear()
        for remembered in self._remembered:
            if len(remembered) > _MOST:
                remembered.clear()

    def committed(self) -> None:
        """The transaction is over; what others write from now on makes the database another version."""
        self._seen = self.connection.data_version()

    def forget(self) -> None:
        """Let go of all that is remembered: the transaction came to nothing."""
        self._seen = -1

    @property
    def last_seq(self) -> int:
        """The place of the last event."""
        return self._next_seq - 1

    def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None], *, check: bool = False
    ) -> list[Outcome]:
        """Add the events of several appends.

        Args:
            check: look each id up first. Without it a duplicate of what is in the database is a `ConstraintError`, and
                the transaction must be rolled back.
        """
        answers: list[Outcome] = []
        rows: list[tuple[Any, ...]] = []
        contents: list[tuple[int, Draft]] = []
        touched: dict[int, _Session] = {}
        seen: set[str] = set()
        for number, drafts in enumerate(batch):
            if fences and (fence := fences[number]) is not None and self._is_stale(fence):
                answers.append(Stale(fence.name))
                continue
            double = self._double(drafts, seen, check)
            if double is not None:
                answers.append(Duplicate(double))
                continue
            answers.append(Written(self._next_seq))
            for draft in drafts:
                rows.append(self._row(draft, touched))
                if draft.contents:
                    contents.append((self._next_seq - 1, draft))
        if rows:
            self.connection.executemany(_INSERT, rows)
            self.connection.executemany(_SAVE_SESSION, [session.row() for session in touched.values()])
            for seq, draft in contents:
                self._keep_contents(seq, draft)
        return answers

    def _is_stale(self, fence: Fence) -> bool:
        token = self.connection.execute("SELECT token FROM leases WHERE name = ?", (fence.name,)).get
        return bool(token != fence.token)

    def _double(self, drafts: Sequence[Draft], seen: set[str], check: bool) -> str | None:
        """The id that refuses an append; otherwise all its ids are taken now."""
        ids = {draft.id for draft in drafts}
        if len(ids) < len(drafts) or not seen.isdisjoint(ids) or check:
            taken: set[str] = set()
            for draft in drafts:
                if draft.id in seen or draft.id in taken or (check and self._place_of(draft.id) is not None):
                    return draft.id
                taken.add(draft.id)
        seen |= ids
        return None

    def _row(self, draft: Draft, touched: dict[int, _Session]) -> tuple[Any, ...]:
        seq = self._next_seq
        self._next_seq = seq + 1
        session = self._sessions.get(draft.session) or self._session(draft.session)
        touched[session.id] = session
        session.digest = digest = link(session.digest, draft)
        session.events += 1
        if session.events == 1:
            session.first_seq = seq
        session.last_seq = seq
        session.last_at = draft.at
        trace: int | bytes | str | None = self._traces.get(draft.trace_id)
        if trace is None:
            trace = self._trace(draft.trace_id, seq)
        cause: int | bytes | str | None = None
        if draft.cause_id is not None:
            cause = self._places.get(draft.cause_id) or self._cause(draft.cause_id)
        self._places[draft.id] = seq
        names = self._names
        subject = (names.get(draft.subject) or self._name(draft.subject)) if draft.subject else None
        return (
            seq,
            pack_id(draft.id),
            draft.at,
            trace,
            cause,
            names.get(draft.node) or self._name(draft.node),
            self._processes.get((draft.process, draft.node)) or self._process(draft.process, draft.node),
            session.id,
            names.get(draft.kind) or self._name(draft.kind),
            draft.version,
            subject,
            draft.payload,
            digest,
        )

    def _session(self, name: str) -> _Session:
        row: Any = self.connection.execute(
            "SELECT id, events, first_seq, last_seq, last_at, digest FROM sessions WHERE name = ?", (name,)
        ).fetchone()
        if row is None:
            number = self.connection.execute(
                "INSERT INTO sessions (name, events, first_seq, last_seq, last_at, digest) VALUES (?, 0, 0, 0, 0, x'')"
                " RETURNING id",
                (name,),
            ).get
            row = (number, 0, 0, 0, 0.0, START)
        session = self._sessions[name] = _Session(*row)
        return session

    def _name(self, name: str) -> int:
        number: int | None = self.connection.execute("SELECT id FROM names WHERE name = ?", (name,)).get
        if number is None:
            number = self.connection.execute("INSERT INTO names (name) VALUES (?) RETURNING id", (name,)).get
        assert number is not None
        self._names[name] = number
        return number

    def _process(self, process: str, node: str) -> int:
        """Pids are many and short-lived: they are kept as numbers, the others as names."""
        number = 0
        if process.startswith(f"<{node}.") and process.endswith(">"):
            digits = process[len(node) + 2 : -1]
            if digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) < 18:
                number = -int(digits)
        self._processes[process, node] = number = number or self._names.get(process) or self._name(process)
        return number

    def _trace(self, trace_id: str, seq: int) -> int | bytes | str:
        """For the event at `seq`: the place of the first event of its trace, or the trace itself if it is the first."""
        packed = pack_id(trace_id)
        first: int | None = self.connection.execute("SELECT seq FROM events WHERE trace = ?", (packed,)).get
        self._traces[trace_id] = seq if first is None else first
        return packed if first is None else first

    def _cause(self, cause_id: str) -> int | bytes | str:
        place = self._place_of(cause_id)
        if place is None:
            return pack_id(cause_id)
        self._places[cause_id] = place
        return place

    def _place_of(self, id: str) -> int | None:
        place: int | None = self.connection.execute("SELECT seq FROM events WHERE id = ?", (pack_id(id),)).get
        return place

    def _keep_contents(self, seq: int, draft: Draft) -> None:
        execute = self.connection.execute
        for content in draft.contents:
            digest = bytes.fromhex(content.hash)
            number = execute("SELECT id FROM contents WHERE hash = ?", (digest,)).get
            if number is None:
                number = execute(
                    "INSERT INTO contents (hash, size, data) VALUES (?, ?, ?) RETURNING id",
                    (digest, content.size, content.data),
                ).get
            execute("INSERT OR IGNORE INTO event_contents VALUES (?, ?)", (seq, number))
