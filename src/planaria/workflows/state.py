"""What is known about a run: the state that its facts (`events.py`) add up to.

A run is a fold over its facts, so a process that was killed is rebuilt by reading its session. Pure.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from planaria.workflows.events import (
    Fact,
    ItemFinished,
    Items,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
    StepFinished,
    StepRetried,
    StepStarted,
)


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
    """The step being worked on. `attempt` is the number of the call to make or being made.

    `tool`: the one it falls back to; empty for the step's own.
    """

    step: str
    visit: int
    started: float
    items: Items | None = None
    done: tuple[Result, ...] = ()
    attempt: int = 1
    due: float | None = None
    interruptions: int = 0
    tool: str = ""


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
            again = replace(
                current,
                attempt=fact.attempt + 1,
                due=fact.due,
                interruptions=0,
                tool=fact.tool or current.tool,
            )
            return replace(
                state, current=again, visits=_last(state, attempts=fact.attempt + 1, error=fact.error)
            )
        case ItemFinished() if current:
            result = Result(fact.branch, fact.value, fact.text, fact.error, fact.attempt)
            done = (*current.done, result)
            after = replace(current, done=done, attempt=1, due=None, interruptions=0, tool="")
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
