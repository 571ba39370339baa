"""A tool call between its parts: checked and not begun, and run and not written down."""

from typing import Any

import msgspec

from planaria.cortex.event import Event, NewEvent
from planaria.cortex.event_type import EventType
from planaria.membrane.events import tool_event_id
from planaria.membrane.gate.approval import Hold
from planaria.membrane.tool import Context, Failed, Outcome, Tool


class Prepared(msgspec.Struct, frozen=True):
    """A call that was checked and is not begun.

    Attributes:
        events: to be in the journal before it is executed: its start, or the end of one that is refused.
        refused: why it will not run; `execute` answers it.
        hold: what a person must be asked about before it is begun; `begins`: what is written then.
        bound: the arguments as the function takes them.
    """

    name: str
    context: Context
    events: tuple[NewEvent, ...]
    tool: Tool | None = None
    bound: dict[str, Any] = {}
    shown: dict[str, Any] = {}
    refused: Failed | None = None
    hold: Hold | None = None
    begins: tuple[NewEvent, ...] = ()

    @property
    def id(self) -> str:
        """The id of its first event."""
        return self.events[0].id

    @property
    def key(self) -> str:
        """The name of the call in its session, whatever becomes of it."""
        return f"{self.context.session}/{self.context.call_id}"

    def event_id(self, kind: str, number: int = 0) -> str:
        """The id of its event of this kind."""
        return tool_event_id(self.context.session, self.context.call_id, kind, number)

    def event(self, what: EventType, number: int = 0) -> NewEvent:
        """An event of this call."""
        return call_event(self.context, what, number)


class Ended(msgspec.Struct, frozen=True):
    """What a call came to, and the events that say so, to be appended together: what the tool remembers, its end.

    Attributes:
        began: events that were written meanwhile: the beginning of a call that a person approved.
    """

    outcome: Outcome
    events: tuple[NewEvent, ...]
    began: tuple[Event, ...] = ()


def call_event(context: Context, what: EventType, number: int = 0) -> NewEvent:
    """An event of a call, in its session and trace, with the id that makes it happen once; `number` counts repeats."""
    return what.new(
        session=context.session,
        trace_id=context.trace_id,
        cause_id=context.cause_id,
        id=tool_event_id(context.session, context.call_id, what.kind, number),
        subject=context.subject,
    )
