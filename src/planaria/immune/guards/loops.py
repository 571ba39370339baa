"""Whether an agent's steps go in circles, or come to nothing. Pure detectors over plain data.

    trace = Trace(Thresholds())
    for step in steps:
        found = trace.add(step)        # None, or what is wrong, the moment it can be told

A loop: the same calls with the same results, alone or in a cycle of two to five steps; the same call failing again and
again; the same said and asked in other words. A stall: steps that bring nothing new. What changes by itself (times,
ids, counters) is not new (`likeness.py`); tools declared to wait or to poll are not counted.
Source: repeats and cycles as in the loop detectors of coding agents; shingles as in finding near-duplicate pages.
Does badly: a loop of six or more different steps is only seen when it brings nothing new for `no_news` steps.
"""

import itertools
import re
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from planaria.immune.guards.likeness import (
    likeness,
    numbers_of,
    settled,
    settled_arguments,
    shingles,
    substituted,
    without,
    words,
    words_in_order,
)
from planaria.immune.guards.restart import Cause
from planaria.immune.guards.thresholds import Thresholds

LONGEST_CYCLE = 5
REMEMBERED = 40
"""Steps looked back at."""
MOST_SHINGLES = 50_000
"""Pieces of results that are remembered as known."""
SHORT = 80
"""Characters up to which a result is a mere acknowledgement, so that the question decides what is new."""
NEW = 0.2
"""The share of a result that has to be new for it to be news; of an error more, as it repeats the question."""
NEW_ERROR = 0.4
LIKE = 0.5
"""Likeness from which two questions that both found nothing are the same, if they name the same numbers."""
_NOTHING = re.compile(
    r"\b(?:no|not|nothing|none|empty|zero|0 (?:results|matches|rows|items|hits))\b|\A(?:\[\]|\{\}|null|\(\))?\Z"
)

_NUMBER = re.compile(r"\d{1,15}")

type Kind = Literal[
    "repeat",
    "failing",
    "cycle",
    "paraphrase",
    "no_news",
    "time",
    "fan_out",
    "children",
    "depth",
    "echo",
    "rounds",
]


class CallSeen(msgspec.Struct, frozen=True):
    """One tool call of a step and what came of it.

    Attributes:
        arguments: JSON-like.
        result: as the model reads it.
        waits: the tool is declared to wait or to poll.
        acts: the tool is not declared idempotent: when it succeeds something was done, whatever it answers.
    """

    tool: str
    arguments: Any
    result: str
    failed: bool = False
    waits: bool = False
    acts: bool = False


class StepSeen(msgspec.Struct, frozen=True):
    """One answer of the model and the results of its calls."""

    text: str
    calls: tuple[CallSeen, ...]


class Finding(msgspec.Struct, frozen=True):
    """What is wrong.

    Attributes:
        words: a sentence about the agent, for people and for its next attempt.
        evidence: names and counts, no contents.
    """

    cause: Cause
    kind: Kind
    words: str
    evidence: dict[str, Any]


class Mark(msgspec.Struct, frozen=True):
    """A step as it is compared: what was asked, that with what came of it, in which words, and whether it was new."""

    asked: str
    whole: str
    said: frozenset[str]
    wording: tuple[str, ...]
    tools: tuple[str, ...]
    failed: bool
    news: bool


class Question(msgspec.Struct, frozen=True):
    """The arguments of a call as they are compared."""

    exact: str
    about: frozenset[str]
    numbers: frozenset[str]
    wording: tuple[str, ...]

    def is_other_words_for(self, other: "Question") -> bool:
        """Whether both ask for one thing; the next file or the next name is another one."""
        return (
            self.numbers == other.numbers
            and likeness(self.about, other.about) >= LIKE
            and not substituted(self.wording, other.wording)
        )


class Trace:
    """The steps of a turn so far."""

    def __init__(self, thresholds: Thresholds) -> None:
        self.thresholds = thresholds
        self._marks: deque[Mark] = deque(maxlen=REMEMBERED)
        self._known: set[int] = set()
        self._results: set[str] = set()
        self._asked: dict[str, deque[Question]] = {}

    def add(self, step: StepSeen) -> Finding | None:
        """Take one more step in; what can be told now. A step that only waited tells nothing."""
        calls = [call for call in step.calls if not call.waits]
        if not calls:
            return None
        self._marks.append(self._mark(step.text, calls))
        marks = list(self._marks)
        limits = self.thresholds
        return (
            repeated(marks, limits.repeats)
            or failing(marks, limits.failures)
            or cycle(marks, limits.cycles)
            or paraphrased(marks, limits.repeats, limits.paraphrase)
            or no_news(marks, limits.no_news)
        )

    def _mark(self, text: str, calls: Sequence[CallSeen]) -> Mark:
        asked = [f"{call.tool}{settled_arguments(call.arguments)}" for call in calls]
        results = [
            without(settled(call.result), one) if call.failed else settled(call.result)
            for call, one in zip(calls, asked, strict=True)
        ]
        # One after the other: two calls of a step may tell each other's news.
        news = [self._is_news(call, result) for call, result in zip(calls, results, strict=True)]
        pairs = sorted(f"{one}\0{other}" for one, other in zip(asked, results, strict=True))
        return Mark(
            "\n".join(sorted(asked)),
            "\n".join(pairs),
            words(" ".join((text, *asked))),
            words_in_order(" ".join(asked)),
            tuple(sorted({call.tool for call in calls})),
            all(call.failed for call in calls),
            any(news),
        )

    def _is_news(self, call: CallSeen, result: str) -> bool:
        before = result in self._results
        self._results.add(result)
        pieces = shingles(result)
        share = len(pieces - self._known) / len(pieces) if pieces else 0.0
        if len(self._known) < MOST_SHINGLES:
            self._known |= pieces
        if self._is_new_question(call, result):
            return True
        return not before and share >= (NEW_ERROR if call.failed else NEW)

    def _is_new_question(self, call: CallSeen, result: str) -> bool:
        """Whether an answer that tells little is news by what was asked: such as `written`, or `nothing found`."""
        exact = settled_arguments(call.arguments)
        question = Question(exact, words(exact), numbers_of(exact), words_in_order(exact))
        asked = self._asked.setdefault(call.tool, deque(maxlen=REMEMBERED))
        earlier = list(asked)
        asked.append(question)
        if call.failed:
            return False
        if not earlier:
            return True
        if any(exact == other.exact for other in earlier):
            return False
        if call.acts:
            return True
        if len(result) > SHORT:
            return False
        return not _NOTHING.search(result) or not any(question.is_other_words_for(each) for each in earlier)


