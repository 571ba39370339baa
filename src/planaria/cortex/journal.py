"""The journal: the append-only log of all events, and the only truth about what happened.

Started by the node as `child(Journal, partial(SqliteStore, path), name="journal")`; registered name `"journal"`.
One process writes. While a commit is on its way to the disk the appends that arrive wait, and go into the next
commit together (group commit): alone an append costs one sync, among a hundred it costs a hundredth of one.

    events = await Journal.append("journal", [NewEvent("room.post", {"text": "hello"}, session="room:garden")])
    latest = await Journal.read("journal", Query(session="room:garden", limit=50, newest_first=True))

An append is answered after its commit and never before; each is written whole or not at all. When the store fails
(disk full, file locked or damaged) the appends in hand get `JournalUnavailable`, and the next ones try anew, so the
journal goes on as soon as the cause is gone. An orderly stop writes what waits; a kill drops it unacknowledged.
Options: `JournalOptions`: `commit_interval` 0.0 s, `max_batch` 1000 events, `max_waiting` 20000 events.
Does badly: large content is kept in the event itself.
Emits: each event on the topics `journal` and `journal:<session>`, in order of `seq`, before its append is answered;
`JournalHealth` on `journal.health` when the store begins to fail and when it works again.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from planaria.cortex.errors import EventRefused, JournalUnavailable, StoreError
from planaria.cortex.event import Event, NewEvent, new_id
from planaria.cortex.prepare import Prepared, Refused, prepare
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.cortex.store import Duplicate, PlainStore, Written
from planaria.otp import (
    Deferred,
    Down,
    ExitSignal,
    GenServer,
    Server,
    Task,
    TaskDone,
    TaskRef,
    TimerRef,
    broadcast,
    call,
    cancel_timer,
    send,
    send_after,
    wall_time,
)


class JournalOptions(msgspec.Struct, frozen=True):
    """How much the journal collects.

    Args:
        commit_interval: seconds to collect appends before a commit; 0.0 commits as soon as the last one is done.
        max_batch: events in one commit, and the most that one append may have.
        max_waiting: events that may wait for the disk; beyond, appends are answered `Unavailable` at once.
    """

    commit_interval: float = 0.0
    max_batch: int = 1000
    max_waiting: int = 20_000


class Appended(msgspec.Struct, frozen=True):
    """The append is on disk."""

    events: list[Event]


class Found(msgspec.Struct, frozen=True):
    """What a query found."""

    events: list[Event]


class Unavailable(msgspec.Struct, frozen=True):
    """The store failed, or too much waits for it; nothing was acknowledged."""

    cause: str
    mend: str
    retry: bool


class JournalHealth(msgspec.Struct, frozen=True):
    """Whether the store works: `trouble` is None when it does."""

    trouble: str | None
    mend: str


class JournalStatus(msgspec.Struct, frozen=True):
    """Figures since the journal started. `appends / commits` tells how many share a commit."""

    appends: int
    events: int
    commits: int
    failures: int
    refused: int
    waiting: int
    last_seq: int
    health: JournalHealth


type Answer = Appended | Refused | Unavailable

_WELL = JournalHealth(None, "")
_COMMIT_NOW = object()


class _Waiting:
    """One append on its way to the disk."""

    __slots__ = ("answer", "prepared")

    def __init__(self, prepared: Prepared, answer: Deferred[Answer]) -> None:
        self.prepared = prepared
        self.answer = answer


class _Commit:
    """The appends of one commit; `outcome` is set by its task."""

    def __init__(self, appends: list[_Waiting]) -> None:
        self.appends = appends
        self.outcome: list[Written | Duplicate] | StoreError | None = None

    async def write(self, store: PlainStore) -> None:
        try:
            self.outcome = await store.append([append.prepared.drafts for append in self.appends])
        except StoreError as error:
            self.outcome = error


class Journal(GenServer):
    """One writer for all events. Use `append` and `read`; they raise at the caller what the calls answer."""

    trap_exit = True

    async def init(
        self,
        make_store: Callable[[], PlainStore],
        options: JournalOptions = JournalOptions(),  # noqa: B008 - frozen
        redactor: Redactor | None = None,
    ) -> None:
        """Open and migrate the store.

        Args:
            make_store: gives a store nobody else uses; asked anew at each restart.
            options: how much to collect.
            redactor: masks secrets in payloads; by default one that knows common shapes of keys.
        Raises:
            StoreError: the store cannot be used; the start fails with it.
        """
        self.options = options
        self.redactor = redactor or Redactor()
        self.waiting: deque[_Waiting] = deque()
        self.waiting_events = 0
        self.commit_planned = False
        self.commit_timer: TimerRef | None = None
        self.commit: _Commit | None = None
        self.commit_task: TaskRef | None = None
        self.health = _WELL
        self.appends = self.events = self.commits = self.failures = self.refused = self.last_seq = 0
        self.store = make_store()
        await self.store.open()
        newest = await self.store.read(Query(limit=1, newest_first=True))
        self.last_seq = newest[0].seq if newest else 0

    # --- for callers ---------------------------------------------------------------------------------------------

    @staticmethod
    async def append(
        journal: Server, events: Sequence[NewEvent], *, within: float | None = 5.0
    ) -> list[Event]:
        """Write events, all or none; they are on disk when this returns.

        Args:
            journal: its name or pid.
            events: at least none, at most `max_batch`. They get consecutive places.
            within: seconds to wait for the answer; None for no limit.
        Returns:
            The events as written: with place, id and time, payloads as JSON gives them back, secrets masked.
        Raises:
            JournalUnavailable: not acknowledged: the store failed, or too much waits for it.
            EventRefused: never writable as it is: a payload JSON cannot say, or an id that is in the journal already.
            CallError: as any call: no journal, no answer in time (the events may be written still), or it ended.
        """
        match await Journal.submit.within(within)(journal, tuple(events)):
            case Appended(written):
                return written
            case Refused(reason, mend, duplicate_of):
                raise EventRefused(reason, mend, duplicate_of)
            case Unavailable(cause, mend, retry):
                raise JournalUnavailable(cause, mend, retry)

    @staticmethod
    async def read(journal: Server, query: Query = Query(), *, within: float | None = 5.0) -> list[Event]:  # noqa: B008 - frozen
        """The committed events a query asks for.

        Raises:
            JournalUnavailable: the store cannot be read.
            CallError: as any call.
        """
        match await Journal.query.within(within)(journal, query):
            case Found(events):
                return events
            case Unavailable(cause, mend, retry):
                raise JournalUnavailable(cause, mend, retry)

    # --- calls ---------------------------------------------------------------------------------------------------

    @call
    def submit(self, events: tuple[NewEvent, ...]) -> Deferred[Answer]:
        """What `append` asks, answered as a value; after the commit."""
        answer: Deferred[Answer] = self.defer()
        if not events:
            answer.reply(Appended([]))
            return answer
        if self.waiting_events + len(events) > self.options.max_waiting:
            answer.reply(
                Unavailable(f"{self.waiting_events} events wait for the disk", "try again later", True)
            )
            return answer
        prepared = self._prepare(events)
        if isinstance(prepared, Refused):
            self.refused += 1
            answer.reply(prepared)
            return answer
        self.waiting.append(_Waiting(prepared, answer))
        self.waiting_events += len(events)
        self._plan()
        return answer

    @call
    def query(self, query: Query) -> Deferred[Found | Unavailable]:
        """What `read` asks, answered as a value."""
        answer: Deferred[Found | Unavailable] = self.defer()
        Task.start_link(_read, self.store, query, answer, label="journal read")
        return answer

    @call
    def status(self) -> JournalStatus:
        """Figures since the start."""
        return JournalStatus(
            appends=self.appends,
            events=self.events,
            commits=self.commits,
            failures=self.failures,
            refused=self.refused,
            waiting=self.waiting_events,
            last_seq=self.last_seq,
            health=self.health,
        )

    def _prepare(self, events: tuple[NewEvent, ...]) -> Prepared | Refused:
        if len(events) > self.options.max_batch:
            return Refused(
                f"an append of {len(events)} events", f"append at most {self.options.max_batch} at once"
            )
        caller = self.caller()
        return prepare(
            events,
            at=wall_time(),
            node=self.pid.node.name,
            process=(caller.name or str(caller)) if caller is not None else "outside",
            redactor=self.redactor,
            new_id=new_id,
        )

    # --- commits -------------------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref) if ref is self.commit_task:
                self._settle()
                self._plan()
            case TaskDone() | ExitSignal(reason="normal"):
                pass  # a read has answered for itself
            case Down(reason=reason) | ExitSignal(reason=reason):
                self.stop(reason)  # a task met what no store reports: start afresh
            case _ if message is _COMMIT_NOW:
                self.commit_planned, self.commit_timer = False, None
                if self.commit is None and self.waiting:
                    self._begin()
            case _:
                super().handle_info(message)

    def _plan(self) -> None:
        """See that what waits is committed: after the interval, or behind the messages that are here already."""
        if not self.waiting or self.commit is not None or self.commit_planned:
            return
        if self.options.commit_interval > 0 and self.waiting_events < self.options.max_batch:
            if self.commit_timer is None:
                self.commit_timer = send_after(self.options.commit_interval, self.pid, _COMMIT_NOW)
            return
        if self.commit_timer is not None:
            cancel_timer(self.commit_timer)
        self.commit_planned = True
        send(self.pid, _COMMIT_NOW)

    def _begin(self) -> None:
        """Hand the first of those that wait to the store, together."""
        self.commit = commit = self._take()
        self.commit_task = Task.start_link(commit.write, self.store, label="journal commit")

    def _take(self) -> _Commit:
        taken: list[_Waiting] = []
        room = self.options.max_batch
        while self.waiting and len(self.waiting[0].prepared.drafts) <= room:
            append = self.waiting.popleft()
            room -= len(append.prepared.drafts)
            taken.append(append)
        self.waiting_events -= self.options.max_batch - room
        return _Commit(taken)

    def _settle(self) -> None:
        """Tell the world, then the appenders, how the commit went."""
        commit, self.commit, self.commit_task = self.commit, None, None
        assert commit is not None
        match commit.outcome:
            case StoreError() as error:
                self.failures += 1
                self._set_health(JournalHealth(error.problem, error.mend))
                for append in commit.appends:
                    append.answer.reply(Unavailable(error.problem, error.mend, error.retry))
            case list(outcomes):
                self.commits += 1
                self._set_health(_WELL)
                for append, outcome in zip(commit.appends, outcomes, strict=True):
                    append.answer.reply(self._answer(append.prepared, outcome))
            case None:
                raise AssertionError("a commit's task ended without an outcome")

    def _answer(self, prepared: Prepared, outcome: Written | Duplicate) -> Appended | Refused:
        if isinstance(outcome, Duplicate):
            self.refused += 1
            reason = f"an event with the id {outcome.id!r} is in the journal already, or twice in this append"
            return Refused(reason, "read the one that is there; give each event its own id", outcome.id)
        events = prepared.events(outcome.first_seq)
        self.appends += 1
        self.events += len(events)
        self.last_seq = events[-1].seq
        for event in events:
            broadcast("journal", event)
            broadcast(f"journal:{event.session}", event)
        return Appended(events)

    def _set_health(self, health: JournalHealth) -> None:
        if health != self.health:
            self.health = health
            broadcast("journal.health", health)

    async def terminate(self, reason: object) -> None:
        """Write what waits, then close the store."""
        if self.commit_task is not None:
            await self.commit_task.result()
            self._settle()
        while self.waiting:
            self.commit = commit = self._take()
            await commit.write(self.store)
            self._settle()
        await self.store.close()


async def _read(store: PlainStore, query: Query, answer: Deferred[Found | Unavailable]) -> None:
    """One read, in a task of its own."""
    try:
        answer.reply(Found(await store.read(query)))
    except StoreError as error:
        answer.reply(Unavailable(error.problem, error.mend, error.retry))
