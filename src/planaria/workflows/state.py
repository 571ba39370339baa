"""What is known about a run: the facts the journal keeps, and the state they add up to.

A run is a fold over its facts, so a process that was killed is rebuilt by reading its session. Pure.
Emits, through `run.py`: `workflow.run.started`, `.resumed`, `.finished`; `workflow.step.started`, `.retried`,
`.finished`; `workflow.item.finished` (one element of a step with `each`).
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import msgspec

type RunStatus = Literal["running", "done", "failed", "cancelled"]
type Items = tuple[Any, ...]


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened in a run; `at` is Unix seconds. Its payload in the journal is its fields."""

    KIND: ClassVar[str]
    at: float

    def payload(self) -> dict[str, Any]:
        """The fields as plain data."""
        data = msgspec.to_builtins(self)
        assert isinstance(data, dict)
        return data


class RunStarted(Fact, frozen=True, kw_only=True):
    """Accepted: from now on the run will end, whatever dies. Holds the definition it goes on with.

    `slot` is the time a schedule asked for, in Unix seconds; no two runs of a workflow have the same one.
    """

    KIND: ClassVar[str] = "workflow.run.started"
    run: str
    workflow: str
    hash: str
    definition: dict[str, Any]
    trigger: str
    arguments: dict[str, Any]
    slot: float | None = None


class RunResumed(Fact, frozen=True, kw_only=True):
    """A new process took the run up after the one before it died in the middle of a step."""

    KIND: ClassVar[str] = "workflow.run.resumed"
    run: str
    step: str


class StepStarted(Fact, frozen=True, kw_only=True):
    """A step was entered for the `visit`th time; `items` is the list of a step with `each`."""

    KIND: ClassVar[str] = "workflow.step.started"
    step: str
    visit: int
    items: Items | None = None


class StepRetried(Fact, frozen=True, kw_only=True):
    """A call failed and is made again at `due`; `attempt` is the number of the one that failed."""

    KIND: ClassVar[str] = "workflow.step.retried"
    step: str
    visit: int
    index: int | None
    attempt: int
    error: str
    due: float


class ItemFinished(Fact, frozen=True, kw_only=True):
    """One element of a step with `each` is done."""

    KIND: ClassVar[str] = "workflow.item.finished"
    step: str
    visit: int
    index: int
    branch: str
    value: Any = None
    text: str | None = None
    error: str | None = None
    attempt: int = 1


class StepFinished(Fact, frozen=True, kw_only=True):
    """A step took a branch, which leads to `target`. With `each`, `value` holds one value per element."""

    KIND: ClassVar[str] = "workflow.step.finished"
    step: str
    visit: int
    branch: str
    target: str | None
    value: Any = None
    text: str | None = None
    error: str | None = None
    attempt: int = 1
    branches: tuple[str, ...] | None = None


class RunFinished(Fact, frozen=True, kw_only=True):
    """The run is over; `path` are the steps in the order they were entered."""

    KIND: ClassVar[str] = "workflow.run.finished"
    run: str
    workflow: str
    status: RunStatus
    path: tuple[str, ...] = ()
    error: str | None = None


FACTS: dict[str, type[Fact]] = {
    fact.KIND: fact
    for fact in (RunStarted, RunResumed, StepStarted, StepRetried, ItemFinished, StepFinished, RunFinished)
}


class Result(msgspec.Struct, frozen=True):
    """What one call (or one step) came to."""

    branch: str
    value: Any = None
    text: str | None = None
    error: str | None = None
    attempts: int = 1
    branches: tuple[str, ...] | None = None


class Visit(msgspec.Struct, frozen=True):
    """One time a step was entered. `done` of `total` elements, for a step with `each`."""

    step: str
    visit: int
    started: float
    ended: float | None = None
    branch: str | None = None
    target: str | None = None
    attempts: int = 1
    error: str | None = None
    done: int = 0
    total: int | None = None


class Current(msgspec.Struct, frozen=True):
    """The step being worked on. `attempt` is the number of the call to make or being made."""

    step: str
    visit: int
    started: float
    items: Items | None = None
    done: tuple[Result, ...] = ()
    attempt: int = 1
    due: float | None = None
    interruptions: int = 0


class State(msgspec.Struct, frozen=True):
    """A run as far as it got. `next` is the step to enter when none is being worked on."""

    run: str
    workflow: str
    trigger: str
    arguments: dict[str, Any]
    started: float
    next: str | None
    status: RunStatus = "running"
    slot: float | None = None
    ended: float | None = None
    error: str | None = None
    current: Current | None = None
    results: dict[str, Result] = {}
    visits: tuple[Visit, ...] = ()

    @property
    def path(self) -> tuple[str, ...]:
        """The steps in the order they were entered."""
        return tuple(visit.step for visit in self.visits)

    def visited(self, step: str) -> int:
        """How often a step was entered."""
        return sum(visit.step == step for visit in self.visits)


def begin(fact: RunStarted) -> State:
    """The state of a run that was accepted and nothing more."""
    start = fact.definition["start"]
    return State(
        fact.run, fact.workflow, fact.trigger, fact.arguments, fact.at, next=str(start), slot=fact.slot
    )


def fold(state: State, facts: Iterable[Fact]) -> State:
    """The state after these facts."""
    for fact in facts:
        state = apply(state, fact)
    return state


def apply(state: State, fact: Fact) -> State:
    """The state after one fact. A fact about something that is over already changes nothing."""
    if state.status != "running":
        return state
    replace = msgspec.structs.replace
    current = state.current
    match fact:
        case StepStarted():
            total = None if fact.items is None else len(fact.items)
            entered = Visit(fact.step, fact.visit, fact.at, total=total)
            return replace(
                state,
                next=None,
                current=Current(fact.step, fact.visit, fact.at, items=fact.items),
                visits=(*state.visits, entered),
            )
        case RunResumed() if current:
            return replace(state, current=replace(current, interruptions=current.interruptions + 1, due=None))
        case StepRetried() if current:
            again = replace(current, attempt=fact.attempt + 1, due=fact.due, interruptions=0)
            return replace(
                state, current=again, visits=_last(state, attempts=fact.attempt + 1, error=fact.error)
            )
        case ItemFinished() if current:
            result = Result(fact.branch, fact.value, fact.text, fact.error, fact.attempt)
            done = (*current.done, result)
            after = replace(current, done=done, attempt=1, due=None, interruptions=0)
            return replace(state, current=after, visits=_last(state, done=len(done), error=None))
        case StepFinished():
            result = Result(fact.branch, fact.value, fact.text, fact.error, fact.attempt, fact.branches)
            ended = _last(
                state,
                ended=fact.at,
                branch=fact.branch,
                target=fact.target,
                attempts=fact.attempt,
                error=fact.error,
            )
            return replace(
                state,
                current=None,
                next=fact.target,
                results={**state.results, fact.step: result},
                visits=ended,
            )
        case RunFinished():
            return replace(
                state, status=fact.status, ended=fact.at, error=fact.error, next=None, current=None
            )
        case _:
            return state


def _last(state: State, **changes: Any) -> tuple[Visit, ...]:
    return (*state.visits[:-1], msgspec.structs.replace(state.visits[-1], **changes))


def read_fact(kind: str, payload: dict[str, Any]) -> Fact | None:
    """A fact from the journal; None for an event that says nothing about the state (such as `tool.started`).

    Raises:
        msgspec.ValidationError: a payload that does not hold the fact's fields.
    """
    fact = FACTS.get(kind)
    return None if fact is None else msgspec.convert(payload, fact)
