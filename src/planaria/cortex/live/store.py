"""The live store: what is going on now, as bounded tables in memory that anybody may query and follow.

Started by the node as `child(Live, make_projections, name="live")`. Each projection keeps one table up to date from
what the node says anyway: the journal's events, topics such as a room's, kernel events, spans. They are put aside as
they happen, and taken in ten times a second or when somebody looks. Nothing is prepared for whoever looks, and nothing
here is the truth: after a restart the tables are made anew from the latest `look_back` events of the journal.

    rows = tables_of(node)["sessions"].select(Select(match="session:scout@*"))   # at once, from anywhere in the node

    watching = await Live.subscribe("live", "sessions", Select(where={"room": "garden"}))
    watching.rows                                             # what is there
    changes = await receive(RowsChanged)                      # then what changes: at most one message under way,
    Live.ready("live", changes.ref)                           # the next one when this is said

    async for changes in follow("sessions"): ...              # the same in one line, for plain functions

A slow subscriber gets fewer messages, not a fuller mailbox: changes of a row it has not taken yet melt into one,
counted in `coalesced`; more than 1000 rows behind, it gets all rows anew (`whole`). The topic `live:<table>` only says
that something changed, at most ten times a second, for those who draw everything anew.
Does badly: an event that comes while this restarts is folded in from the journal, but what is in no event (a piece of
an answer on its way, a span) is not.
Emits: `TableChanged` on `live:<table>`.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.live.intake import Intake
from planaria.cortex.live.projection import Projection
from planaria.cortex.live.table import ALL, LiveError, Select, Table
from planaria.cortex.live.tables import LiveTables
from planaria.cortex.live.watcher import Watcher, Watching
from planaria.cortex.query import Query
from planaria.cortex.telemetry.feed import READY, Feed
from planaria.cortex.telemetry.handlers import attach
from planaria.otp import (
    CallError,
    Down,
    ExitSignal,
    GenServer,
    KernelEvent,
    Node,
    Pid,
    Server,
    Task,
    TaskDone,
    TaskRef,
    broadcast,
    call,
    cast,
    demonitor,
    monitor,
    self_,
    send,
    send_after,
    subscribers,
)
from planaria.otp.kernel.table import publish
from planaria.otp.kernel.tap import tap

LOOK_BACK = 2000
"""Events of the journal that are read at a start, of the kinds the projections ask for."""
MOST_UNMADE = 1000
"""Rows of one table that may be out of date while nobody follows it."""
PACE = 0.1
"""Seconds between two tellings of changes."""
LOOK_EVERY = 1.0
"""Seconds between two looks at tables that are looked up, while somebody follows them."""
AGAIN = 1.0
"""Seconds until a journal that was away is read again."""
MOST_WAITING = 20_000
"""Spans and kernel events that may wait to be taken in; beyond, they are dropped and counted."""


class Watched(msgspec.Struct, frozen=True):
    """What `watch` answers: a subscription, or why there is none."""

    watching: Watching | None
    problem: str = ""


class Found(msgspec.Struct, frozen=True):
    """What `look_up` answers: rows, or why there are none."""

    rows: list[Any] | None
    problem: str = ""


class TableChanged(msgspec.Struct, frozen=True):
    """On the topic `live:<table>`: look again."""

    table: str
    version: int


class TableInfo(msgspec.Struct, frozen=True):
    """One table: what its rows are, how many of how many possible, how many it had no room for."""

    name: str
    about: str
    rows: int
    limit: int
    evicted: int
    labels: tuple[str, ...]


class LiveStatus(msgspec.Struct, frozen=True):
    """The live store in figures, since it started.

    Attributes:
        dropped: spans and kernel events that did not fit while it was busy.
        coalesced: changes that subscribers were not told one by one.
        faults: events no row could be made of.
        ready: whether the look back is over.
    """

    tables: list[TableInfo]
    subscribers: int
    dropped: int
    coalesced: int
    faults: int
    ready: bool


class Live(GenServer):
    """Owner of the tables."""

    trap_exit = True

    def init(
        self,
        make_projections: Callable[[Node], Sequence[Projection]],
        journal: Server = "journal",
        look_back: int = LOOK_BACK,
    ) -> None:
        """Begin to listen, then look back.

        Args:
            make_projections: asked at each start; their tables are empty.
            journal: whose events to follow.
            look_back: how many of its events to read at the start.
        """
        self.projections = make_projections(self.pid.node)
        self.journal = journal
        self.look_back = look_back
        self.tables: dict[str, Table[Any]] = {}
        self.dirty: dict[str, set[str]] = {}
        self.watchers: dict[int, Watcher] = {}
        self.last_ref = 0
        self.past_coalesced = 0
        self.telling = False
        self.looking = False
        # What comes while the look back is on its way: as many as are looked back at.
        self.missed: deque[Event] | None = deque(maxlen=max(1, look_back))
        self.looked_to = 0
        self.task: TaskRef | None = None
        self.taps: dict[str, Callable[[], None]] = {}  # topic -> how to stop hearing it
        self.intake = Intake(self.projections)
        for table in (projection.table for projection in self.projections):
            self.tables[table.name] = table
            self.dirty[table.name] = set()
            table.changed = self._changer(table.name)
        self.feed = Feed(self.pid, MOST_WAITING, PACE)
        publish(self.pid, LiveTables(self.tables, self._catch_up))
        tap(self.pid.node, "journal", self._event)
        self._listen()
        if self.intake.spans:
            attach(self.feed, names=frozenset(self.intake.spans))
        self.unsubscribe_events: Callable[[], None] | None = None
        if self.intake.kernel:
            self.unsubscribe_events = self.pid.node.subscribe_events(self._kernel)
        self._look_back()

    # --- for callers ---------------------------------------------------------------------------------------------

    @staticmethod
    async def subscribe(
        live: Server, table: str, select: Select = ALL, subscriber: Pid | None = None
    ) -> Watching:
        """Follow the rows a query asks for; until `unsubscribe`, or the subscriber's end.

        Args:
            live: its name or pid.
            table: its name.
            select: which rows. Order and limit are those of the snapshot; later every row that matches is told.
            subscriber: who gets the `RowsChanged`; by default the caller.
        Raises:
            LiveError: no such table, or a query it cannot answer.
            CallError: as any call.
        """
        answer = await Live.watch(live, table, select, subscriber or self_())
        if answer.watching is None:
            raise LiveError(answer.problem)
        return answer.watching

    @staticmethod
    async def query(live: Server, table: str, select: Select = ALL) -> list[Any]:
        """The rows a query asks for. Raises as `subscribe` does."""
        answer = await Live.look_up(live, table, select)
        if answer.rows is None:
            raise LiveError(answer.problem)
        return answer.rows

    @call
    def watch(self, table: str, select: Select, subscriber: Pid) -> Watched:
        """What `subscribe` asks, answered as a value."""
        try:
            found = self._table(table)
            rows = found.select(select)
        except LiveError as error:
            return Watched(None, str(error))
        self._tell()  # so that what is in the snapshot is not told as a change
        self.dirty[table].clear()
        self.last_ref += 1
        watcher = Watcher(self.last_ref, subscriber, monitor(subscriber), table, select)
        watcher.told = {row.key for row in rows}
        self.watchers[watcher.ref] = watcher
        if found.refresh is not None and not self.looking:
            self.looking = True
            send_after(LOOK_EVERY, self.pid, _LOOK)
        return Watched(Watching(watcher.ref, rows))

    @call
    def look_up(self, table: str, select: Select) -> Found:
        """What `query` asks, answered as a value."""
        try:
            return Found(self._table(table).select(select))
        except LiveError as error:
            return Found(None, str(error))

    @cast
    def ready(self, ref: int) -> None:
        """The subscriber has taken the last message; what came meanwhile follows."""
        watcher = self.watchers.get(ref)
        if watcher is not None:
            watcher.waits = True
            if watcher.pending or watcher.whole:
                self._plan()

    @cast
    def unsubscribe(self, ref: int) -> None:
        """End a subscription."""
        watcher = self.watchers.pop(ref, None)
        if watcher is not None:
            self.past_coalesced += watcher.coalesced
            demonitor(watcher.monitor, flush=True)

    @call
    def status(self) -> LiveStatus:
        """The tables and what was lost."""
        self._catch_up()
        infos = [
            TableInfo(t.name, t.about, len(t), t.limit, t.evicted, t.kind.labels)
            for t in self.tables.values()
        ]
        coalesced = self.past_coalesced + sum(watcher.coalesced for watcher in self.watchers.values())
        return LiveStatus(
            infos, len(self.watchers), self.feed.dropped, coalesced, self.intake.faults, self.missed is None
        )

    def _table(self, name: str) -> Table[Any]:
        return LiveTables(self.tables, self._catch_up)[name]

    # --- what comes in ---------------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        match message:
            case _ if message is READY:
                self._catch_up()
                self._tell()
            case _ if message is _TELL:
                self.telling = False
                self._catch_up()
                self._tell()
            case _ if message is _LOOK:
                self._look()
            case _ if message is _AGAIN:
                self._look_back()
            case TaskDone(ref=ref, value=list() as events) if ref is self.task:
                self.task = None
                self._looked_back(events)
            case TaskDone(ref=ref) if ref is self.task:
                self.task = None
                send_after(AGAIN, self.pid, _AGAIN)
            case Down(ref=ref) if ref is self.task:
                self.task = None
                send_after(AGAIN, self.pid, _AGAIN)
            case Down(ref=ref):
                for watcher in [each for each in self.watchers.values() if each.monitor is ref]:
                    self.past_coalesced += watcher.coalesced
                    del self.watchers[watcher.ref]
            case ExitSignal():
                pass  # of a task that has said how it went
            case _:
                pass

    def _catch_up(self) -> None:
        """Take in what waits. Also done for whoever reads the tables, so that they are never behind."""
        if not len(self.feed):
            return
        for what in self.feed.take():
            if type(what) is Event:
                # One that the look back has read already may still be on its way to us.
                if what.seq > self.looked_to:
                    if self.missed is not None:
                        self.missed.append(what)
                    else:
                        self.intake.event(what)
            else:
                self.intake.other(what)
        self._listen()

    def _event(self, event: Event) -> None:
        if event.kind in self.intake.kinds:
            self.feed(event)

    def _heard(self, message: Any) -> None:
        if type(message) in self.intake.classes:
            self.feed(message)

    def _kernel(self, event: KernelEvent) -> None:
        # Most processes are tasks without a name; their coming and going is nobody's table.
        if type(event) in self.intake.kernel and getattr(event, "name", "") is not None:
            self.feed(event)

    def _listen(self) -> None:
        wanted = set[str]().union(*(projection.topics for projection in self.projections))
        if wanted != self.taps.keys():
            for topic in self.taps.keys() - wanted:
                self.taps.pop(topic)()
            for topic in wanted - self.taps.keys():
                self.taps[topic] = tap(self.pid.node, topic, self._heard)

    # --- the start -------------------------------------------------------------------------------------------------

    def _look_back(self) -> None:
        self.task = Task.start_link(
            _latest, self.journal, tuple(self.intake.kinds), self.look_back, label="live looks back"
        )

    def _looked_back(self, events: list[Event]) -> None:
        missed, self.missed = self.missed or (), None
        self.looked_to = events[-1].seq if events else 0
        for event in joined(events, missed, self.look_back):
            self.intake.event(event)
        for projection in self.projections:
            projection.looked_back()
        self._listen()

    # --- who follows -----------------------------------------------------------------------------------------------

    def _changer(self, name: str) -> Callable[[str], None]:
        def changed(key: str) -> None:
            self.dirty[name].add(key)
            self._plan()

        return changed

    def _plan(self) -> None:
        if not self.telling:
            self.telling = True
            self.pid.node.timers.plan(PACE, self._tell_soon)

    def _tell_soon(self) -> None:
        # Rows may be put by whoever reads a table that is looked up, so this is not always our own code.
        self.pid.node.send(self.pid, _TELL)

    def _tell(self) -> None:
        for name, keys in self.dirty.items():
            # Rows that nobody asks for are not made: most are another before somebody does.
            if keys and (self._is_followed(name) or len(keys) >= MOST_UNMADE):
                self.tables[name].settle()
                for watcher in self.watchers.values():
                    if watcher.table == name:
                        watcher.note(keys)
                keys.clear()
                broadcast(f"live:{name}", TableChanged(name, self.tables[name].version))
        for watcher in self.watchers.values():
            if watcher.waits and (watcher.pending or watcher.whole):
                changes = watcher.take(self.tables[watcher.table])
                if changes is not None:
                    watcher.waits = False
                    send(watcher.pid, changes)

    def _is_followed(self, name: str) -> bool:
        return any(watcher.table == name for watcher in self.watchers.values()) or bool(
            subscribers(f"live:{name}")
        )

    def _look(self) -> None:
        followed = {watcher.table for watcher in self.watchers.values()}
        looked_up = [t for t in self.tables.values() if t.refresh is not None and t.name in followed]
        for table in looked_up:
            assert table.refresh is not None
            table.refresh()
        self.looking = bool(looked_up)
        if looked_up:
            send_after(LOOK_EVERY, self.pid, _LOOK)

    def terminate(self, reason: object) -> None:
        """Stop listening."""
        if self.unsubscribe_events is not None:
            self.unsubscribe_events()


def joined(read: Sequence[Event], missed: Iterable[Event], limit: int) -> list[Event]:
    """The latest events, of those that were read and those that came meanwhile.

    Not more than may be missed: if some of those were let go of, what was read before them does not count either.
    """
    until = read[-1].seq if read else 0
    return [*read, *(event for event in missed if event.seq > until)][-max(1, limit) :]


async def _latest(journal: Server, kinds: tuple[str, ...], limit: int) -> list[Event] | None:
    """The newest events of these kinds, oldest first; None while the journal cannot be read."""
    if not kinds or limit <= 0:
        return []
    try:
        events = await Journal.read(journal, Query(kinds=kinds, limit=limit, newest_first=True), within=30.0)
    except (JournalUnavailable, CallError):
        return None
    return events[::-1]


_TELL = object()
_LOOK = object()
_AGAIN = object()
