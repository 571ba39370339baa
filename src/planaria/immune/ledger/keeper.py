"""The owner of the node's accounts: started by the node under the name `ledger`, before all who spend.

Everybody reserves and settles at once (`accounts_of`, see `ledger.py`). What was spent this takes from the
journal as it is written, and at a start from a snapshot and the events since, so a start reads a bounded tail; the
first of a garden that has a journal already reads all bills in it once.
Limits come from the settings, from the `budget:` of agents' records, read again when they change, and from
`Ledger.set`, which is an event; the last goes before the second, that before the first.
Emits in the journal, session `budget`: `budget.set`, `budget.warned` and `budget.exhausted` (each once for a limit and
a day or turn), `budget.day`; the same, as `Warned` and `Refused`, on the topic `budget`; a word in the room concerned.
Does badly: a snapshot needs an event in its own stream to hold on to, which `budget.day` gives it.
"""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import msgspec

from planaria.config.budget import NO_LIMITS, BudgetSettings, Limits
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event, NewEvent, repeatable_id
from planaria.cortex.event_type import EventType
from planaria.cortex.fold import events_of
from planaria.cortex.folded import LEAST_EVENTS, save
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.store import Snapshot
from planaria.immune.amount import Amount
from planaria.immune.events import BUDGET, BudgetDay, BudgetExhausted, BudgetSet, BudgetWarned
from planaria.immune.ledger.account import Account, Cap, plain
from planaria.immune.ledger.account_path import AccountPath
from planaria.immune.ledger.account_views import AccountView, account_views
from planaria.immune.ledger.book import KINDS, Book, Saved
from planaria.immune.ledger.budget import LimitsError, changed, check_account, read_limits
from planaria.immune.ledger.ledger import Accounts
from planaria.immune.ledger.reserving import Exhausted, Reservation, spoken, whose
from planaria.immune.ledger.spender import room_of
from planaria.immune.ledger.stopping import OverLimit, limited, passed_words
from planaria.immune.notice import GARDEN_ROOM, notice
from planaria.immune.pen import Pen
from planaria.otp import CallError, GenServer, NoProcess, Server, Task, broadcast, call, send, subscribe
from planaria.otp.kernel.table import publish
from planaria.otp.kernel.tap import tap
from planaria.records.library import TOPIC as RECORDS
from planaria.records.library import Library
from planaria.records.record import Record
from planaria.records.scan import RecordChanged

TOPIC = "budget"
SNAPSHOT, VERSION = "accounts", 1


class Warned(msgspec.Struct, frozen=True):
    """On the topic `budget`: most of a limit is spent."""

    account: str
    limit: str
    session: str


class Refused(msgspec.Struct, frozen=True):
    """On the topic `budget`: a call was not made, or calls under way are stopped, since a limit is spent."""

    exhausted: Exhausted
    path: AccountPath


