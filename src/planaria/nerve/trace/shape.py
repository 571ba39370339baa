"""What a trace is: a flat list of nodes, each below its parent and after it, as people and programs read it."""

from typing import Literal

import msgspec

type State = Literal["running", "waiting", "done", "failed", "cut_off", "note"]
"""`waiting`: not begun, or for a person; `cut_off`: it began and nobody knows how it ended; `note`: it has no end."""
type Kind = Literal[
    "message",  # what a person, an agent or a workflow said
    "turn",  # an agent handles a message
    "step",  # one round of a turn: prompt, model call, decision, tools
    "prompt",  # what the model was sent
    "model",  # one try of a model call
    "decision",  # what the model wants: tools, or to answer
    "tool",  # one tool call
    "run",  # a workflow's run
    "work",  # one step of it
    "job",  # a piece of deferred work
    "question",  # something a person is asked
    "dead",  # something was given up
    "side",  # the life of a process concerned: a crash, a restart
    "event",  # anything else the journal has of this trace
]


class EventRef(msgspec.Struct, frozen=True):
    """Where an event is in the journal; `state` as in `Event`."""

    seq: int
    id: str
    kind: str
    state: str


class Sum(msgspec.Struct, frozen=True):
    """Tokens and money. `cost_micro` in micro-USD; `unpriced` model calls have tokens, and no price is known."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost_micro: int = 0
    unpriced: int = 0
    calls: int = 0

    def plus(self, other: "Sum") -> "Sum":
        """Both together."""
        return Sum(
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            self.cost_micro + other.cost_micro,
            self.unpriced + other.unpriced,
            self.calls + other.calls,
        )


NOTHING = Sum()


class TraceNode(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, or happens.

    Attributes:
        id: unique in the trace and the same whenever it is built.
        parent: id of what led to it; None for a beginning.
        depth: 0 for a beginning.
        who: an agent, a person, a model, a process.
        said: one line more.
        begun, ended: unix seconds; `ended` is None while it goes on, or when it is a moment.
        own, total: what it spent itself, and with everything below it.
        outside: `said` and `title` are other people's or a model's words.
        events: its events; each event of a trace is in exactly one node.
    """

    id: str
    parent: str | None
    depth: int
    kind: Kind
    title: str
    who: str
    said: str
    state: State
    begun: float
    ended: float | None
    own: Sum = NOTHING
    total: Sum = NOTHING
    outside: bool = False
    events: tuple[EventRef, ...] = ()

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.state in ("running", "waiting")

    def seconds(self, now: float) -> float:
        """How long it took, or takes so far."""
        end = self.ended if self.ended is not None else now if self.open else self.begun
        return max(0.0, end - self.begun)


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """One question from message to answer, or whatever else one trace id holds.

    Attributes:
        question: the first words; `asked_by` whose they are.
        where: the room, or the run's session.
        answered_by: agents that answered, in order.
        spent: tokens and money of all of it.
        nodes: in the order of a tree drawn downwards.
        last_seq: of the last event, to tell whether it has grown.
    """

    id: str
    question: str
    asked_by: str
    where: str
    answered_by: tuple[str, ...]
    state: State
    begun: float
    ended: float | None
    spent: Sum
    last_seq: int
    nodes: tuple[TraceNode, ...]

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.state in ("running", "waiting")

    def seconds(self, now: float) -> float:
        """How long it took, or takes so far."""
        return max(0.0, (now if self.ended is None else self.ended) - self.begun)

    def node(self, id: str) -> TraceNode | None:
        """The node of this id."""
        return next((node for node in self.nodes if node.id == id), None)


class Doing(msgspec.Struct, frozen=True):
    """What a living process does about a trace now.

    Attributes:
        session: its stream, such as `session:scout@garden` or `run:<id>`.
        what: in words.
        since: unix seconds.
        message: the message it is about, where it is known.
    """

    session: str
    what: str
    since: float
    message: str = ""
