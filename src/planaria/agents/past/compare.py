"""Two runs side by side: where they first part, and what each step was sent, decided, got and cost. Pure.

Runs are two sessions, or a session and a branch of it: the branch begins at the turn it branched off. What is the same
by chance of a run (times, ids of calls, tokens) tells nothing apart; it is shown.
"""

import difflib
from collections.abc import Sequence
from typing import Literal

import msgspec

from planaria.agents.past.replayed import PromptView, Run, RunStep, StepView
from planaria.membrane.provider import Message

type What = Literal[
    "message", "prompt", "tools", "model", "parameters", "answer", "decision", "arguments", "result"
]

CONTEXT = 2
"""Lines shown around a changed one."""


class Difference(msgspec.Struct, frozen=True):
    """One thing in which a step differs.

    Attributes:
        one, other: what was there; long texts as the lines that differ, with `-` and `+`, in `lines`.
    """

    what: What
    one: str = ""
    other: str = ""
    lines: tuple[str, ...] = ()


class Pair(msgspec.Struct, frozen=True):
    """A step of each run; None where a run has ended."""

    one: StepView | None
    other: StepView | None
    differences: tuple[Difference, ...] = ()


class Side(msgspec.Struct, frozen=True):
    """What the steps compared came to in one run."""

    session: str
    steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro: int = 0
    duration_ms: float = 0.0


class Comparison(msgspec.Struct, frozen=True):
    """Two runs compared.

    Attributes:
        first: position in `pairs` of the first that differs; None if all are equal.
        divergence: that one in words.
    """

    one: Side
    other: Side
    pairs: tuple[Pair, ...]
    first: int | None
    divergence: str


def begin_at(one: Run, other: Run) -> tuple[int, int]:
    """The steps from which two runs are to be compared: a branch with the turn it branched off."""
    if other.fork is not None and other.fork.session == one.session:
        return _turn_of(one, other.fork.turn), 1
    if one.fork is not None and one.fork.session == other.session:
        return 1, _turn_of(other, one.fork.turn)
    return 1, 1


def _turn_of(run: Run, turn: str) -> int:
    numbers = [each.step.number for each in run.steps if each.step.turn == turn]
    return min(numbers, default=1)


def compare_runs(one: Run, other: Run, *, from_one: int = 1, from_other: int = 1) -> Comparison:
    """Compare two runs, step by step.

    Args:
        from_one, from_other: numbers of the first steps to compare.
    """
    left = [each for each in one.steps if each.step.number >= from_one]
    right = [each for each in other.steps if each.step.number >= from_other]
    pairs: list[Pair] = []
    for n in range(max(len(left), len(right))):
        a = left[n] if n < len(left) else None
        b = right[n] if n < len(right) else None
        found = differences(a, b) if a is not None and b is not None else ()
        pairs.append(Pair(a.step if a else None, b.step if b else None, found))
    first = next((n for n, pair in enumerate(pairs) if _parted(pair)), None)
    return Comparison(
        _side(one.session, left),
        _side(other.session, right),
        tuple(pairs),
        first,
        "the two are equal" if first is None else _words(one, other, pairs[first]),
    )


def differences(one: RunStep, other: RunStep) -> tuple[Difference, ...]:
    """In what a step of one run differs from one of another."""
    a, b = one.step, other.step
    if a.kind != b.kind:
        return (Difference("decision", a.kind, b.kind),)
    found: list[Difference] = []
    if a.kind == "message":
        _text(found, "message", f"{a.author}: {a.text}", f"{b.author}: {b.text}")
        return tuple(found)
    if one.prompt is not None and other.prompt is not None:
        found += _prompts(one.prompt, other.prompt)
    if a.model != b.model:
        found.append(Difference("model", a.model, b.model))
    called, calls = [call.tool for call in a.calls], [call.tool for call in b.calls]
    if called != calls:
        found.append(Difference("decision", _decision(a), _decision(b)))
    _text(found, "answer", a.text, b.text)
    if called == calls:
        for left, right in zip(a.calls, b.calls, strict=True):
            if left.arguments != right.arguments:
                _text(found, "arguments", _pretty(left.arguments), _pretty(right.arguments))
            _text(found, "result", left.result or "(unknown)", right.result or "(unknown)")
    return tuple(found)


def _prompts(one: PromptView, other: PromptView) -> list[Difference]:
    found: list[Difference] = []
    if one.tools != other.tools:
        found.append(Difference("tools", ", ".join(one.tools), ", ".join(other.tools)))
    a, b = (f"max_tokens {p.max_tokens}, temperature {p.temperature}" for p in (one, other))
    if a != b:
        found.append(Difference("parameters", a, b))
    if one.messages and other.messages:
        _text(found, "prompt", _talk(one.messages), _talk(other.messages))
    return found


def _talk(messages: Sequence[Message]) -> str:
    """A prompt as text, without what differs from call to call by chance: the ids of tool calls."""
    parts: list[str] = []
    for message in messages:
        parts.append(f"[{message.role}]\n{message.content}".rstrip())
        parts += [f"calls {call.name} {_pretty(call.arguments)}" for call in message.tool_calls]
    return "\n".join(parts)


def _text(found: list[Difference], what: What, one: str, other: str) -> None:
    if one == other:
        return
    lines = [*difflib.unified_diff(one.splitlines(), other.splitlines(), lineterm="", n=CONTEXT)][2:]
    found.append(Difference(what, one, other, tuple(lines)))


def _decision(step: StepView) -> str:
    return f"calls {', '.join(call.tool for call in step.calls)}" if step.calls else "says its answer"


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2).decode()


def _parted(pair: Pair) -> bool:
    return pair.one is None or pair.other is None or bool(pair.differences)


def _words(one: Run, other: Run, pair: Pair) -> str:
    if pair.one is None or pair.other is None:
        ended, step = (one, pair.other) if pair.one is None else (other, pair.one)
        number = step.number if step is not None else 0
        return f"{ended.session} has ended where the other goes on with step {number}"
    what = " and ".join(dict.fromkeys(each.what for each in pair.differences))
    return f"they part at step {pair.one.number} of {one.session}, step {pair.other.number} of {other.session}: {what}"


def _side(session: str, steps: Sequence[RunStep]) -> Side:
    own = [each.step for each in steps]
    return Side(
        session,
        len(own),
        sum(step.input_tokens for step in own),
        sum(step.output_tokens for step in own),
        sum(step.cost_micro or 0 for step in own),
        sum(step.duration_ms + sum(call.duration_ms for call in step.calls) for step in own),
    )