class Ledger(GenServer):
    """Owner of the accounts."""

    trap_exit: ClassVar[bool] = True

    async def init(self, settings: BudgetSettings | None = None, zone: str = "UTC") -> None:
        """Read what was spent.

        Args:
            settings: limits where nobody has said otherwise; None for the defaults.
            zone: in which days begin and end.
        """
        self.book = Book(settings or BudgetSettings(), ZoneInfo(zone))
        self.pen = Pen(label="budget writes")
        self.anchor = 0  # place of the last event in our own stream
        self.unsaved = 0
        self.missed: list[Event] | None = []
        # First the tap: what is written during the fold is taken in after it.
        tap(self.pid.node, "journal", self._heard)
        subscribe(RECORDS)
        await self._load()
        missed, self.missed = self.missed, None
        for event in missed:
            self._take(event)
        for record in await _agents():
            self._declare(record)
        self.book.day_turned = self._day_turned
        self.book.passed = self._passed
        self.book.begin_day(self.pid.node.clock.wall())
        publish(self.pid, Accounts(self.book, self.pid.node.clock.wall, self._refused))

    async def _load(self) -> None:
        try:
            snapshot = await Journal.load_snapshot("journal", BUDGET, SNAPSHOT, VERSION)
        except JournalUnavailable:
            snapshot = None  # only slower
        if snapshot is not None:
            self.book.load(msgspec.msgpack.decode(snapshot.data, type=Saved))
        async for event in events_of("journal", None, kinds=tuple(sorted(KINDS)), after_seq=self.book.seq):
            self.book.take(event)
            self.unsaved += 1
        newest = Query(session=BUDGET, newest_first=True, limit=1)
        async for event in _found(newest):
            self.anchor = event.seq

    # --- for people ----------------------------------------------------------------------------------------------

    @staticmethod
    async def set(
        ledger: Server, account: str, words: dict[str, str], by: str, journal: Server = "journal"
    ) -> tuple[AccountView, ...]:
        """Set limits of an account, from now on and after restarts; the account with those below it.

        Args:
            words: by limit: a number, or `none` for the one of record or settings again.
            journal: its pid for who is in no process.
        Raises:
            LimitsError: no such account or limit, or no number.
            JournalUnavailable: it could not be written down.
        """
        before = await Ledger.given(ledger, check_account(account))
        limits = changed(before, words)
        await Journal.append(journal, [BudgetSet(account, limits, by).new(session=BUDGET)])
        return await Ledger.views(ledger, account)

    @call
    def given(self, account: str) -> Limits:
        """The limits people have set for an account."""
        return self.book.set.get(account, NO_LIMITS)

    @call
    def views(self, which: str = "") -> tuple[AccountView, ...]:
        """All accounts, each followed by those below it; or one with those below it; nothing if there is no such."""
        Accounts(self.book, self.pid.node.clock.wall).sweep()
        if which and which not in self.book.accounts and which in self.book.set:
            self.book.touch(which)
        return account_views(self.book, which)

    # --- what happens --------------------------------------------------------------------------------------------

    def _heard(self, event: Event) -> None:
        """An event was written. On the stack of the journal, so take note and no more."""
        if event.session == BUDGET:
            self.anchor = event.seq
        if event.kind in KINDS:
            if self.missed is None:
                self._take(event)
            else:
                self.missed.append(event)

    def _take(self, event: Event) -> None:
        for account, cap in self.book.take(event):
            if f"{cap.limit}!" in account.told:
                continue  # that it is all gone was said already
            said = warning(self.book, account, cap)
            self._tell(
                said,
                Warned(account.name, cap.limit, event.session),
                _room(account.kind, event.session),
                warned_words(said),
                self._period(account, cap),
            )
        self.unsaved += 1
        if self.unsaved >= max(LEAST_EVENTS, len(self.book.accounts)):
            self.pid.node.send(self.pid, _SAVE)

    def _refused(self, why: Exhausted, path: AccountPath) -> None:
        """A reservation was refused. On the stack of whoever asked."""
        account = self.book.accounts.get(why.account)
        if account is None or f"{why.limit}!" in account.told:
            return
        account.told.add(f"{why.limit}!")
        said = BudgetExhausted(
            why.account, why.limit, why.most, why.spent, why.reserved, why.wanted, why.until, path.session
        )
        period = path.turn or path.session if why.limit in ("depth", "children") else ""
        if not period:
            cap = next((cap for cap in account.caps if cap.limit == why.limit), None)
            period = "" if cap is None else self._period(account, cap)
        # Who was refused says so itself; others hear of what stops more than one turn.
        words = exhausted_words(why) if account.kind not in ("turn", "session") else ""
        self._tell(said, Refused(why, path), _room(account.kind, path.session), words, period)

    def _passed(self, why: Exhausted, spending: list[Reservation]) -> None:
        """A limit is passed while these spend from it. On the stack of whoever spent."""
        words = passed_words(why)
        paths = {each.path.session: each.path.turn for each in spending}
        message = OverLimit("", why.account, why.limit, words)
        self.pid.node.send(self.pid, _Stop(tuple(paths.items()), message))
        account = self.book.accounts[why.account]
        if f"{why.limit}!" in account.told:
            return
        account.told.update((why.limit, f"{why.limit}!"))
        cap = next(cap for cap in account.caps if cap.limit == why.limit)
        first = spending[0].path
        said = BudgetExhausted(
            *(why.account, why.limit, why.most, why.spent),
            until=why.until,
            session=first.session,
            estimated=why.estimated,
            stopped=tuple(paths),
        )
        # Those that are stopped say so themselves.
        told = f"{words}. What spends from it is stopped." if account.kind not in ("turn", "session") else ""
        message_ = Refused(why, first)
        self._tell(said, message_, _room(account.kind, first.session), told, self._period(account, cap))

    def _period(self, account: Account, cap: Cap) -> str:
        return str(self.book.day) if cap.daily else account.name

    def _tell(
        self, said: BudgetWarned | BudgetExhausted, message: object, room: str, words: str, period: str
    ) -> None:
        key = repeatable_id(said.kind, said.account, said.limit, str(said.most), period)
        event = said.new(session=BUDGET, id=key)
        told = [notice(room, "budget", words, key)] if words else []
        self.pid.node.send(self.pid, _Tell((event, *told), message))

    def _day_turned(self, before: int, spent: dict[str, Amount]) -> None:
        """A day has begun. On the stack of whoever came first."""
        day = date.fromordinal(self.book.day).isoformat()
        said: EventType = BudgetDay(day, date.fromordinal(before).isoformat() if before else "", spent)
        event = said.new(session=BUDGET, id=repeatable_id(BudgetDay.kind, day))
        self.pid.node.send(self.pid, _Tell((event,), None))

    def handle_info(self, message: Any) -> None:
        match message:
            case _Stop(turns=turns, message=over):
                for session, turn in turns:
                    try:
                        send(session, msgspec.structs.replace(over, turn=turn))
                    except NoProcess:
                        pass  # a run of a workflow, or a session that was killed: its calls ended with it
            case _Tell(events=events, message=said):
                self.pen.write(events)
                if said is not None:
                    broadcast(TOPIC, said)
            case RecordChanged(kind="agents", name=name, record=record, error=error):
                if record is not None and error is None:
                    self._declare(record)
                elif error is None:
                    self.book.declare(f"agent:{name}", NO_LIMITS)
            case _ if message is _SAVE:
                self._save()
            case _:
                self.pen.heard(message)

    def _declare(self, record: Record) -> None:
        try:
            limits = read_limits(record.front.get("budget"))
        except LimitsError:
            return  # said by whoever keeps the agents; the limits before count
        name = record.path.rsplit("/", 1)[-1].removesuffix(".md")
        self.book.declare(f"agent:{name}", limits)

    def _save(self) -> None:
        if self.unsaved < LEAST_EVENTS or not self.anchor:
            return
        self.unsaved = 0
        data = msgspec.msgpack.encode(self.book.saved())
        snapshot = Snapshot(BUDGET, SNAPSHOT, VERSION, self.anchor, data)
        Task.start_link(save, snapshot, label="accounts snapshot")


