"""What a handler is given: the start and the end of a span, and points in time.

Frozen, and shared by all handlers: the attributes belong to the span, so nobody changes them.
"""

from collections.abc import Mapping

import msgspec

from planaria.otp import Pid

type Value = str | int | float | bool | tuple[str, ...] | None
"""What an attribute may be: what OpenTelemetry's attributes can say, or None for not known."""
type Attributes = Mapping[str, Value]


class SpanSignal(msgspec.Struct, frozen=True, kw_only=True):
    """What the start and the end of a span have in common.

    Attributes:
        name: what is done, from the table in `conventions.py`.
        id: its number, from 1 for each node.
        parent: the number of the span around it in the same code; 0 for none.
        key: what spans of other processes may call it by, such as `turn:01J…`; empty for none.
        under: the key of the span that led to it, be it around it in the code or elsewhere; empty for none.
        trace_id: the run of causes it belongs to; empty where nobody knows.
        process: whose code it is; None for code outside any process.
        attributes: the same dictionary at start and end; at the end it has what was set meanwhile.
        at: unix seconds when it started.
    """

    name: str
    id: int
    parent: int
    key: str
    under: str
    trace_id: str
    process: Pid | None
    attributes: Attributes
    at: float


class SpanStarted(SpanSignal, frozen=True, kw_only=True):
    """The work begins."""


class SpanStopped(SpanSignal, frozen=True, kw_only=True):
    """The work is over; `duration` is in seconds, by the clock that only grows."""

    duration: float


class SpanFailed(SpanSignal, frozen=True, kw_only=True):
    """The work ended with an error: `error_type` is a class or a code of few values, `error` says more."""

    duration: float
    error_type: str
    error: str


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """Something happened that has no length. Fields as in `SpanSignal`."""

    name: str
    trace_id: str
    process: Pid | None
    attributes: Attributes
    at: float


type Signal = SpanStarted | SpanStopped | SpanFailed | Point
