"""The events of the membrane: what the gate writes about the calls of tools.

They are in the session of the caller and carry the subject of what led to them. Their ids follow from session and
call, so each is written once, whoever tries: see `tool_event_id`.
"""

from typing import Any

import msgspec

from planaria.cortex.event import repeatable_id
from planaria.cortex.event_type import EventType


class ToolStarted(EventType, frozen=True):
    """A call is about to be made. Without its end nobody knows whether it took effect.

    Attributes:
        call_id: of the caller's choice, unique in its session.
        arguments: secrets masked, long ones cut.
        caller: `agent:scout`, `workflow:digest`, `person:ada`.
    """

    kind = "tool.started"

    call_id: str
    tool: str
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    caller: str = ""


class ToolRepeated(EventType, frozen=True):
    """A call that was cut off is made once more, under the same call id.

    Attributes:
        number: 1 for the first repeat.
        why: `retry`, the tool's policy, or who decided it: `person:ada`.
    """

    kind = "tool.repeated"

    call_id: str
    tool: str
    number: int
    why: str


class Missing(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a call that was denied lacked; see `Denied`."""

    capability: str = ""
    scope: str = ""
    grant: str = ""


class ToolFinished(EventType, frozen=True, omit_defaults=True):
    """What a call came to. What is at its default is left out.

    Attributes:
        branch: the outcome a workflow routes on.
        outcome: {value, text} of a tool that could do it, None of one that could not.
        error: why it could not.
        retry: whether the same may work later.
        arguments, caller: of a call that was refused before it started; otherwise `ToolStarted` has them.
        denied: of a call that its caller may not make: what it lacked.
    """

    kind = "tool.finished"

    call_id: str
    tool: str
    branch: str
    duration_ms: float
    outcome: dict[str, Any] | None = None
    error: str | None = None
    retry: bool = False
    arguments: dict[str, Any] = msgspec.field(default_factory=dict)
    caller: str = ""
    denied: Missing | None = None


def tool_event_id(session: str, call_id: str, kind: str, number: int = 0) -> str:
    """The id of the one event of this kind that a call has; `number` counts repeats."""
    return repeatable_id(session, call_id, kind, *([str(number)] if number else []))
