"""Where a run goes next: a pure function of its definition, its state and what just happened.

    advance(workflow, state, event) -> Decision(state, facts, effect)

The facts are to be made durable before the effect is carried out; the state is the one they lead to. The same
function begins a run, takes it up again after a crash, and carries it through: there is no second code path
for recovery. An `each` runs on past a failing element; see `outcome_of_all` for the branch it then takes.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from planaria.workflows.definition import END, FAIL, FAILED, MIXED, NONE, SKIPPED, Step, Workflow
from planaria.workflows.events import (
    Fact,
    ItemFinished,
    RunFinished,
    RunResumed,
    RunStatus,
    StepFinished,
    StepRetried,
    StepStarted,
)
from planaria.workflows.state import Current, Result, State, fold
from planaria.workflows.template import TemplateError, render

MAX_ITEMS = 1000
"""Elements a step with `each` may have."""
MAX_INTERRUPTIONS = 5
"""How often the process may die in one call before the call counts as failed: it may be what kills it."""
MAX_FACTS = 200
"""Facts of one decision; what follows them comes with the next one, so that an append stays small."""
MAX_BACKOFF = 600.0
"""Seconds."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something the run is told; `at` is Unix seconds."""

    at: float


class Begin(Event, frozen=True, kw_only=True):
    """The process is there, and the run is new or its last process died."""


class Answer(Event, frozen=True, kw_only=True):
    """The call that was asked for came to this.

    `retry`: it failed, and trying again may help. `held`: it was not made, since a breaker holds its tool back.
    """

    result: Result
    retry: bool = False
    held: bool = False


class Look(Event, frozen=True, kw_only=True):
    """Nothing happened; the effect is asked for again."""


class Due(Event, frozen=True, kw_only=True):
    """The time to try again has come."""


class Cancel(Event, frozen=True, kw_only=True):
    """Somebody wants the run to end."""

    reason: str


class Call(msgspec.Struct, frozen=True):
    """Call this tool, then come back with an `Answer`, after `timeout` seconds at the latest.

    A call that was killed is made again with the same id; every attempt has its own, and `effect` in common.
    """

    id: str
    step: str
    tool: str
    arguments: dict[str, Any]
    timeout: float
    effect: str = ""


class Wait(msgspec.Struct, frozen=True):
    """Come back with `Due` at this time (Unix seconds)."""

    until: float


class Over(msgspec.Struct, frozen=True):
    """Nothing is left to do."""


type Effect = Call | Wait | Over


class Decision(NamedTuple):
    """What follows from an event: the new state, the facts that lead to it, and what to do then."""

    state: State
    facts: tuple[Fact, ...]
    effect: Effect


def advance(workflow: Workflow, state: State, event: Event) -> Decision:
    """What follows from an event.

    Args:
        workflow: the definition the run started with.
        state: as folded from the facts so far.
        event: an `Answer` or `Due` that nobody waits for changes nothing.
    """
    run = _Walk(workflow, state, event.at)
    current = state.current
    if state.status == "running":
        match event:
            case Cancel(reason=reason):
                run.finish("cancelled", reason)
            case Begin() if current and (current.due is None or current.due <= event.at):
                run.resume(current)
            case Answer() if current:
                if not (event.held and run.held(current, event.result)):
                    run.answered(current, event.result, event.retry)
            case _:
                pass
    effect = run.until_effect(due=isinstance(event, Due))
    return Decision(run.state, tuple(run.facts), effect)


