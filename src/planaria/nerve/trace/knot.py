"""A node of a trace while it is built: what the fold over the events knows so far."""

from dataclasses import dataclass, field

from planaria.cortex.event import Event
from planaria.nerve.trace.shape import NOTHING, EventRef, Kind, State, Sum


@dataclass(slots=True)
class Knot:
    """Like `TraceNode`; `state` is empty while nothing tells how it ended.

    Attributes:
        key: its id.
        order: where it stands among its siblings: place in the journal, then the order within one event.
        leads: what may have led to it, best first: keys of knots, `event:<id>`, `call:<id>`, `turn:<id>`.
        session: the process that has to go on with it, if it is not over.
    """

    key: str
    kind: Kind
    title: str
    begun: float
    order: tuple[int, int]
    leads: tuple[str, ...] = ()
    who: str = ""
    said: str = ""
    state: State | None = None
    ended: float | None = None
    own: Sum = NOTHING
    outside: bool = False
    session: str = ""
    events: list[EventRef] = field(default_factory=list)
    parent: "Knot | None" = None
    below: list["Knot"] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """This event is told by this node."""
        self.events.append(EventRef(event.seq, event.id, event.kind, event.state))

    def end(self, state: State, at: float) -> None:
        """It is over."""
        self.state, self.ended = state, max(at, self.begun)
