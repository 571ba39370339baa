"""What the chronicle writes into the journal: the node's own life, in the stream `node`.

The event's process is whom it is about. Kernel events become these; what a message said never gets in.
"""

from typing import ClassVar

from planaria.cortex.event_type import EventType

SESSION = "node"
"""The stream of what is about the node and not about a room, a session or a run."""


class NodeStarted(EventType, frozen=True):
    """The node is up."""

    kind: ClassVar[str] = "node.started"
    name: str


class OperatorInput(EventType, frozen=True):
    """Somebody typed this at the prompt of `planaria attach`; written before it runs."""

    kind: ClassVar[str] = "operator.input"
    source: str


class ProcessCrashed(EventType, frozen=True):
    """A process ended with an error. `where` is the error's `file:line`; `error` its class."""

    kind: ClassVar[str] = "process.crashed"
    pid: str
    label: str | None
    reason: str
    error: str = ""
    where: str = ""


class ProcessKilled(EventType, frozen=True):
    """A process was killed."""

    kind: ClassVar[str] = "process.killed"
    pid: str
    label: str | None
    reason: str


class ProcessStalled(EventType, frozen=True):
    """The node stood still for `seconds` behind one piece of code. `outcome`: `resumed`, `broken` or `swallowed`."""

    kind: ClassVar[str] = "process.stalled"
    label: str | None
    where: str | None
    message: str | None
    seconds: float
    outcome: str


class ChildRestarted(EventType, frozen=True):
    """A supervisor started a child again, as the process `pid`."""

    kind: ClassVar[str] = "child.restarted"
    child: str
    pid: str
    reason: str


class SupervisorGaveUp(EventType, frozen=True):
    """A child ended too often, so its supervisor ended too."""

    kind: ClassVar[str] = "supervisor.gave_up"
    child: str
    reason: str


class JournalFailed(EventType, frozen=True):
    """The journal could not write, since that time (unix seconds). Written when it can again."""

    kind: ClassVar[str] = "journal.failed"
    trouble: str
    mend: str
    since: float


class JournalRecovered(EventType, frozen=True):
    """The journal writes again, after so many seconds."""

    kind: ClassVar[str] = "journal.recovered"
    seconds: float


class JournalErased(EventType, frozen=True):
    """The keys of a subject were destroyed: so many of them, and so many events can be read by nobody any more."""

    kind: ClassVar[str] = "journal.erased"
    subject: str
    keys: int
    events: int


class JournalPruned(EventType, frozen=True):
    """Retention let go of payloads.

    Attributes:
        events: how many; `classes` has them by class.
        contents: long texts that went with them.
        freed: bytes.
    """

    kind: ClassVar[str] = "journal.pruned"
    events: int
    contents: int
    freed: int
    classes: dict[str, int]


class ChronicleDropped(EventType, frozen=True):
    """So many events of the node's life were not written down: too many waited for the journal, or it refused them."""

    kind: ClassVar[str] = "chronicle.dropped"
    events: int


class MessageShed(EventType, frozen=True):
    """A full mailbox dropped or refused messages: `count` of them since the last such event.

    Attributes:
        message_kind: `call`, `cast` or `info`.
        message: the handler's name, or the message's class.
        what: `dropped` or `refused`.
        policy: of the mailbox.
    """

    kind: ClassVar[str] = "message.shed"
    message_kind: str
    message: str
    what: str
    policy: str
    count: int


class EventsDropped(EventType, frozen=True):
    """The buffer of a producer was full: `count` of its events were lost since the last such event."""

    kind: ClassVar[str] = "events.dropped"
    kept: str
    count: int


class MessageChanged(EventType, frozen=True):
    """What one process sent another was changed afterwards, `count` times since the last such event.

    Attributes:
        what: the handler's name, or the message's class.
        path: the field that changed.
        when: `waiting` in the mailbox, or `handled`.
        by: whose code changed it, as far as that is known.
    """

    kind: ClassVar[str] = "message.changed"
    what: str
    path: str
    when: str
    by: str | None
    count: int
