"""Writes the node's own life into the journal: crashes, restarts, supervisors that gave up.

Started before the journal under the name `chronicle`, so that it outlives it: the end of the journal itself is worth
a line, too. Kernel events come at once and are written a little later, many together; while the journal is away they
wait, the oldest beyond 1000 are dropped and counted. Does badly: what happens while this is being restarted, and
after the journal's own orderly end, is not written.
Emits in the journal, session `node`: see `chronicle_events.py`; a flood of the same (messages shed, events dropped) is
its first and then one sum a minute. While the journal fails, the note of it is what is tried each second: so it is
known at once when the cause is gone.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

import planaria.otp as otp
from planaria.cortex.chronicle_events import (
    SESSION,
    ChildRestarted,
    ChronicleDropped,
    EventsDropped,
    JournalFailed,
    JournalRecovered,
    MessageChanged,
    MessageShed,
    ProcessCrashed,
    ProcessKilled,
    ProcessStalled,
    SupervisorGaveUp,
)
from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import NewEvent, new_id
from planaria.cortex.event_type import EventType
from planaria.cortex.journal import Journal, JournalHealth
from planaria.cortex.tallies import PERIOD, Tallies
from planaria.otp import (
    CallError,
    Crash,
    Down,
    GenServer,
    KernelEvent,
    Pid,
    Task,
    TaskDone,
    TaskRef,
    cast,
    is_orderly,
    reason_text,
    send_after,
    subscribe,
    wall_time,
)
from planaria.otp.kernel.process import Request

type Tally = tuple[str, MessageShed | EventsDropped | MessageChanged]
"""What is counted together: whom it is about, and what it was."""

MOST_WAITING = 1000
MOST_AT_ONCE = 200
AGAIN = 1.0
"""Seconds until the journal is tried again."""


class Chronicle(GenServer):
    """Subscribes to the kernel's events and appends those a person may ask about."""

    trap_exit = True

    def init(self) -> None:
        """Begin to listen."""
        self.waiting: deque[NewEvent] = deque()
        self.dropped = 0
        self.resting = False  # after a failure, until the journal is tried again
        self.writing: list[NewEvent] = []
        self.task: TaskRef | None = None
        self.tallies: Tallies[Tally] = Tallies()
        self.summing = False
        self.failing_since: float | None = None
        subscribe("journal.health")
        self.unsubscribe: Callable[[], None] = self.pid.node.subscribe_events(self._notice)

    def _notice(self, event: KernelEvent) -> None:
        """Called by the kernel wherever it happens: only counts, or puts a message into the own mailbox."""
        # Nearly all of them are tasks that begin and end, and nothing is kept of those.
        if type(event) is otp.ProcessStarted or (
            type(event) is otp.ProcessExited and event.reason == "normal"
        ):
            return
        if event_process(event) is self.pid:
            return
        if (counted := tally_of(event)) is not None:
            key, count = counted
            if self.tallies.add(key, count):
                Chronicle.tally(self.pid, key, count)
        elif (found := event_of(event)) is not None:
            Chronicle.note(self.pid, found)

    @cast
    def tally(self, key: Tally, count: int) -> None:
        """Write the first of what is counted from now on; sums follow."""
        if not self.summing:
            self.summing = True
            send_after(PERIOD, self.pid, "sums")
        self.note(_counted(key, count))

    def _write_sums(self) -> None:
        for key, count in self.tallies.sums():
            if isinstance(key, str):
                self.dropped += count  # more different things than are told apart
            else:
                self.note(_counted(key, count))
        if not self.resting:
            self._begin()
        self.summing = bool(self.tallies)
        if self.summing:
            send_after(PERIOD, self.pid, "sums")

    @cast
    def note(self, event: NewEvent) -> None:
        """Write one event, soon."""
        self.waiting.append(event)
        self._forget_oldest()
        if not self.resting:
            self._begin()

    def _forget_oldest(self) -> None:
        while len(self.waiting) > MOST_WAITING:
            self.waiting.popleft()
            self.dropped += 1

    def _begin(self) -> None:
        if self.task is None and (self.waiting or self.dropped):
            self.writing = self._take()
            self.task = Task.start_link(_write, self.writing, label="chronicle write")

    def _take(self) -> list[NewEvent]:
        """The oldest of those that wait, after a word about those that are lost."""
        batch: list[NewEvent] = []
        if self.dropped:
            batch.append(
                ChronicleDropped(self.dropped).new(session=SESSION, process="chronicle", id=new_id())
            )
            self.dropped = 0
        while self.waiting and len(batch) < MOST_AT_ONCE:
            batch.append(self.waiting.popleft())
        return batch

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=int() as lost) if ref is self.task:
                self.task = None
                self.dropped += lost
                self._begin()
            case TaskDone(ref=ref) | Down(ref=ref) if ref is self.task:
                self._put_back()
                self.resting = True
                send_after(AGAIN, self.pid, "again")
            case "again":
                self.resting = False
                self._begin()
            case "sums":
                self._write_sums()
            case JournalHealth():
                self._note_health(message)
            case _:
                pass  # the exit of a task

    def _note_health(self, health: JournalHealth) -> None:
        now = wall_time()
        if health.trouble is not None:
            if self.failing_since is None:
                self.failing_since = now
            Chronicle.note(self.pid, _event(JournalFailed(health.trouble, health.mend, now), "journal"))
        elif self.failing_since is not None:
            recovered = JournalRecovered(round(now - self.failing_since, 2))
            self.failing_since = None
            Chronicle.note(self.pid, _event(recovered, "journal"))

    def _put_back(self) -> None:
        self.task = None
        for event in reversed(self.writing):
            if event.kind == ChronicleDropped.kind:
                self.dropped += event.payload["events"]  # said anew: it must not be dropped itself
            else:
                self.waiting.appendleft(event)
        self._forget_oldest()

    def terminate(self, reason: object) -> None:
        """Stop listening."""
        self.unsubscribe()


