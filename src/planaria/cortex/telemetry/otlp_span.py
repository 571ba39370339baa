"""Our spans as OpenTelemetry's: names, ids, parents, attributes. Pure.

A trace of ours is a trace there: a ULID is 128 bits, as its trace ids are; another text is hashed. A span's id comes
from its key, if it has one, so that whoever takes work up after a crash ends the same span; else from its number.
"""

from collections.abc import Mapping
from hashlib import blake2b

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from planaria import __version__
from planaria.cortex.redact import Redactor
from planaria.cortex.telemetry.conventions import ERROR_TYPE, SPAN_SPECS, title
from planaria.cortex.telemetry.signal import SpanFailed, SpanStopped, Value

KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT, "server": SpanKind.SERVER}
SCOPE = InstrumentationScope("planaria", __version__)
_CROCKFORD = {letter: value for value, letter in enumerate("0123456789ABCDEFGHJKMNPQRSTVWXYZ")}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def readable(
    span: SpanStopped | SpanFailed,
    nonce: int,
    resource: Resource,
    content: Mapping[str, str],
    redactor: Redactor | None,
) -> ReadableSpan:
    """One span as the SDK's exporters take it.

    Args:
        nonce: of this run of the node, see `Handlers`.
        content: what was said, as further attributes; empty unless it may leave.
        redactor: masks the text of an error; None keeps it here, as it often quotes what was said.
    """
    trace = trace_number(span.trace_id) if span.trace_id else _hashed(f"{nonce}/{span.id}", 16)
    spec = SPAN_SPECS.get(span.name)
    # A copy: its owner may still have the span at hand.
    given = {**span.attributes, **content}
    attributes = {name: _clean(value) for name, value in given.items() if value is not None}
    if span.process is not None:
        attributes["planaria.process"] = _text(span.process.name or str(span.process))
    begun = round(span.at * 1e9)
    ended = begun + max(0, round(span.duration * 1e9))
    events: list[Event] = []
    status = Status(StatusCode.UNSET)
    if isinstance(span, SpanFailed):
        attributes[ERROR_TYPE] = told_type = _text(span.error_type)
        said = "" if redactor is None else _text(redactor.text(span.error))
        status = Status(StatusCode.ERROR, said or told_type)
        told = {"exception.type": told_type} | ({"exception.message": said} if said else {})
        events = [Event("exception", told, ended)]
    parent = _parent(span, nonce) if span.trace_id else None
    return ReadableSpan(
        name=_text(title(span.name, span.attributes)),
        context=SpanContext(trace, _own(span, nonce), is_remote=False, trace_flags=_SAMPLED),
        parent=None if parent is None else SpanContext(trace, parent, False, _SAMPLED),
        resource=resource,
        attributes=attributes,
        events=events,
        kind=KINDS[spec.kind] if spec is not None else SpanKind.INTERNAL,
        status=status,
        start_time=begun,
        end_time=ended,
        instrumentation_scope=SCOPE,
    )


def _clean(value: Value) -> Value:
    """Text that came from a foreign file name may be no Unicode, and one such would cost its whole batch."""
    if isinstance(value, str):
        return _text(value)
    return tuple(map(_text, value)) if isinstance(value, tuple) else value


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def trace_number(trace_id: str) -> int:
    """128 bits: a ULID's own, or a hash of anything else."""
    if len(trace_id) == 26 and trace_id[0] <= "7":
        number = 0
        for letter in trace_id:
            value = _CROCKFORD.get(letter)
            if value is None:
                break
            number = number << 5 | value
        else:
            return number or 1
    return _hashed(trace_id, 16)


def _own(span: SpanStopped | SpanFailed, nonce: int) -> int:
    return _hashed(span.key, 8) if span.key else _numbered(span.id, nonce)


def _parent(span: SpanStopped | SpanFailed, nonce: int) -> int | None:
    if span.under:
        return _hashed(span.under, 8)
    return _numbered(span.parent, nonce) if span.parent else None


def _numbered(number: int, nonce: int) -> int:
    # Multiplying by an odd number permutes 64 bits, so two numbers never meet.
    return (nonce + number * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF or 1


def _hashed(text: str, size: int) -> int:
    return int.from_bytes(blake2b(text.encode("utf-8", "replace"), digest_size=size).digest()) or 1
