"""The journal: the append-only log of all events, and the only truth about what happened.

Started by the node as `child(Journal, partial(SqliteStore, path), options, redactor, master_key, name="journal")`;
registered name `"journal"`.
One process writes. While a commit is on its way to the disk the appends that arrive wait, and go into the next
commit together (group commit): alone an append costs one sync, among a hundred it costs a hundredth of one.

    events = await Journal.append("journal", [NewEvent("room.post", {"text": "hello"}, session="room:garden")])
    latest = await Journal.read("journal", Query(session="room:garden", limit=50, newest_first=True))

An append is answered after its commit and never before; each is written whole or not at all. When the store fails
(disk full, file locked or damaged) the appends in hand get `JournalUnavailable`, and the next ones try anew, so the
journal goes on as soon as the cause is gone. One that is restarted while its store cannot be opened starts all the
same, answers that it is not available, and tries to open it again (`settle`).
An orderly stop writes what waits; a kill drops it unacknowledged.
Long texts are kept once and what belongs to a subject is sealed with its key, unseen by those who append and read.
Options: `JournalOptions`: `commit_interval` 0.0 s, `max_batch` 1000 events, `max_waiting` 20000 events.
Does badly: a read of very many events is held in memory, and decoding it takes the event loop's time.
Emits: each event on the topics `journal` and `journal:<session>`, in order of `seq`, before its append is answered, and
those of other nodes that write to the same database (`cortex/follower.py`); with such, an answer may come first.
`JournalHealth` on `journal.health` when the store begins to fail and when it works again.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from planaria.cortex.codec.commit import (
    Answer,
    Append,
    Appended,
    Commit,
    Overtaken,
    PostedBy,
    Reply,
    Unavailable,
)
from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.prepare import Prepared, Refused, prepare
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import (
    EventRefused,
    JournalUnavailable,
    SealError,
    StaleLease,
    StoreError,
)
from planaria.cortex.event import Event, NewEvent, new_id
from planaria.cortex.follower import NOTICE, Follower
from planaria.cortex.journal_tasks import ASKED, Found, Hurt, answer_query, ask_store, open_store, read_others
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.cortex.store import (
    Duplicate,
    EventStore,
    Fence,
    Lease,
    Outcome,
    SessionRow,
    Snapshot,
    Stale,
    Stored,
    SubjectKey,
)
from planaria.cortex.stores.stores_of import Stores
from planaria.cortex.telemetry.span import NO_SPAN, Span, begin_span
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
    cast,
    send,
    send_after,
    wall_time,
)
from planaria.otp.kernel.ambient import others_ready
from planaria.otp.servers.remote import DEFAULT_TIMEOUT


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


_WELL = JournalHealth(None, "")
_OVERTAKEN = JournalHealth(
    "another node has taken over this journal, so this one writes no more",
    "end one of the two, or give each garden a database of its own ([journal] in planaria.toml)",
)
_COMMIT_NOW, _COMMITTED, _REOPEN = object(), object(), object()  # to itself
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0
"""Seconds between two tries to open a store; doubled from the first to the longest."""


class Journal(GenServer):
    """One writer for all events. Use `append` and `read`; they raise at the caller what the calls answer."""

    trap_exit = True

    async def init(
        self,
        make_store: Callable[[], EventStore],
        options: JournalOptions = JournalOptions(),  # noqa: B008 - frozen
        redactor: Redactor | None = None,
        master_key: MasterKey | None = None,
    ) -> None:
        """Open and migrate the store.

        Args:
            make_store: gives a store nobody else uses; asked anew at each restart. In `Stores`, so that a restarted
                journal waits for a store that cannot be opened.
            options: how much to collect.
            redactor: masks secrets in payloads; by default one that knows common shapes of keys.
            master_key: what the keys of subjects are wrapped with. None: nothing is sealed, and nothing can be
                erased but by pruning; for tests and programs without data of persons.
        Raises:
            StoreError: the store cannot be used, and the node has not been up with it; the start fails with it.
            SealError: so, as the store was written with another master key.
        """
        self.stores = make_store if isinstance(make_store, Stores) else Stores(make_store)
        self.options = options
        self.redactor = redactor or Redactor()
        self.waiting: deque[Append] = deque()
        self.waiting_events = 0
        self.commit_planned = False
        self.commit_timer: TimerRef | None = None
        self.commit: Commit | None = None
        self.span: Span = NO_SPAN  # of the commit
        self.commit_task: TaskRef | None = None
        self.health = _WELL
        self.appends = self.events = self.commits = self.failures = self.refused = self.last_seq = 0
        self.fence = self.stores.fence
        self.unheard = _WELL  # why others' events could not be read
        self.closed: JournalHealth | None = None  # why the store is not open
        self.hurt: JournalHealth | None = None  # the damage a read met
        self.opening: TaskRef | None = None
        self.pause = FIRST_PAUSE
        self.store = self.stores()
        self.keyring = Keyring(self.store, master_key)
        self.follower: Follower | None = None
        opened = await open_store(self.store, self.keyring)
        if not isinstance(opened, int) and not self.stores.settled:
            raise opened
        self._opened(opened)

    # --- for callers ---------------------------------------------------------------------------------------------

    @staticmethod
    async def append(
        journal: Server,
        events: Sequence[NewEvent],
        *,
        within: float | None = 5.0,
        fence: Fence | None = None,
    ) -> list[Event]:
        """Write events, all or none; they are on disk when this returns.

        Args:
            journal: its name or pid.
            events: at least none, at most `max_batch`. They get consecutive places.
            within: seconds to wait for the answer; None for no limit.
            fence: write only if nobody has taken over this lease.
        Returns:
            The events as written: with place, id and time, payloads as JSON gives them back, secrets masked.
        Raises:
            JournalUnavailable: not acknowledged: the store failed, or too much waits for it.
            EventRefused: never writable as it is: a payload JSON cannot say, or an id that is in the journal already.
            StaleLease: another has the fence's lease; nothing was written.
            CallError: as any call: no journal, no answer in time (the events may be written still), or it ended.
        """
        submit = Journal.submit if within == DEFAULT_TIMEOUT else Journal.submit.within(within)
        match await submit(journal, tuple(events), fence):
            case Appended(written):
                return written
            case Refused(reason, mend, duplicate_of):
                raise EventRefused(reason, mend, duplicate_of)
            case Overtaken(lease):
                raise StaleLease(lease)
            case Unavailable(cause, mend, retry):
                raise JournalUnavailable(cause, mend, retry)

    @staticmethod
    async def read(journal: Server, query: Query = Query(), *, within: float | None = 5.0) -> list[Event]:  # noqa: B008 - frozen
        """The committed events a query asks for.

        Raises:
            JournalUnavailable: the store cannot be read.
            CallError: as any call.
        """
        events: list[Event] = _value(await Journal.query.within(within)(journal, query))
        return events

    @staticmethod
    async def find(journal: Server, id: str, *, within: float | None = 5.0) -> Event | None:
        """The event of this id, if it is in the journal; raises as `read`."""
        events: list[Event] = _value(await Journal.query.within(within)(journal, id))
        return events[0] if events else None

    @staticmethod
    async def stored(journal: Server, query: Query, *, within: float | None = 30.0) -> list[Stored]:
        """Like `read`, but as the store keeps them: what a check of the chain needs."""
        rows: list[Stored] = await _ask(journal, within, "read", query)
        return rows

    @staticmethod
    async def contents(
        journal: Server, hashes: Sequence[str], *, within: float | None = 30.0
    ) -> dict[str, bytes]:
        """Contents as the store keeps them, by hash."""
        found: dict[str, bytes] = await _ask(journal, within, "contents", tuple(hashes))
        return found

    @staticmethod
    async def sessions(
        journal: Server, prefix: str = "", limit: int | None = None, *, within: float | None = 5.0
    ) -> list[SessionRow]:
        """The sessions whose name begins with `prefix`, the one with the latest event first."""
        rows: list[SessionRow] = await _ask(journal, within, "sessions", prefix, limit)
        return rows

    @staticmethod
    async def save_snapshot(journal: Server, snapshot: Snapshot, *, within: float | None = 5.0) -> bool:
        """Keep a folded state in place of any other of its session and name; see `EventStore.save_snapshot`."""
        kept: bool = await _ask(journal, within, "save_snapshot", snapshot)
        return kept

    @staticmethod
    async def load_snapshot(
        journal: Server, session: str, name: str, version: int, *, within: float | None = 5.0
    ) -> Snapshot | None:
        """The state kept under this name, if it is of this version and of the history the journal has."""
        snapshot: Snapshot | None = await _ask(journal, within, "load_snapshot", session, name, version)
        return snapshot

    @staticmethod
    async def acquire(
        journal: Server, name: str, holder: str, ttl: float, *, within: float | None = 5.0
    ) -> Lease | None:
        """Take a lease for `ttl` seconds; None while another holds it. See `EventStore.acquire_lease`."""
        lease: Lease | None = await _ask(journal, within, "acquire_lease", name, holder, ttl)
        return lease

    @staticmethod
    async def renew(journal: Server, lease: Lease, ttl: float, *, within: float | None = 5.0) -> Lease | None:
        """Hold a lease `ttl` seconds from now; None if another has taken it over."""
        renewed: Lease | None = await _ask(journal, within, "renew_lease", lease, ttl)
        return renewed

    @staticmethod
    async def release(journal: Server, lease: Lease, *, within: float | None = 5.0) -> None:
        """Let a lease go, if it is still one's own."""
        await _ask(journal, within, "release_lease", lease)

    @staticmethod
    async def lease(journal: Server, name: str, *, within: float | None = 5.0) -> Lease | None:
        """Who has a lease now; None if nobody does."""
        lease: Lease | None = await _ask(journal, within, "lease", name)
        return lease

    @staticmethod
    async def subject_keys(
        journal: Server, subject: str | None = None, *, within: float | None = 30.0
    ) -> list[SubjectKey]:
        """The wrapped keys of a subject, or of all."""
        keys: list[SubjectKey] = await _ask(journal, within, "subject_keys", subject)
        return keys

    @staticmethod
    async def secrets(journal: Server, prefix: str = "", *, within: float | None = 5.0) -> dict[str, bytes]:
        """The sealed secrets whose name begins with `prefix`; `cortex/secrets.py` opens them."""
        found: dict[str, bytes] = await _ask(journal, within, "secrets", prefix)
        return found

    @staticmethod
    async def put_secret(
        journal: Server, name: str, sealed: bytes | None, *, within: float | None = 5.0
    ) -> None:
        """Keep a sealed secret, or let it go."""
        await _ask(journal, within, "put_secret", name, sealed)

    @staticmethod
    async def erasures(journal: Server, *, within: float | None = 5.0) -> int:
        """How many keys were destroyed so far; see `Snapshot.erasures`."""
        count: int = await _ask(journal, within, "erasures")
        return count

    @staticmethod
    async def erase(journal: Server, subject: str, *, within: float | None = 60.0) -> int:
        """Destroy a subject's keys, so that nothing it said can be read any more; how many.

        What runs may still have it in memory: whoever asks for this tells them. A snapshot of theirs is not kept.
        """
        destroyed: int = await _ask(journal, within, "destroy_subject_keys", subject)
        return destroyed

    @staticmethod
    async def strip(journal: Server, seqs: Sequence[int], *, within: float | None = 60.0) -> int:
        """Replace the payloads of events by their hashes; how many were changed."""
        stripped: int = await _ask(journal, within, "strip", tuple(seqs))
        return stripped

    @staticmethod
    async def sweep_contents(journal: Server, *, within: float | None = 60.0) -> int:
        """Delete the contents no event refers to; how many."""
        swept: int = await _ask(journal, within, "sweep_contents")
        return swept

    @staticmethod
    async def check(journal: Server, *, within: float | None = 600.0) -> list[str]:
        """What is wrong with the store's own structure, a sentence each."""
        problems: list[str] = await _ask(journal, within, "check")
        return problems

    @staticmethod
    async def backup(journal: Server, path: Path, *, within: float | None = 3600.0) -> None:
        """Write a consistent copy into a new file while work goes on."""
        await _ask(journal, within, "backup", path)

    @staticmethod
    async def size(journal: Server, *, within: float | None = 5.0) -> int:
        """Bytes the store takes."""
        size: int = await _ask(journal, within, "size")
        return size

    # --- calls ---------------------------------------------------------------------------------------------------

    @cast
    def settle(self) -> None:
        """The node is up: from now on whatever is wrong with the store is waited for, not met by ending the node."""
        self.stores.settled = True

    @call
    def submit(self, events: tuple[NewEvent, ...], fence: Fence | None = None) -> Deferred[Answer]:
        """What `append` asks, answered as a value; after the commit."""
        answer: Deferred[Answer] = self.defer()
        self._submit(events, answer, fence)
        return answer

    @cast
    def post(self, events: tuple[NewEvent, ...], ref: object) -> None:
        """Like `submit`, for a process that has other things to do: it is sent `Posted(ref, ...)` after the commit.

        Nothing comes if the journal ends before that: watch it.
        """
        caller = self.caller()
        if caller is not None:
            self._submit(events, PostedBy(caller, ref))

    def _submit(self, events: tuple[NewEvent, ...], answer: Reply, fence: Fence | None = None) -> None:
        if not events:
            answer.reply(Appended([]))
            return
        if self.closed is not None:
            answer.reply(_not_available(self.closed))
            return
        if self.waiting_events + len(events) > self.options.max_waiting:
            answer.reply(
                Unavailable(f"{self.waiting_events} events wait for the disk", "try again later", True)
            )
            return
        prepared = self._prepare(events)
        if isinstance(prepared, Refused):
            self.refused += 1
            answer.reply(prepared)
            return
        self.waiting.append(Append(prepared, answer, fence or self.fence, self.keyring))
        self.waiting_events += len(events)
        self._plan()

    @call
    def query(self, query: Query | str) -> Deferred[Found | Unavailable]:
        """What `read` asks, or `find` with an id; answered as a value."""
        answer: Deferred[Found | Unavailable] = self.defer()
        if self.closed is not None:
            answer.reply(_not_available(self.closed))
            return answer
        read = partial(answer_query, self.store, self.keyring, query, answer, self.pid, self.stores.settled)
        Task.start_link(read, label="journal read")
        return answer

    @call
    def ask_store(self, what: str, arguments: tuple[Any, ...]) -> Deferred[Found | Unavailable]:
        """What the other functions for callers ask, answered as a value: one method of the store."""
        if what not in ASKED:
            raise ValueError(f"{what!r} is nothing to ask the store")
        answer: Deferred[Found | Unavailable] = self.defer()
        if self.closed is not None:
            answer.reply(_not_available(self.closed))
            return answer
        Task.start_link(ask_store, self.store, self.keyring, what, arguments, answer, label=f"journal {what}")
        return answer

    @call
    def guard(self, fence: Fence) -> None:
        """From now on write only while nobody has taken over this lease, the node's own."""
        self.fence = self.stores.fence = fence

    @call
    def guarded(self) -> Fence | None:
        """What it writes under, since this or an earlier process of it was told to."""
        return self.fence

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
            case _ if message is _COMMITTED:
                self._settle()
                self._plan()
            case _ if message is _COMMIT_NOW:
                self.commit_planned, self.commit_timer = False, None
                if self.commit is None and self.waiting:
                    self._begin()
            case TaskDone(ref=ref) if ref is self.commit_task:
                self._settle()
                self._plan()
            case TaskDone(ref=ref, value=value) if ref is self.opening:
                self.opening = None
                self._opened(value)  # type: ignore[arg-type]
            case _ if message is _REOPEN:
                self.opening = Task.start_link(open_store, self.store, self.keyring, label="journal open")
            case TaskDone(ref=ref, value=value) if self.follower is not None and ref is self.follower.task:
                self._followed(self.follower.done(value))
            case _ if message is NOTICE:
                if self.follower is not None:
                    self.follower.told()
            case Hurt(problem, mend):
                self.hurt = JournalHealth(problem, mend)
                self._set_health(self.hurt)
            case TaskDone() | ExitSignal(reason="normal"):
                pass  # a read has answered for itself
            case Down(reason=reason) | ExitSignal(reason=reason):
                self.stop(reason)  # a task met what no store reports: start afresh
            case _:
                super().handle_info(message)

    def _plan(self) -> None:
        """See that what waits is committed: after the interval, or behind whoever may have something to add to it."""
        if not self.waiting or self.commit is not None or self.commit_planned:
            return
        if self.options.commit_interval > 0 and self.waiting_events < self.options.max_batch:
            if self.commit_timer is None:
                self.commit_timer = send_after(self.options.commit_interval, self.pid, _COMMIT_NOW)
            return
        if self.commit_timer is not None:
            cancel_timer(self.commit_timer)
        if not others_ready():
            self._begin()  # nobody is there to share it
            return
        self.commit_planned = True
        send(self.pid, _COMMIT_NOW)

    def _begin(self) -> None:
        """Hand the first of those that wait to the store, together."""
        before = self.waiting_events
        self.commit = commit = self._take()
        events = before - self.waiting_events
        self.span = begin_span(
            "journal.commit", {"planaria.appends": len(commit.appends), "planaria.events": events}
        )
        me = self.pid
        node = me.node
        if not commit.post(self.store, self.keyring, lambda: node.send(me, _COMMITTED)):
            self.commit_task = Task.start_link(commit.write, self.store, self.keyring, label="journal commit")

    def _take(self) -> Commit:
        if self.waiting_events <= self.options.max_batch:
            taken = [*self.waiting]
            self.waiting.clear()
            self.waiting_events = 0
            return Commit(taken)
        taken = []
        room = self.options.max_batch
        while self.waiting and len(self.waiting[0]) <= room:
            append = self.waiting.popleft()
            room -= len(append)
            taken.append(append)
        self.waiting_events -= self.options.max_batch - room
        return Commit(taken)

    def _settle(self) -> None:
        """Tell the world, then the appenders, how the commit went."""
        commit, self.commit, self.commit_task = self.commit, None, None
        assert commit is not None
        if isinstance(commit.outcome, BaseException):
            self.span.fail(type(commit.outcome).__name__, str(commit.outcome))
        self.span.stop()
        match commit.outcome:
            case StoreError() as error:
                self.failures += 1
                self._set_health(JournalHealth(error.problem, error.mend))
                for append in commit.appends:
                    append.answer.reply(Unavailable(error.problem, error.mend, error.retry))
            case list(outcomes):
                self.commits += 1
                self._set_health(_OVERTAKEN if self._is_overtaken(outcomes) else self.hurt or _WELL)
                for append, outcome in zip(commit.appends, outcomes, strict=True):
                    append.answer.reply(self._answer(append.prepared, outcome))
            case BaseException() as error:
                raise error  # what no store reports: start afresh
            case None:
                raise AssertionError("a commit ended without an outcome")

    def _answer(self, prepared: Prepared, outcome: Outcome) -> Answer:
        if isinstance(outcome, Duplicate):
            self.refused += 1
            reason = f"an event with the id {outcome.id!r} is in the journal already, or twice in this append"
            return Refused(reason, "read the one that is there; give each event its own id", outcome.id)
        if isinstance(outcome, Stale):
            self.refused += 1
            if self._is_overtaken([outcome]):
                return Unavailable(str(_OVERTAKEN.trouble), _OVERTAKEN.mend, False)
            return Overtaken(outcome.name)
        events = prepared.place(outcome.first_seq)
        self.appends += 1
        self.events += len(events)
        self.last_seq = events[-1].seq
        assert self.follower is not None
        self.follower.own(events)
        return Appended(events)

    def _is_overtaken(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether another has the node's own lease."""
        return self.fence is not None and Stale(self.fence.name) in outcomes

    def _followed(self, fault: StoreError | None) -> None:
        """Others' events came, or the store could not be asked for them: then nothing can be written either."""
        if fault is not None:
            self.unheard = JournalHealth(fault.problem, fault.mend)
            self._set_health(self.unheard)
        elif self.health == self.unheard:
            self._set_health(_WELL)

    def _opened(self, outcome: int | StoreError | SealError) -> None:
        """The store is open, and this is the last place in it; or it is not, and is tried again later."""
        if isinstance(outcome, int):
            self.last_seq, self.closed, self.pause = outcome, None, FIRST_PAUSE
            self.follower = Follower(self.store, partial(read_others, self.store, self.keyring), outcome)
            self.health = _WELL
            broadcast("journal.health", _WELL)  # for those who saw an earlier process of the journal fail
            return
        self.closed = JournalHealth(outcome.problem, outcome.mend)
        self._set_health(self.closed)
        send_after(self.pause, self.pid, _REOPEN)
        self.pause = min(2 * self.pause, LONGEST_PAUSE)

    def _set_health(self, health: JournalHealth) -> None:
        if health != self.health:
            self.health = health
            broadcast("journal.health", health)

    async def terminate(self, reason: object) -> None:
        """Write what waits, then close the store."""
        if self.commit_task is not None:
            await self.commit_task.result()
            self._settle()
        elif self.commit is not None:
            # One that was posted. The store does one thing after the other: behind another write it is done.
            with contextlib.suppress(StoreError):
                await self.store.append([])
            self._settle()
        while self.waiting:
            self.commit = commit = self._take()
            await commit.write(self.store, self.keyring)
            self._settle()
        await self.store.close()


def _not_available(health: JournalHealth) -> Unavailable:
    return Unavailable(health.trouble or "", health.mend, True)


async def _ask(journal: Server, within: float | None, what: str, *arguments: Any) -> Any:
    return _value(await Journal.ask_store.within(within)(journal, what, arguments))


def _value(answer: Found | Unavailable) -> Any:
    match answer:
        case Found(value):
            return value
        case Unavailable(cause, mend, retry):
            raise JournalUnavailable(cause, mend, retry)
