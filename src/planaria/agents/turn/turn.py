"""A turn: one message handled until the agent rests. What happened so far decides what is next. Pure.

A turn is a fold over its events, so it can be taken up where it stood when its process, or the node, was killed:
model calls that were answered are not made again, tools that finished are not run again. The state a session holds is
this fold of what the journal took in, and nothing else. Its events: `events.py`, and those of the gate for its
tool calls (`call_id` = `<turn>/<step>/<n>`). If one of them was erased or pruned, or is of a later program, the turn is
over: nobody can go on from what cannot be read.
"""

from typing import Literal

import msgspec

from planaria.agents.turn.course import ENDING, changed, cut_off_results
from planaria.agents.turn.course import KINDS as COURSE
from planaria.agents.turn.events import (
    ModelFailed,
    ModelRequested,
    ModelResponded,
    TurnFinished,
    TurnStarted,
)
from planaria.agents.turn.guard_events import STRAIGHT, Course, RestartChosen
from planaria.agents.turn.limits import Spent, words
from planaria.agents.turn.steering import TurnChecked, TurnLimited, TurnSteered
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.membrane.calls.treatment import LONGEST_WAIT, MOST_TRIES, Tried
from planaria.membrane.events import ToolFinished, ToolStarted
from planaria.membrane.gate.outcome import outcome_of, spoken
from planaria.membrane.provider import ModelResponse, ToolCall
from planaria.membrane.tool import Failed
from planaria.rooms.message import RoomMessage

MAX_FAILURES = MOST_TRIES
"""Times one model call was tried by programs that did not write down what they do about a failure."""
TOOL_STARTED, TOOL_FINISHED = ToolStarted.kind, ToolFinished.kind
KINDS = (
    *(TurnStarted.kind, ModelRequested.kind, ModelResponded.kind, ModelFailed.kind),
    *(ToolStarted.kind, ToolFinished.kind, TurnFinished.kind),
    *(TurnSteered.kind, TurnLimited.kind, TurnChecked.kind),
    *COURSE,
)
"""Those a turn is folded from."""
UNREADABLE = "unreadable"
"""What an event is to a program that does not know its shape, though it is whole."""
MAX_REPAIRS = 2
"""Answers that do not fit their schema before the turn fails."""


class ToolResult(msgspec.Struct, frozen=True):
    """What a tool call came to, as the model reads it."""

    call_id: str
    text: str
    failed: bool = False


class Step(msgspec.Struct, frozen=True):
    """One answer of the model and the results of the tools it called, by place."""

    response: ModelResponse
    results: dict[str, ToolResult] = {}
    begun: frozenset[str] = frozenset()
    """Places of calls that were started; without a result they were cut off."""


class Aside(msgspec.Struct, frozen=True):
    """What the model is told during a turn beside the results of its tools, before the model call `step`.

    Attributes:
        kind: `message` (a further one, taken in), `limit` (one is reached: this call is the last), `repair` (the
            answer before does not fit its schema).
        message: the further message; None for the others.
        attempt: of its delivery.
        collected: whether it had waited when the turn began.
        kept: whether it was taken in by the turn that this one branched off, whose reply answers it.
    """

    step: int
    kind: Literal["message", "limit", "repair"]
    text: str
    message: RoomMessage | None = None
    attempt: int = 1
    collected: bool = False
    kept: bool = False


class Turn(msgspec.Struct, frozen=True):
    """A turn as far as it has come. Replaced, never changed.

    Attributes:
        attempt: of delivery; counts from 1.
        failures: of the model call in hand, in a row.
        retry_after: seconds the provider asked to wait after its last failure.
        rest: seconds until the next attempt.
        tried: the attempts at the step in hand that failed, oldest first.
        begun: its `turn.started` is in the journal.
        asked: what the model was asked last, nothing of it left out.
        open: whether nobody knows yet how that ended.
        tries: times the step in hand was asked.
        finished: how the turn ended, empty while it has not.
        gone: `erased` or `pruned` if an event of it was; `unreadable` if this program cannot read one (`last_error`).
        asides: what it is told on its way, in order.
        spent: what it has come to.
        last: the step that is the closing model call, once a limit is reached.
        repairs: answers that did not fit their schema.
        course: what restarts, hand-offs and stops have changed.
    """

    message: RoomMessage
    attempt: int = 1
    steps: tuple[Step, ...] = ()
    failures: int = 0
    last_error: str = ""
    may_retry: bool = True
    retry_after: float = 0.0
    rest: float = 0.0
    tried: tuple[Tried, ...] = ()
    begun: bool = False
    asked: ModelRequested | None = None
    open: bool = False
    tries: int = 0
    finished: str = ""
    gone: str = ""
    asides: tuple[Aside, ...] = ()
    spent: Spent = Spent()
    last: int | None = None
    repairs: int = 0
    course: Course = STRAIGHT

    @property
    def answers(self) -> dict[str, int]:
        """Further messages that its reply answers, with the attempt at each."""
        taken_in = (each for each in self.asides if not each.kept)
        return {each.message.id: each.attempt for each in taken_in if each.message is not None}

    @property
    def hops(self) -> int:
        """Turns that lead to what this one begins, itself included; 1 if a person has said a word in it."""
        people = (each.message is not None and each.message.author_kind == "person" for each in self.asides)
        return 1 if any(people) else self.message.hops + 1

    @property
    def id(self) -> str:
        """The turn is named after its message, and which attempt at it this is."""
        return self.message.id if self.attempt == 1 else turn_id(self.message.id, self.attempt)


