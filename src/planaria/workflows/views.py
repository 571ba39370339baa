"""What others see of workflows and runs: frozen values with all it takes to draw the graph and the path taken.

Pure: made from a definition and, for a run, from its state. They may be sent, cached and compared.
"""

from typing import Any, Literal

import msgspec

from planaria.records.errors import Problem
from planaria.workflows.definition import ANY, END, FAILED, TERMINALS, Step, Workflow
from planaria.workflows.events import RunStatus
from planaria.workflows.state import State, Visit

type NodeKind = Literal["step", "end", "fail"]
type NodeStatus = Literal["pending", "running", "retrying", "done", "failed", "cancelled", "skipped"]


class NodeView(msgspec.Struct, frozen=True):
    """A step, or one of the ends (`kind`), with how often it was entered and how it stands."""

    id: str
    kind: NodeKind
    tool: str = ""
    each: bool = False
    status: NodeStatus = "pending"
    visits: int = 0


class EdgeView(msgspec.Struct, frozen=True):
    """A route: `branch` is its label, `taken` how often the run went this way."""

    source: str
    branch: str
    target: str
    taken: int = 0


class StepView(msgspec.Struct, frozen=True):
    """A step of a run as it stood when it was last entered. `done` of `total` elements, with `each`."""

    id: str
    tool: str
    status: NodeStatus
    branch: str | None = None
    attempts: int = 0
    started: float | None = None
    ended: float | None = None
    error: str | None = None
    visits: int = 0
    done: int = 0
    total: int | None = None


class RunSummary(msgspec.Struct, frozen=True):
    """A run in one line. Times are Unix seconds."""

    id: str
    workflow: str
    status: RunStatus
    trigger: str
    started: float
    ended: float | None = None
    error: str | None = None


class RunView(msgspec.Struct, frozen=True):
    """A run in full. `path` are the steps in the order they were entered; `start` is where it began."""

    id: str
    workflow: str
    status: RunStatus
    steps: tuple[StepView, ...]
    path: tuple[str, ...]
    trigger: str
    arguments: dict[str, Any]
    started: float
    ended: float | None
    error: str | None
    start: str
    nodes: tuple[NodeView, ...]
    edges: tuple[EdgeView, ...]
    visits: tuple[Visit, ...]
    results: dict[str, Any]


class WorkflowView(msgspec.Struct, frozen=True):
    """A workflow as loaded. `problems` not empty: the file is broken now; `runnable`: a good version is held."""

    name: str
    path: str
    description: str = ""
    runnable: bool = False
    cron: str | None = None
    zone: str = "UTC"
    next_at: float | None = None
    hash: str = ""
    inputs: dict[str, Any] = {}
    start: str = ""
    nodes: tuple[NodeView, ...] = ()
    edges: tuple[EdgeView, ...] = ()
    problems: tuple[Problem, ...] = ()
    last_run: RunSummary | None = None


def summary(state: State) -> RunSummary:
    """A run in one line."""
    return RunSummary(
        state.run, state.workflow, state.status, state.trigger, state.started, state.ended, state.error
    )


def run_view(workflow: Workflow, state: State) -> RunView:
    """A run in full, drawn over the definition it started with."""
    steps = tuple(_step_view(step, state) for step in workflow.steps.values())
    return RunView(
        id=state.run,
        workflow=state.workflow,
        status=state.status,
        steps=steps,
        path=state.path,
        trigger=state.trigger,
        arguments=state.arguments,
        started=state.started,
        ended=state.ended,
        error=state.error,
        start=workflow.start,
        nodes=nodes_of(workflow, state),
        edges=edges_of(workflow, state),
        visits=state.visits,
        results={step: result.value for step, result in state.results.items()},
    )


def nodes_of(workflow: Workflow, state: State | None = None) -> tuple[NodeView, ...]:
    """The boxes of the graph: every step, then the ends that a route leads to."""
    nodes = [
        NodeView(
            step.id,
            "step",
            step.tool,
            step.each is not None,
            _status(step, state) if state else "pending",
            state.visited(step.id) if state else 0,
        )
        for step in workflow.steps.values()
    ]
    used = {target for step in workflow.steps.values() for target in step.routes.values()}
    last = state.visits[-1].target if state and state.visits else None
    for terminal in TERMINALS:
        if terminal in used:
            reached = last == terminal
            status: NodeStatus = "pending"
            if state and state.status != "running":
                status = "skipped" if not reached else "done" if terminal == END else "failed"
            kind: NodeKind = "end" if terminal == END else "fail"
            nodes.append(NodeView(terminal, kind, status=status, visits=int(reached)))
    return tuple(nodes)


def edges_of(workflow: Workflow, state: State | None = None) -> tuple[EdgeView, ...]:
    """The arrows of the graph, one per route. A run's branch without a route of its own went along `*`."""
    visits = state.visits if state else ()
    edges = []
    for step in workflow.steps.values():
        branches = [visit.branch for visit in visits if visit.step == step.id and visit.branch]
        ways = [branch if branch in step.routes else ANY for branch in branches]
        edges += [
            EdgeView(step.id, branch, target, ways.count(branch)) for branch, target in step.routes.items()
        ]
    return tuple(edges)


def _step_view(step: Step, state: State) -> StepView:
    visits = [visit for visit in state.visits if visit.step == step.id]
    if not visits:
        return StepView(step.id, step.tool, _status(step, state))
    last = visits[-1]
    return StepView(
        step.id,
        step.tool,
        _status(step, state),
        last.branch,
        last.attempts,
        last.started,
        last.ended,
        last.error,
        len(visits),
        last.done,
        last.total,
    )


def _status(step: Step, state: State) -> NodeStatus:
    visits = [visit for visit in state.visits if visit.step == step.id]
    running = state.status == "running"
    if not visits:
        return "pending" if running else "skipped"
    if (last := visits[-1]).ended is not None:
        return "failed" if last.branch == FAILED else "done"
    if not running:
        return "cancelled"
    return "retrying" if state.current and state.current.due is not None else "running"
