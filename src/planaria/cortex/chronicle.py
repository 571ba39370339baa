"""Writes the node's own life into the journal: crashes, restarts, supervisors that gave up.

Started after the journal under the name `chronicle`. Kernel events come at once and are written a little later, many
together; while the journal is away they wait, the oldest beyond 1000 are dropped and counted.
Emits in the journal, session `node`: `node.started`, `process.crashed`, `process.killed`, `child.restarted`,
`supervisor.gave_up`, `chronicle.dropped`.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.otp import (
    CallError,
    ChildRestarted,
    Crash,
    Down,
    GenServer,
    KernelEvent,
    ProcessExited,
    RestartsExceeded,
    Task,
    TaskDone,
    TaskRef,
    cast,
    is_orderly,
    reason_text,
    send_after,
)

SESSION = "node"
MOST_WAITING = 1000
AGAIN = 1.0
"""Seconds until the journal is tried again."""


class Chronicle(GenServer):
    """Subscribes to the kernel's events and appends those a person may ask about."""

    trap_exit = True

    def init(self) -> None:
        """Begin to listen."""
        self.waiting: deque[NewEvent] = deque()
        self.dropped = 0
        self.writing: list[NewEvent] = []
        self.task: TaskRef | None = None
        self.unsubscribe: Callable[[], None] = self.pid.node.subscribe_events(self._notice)
        self._add(NewEvent("node.started", {"name": self.pid.node.name}, session=SESSION))

    def _notice(self, event: KernelEvent) -> None:
        """Called by the kernel wherever it happens: only puts a message into the own mailbox."""
        found = event_of(event)
        if found is not None and event_process(event) is not self.pid:
            Chronicle.note(self.pid, found)

    @cast
    def note(self, event: NewEvent) -> None:
        """Write one event, soon."""
        self._add(event)

    def _add(self, event: NewEvent) -> None:
        if len(self.waiting) >= MOST_WAITING:
            self.waiting.popleft()
            self.dropped += 1
        self.waiting.append(event)
        self._begin()

    def _begin(self) -> None:
        if self.task is None and self.waiting:
            self.writing = list(self.waiting)
            self.waiting.clear()
            if self.dropped:
                self.writing.append(NewEvent("chronicle.dropped", {"events": self.dropped}, session=SESSION))
                self.dropped = 0
            self.task = Task.start_link(_write, self.writing, label="chronicle write")

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=bool() as written) if ref is self.task:
                self.task = None
                if written:
                    self._begin()
                else:
                    self.waiting.extendleft(reversed(self.writing))
                    send_after(AGAIN, self.pid, "again")
            case Down(ref=ref) if ref is self.task:
                self.task = None
            case "again":
                self._begin()
            case _:
                pass  # the exit of a task

    def terminate(self, reason: object) -> None:
        """Stop listening."""
        self.unsubscribe()


async def _write(events: list[NewEvent]) -> bool:
    try:
        await Journal.append("journal", events)
    except EventRefused:
        return True  # it never can be written: not again and again
    except (JournalUnavailable, CallError):
        return False
    return True


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
            return NewEvent(kind, payload, session=SESSION, process=name or str(process))
        case ChildRestarted(supervisor=supervisor, id=id_, process=process, reason=reason):
            payload = {"child": str(id_), "pid": str(process), "reason": reason_text(reason)}
            return NewEvent(
                "child.restarted", payload, session=SESSION, process=supervisor.name or str(supervisor)
            )
        case RestartsExceeded(supervisor=supervisor, id=id_, reason=reason):
            payload = {"child": str(id_), "reason": reason_text(reason)}
            return NewEvent(
                "supervisor.gave_up", payload, session=SESSION, process=supervisor.name or str(supervisor)
            )
        case _:
            return None