async def _write(events: list[NewEvent]) -> int | None:
    """Write events; how many of them never can be, None if the journal is away."""
    try:
        await Journal.append("journal", events)
    except EventRefused as error:
        if len(events) == 1:
            return 0 if error.duplicate_of is not None else 1
        lost = 0
        for event in events:  # one of them cannot be written, or was by an earlier try
            refused = await _write([event])
            if refused is None:
                return None
            lost += refused
        return lost
    except (JournalUnavailable, CallError):
        return None
    return 0


def event_process(event: KernelEvent) -> object:
    """Whom a kernel event is about."""
    return getattr(event, "process", None)


def event_of(event: KernelEvent) -> NewEvent | None:
    """What is worth keeping of a kernel event, one by one; see `tally_of` for what is counted."""
    match event:
        case otp.ProcessExited(process=process, name=name, label=label, reason=reason) if not is_orderly(
            reason
        ):
            who = name or str(process)
            if reason in ("killed", "kill"):
                return _event(ProcessKilled(str(process), label, reason_text(reason)), who)
            error, where = (
                (type(reason.error).__name__, reason.where or "") if isinstance(reason, Crash) else ("", "")
            )
            return _event(ProcessCrashed(str(process), label, reason_text(reason), error, where), who)
        case otp.ChildRestarted(supervisor=supervisor, id=id_, process=process, reason=reason):
            again = ChildRestarted(str(id_), str(process), reason_text(reason))
            return _event(again, supervisor.name or str(supervisor))
        case otp.RestartsExceeded(supervisor=supervisor, id=id_, reason=reason):
            gave_up = SupervisorGaveUp(str(id_), reason_text(reason))
            return _event(gave_up, supervisor.name or str(supervisor))
        case otp.ProcessStalled(process=process, name=name, label=label, where=where, message=message):
            seconds = round(event.seconds, 2)
            stalled = ProcessStalled(label, where, message, seconds, event.outcome)
            return _event(stalled, name or (label if process is None else str(process)))
        case _:
            return None


def tally_of(event: KernelEvent) -> tuple[Tally, int] | None:
    """What is counted of a kernel event, and how many that are. Who sent what is in; what it said is not."""
    match event:
        case otp.MessageShed(process=process, kind=kind, message=message, what=what, policy=policy):
            return (_called(process), MessageShed(kind, _named(message), what, policy, 1)), 1
        case otp.EventsDropped(process=process, count=count, kept=kept):
            return (_called(process), EventsDropped(kept, 1)), count
        case otp.MessageChanged(process=process, what=what, path=path, when=when, by=by):
            who = None if by is None else _called(by)
            return (_called(process), MessageChanged(what, path, when, who, 1)), 1
        case _:
            return None


def _called(process: Pid | None) -> str:
    """A process as people know it; one without a name by its label, so that many of a kind are counted together."""
    return "outside" if process is None else process.name or process.label or str(process)


def _named(message: object) -> str:
    match message:
        case Request(handler=handler):
            return handler
        case (str() as handler, _, _):
            return handler
        case _:
            return type(message).__name__


def _counted(key: Tally, count: int) -> NewEvent:
    who, what = key
    return _event(msgspec.structs.replace(what, count=count), who)


def _event(what: EventType, process: str) -> NewEvent:
    # Each its own trace, though many are written together; an id, so that a second try is no second event.
    return what.new(session=SESSION, process=process, trace_id=new_id(), id=new_id())