def repeated(marks: Sequence[Mark], times: int) -> Finding | None:
    """The same calls with the same results, `times` steps in a row."""
    if not times or len(marks) < times or len({mark.whole for mark in marks[-times:]}) > 1:
        return None
    what = _names(marks[-1])
    return Finding(
        "loop",
        "repeat",
        f"It called {what} {times} times in a row with the same arguments and the same result.",
        {"tools": list(marks[-1].tools), "times": times},
    )


def failing(marks: Sequence[Mark], times: int) -> Finding | None:
    """The same calls, failing each time, `times` steps in a row."""
    last = marks[-times:] if times else ()
    if not last or len(last) < times or len({mark.asked for mark in last}) > 1:
        return None
    if not all(mark.failed for mark in last) or _counts([mark.whole for mark in last]):
        return None
    return Finding(
        "loop",
        "failing",
        f"It called {_names(last[-1])} {times} times in a row with the same arguments, and it failed each time.",
        {"tools": list(last[-1].tools), "times": times},
    )


def cycle(marks: Sequence[Mark], rounds: int) -> Finding | None:
    """The same two to five steps, over and over."""
    if not rounds:
        return None
    whole = [mark.whole for mark in marks]
    for length in range(2, LONGEST_CYCLE + 1):
        times = rounds if length <= 3 else max(2, rounds - 1)
        last = whole[-length * times :]
        if len(last) == length * times and last == last[:length] * times and len(set(last)) > 1:
            what = ", then ".join(_names(mark) for mark in marks[-length:])
            return Finding(
                "loop",
                "cycle",
                f"It went round {times} times in a cycle of {length} steps with the same results: {what}.",
                {
                    "length": length,
                    "times": times,
                    "tools": sorted({t for m in marks[-length:] for t in m.tools}),
                },
            )
    return None


def paraphrased(marks: Sequence[Mark], times: int, threshold: float) -> Finding | None:
    """Steps that ask the same of the same tools in other words and learn nothing by it."""
    last = marks[-times:] if times and threshold else ()
    if not last or len(last) < times:
        return None
    if len({mark.tools for mark in last}) > 1 or any(mark.news for mark in last):
        return None
    alike = [likeness(one.said, other.said) for one, other in itertools.pairwise(last)]
    if min(alike) < threshold:
        return None
    # The next of a row of things, none of which is there, or one that comes nearer: how long is for `no_news` to say.
    if all(mark.failed for mark in last) and (
        _counts([mark.whole for mark in last])
        or any(substituted(one.wording, other.wording) for one, other in itertools.pairwise(last))
    ):
        return None
    return Finding(
        "loop",
        "paraphrase",
        f"It asked {_names(last[-1])} the same {times} times in other words, and learned nothing new.",
        {"tools": list(last[-1].tools), "times": times, "likeness": round(min(alike), 2)},
    )


def no_news(marks: Sequence[Mark], steps: int) -> Finding | None:
    """Steps that bring nothing new."""
    last = marks[-steps:] if steps else ()
    if not last or len(last) < steps or any(mark.news for mark in last):
        return None
    return Finding(
        "stall",
        "no_news",
        f"Its last {steps} steps brought nothing it did not know before.",
        {"steps": steps, "tools": sorted({tool for mark in last for tool in mark.tools})},
    )


def fan_out(
    thresholds: Thresholds, in_step: int, in_turn: int, children: int = 0, depth: int = 0
) -> Finding | None:
    """Too much started at once. Numbers of tool calls, of sub-agents of the turn, and their generation."""
    found: tuple[tuple[Kind, int, int, str], ...] = (
        ("fan_out", in_step, thresholds.calls_per_step, "tools in one step"),
        ("fan_out", in_turn, thresholds.calls_per_turn, "tools in one turn"),
        ("children", children, thresholds.children, "sub-agents"),
        ("depth", depth, thresholds.depth, "generations of sub-agents"),
    )
    for kind, number, most, what in found:
        if most and number > most:
            text = f"It wanted {number} {what}; {most} are allowed."
            return Finding("fan_out", kind, text, {"number": number, "allowed": most, "of": what})
    return None


def _counts(texts: Sequence[str]) -> bool:
    """Whether texts differ by numbers alone, one of which only grows or only shrinks: `9 of 80`, `18 of 80`."""
    if len({_NUMBER.sub("#", text) for text in texts}) > 1:
        return False
    rows = zip(*([int(found) for found in _NUMBER.findall(text)] for text in texts), strict=True)
    return any(
        all(a < b for a, b in itertools.pairwise(row)) or all(a > b for a, b in itertools.pairwise(row))
        for row in rows
    )


def _names(mark: Mark) -> str:
    return " and ".join(mark.tools)
