"""Writes the node's own life into the journal: crashes, restarts, supervisors that gave up.

Started before the journal under the name `chronicle`, so that it outlives it: the end of the journal itself is worth
a line, too. Kernel events come at once and are written a little later, many together; while the journal is away they
wait, the oldest beyond 1000 are dropped and counted. Does badly: what happens while this is being restarted, and
after the journal's own orderly end, is not written.
Emits in the journal, session `node`: `process.crashed`, `process.killed`, `child.restarted`, `supervisor.gave_up`,
`process.stalled`, `journal.failed`, `journal.recovered`, `chronicle.dropped`; and what others ask it to `note`:
`node.started`. While the journal fails, the note of it is what is tried each second: so it is known at once when the
cause is gone.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import NewEvent, new_id
from planaria.cortex.journal import Journal, JournalHealth
from planaria.otp import (
    CallError,
    ChildRestarted,
    Crash,
    Down,
    GenServer,
    KernelEvent,
    ProcessExited,
    ProcessStalled,
    RestartsExceeded,
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

SESSION = "node"
DROPPED = "chronicle.dropped"
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
        self.failing_since: float | None = None
        subscribe("journal.health")
        self.unsubscribe: Callable[[], None] = self.pid.node.subscribe_events(self._notice)

    def _notice(self, event: KernelEvent) -> None:
        """Called by the kernel wherever it happens: only puts a message into the own mailbox."""
        found = event_of(event)
        if found is not None and event_process(event) is not self.pid:
            Chronicle.note(self.pid, found)

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
            batch.append(NewEvent(DROPPED, {"events": self.dropped}, session=SESSION, id=new_id()))
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
            case JournalHealth():
                self._note_health(message)
            case _:
                pass  # the exit of a task

    def _note_health(self, health: JournalHealth) -> None:
        now = wall_time()
        if health.trouble is not None:
            if self.failing_since is None:
                self.failing_since = now
            payload: dict[str, Any] = {"trouble": health.trouble, "mend": health.mend, "since": now}
            Chronicle.note(self.pid, _event("journal.failed", payload, "journal"))
        elif self.failing_since is not None:
            payload = {"seconds": round(now - self.failing_since, 2)}
            self.failing_since = None
            Chronicle.note(self.pid, _event("journal.recovered", payload, "journal"))

    def _put_back(self) -> None:
        self.task = None
        for event in reversed(self.writing):
            if event.kind == DROPPED:
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
    """What is worth keeping of a kernel event."""
    match event:
        case ProcessExited(process=process, name=name, label=label, reason=reason) if not is_orderly(reason):
            payload: dict[str, Any] = {"pid": str(process), "label": label, "reason": reason_text(reason)}
            if isinstance(reason, Crash):
                payload |= {"error": type(reason.error).__name__, "where": reason.where}
            kind = "process.killed" if reason in ("killed", "kill") else "process.crashed"
            return _event(kind, payload, name or str(process))
        case ChildRestarted(supervisor=supervisor, id=id_, process=process, reason=reason):
            payload = {"child": str(id_), "pid": str(process), "reason": reason_text(reason)}
            return _event("child.restarted", payload, supervisor.name or str(supervisor))
        case RestartsExceeded(supervisor=supervisor, id=id_, reason=reason):
            payload = {"child": str(id_), "reason": reason_text(reason)}
            return _event("supervisor.gave_up", payload, supervisor.name or str(supervisor))
        case ProcessStalled(process=process, name=name, label=label, where=where, message=message):
            payload = {"label": label, "where": where, "message": message}
            payload |= {"seconds": round(event.seconds, 2), "outcome": event.outcome}
            return _event("process.stalled", payload, name or (label if process is None else str(process)))
        case _:
            return None


def _event(kind: str, payload: dict[str, Any], process: str) -> NewEvent:
    # Each its own trace, though many are written together; an id, so that a second try is no second event.
    return NewEvent(kind, payload, session=SESSION, process=process, trace_id=new_id(), id=new_id())
