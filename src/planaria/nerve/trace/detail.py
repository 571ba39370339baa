"""One node of a trace opened: its texts, arguments, results, and the prompt in parts. Pure.

Texts of people, models and tools are marked as outside: whoever shows them neither runs nor trusts them.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from planaria.agents.prompt.prompt import WHY, parts_of
from planaria.agents.turn.events import PartSize, Talk
from planaria.cortex.event import Event
from planaria.cortex.redact import Redactor
from planaria.nerve.trace.prompt import talk_of, tool_names
from planaria.nerve.trace.shape import Trace, TraceNode
from planaria.nerve.trace.words import count, inner, items, number, text, words
from planaria.rooms.message import RoomMessage

LONGEST = 60_000
"""Characters of one text that are shown."""


class Section(msgspec.Struct, frozen=True):
    """One text. `chars` is its whole length; `outside`: words of a person, a model or a tool."""

    title: str
    text: str
    chars: int
    outside: bool = False


class Detail(msgspec.Struct, frozen=True):
    """A node opened."""

    node: TraceNode
    facts: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]


def talk_asked(trace: Trace, events: Sequence[Event], node: TraceNode) -> tuple[str, Talk] | None:
    """What else has to be read to open this node: the room, and the stretch of its talk that its prompt refers to."""
    asked = _request(trace, events, node) if node.kind == "prompt" else None
    if asked is None:
        return None
    first, last, left = talk_of(_whole(events, asked))
    if not first or last < first:
        return None
    return asked.session.rpartition("@")[2], Talk(first, last, tuple(left))


def open_node(
    trace: Trace, events: Sequence[Event], node: TraceNode, talk: Sequence[RoomMessage], redactor: Redactor
) -> Detail:
    """A node with all there is to read about it.

    Args:
        events: of the trace, with their contents.
        talk: the messages of the stretch that `talk_asked` names.
        redactor: masks secrets that an old journal may still have.
    """
    found: list[Section] = []
    facts: list[tuple[str, str]] = []
    own = [event for event in events if event.seq in {ref.seq for ref in node.events}]
    match node.kind:
        case "prompt":
            _prompt(trace, events, node, talk, found)
        case "decision":
            _decision(_answer(trace, events, node), found)
        case "model":
            _model(own, facts, found)
        case "tool":
            _tool(own, facts, found)
        case "message":
            _message(own, facts, found)
        case _:
            pass
    if not found:
        for event in own:
            if event.state == "whole":
                found.append(_section(event.kind, _pretty(event.payload), outside=True))
    gone = sorted({event.state for event in own if event.state != "whole"})
    facts += [("content", f"{state} from the journal") for state in gone]
    return Detail(
        node,
        tuple((name, redactor.text(value)) for name, value in facts if value),
        tuple(msgspec.structs.replace(each, text=redactor.text(each.text)) for each in found),
    )


def _prompt(
    trace: Trace, events: Sequence[Event], node: TraceNode, talk: Sequence[RoomMessage], found: list[Section]
) -> None:
    asked = _request(trace, events, node)
    if asked is None:
        return
    payload = _whole(events, asked)
    found += _instructions(payload)
    if talk:
        title = f"talk, {len(talk)} message{'' if len(talk) == 1 else 's'}"
        said = "\n".join(f"{message.author}: {message.text}" for message in talk)
        found.append(_section(title, said, outside=True))
    turn = text(payload, "turn")
    for event in events:
        if event.kind == "room.message" and turn.startswith(event.id):
            found.append(_section("the message", _spoken(event), outside=True))
        elif event.kind == "child.asked" and turn.startswith(event.id):
            found.append(_section("the task", text(event.payload, "task"), outside=True))
    earlier = [event for event in events if event.session == asked.session and event.seq < asked.seq]
    done = [line for event in earlier for line in _so_far(event, turn, count(payload, "step"))]
    if done:
        found.append(_section("the turn so far", "\n".join(done), outside=True))
    names = tool_names(payload.get("tools")) or ()
    tools = payload.get("tools")
    if tools:
        shown = _pretty(_decoded(tools)) if isinstance(tools, str) else "\n".join(names)
        found.append(_section(f"tools offered, {len(names)}", shown))


def _instructions(payload: dict[str, Any]) -> list[Section]:
    """The system message: its parts with their budgets, as far as the request tells them."""
    system = words(payload["system"]) if payload.get("system") else ""
    try:
        sizes = msgspec.convert(payload.get("parts") or (), tuple[PartSize, ...])
    except msgspec.ValidationError:
        sizes = ()
    if not sizes:
        return [_section("instructions", system)] if system else []
    found: list[Section] = []
    for part in parts_of(system, sizes):
        budget = f", budget {part.budget:,} tokens" if part.budget else ""
        cut = f", {part.cut:,} characters cut" if part.cut else ""
        found.append(_section(f"{part.name}{budget}{cut}: {WHY[part.name]}", part.text))
    return found


def _so_far(event: Event, turn: str, step: int) -> list[str]:
    payload = event.payload
    if event.kind == "model.responded" and text(payload, "turn") == turn and count(payload, "step") < step:
        calls = [
            f"calls {text(c, 'name')} {words(inner(c, 'arguments'))}" for c in items(payload, "tool_calls")
        ]
        return [f"model: {line}" for line in (text(payload, "text"), *calls) if line]
    if event.kind == "turn.steered" and text(payload, "turn") == turn and count(payload, "step") <= step:
        return [f"{text(payload, 'author')} (taken in): {text(payload, 'text')}"]
    if event.kind == "tool.finished" and text(payload, "call_id").startswith(f"{turn}/"):
        return [f"{text(payload, 'tool')}: {_result(payload)}"]
    return []


def _decision(event: Event | None, found: list[Section]) -> None:
    if event is None:
        return
    payload = event.payload
    if text(payload, "reasoning"):
        found.append(_section("reasoning", text(payload, "reasoning"), outside=True))
    if text(payload, "text"):
        found.append(_section("text", text(payload, "text"), outside=True))
    for call in items(payload, "tool_calls"):
        found.append(_section(f"calls {text(call, 'name')}", _pretty(inner(call, "arguments")), outside=True))


def _model(own: Sequence[Event], facts: list[tuple[str, str]], found: list[Section]) -> None:
    for event in own:
        payload, usage = event.payload, inner(event.payload, "usage")
        for name, value in usage.items():
            facts.append((name.replace("_", " "), words(value) if value else ""))
        for name in ("finish_reason", "attempt", "temperature", "max_tokens"):
            facts.append((name.replace("_", " "), words(payload.get(name))))
        for name, label in (("first_ms", "first word after"), ("duration_ms", "took")):
            if (ms := number(payload, name)) is not None:
                facts.append((label, f"{ms:.0f} ms"))
        if text(payload, "error"):
            found.append(_section("error", text(payload, "error"), outside=True))
        if text(payload, "reasoning"):
            found.append(_section("reasoning", text(payload, "reasoning"), outside=True))
        if event.kind == "model.responded":
            found.append(_section("answer", text(payload, "text") or "(no text)", outside=True))


def _tool(own: Sequence[Event], facts: list[tuple[str, str]], found: list[Section]) -> None:
    shown = False
    for event in own:
        payload = event.payload
        if payload.get("arguments") and not shown:
            shown = True
            found.append(_section("arguments", _pretty(payload["arguments"]), outside=True))
        if event.kind == "tool.finished" and event.state == "whole":
            facts += [
                ("branch", text(payload, "branch")),
                ("may help to retry", "yes" if payload.get("retry") else ""),
            ]
            found.append(
                _section("error" if payload.get("error") else "result", _result(payload), outside=True)
            )
        facts.append(("caller", text(payload, "caller") if event.kind == "tool.started" else ""))


def _message(own: Sequence[Event], facts: list[tuple[str, str]], found: list[Section]) -> None:
    for event in own:
        payload = event.payload
        facts.append(("to", ", ".join(words(name) for name in items(payload, "to"))))
        facts += [("model", text(payload, "model")), ("room", event.session.removeprefix("room:"))]
        if text(payload, "text"):
            found.append(_section("text", text(payload, "text"), outside=True))


def _request(trace: Trace, events: Sequence[Event], node: TraceNode) -> Event | None:
    """The `model.requested` a prompt is of: the first of its step."""
    calls = [other for other in trace.nodes if other.parent == node.parent and other.kind == "model"]
    seqs = {ref.seq for call in calls for ref in call.events if ref.kind == "model.requested"}
    return next((event for event in events if event.seq in seqs), None)


def _answer(trace: Trace, events: Sequence[Event], node: TraceNode) -> Event | None:
    """The `model.responded` a decision is in: that of the call it is named after, or of the try made after it."""
    name = node.id.rstrip("'").removesuffix("|decision")
    models = [other for other in trace.nodes if other.kind == "model"]
    calls = [other for other in models if f"{other.id}|".startswith(f"{name}|")]
    seqs = {ref.seq for call in calls for ref in call.events if ref.kind == "model.responded"}
    return next((event for event in events if event.seq in seqs), None)


def _whole(events: Sequence[Event], asked: Event) -> dict[str, Any]:
    """The payload of a request, with what it leaves out taken from those before it in its turn."""
    payload = dict(asked.payload)
    before = [
        event
        for event in events
        if event.kind == asked.kind
        and event.session == asked.session
        and event.seq < asked.seq
        and event.payload.get("turn") == payload.get("turn")
    ]
    for event in reversed(before):
        for name in ("system", "tools", "talk", "parts"):
            if payload.get(name) is None:
                payload[name] = event.payload.get(name)
    return payload


def _spoken(event: Event) -> str:
    said = text(event.payload, "text") if event.state == "whole" else f"({event.state})"
    return f"{text(event.payload, 'author') or 'somebody'}: {said}"


def _result(payload: dict[str, Any]) -> str:
    outcome = inner(payload, "outcome")
    said = text(payload, "error") or text(outcome, "text")
    value = outcome.get("value")
    return said or (value if isinstance(value, str) else _pretty(value) if value is not None else "(nothing)")


def _section(title: str, said: str, *, outside: bool = False) -> Section:
    cut = (
        said if len(said) <= LONGEST else f"{said[:LONGEST]}\n[cut here: {LONGEST} of {len(said)} characters]"
    )
    return Section(title, cut, len(said), outside)


def _decoded(value: str) -> Any:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def _pretty(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    except (TypeError, ValueError, RecursionError):
        return words(value)