class _Walk:
    """Collects facts while it walks; the state follows each of them."""

    def __init__(self, workflow: Workflow, state: State, at: float) -> None:
        self.workflow, self.state, self.at = workflow, state, at
        self.facts: list[Fact] = []

    def add(self, fact: Fact) -> None:
        self.facts.append(fact)
        self.state = fold(self.state, [fact])

    def until_effect(self, due: bool) -> Effect:
        while self.state.status == "running":
            if len(self.facts) >= MAX_FACTS:
                return Wait(self.at)
            current = self.state.current
            if current is None:
                self.enter(self.state.next)
            elif current.items is not None and len(current.done) == len(current.items):
                self.leave(outcome_of_all(current.done))
            elif current.due is not None and current.due > self.at and not due:
                return Wait(current.due)
            else:
                try:
                    return self.call(current)
                except TemplateError as error:
                    self.settle(current, Result(FAILED, error=str(error), attempts=current.attempt))
        return Over()

    def enter(self, target: str | None) -> None:
        if target is None or target in (END, FAIL) or target not in self.workflow.steps:
            last = self.state.visits[-1] if self.state.visits else None
            if target == END:
                self.finish("done")
            elif target == FAIL:
                self.finish("failed", last.error if last else None)
            elif target is None and last:
                problem = f"step {last.step!r} took the branch {last.branch!r}, which leads nowhere"
                self.finish("failed", problem)
            else:
                self.finish("failed", f"there is no step {target!r}")
            return
        step = self.workflow.steps[target]
        visit = self.state.visited(target) + 1
        if step.max_visits is not None and visit > step.max_visits:
            self.finish("failed", f"step {target!r} was entered {step.max_visits} times, which is its bound")
            return
        items, unusable = self.items(step)
        self.add(StepStarted(at=self.at, step=target, visit=visit, items=items))
        if unusable:
            self.leave(Result(FAILED, error=unusable))

    def items(self, step: Step) -> tuple[tuple[Any, ...] | None, str | None]:
        if step.each is None:
            return None, None
        try:
            items = render(step.each, scope(self.workflow, self.state, self.at))
        except TemplateError as error:
            return None, f"each: {error}"
        if not isinstance(items, list):
            return None, f"each: it gives {type(items).__name__}, not a list"
        if len(items) > MAX_ITEMS:
            return None, f"each: it gives {len(items)} elements, more than {MAX_ITEMS}"
        return tuple(items), None

    def call(self, current: Current) -> Call:
        step = self.workflow.steps[current.step]
        names = scope(self.workflow, self.state, current.started)
        index = None if current.items is None else len(current.done)
        if current.items is not None and index is not None:
            names |= {"item": current.items[index], "index": index}
        arguments = {}
        for name, value in step.arguments.items():
            try:
                arguments[name] = render(value, names)
            except TemplateError as error:
                raise TemplateError(f"argument {name!r}: {error}") from error
        place = "/".join(str(part) for part in (current.step, current.visit, index) if part is not None)
        effect = f"{self.state.run}/{place}"
        return Call(
            f"{effect}/{current.attempt}", step.id, current.tool or step.tool, arguments, step.timeout, effect
        )

    def held(self, current: Current, result: Result) -> bool:
        """Go the way the step declares for a tool that is held back; False if it declares none, or has gone it."""
        step = self.workflow.steps[current.step]
        way = step.way
        if way is None or (way.way == "fallback" and current.tool):
            return False
        if way.way == "skip":
            self.settle(current, Result(SKIPPED, error=result.error, attempts=current.attempt))
        elif way.way == "halt":
            self.finish("failed", f"step {step.id!r} was halted: {result.error}", halted=True)
        else:
            self.retry(current, result, self.at, way.tool)
        return True

    def answered(self, current: Current, result: Result, retry: bool) -> None:
        step = self.workflow.steps[current.step]
        result = msgspec.structs.replace(result, attempts=current.attempt)
        if result.branch == FAILED and retry and current.attempt <= step.retry:
            self.retry(current, result, self.at + min(step.backoff * 2 ** (current.attempt - 1), MAX_BACKOFF))
        else:
            self.settle(current, result)

    def retry(self, current: Current, result: Result, due: float, tool: str = "") -> None:
        self.add(
            StepRetried(
                at=self.at,
                step=current.step,
                visit=current.visit,
                index=None if current.items is None else len(current.done),
                attempt=current.attempt,
                error=result.error or "",
                due=due,
                tool=tool,
            )
        )

    def settle(self, current: Current, result: Result) -> None:
        if current.items is None:
            self.leave(result)
            return
        self.add(
            ItemFinished(
                at=self.at,
                step=current.step,
                visit=current.visit,
                index=len(current.done),
                branch=result.branch,
                value=result.value,
                text=result.text,
                error=result.error,
                attempt=result.attempts,
            )
        )

    def leave(self, result: Result) -> None:
        current = self.state.current
        assert current is not None
        self.add(
            StepFinished(
                at=self.at,
                step=current.step,
                visit=current.visit,
                branch=result.branch,
                target=self.workflow.steps[current.step].route(result.branch),
                value=result.value,
                text=result.text,
                error=result.error,
                attempt=result.attempts,
                branches=result.branches,
            )
        )

    def resume(self, current: Current) -> None:
        if current.interruptions >= MAX_INTERRUPTIONS:
            problem = f"the run was interrupted {current.interruptions} times during this call"
            self.settle(current, Result(FAILED, error=problem, attempts=current.attempt))
        else:
            self.add(RunResumed(at=self.at, run=self.state.run, step=current.step))

    def finish(self, status: RunStatus, error: str | None = None, halted: bool = False) -> None:
        state = self.state
        self.add(
            RunFinished(
                at=self.at,
                run=state.run,
                workflow=state.workflow,
                status=status,
                path=state.path,
                error=error,
                halted=halted,
            )
        )


def outcome_of_all(results: tuple[Result, ...]) -> Result:
    """What a step with `each` came to: `value` has one entry per element, none for an element that failed.

    No element: `none`. Any element failed: `failed` (the others were still done). All took one branch: that
    branch. Otherwise: `mixed`.
    """
    branches = tuple(result.branch for result in results)
    failed = [(index, result) for index, result in enumerate(results) if result.branch == FAILED]
    error = None
    if failed:
        index, first = failed[0]
        error = f"{len(failed)} of {len(results)} failed, first element {index}: {first.error}"
    kinds = set(branches)
    branch = NONE if not kinds else FAILED if failed else branches[0] if len(kinds) == 1 else MIXED
    attempts = max((result.attempts for result in results), default=1)
    return Result(branch, [result.value for result in results], None, error, attempts, branches)


def scope(workflow: Workflow, state: State, at: float) -> dict[str, Any]:
    """What templates may name: `steps`, `trigger`, `run`, `now`."""
    now = datetime.fromtimestamp(at, UTC).astimezone(ZoneInfo(workflow.zone))
    return {
        "steps": {step: _offered(result) for step, result in state.results.items()},
        "trigger": {**workflow.inputs, **state.arguments},
        "run": {"id": state.run, "workflow": state.workflow, "trigger": state.trigger},
        "now": now,
    }


def _offered(result: Result) -> Mapping[str, Any]:
    offered = {
        "value": result.value,
        "branch": result.branch,
        "text": result.text,
        "error": result.error,
        "attempts": result.attempts,
    }
    if result.branches is not None:
        counts = {branch: result.branches.count(branch) for branch in result.branches}
        offered |= {"branches": list(result.branches), "counts": counts}
    return offered