class Think(msgspec.Struct, frozen=True):
    """Next: call the model; `wait` seconds first, after a failure."""

    step: int
    wait: float = 0.0


class ToolRun(msgspec.Struct, frozen=True):
    """One tool call to make, at its place in the turn. `cut_off`: it was begun before, nobody knows how it ended."""

    place: str
    call: ToolCall
    cut_off: bool = False


class Act(msgspec.Struct, frozen=True):
    """Next: run these tools, all at once."""

    runs: tuple[ToolRun, ...]


class Say(msgspec.Struct, frozen=True):
    """Next: say this in the room; the turn is over then. `outcome`: as in `TurnFinished`."""

    text: str
    model: str | None
    outcome: str = "answered"

    @property
    def failed(self) -> bool:
        """Whether the message is given up with it."""
        return self.outcome not in ("answered", "stopped")

    @property
    def notice(self) -> bool:
        """Whether this is a notice instead of an answer."""
        return self.failed or (self.outcome == "stopped" and self.model is None)


class Ask(msgspec.Struct, frozen=True):
    """Next: wait for a person to say how the turn goes on. `number`: which restart it is about."""

    question: str
    number: int


type Action = Think | Act | Say | Ask


def turn_id(message: str, attempt: int) -> str:
    """The name of a turn; see `Turn.id`."""
    return message if attempt == 1 else f"{message}~{attempt}"


def message_of_turn(turn: str) -> tuple[str, int]:
    """The message and the attempt a turn is named after."""
    message, mark, attempt = turn.partition("~")
    return (message, int(attempt)) if mark and attempt.isdigit() else (turn, 1)


def place_of(turn: Turn, step: int, number: int) -> str:
    """The name of a tool call, the same whenever the turn is taken up: its effects go by it."""
    return f"{turn.id}/{step}/{number}"


def next_action(turn: Turn, max_steps: int) -> Action:
    """What a turn needs next.

    Args:
        max_steps: model calls before the closing one.
    """
    if turn.gone == UNREADABLE:
        return Say(f"I cannot go on with this: {turn.last_error}. Please ask again.", None, "failed")
    if turn.gone:
        text = f"I cannot go on with this: what was done about it was {turn.gone}. Please ask again."
        return Say(text, None, "erased")
    if turn.course is not STRAIGHT and (changes := _by_course(turn)) is not None:
        return changes
    if turn.failures and not turn.may_retry:
        return Say(f"I could not answer: {turn.last_error}{_so_far(turn)}", None, "failed")
    if turn.steps:
        number = len(turn.steps) - 1
        step = turn.steps[-1]
        closing = turn.last is not None and number >= turn.last
        if not step.response.tool_calls or closing:
            if turn.repairs >= MAX_REPAIRS and not closing:
                return Say(
                    f"I could not answer in the form that was asked for: {turn.last_error}", None, "failed"
                )
            if not closing and any(each.step > number for each in turn.asides):
                return Think(len(turn.steps))
            if closing and not step.response.text.strip():
                return Say(f"I stopped without an answer: {_limit_of(turn)}", None, "failed")
            return Say(step.response.text.strip() or "(no answer)", model_label(step.response))
        open_runs = tuple(
            ToolRun(place, call, place in step.begun)
            for n, call in enumerate(step.response.tool_calls)
            if (place := place_of(turn, number, n)) not in step.results
        )
        if open_runs:
            return Act(open_runs)
        if len(turn.steps) > max_steps:  # the closing call was not noted as one
            text = f"I stopped after {max_steps} steps without an answer; `planaria replay` shows them."
            return Say(text, None, "failed")
    return Think(len(turn.steps), turn.rest)