class _Stop(msgspec.Struct, frozen=True):
    """To itself: tell these sessions, each with the turn that is meant."""

    turns: tuple[tuple[str, str], ...]
    message: OverLimit


class _Tell(msgspec.Struct, frozen=True):
    """To itself: write these down, and tell who wants to know."""

    events: tuple[NewEvent, ...]
    message: object


_SAVE = object()


def warning(book: Book, account: Account, cap: Cap) -> BudgetWarned:
    """That most of a limit is spent."""
    return BudgetWarned(
        account.name,
        cap.limit,
        plain(cap.measure, cap.most),
        plain(cap.measure, account.used(cap)),
        book.day_ends if cap.daily else None,
    )


def warned_words(said: BudgetWarned) -> str:
    """A warning in a sentence."""
    spent, most = spoken(said.limit, said.spent), spoken(said.limit, said.most)
    return (
        f"{whose(said.account)} has spent {spent} of {most} ({said.limit}). At the limit it is stopped; "
        f"`planaria budget set {limited(said.account)} {said.limit}=…` gives it more."
    )


def exhausted_words(why: Exhausted) -> str:
    """A limit that is met, in a sentence."""
    return f"{why}. `planaria budget set {limited(why.account)} {why.limit}=…` gives it more at once."


def _room(kind: str, session: str) -> str:
    """Where an account's limits are spoken of: where its session sits; in the garden's room what concerns all."""
    return (room_of(session) if kind in ("turn", "session", "agent", "room") else "") or GARDEN_ROOM


async def _agents() -> list[Record]:
    try:
        return await Library.list("library", "agents")
    except CallError:
        return []  # a node without files


async def _found(query: Query) -> AsyncIterator[Event]:
    try:
        for event in await Journal.read("journal", query):
            yield event
    except JournalUnavailable:
        return
