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
        held_back: of a call that was not made: `breaker:tool:web.fetch`, `budget:agent:scout`.
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
    held_back: str = ""


class ApprovalAsked(EventType, frozen=True, omit_defaults=True):
    """A call waits for a person. Of such a call `tool.started` comes after the answer.

    Attributes:
        arguments: all of them, as the tool would get them; secrets masked.
        digest: of tool and arguments, see `gate/approval.py`.
        why: who wants it asked.
        covers: what an answer for more than once is for, a line each.
        second_factor: whether a code is needed, too.
    """

    kind = "approval.asked"

    call_id: str
    tool: str
    arguments: dict[str, Any]
    caller: str
    digest: str
    why: str = ""
    covers: tuple[str, ...] = ()
    second_factor: bool = False


class ApprovalDecided(EventType, frozen=True, omit_defaults=True):
    """Whether a call was approved, and by whom.

    Attributes:
        how: `once`, `this session`, `always`, `no`, `expired`, `withdrawn`, or `remembered`.
        by, via: who said so, and how.
        question: its id; of one that was remembered the id of `approval.granted`.
        digest: of what was approved.
    """

    kind = "approval.decided"

    call_id: str
    tool: str
    how: str
    by: str = ""
    via: str = ""
    question: str = ""
    digest: str = ""


class Covered(msgspec.Struct, frozen=True, omit_defaults=True):
    """A capability within a scope; without a scope the very call of this digest."""

    capability: str = ""
    scope: str = ""
    digest: str = ""


class ApprovalGranted(EventType, frozen=True, omit_defaults=True):
    """A person has approved more than one call. In the stream `approvals`.

    Attributes:
        caller: who may make such calls.
        covers: what they may touch.
        session: in which session; empty: in all.
        until: unix seconds; None: until it is revoked.
        proof: `totp` if a code was given.
    """

    kind = "approval.granted"

    caller: str
    tool: str
    covers: tuple[Covered, ...]
    by: str
    session: str = ""
    until: float | None = None
    via: str = ""
    question: str = ""
    proof: str = ""


class ApprovalRevoked(EventType, frozen=True):
    """An approval counts no more. In the stream `approvals`; `approval` is the id of its `approval.granted`."""

    kind = "approval.revoked"

    approval: str
    by: str


class SecondFactorEnrolled(EventType, frozen=True):
    """An authenticator was taken into use. In the stream `totp`; `number` counts them, the secret is elsewhere."""

    kind = "totp.enrolled"

    number: int
    by: str


class SecondFactorUsed(EventType, frozen=True):
    """A code was taken. `step` counts half minutes since 1970: each is good once."""

    kind = "totp.used"

    number: int
    step: int
    by: str
    what: str = ""


class SecondFactorRefused(EventType, frozen=True):
    """A wrong code, or one that was used before."""

    kind = "totp.refused"

    by: str
    why: str


class SecondFactorRemoved(EventType, frozen=True):
    """The authenticator is used no more; what needs one is denied."""

    kind = "totp.removed"

    number: int
    by: str


def tool_event_id(session: str, call_id: str, kind: str, number: int = 0) -> str:
    """The id of the one event of this kind that a call has; `number` counts repeats."""
    return repeatable_id(session, call_id, kind, *([str(number)] if number else []))