def _so_far(turn: Turn) -> str:
    """What it has said on the way, which people saw being written; nothing that was paid for is lost."""
    said = [text for step in turn.steps if (text := step.response.text.strip())]
    return "\n\nThis is what I had so far:\n\n" + "\n\n".join(said) if said else ""


def _by_course(turn: Turn) -> Action | None:
    """What follows from what guards and people have said about the turn; None if it goes on."""
    course = turn.course
    if course.stopped is not None:
        why = f": {course.stopped.why}" if course.stopped.why else ""
        partial = course.stopped.partial.strip()
        text = f"(stopped by {course.stopped.by}{why})"
        if not partial:
            return Say(text, None, "stopped")
        asked = turn.asked
        model = (
            ""
            if asked is None
            else asked.model
            if asked.model == asked.provider
            else f"{asked.provider}/{asked.model}"
        )
        return Say(f"{partial}\n\n{text}", model, "stopped")
    if course.notice:
        return Say(f"I stopped: {course.notice}", None, "failed")
    if course.question:
        return Ask(course.question, len(course.trips))
    return None


def model_label(response: ModelResponse) -> str:
    """Who wrote it, for people: `offline`, or `provider/model`."""
    return (
        response.provider if response.provider == response.model else f"{response.provider}/{response.model}"
    )


def take(turn: Turn, event: Event) -> Turn:
    """Take one event of the session in; those of other turns change nothing, nor does one that came before."""
    if event.cause_id != turn.id or event.kind not in KINDS:
        return turn
    if event.state != "whole":
        return msgspec.structs.replace(turn, gone=event.state)
    try:
        return _take(turn, event)
    except EventMismatch as error:
        return msgspec.structs.replace(turn, gone=UNREADABLE, last_error=str(error))


def _take(turn: Turn, event: Event) -> Turn:
    kind = event.kind
    if kind in (TOOL_STARTED, TOOL_FINISHED):
        return _take_tool(turn, event)
    match kind:
        case ModelRequested.kind:
            return _requested(turn, ModelRequested.of(event))
        case ModelResponded.kind:
            return _responded(turn, ModelResponded.of(event))
        case TurnStarted.kind:
            started = TurnStarted.of(event)
            if (started.message, started.attempt) != (turn.message.id, turn.attempt):
                return turn
            return msgspec.structs.replace(turn, begun=True)
        case TurnFinished.kind:
            finished = TurnFinished.of(event)
            if finished.turn != turn.id:
                return turn
            return msgspec.structs.replace(turn, finished=finished.outcome, open=False)
        case ModelFailed.kind:
            return _failed(turn, ModelFailed.of(event), event.at)
        case TurnSteered.kind:
            return _steered(turn, event, TurnSteered.of(event))
        case TurnLimited.kind:
            return _limited(turn, TurnLimited.of(event))
        case TurnChecked.kind:
            checked = TurnChecked.of(event)
            aside = Aside(checked.step, "repair", checked.problem)
            return _aside(turn, aside, repairs=turn.repairs + 1, last_error=checked.problem)
        case _:
            return _changed(turn, event)


def _changed(turn: Turn, event: Event) -> Turn:
    course = changed(turn.course, event, len(turn.steps))
    mode = RestartChosen.of(event).mode if event.kind == RestartChosen.kind else None
    turn = msgspec.structs.replace(turn, course=course)
    if mode == "reroute" or mode == "resume":
        turn = msgspec.structs.replace(turn, failures=0, may_retry=True, rest=0.0, tried=())
    if mode not in ENDING or not turn.steps:
        return turn
    # What was under way is not done again by a process that is to do otherwise.
    step, number = turn.steps[-1], len(turn.steps) - 1
    calls = {place_of(turn, number, n): call for n, call in enumerate(step.response.tool_calls)}
    told = cut_off_results({place: place in step.begun for place in calls if place not in step.results})
    results = {place: ToolResult(calls[place].id, text, True) for place, text in told.items()}
    step = msgspec.structs.replace(step, results={**step.results, **results})
    return msgspec.structs.replace(turn, steps=(*turn.steps[:-1], step))


