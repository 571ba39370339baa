"""Outcomes of tools: within their bounds, as a model reads them, and read back from the journal. Pure."""

import json
from typing import Any

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.membrane.events import ToolFinished
from planaria.membrane.tool import FAILED, Denied, Done, Failed, HeldBack, Outcome, Tool

TEXT_LIMIT = 20_000  # characters a model gets to read of one answer
VALUE_LIMIT = 400_000  # bytes of JSON a step hands on


def bounded(tool: Tool, outcome: object) -> Outcome:
    """The outcome within its bounds: a known branch, a value JSON can say and a step can hold, text of a set length."""
    if isinstance(outcome, Denied):
        return Denied(
            shortened(as_text(outcome.error), TEXT_LIMIT),
            capability=as_text(outcome.capability),
            scope=shortened(as_text(outcome.scope), TEXT_LIMIT),
            grant=shortened(as_text(outcome.grant), TEXT_LIMIT),
        )
    if isinstance(outcome, HeldBack):
        return outcome
    if isinstance(outcome, Failed):
        return Failed(shortened(as_text(outcome.error), TEXT_LIMIT), outcome.retry)
    if not isinstance(outcome, Done):
        return Failed(f"{tool.name} answered {type(outcome).__name__}; a tool answers Done or Failed")
    if outcome.branch not in tool.branches or outcome.branch == FAILED:
        return Failed(f"{tool.name} answered the branch {outcome.branch!r}, which it does not declare")
    value = outcome.value
    if isinstance(value, str):
        value = shortened(value, VALUE_LIMIT // 4)
    try:
        value = msgspec.to_builtins(value)
    except (TypeError, ValueError, RecursionError) as error:
        return Failed(f"{tool.name} answered a value that JSON cannot say: {error}")
    if isinstance(size := json_size(value), str):
        return Failed(f"{tool.name} answered a value that JSON cannot say: {size}")
    if size > VALUE_LIMIT:
        return Failed(f"{tool.name} answered {size} bytes, the limit is {VALUE_LIMIT}; ask for less")
    text = outcome.text
    if text is not None:
        if not isinstance(text, str) or as_text(text) != text:
            return Failed(
                f"{tool.name} answered a text that has no UTF-8 form; decode it with errors='replace'"
            )
        text = shortened(text, TEXT_LIMIT)
    return Done(value, outcome.branch, text, outcome.events)


def spoken(outcome: Outcome) -> str:
    """What a model reads of an outcome."""
    match outcome:
        case Denied():
            return f"Denied: {outcome.error}"
        case Failed():
            return f"Failed: {outcome.error}" + (" (may succeed later)" if outcome.retry else "")
        case Done(text=str() as text):
            return text
        case Done(value=str() as text):
            return shortened(text, TEXT_LIMIT)
        case Done():
            return shortened(msgspec.json.encode(outcome.value).decode(), TEXT_LIMIT)


def outcome_of(event: Event) -> Outcome:
    """The outcome in a `tool.finished`; of one that was erased or pruned, a `Failed` that says so."""
    if event.state != "whole":
        return Failed(f"the result of this call was {event.state} from the journal")
    try:
        finished = ToolFinished.of(event)
    except EventMismatch as error:
        return Failed(f"the result of this call cannot be read: {error}")
    kept = finished.outcome
    if kept is None and (lacked := finished.denied) is not None:
        why = finished.error or "no reason given"
        return Denied(why, capability=lacked.capability, scope=lacked.scope, grant=lacked.grant)
    if kept is None and finished.held_back:
        return HeldBack(finished.error or "", finished.retry, by=finished.held_back)
    if kept is None:
        return Failed(finished.error or "no reason given", finished.retry, finished.branch)
    return Done(kept.get("value"), finished.branch, kept.get("text"))


def json_size(value: Any) -> int | str:
    """Bytes of a value as JSON, or what stands in the way."""
    try:
        encoded = msgspec.json.encode(value)
        # JSON has no word for nan and the infinities; the fast encoder writes null for them.
        if b"null" in encoded:
            json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        return str(error)
    return len(encoded)


def as_text(text: str) -> str:
    """The text with a question mark for what has no UTF-8 form, such as half of a character."""
    return str(text).encode("utf-8", "replace").decode()


def shortened(text: str, limit: int) -> str:
    """The text, cut with a note if it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut here: {limit} of {len(text)} characters]"
