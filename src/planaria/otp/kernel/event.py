"""Events of the kernel: what subscribers of `Node.subscribe_events` are given. Built only when somebody listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from planaria.otp.kernel.process import Process

# The two that every task makes are never changed, but not frozen: that would make each six times as dear.


@dataclass(eq=True, unsafe_hash=True, slots=True)
class ProcessStarted:
    """`process.started`: a process exists; a server has finished its `init`."""

    process: Process
    name: str | None
    label: str


@dataclass(eq=True, unsafe_hash=True, slots=True)
class ProcessExited:
    """`process.exited`: a process ended."""

    process: Process
    name: str | None
    label: str
    reason: object


@dataclass(frozen=True, slots=True)
class ChildRestarted:
    """`child.restarted`: a supervisor put a new process in the place of one that ended."""

    supervisor: Process
    id: object
    process: Process | None
    reason: object


@dataclass(frozen=True, slots=True)
class RestartsExceeded:
    """`supervisor.gave_up`: more restarts than allowed; the supervisor ends and its own supervisor decides."""

    supervisor: Process
    id: object
    reason: object


@dataclass(frozen=True, slots=True)
class MessageDropped:
    """`message.dropped`: a server had no handler for a message."""

    process: Process
    message: object


@dataclass(frozen=True, slots=True)
class MessageShed:
    """`message.shed`: a bounded mailbox was full, and a message was `dropped`, or `refused` with `MailboxFull`.

    Attributes:
        kind: `call`, `cast` or `info`.
        message: as in `Envelope`: the message, a `Request`, or (handler name, args, kwargs).
        sender: None for code outside.
        policy: that of the mailbox, see `bounded`.
    """

    process: Process
    kind: str
    message: object
    sender: Process | None
    what: Literal["dropped", "refused"]
    policy: str


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """`message.changed`: what one process sent to another was changed afterwards (see `message_watch.py`).

    Attributes:
        process: the receiver; None for code outside.
        sender: None for code outside.
        what: the handler's name, the message's class, or which reply.
        path: the field that changed: `message.items[3].name`, `args[0]['to']`, `reply[2]`.
        was, now: what was there and what is, on one line.
        when: `waiting`: in the mailbox; `handled`: while or after it was handled.
        by: whose code changed it, as far as that is known.
    """

    process: Process | None
    sender: Process | None
    what: str
    path: str
    was: str
    now: str
    when: Literal["waiting", "handled"]
    by: Process | None

    def __str__(self) -> str:
        culprit = "" if self.by is None else f" by {self.by!r}"
        return (
            f"{self.what} from {self.sender or 'outside'} to {self.process or 'outside'} was changed{culprit} after "
            f"it was sent ({self.when}): {self.path} was {self.was}, is {self.now}; send a copy, or something frozen"
        )


@dataclass(frozen=True, slots=True)
class EventsDropped:
    """`events.dropped`: the buffer of a producer was full; it kept the `last` or the `first` of its events."""

    process: Process
    count: int
    kept: Literal["last", "first"]


@dataclass(frozen=True, slots=True)
class CleanupFailed:
    """`cleanup.failed`: a dead process raised while it let go of what it held."""

    process: Process
    error: BaseException


@dataclass(frozen=True, slots=True)
class ProcessStalled:
    """`process.stalled`: the node stood still behind one piece of code. Told when that is over.

    `process` is None for code outside any process; `where` is its `file:line` when it was noticed. `outcome`:
    `resumed` went on by itself, `broken` got `Stalled`, `swallowed` caught that and went on.
    """

    process: Process | None
    name: str | None
    label: str
    where: str
    message: str | None
    seconds: float
    outcome: Literal["resumed", "broken", "swallowed"]


@dataclass(frozen=True, slots=True)
class CodeLoaded:
    """`code.loaded`: another version of some modules is in force. `processes` moved to it."""

    modules: tuple[str, ...]
    version: int
    processes: int


@dataclass(frozen=True, slots=True)
class CodeRefused:
    """`code.refused`: a version was not taken into force, or given up; everything is as before."""

    modules: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class ProcessUpgraded:
    """`process.upgraded`: a process goes on with another version of its code, forwards or back."""

    process: Process
    name: str | None
    label: str
    old_version: object
    version: object


@dataclass(frozen=True, slots=True)
class OldCodeKilled:
    """`code.killed`: a process still ran code of the version before last and was killed."""

    process: Process
    name: str | None
    label: str
    module: str
    version: int


@dataclass(frozen=True, slots=True)
class CodeRolledBack:
    """`code.rolled_back`: the former version is in force again, for `reason`."""

    modules: tuple[str, ...]
    version: int
    processes: int
    reason: str


type KernelEvent = (
    ProcessStarted
    | ProcessExited
    | ChildRestarted
    | RestartsExceeded
    | MessageDropped
    | MessageShed
    | EventsDropped
    | MessageChanged
    | CleanupFailed
    | ProcessStalled
    | CodeLoaded
    | CodeRefused
    | ProcessUpgraded
    | OldCodeKilled
    | CodeRolledBack
)