def _requested(turn: Turn, asked: ModelRequested) -> Turn:
    if asked.turn != turn.id or asked.step != len(turn.steps):
        return turn
    before = turn.asked
    if before is not None:
        asked = msgspec.structs.replace(
            asked,
            system=before.system if asked.system is None else asked.system,
            tools=before.tools if asked.tools is None else asked.tools,
            talk=before.talk if asked.talk is None else asked.talk,
            parts=before.parts if asked.parts is None else asked.parts,
        )
    return msgspec.structs.replace(turn, asked=asked, open=True, tries=max(turn.tries + 1, asked.attempt))


def _aside(turn: Turn, aside: Aside, **changes: object) -> Turn:
    return msgspec.structs.replace(turn, asides=(*turn.asides, aside), **changes)


def _steered(turn: Turn, event: Event, steered: TurnSteered) -> Turn:
    if steered.turn != turn.id or steered.message in turn.answers:
        return turn
    message = RoomMessage(
        steered.message,
        *(0, event.at, turn.message.room, steered.author, steered.author_kind, steered.text),
        trace_id=event.trace_id,
        subject=event.subject,
    )
    collected = steered.how == "collect"
    return _aside(turn, Aside(steered.step, "message", steered.text, message, steered.delivery, collected))


def _limited(turn: Turn, limited: TurnLimited) -> Turn:
    if turn.last is not None:
        return turn
    told = words(limited.limit, limited.reached, limited.allowed)
    return _aside(turn, Aside(limited.step, "limit", told), last=limited.step)


def _limit_of(turn: Turn) -> str:
    return next(
        (f"it took {each.text}" for each in turn.asides if each.kind == "limit"), "a limit was reached"
    )


def _responded(turn: Turn, said: ModelResponded) -> Turn:
    if said.turn != turn.id or said.step != len(turn.steps):
        return turn
    spent = turn.spent
    return msgspec.structs.replace(
        turn,
        steps=(*turn.steps, Step(said.response)),
        failures=0,
        last_error="",
        may_retry=True,
        retry_after=0.0,
        rest=0.0,
        tried=(),
        open=False,
        tries=0,
        spent=msgspec.structs.replace(
            spent,
            steps=spent.steps + 1,
            tool_calls=spent.tool_calls + len(said.tool_calls),
            tokens=spent.tokens + said.usage.input_tokens + said.usage.output_tokens,
            model_ms=spent.model_ms + said.duration_ms,
            cost_micro=spent.cost_micro + (said.cost_micro or 0),
        ),
    )


def _failed(turn: Turn, problem: ModelFailed, at: float) -> Turn:
    if problem.turn != turn.id or problem.step != len(turn.steps):
        return turn
    wait = problem.retry_after or 0.0
    failures = turn.failures + 1
    if problem.then:
        may_retry, rest = problem.then != "stop", problem.wait
    else:
        may_retry = problem.retry and wait <= LONGEST_WAIT and failures < MAX_FAILURES
        rest = max(2.0 ** (failures - 1), wait)
    provider, model = problem.provider, problem.model
    if not provider and turn.asked is not None:
        provider, model = turn.asked.provider, turn.asked.model
    until = at + wait if wait else 0.0
    tried = Tried(provider, model, problem.fault, problem.attempt, problem.retry, until)
    return msgspec.structs.replace(
        turn,
        failures=failures,
        last_error=problem.error,
        may_retry=may_retry,
        retry_after=wait,
        rest=rest,
        tried=(*turn.tried, tried),
        open=turn.open and problem.unknown,
        tries=max(turn.tries, problem.attempt),
    )


def _take_tool(turn: Turn, event: Event) -> Turn:
    place = str(event.payload.get("call_id", ""))
    head, _, number = place.rpartition("/")
    last = len(turn.steps) - 1
    if last < 0 or head != f"{turn.id}/{last}" or not number.isdigit():
        return turn
    step = turn.steps[-1]
    if int(number) >= len(step.response.tool_calls):
        return turn
    if event.kind == ToolStarted.kind:
        step = msgspec.structs.replace(step, begun=step.begun | {place})
    elif place not in step.results:
        result = result_of(step.response.tool_calls[int(number)], event)
        step = msgspec.structs.replace(step, results={**step.results, place: result})
    return msgspec.structs.replace(turn, steps=(*turn.steps[:-1], step))


def result_of(call: ToolCall, event: Event) -> ToolResult:
    """A tool's result as the journal has it, in the words the model reads."""
    outcome = outcome_of(event)
    text, tool = spoken(outcome), event.payload.get("tool", call.name)
    if tool != call.name:  # see `agents/thinking/stand_in.py`
        text = f"({call.name} is held back now; {tool} was called with the same arguments instead)\n{text}"
    return ToolResult(call.id, text, isinstance(outcome, Failed))
