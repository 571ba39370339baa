"""Workflows and their runs: start one by hand, see when the next is due, follow a run along its graph."""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planaria.nerve.web.graph import draw
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part
from planaria.nerve.web.site import Site
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import TOPIC, Refused
from planaria.workflows.views import RunSummary, RunView, StepView, WorkflowView

RUNS = 50
"""Runs on the list."""


class FlowLine(msgspec.Struct, frozen=True):
    """A workflow in the list."""

    name: str
    description: str
    schedule: str | None
    next_at: float | None
    problem: str | None


class RunLine(msgspec.Struct, frozen=True):
    """A run in the list; `took` is None while it runs."""

    id: str
    workflow: str
    status: str
    trigger: str
    started: float
    took: float | None


class StepLine(msgspec.Struct, frozen=True):
    """A step of a run in its table."""

    id: str
    tool: str
    status: str
    branch: str | None
    attempts: int
    started: float | None
    took: float | None
    error: str | None


class RunPage(msgspec.Struct, frozen=True):
    """A run as its page shows it."""

    id: str
    workflow: str
    status: str
    trigger: str
    started: float
    took: float | None
    error: str | None
    steps: tuple[StepLine, ...]
    path: tuple[str, ...]


def routes(site: Site) -> list[Route]:
    """`/workflows`, `/runs/<id>`, their streams, and the button that starts a run."""

    async def show_all(request: Request) -> Response:
        values = {
            key: value for part in await WorkflowsFeed(site).parts() for key, value in part.values.items()
        }
        return await site.page("workflows.html", "workflows", "/live/workflows", values)

    async def show_run(request: Request) -> Response:
        feed = RunFeed(site, request.path_params["id"])
        values = {key: value for part in await feed.parts() for key, value in part.values.items()}
        return await site.page("run.html", "workflows", "/live/runs/" + quote(feed.id, safe=""), values)

    async def start(request: Request) -> Response:
        name = request.path_params["name"]
        answer = await Workflows.start_run(site.pid("workflows"), name, trigger="hand")
        if isinstance(answer, Refused):
            raise HTTPException(409, answer.error)
        return RedirectResponse(f"/runs/{quote(answer, safe='')}", status_code=303)

    async def cancel(request: Request) -> Response:
        run = request.path_params["id"]
        answer = await Workflows.cancel(site.pid("workflows"), run)
        refused = isinstance(answer, Refused)
        said = (
            answer.error
            if isinstance(answer, Refused)
            else "Cancelled."
            if answer
            else "It was over already."
        )
        return site.told(request, said, f"/runs/{quote(run, safe='')}", bad=refused)

    async def live_all(request: Request) -> Response:
        return LiveResponse(site, request, WorkflowsFeed(site))

    async def live_run(request: Request) -> Response:
        return LiveResponse(site, request, RunFeed(site, request.path_params["id"]))

    return [
        Route("/workflows", show_all),
        Route("/workflows/{name}/run", start, methods=["POST"]),
        Route("/runs/{id}", show_run),
        Route("/runs/{id}/cancel", cancel, methods=["POST"]),
        Route("/live/workflows", live_all),
        Route("/live/runs/{id}", live_run),
    ]


class WorkflowsFeed:
    """Both lists, looked at again when something is said on the workflows' topic."""

    topics: Sequence[str] = (TOPIC, "records")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.seen: list[Part] | None = None

    async def parts(self) -> list[Part]:
        """Everything on the page."""
        if self.seen is None:
            engine = self.site.pid("workflows")
            flows = tuple(_flow(view) for view in await Workflows.list(engine))
            runs = tuple(_run(run) for run in await Workflows.runs(engine, limit=RUNS))
            self.seen = [
                Part("workflows", "_workflows.html", {"workflows": flows}, flows),
                Part("runs", "_runs.html", {"runs": runs}, runs),
            ]
        return self.seen

    def take(self, messages: Sequence[object]) -> list[str]:
        """Something moved: look again."""
        if messages:
            self.seen = None
        return []


class RunFeed:
    """One run, looked at again whenever it moves."""

    def __init__(self, site: Site, id: str) -> None:
        self.site = site
        self.id = id
        self.topics: Sequence[str] = (f"run:{id}",)
        self.seen: list[Part] | None = None

    async def parts(self) -> list[Part]:
        """Everything on the page."""
        if self.seen is None:
            view = await Workflows.show(self.site.pid("workflows"), self.id)
            if view is None:
                raise HTTPException(404, f"There is no run {self.id!r}.")
            page, graph = _page(view), draw(view.nodes, view.edges, view.start)
            values: dict[str, object] = {"run": page}
            self.seen = [
                Part("run-vitals", "_run_vitals.html", values, page),
                Part("run-actions", "_run_actions.html", values, page.status),
                Part("graph", "_graph.html", {"graph": graph}, graph),
                Part("steps", "_steps.html", values, page.steps),
            ]
        return self.seen

    def take(self, messages: Sequence[object]) -> list[str]:
        """Something moved: look again."""
        if messages:
            self.seen = None
        return []


def _flow(view: WorkflowView) -> FlowLine:
    problem = (
        None if view.runnable else "; ".join(problem.problem for problem in view.problems) or "not runnable"
    )
    schedule = None if view.cron is None else f"{view.cron} {view.zone}"
    return FlowLine(view.name, view.description, schedule, view.next_at, problem)


def _run(run: RunSummary) -> RunLine:
    return RunLine(run.id, run.workflow, run.status, run.trigger, run.started, _took(run.started, run.ended))


def _page(view: RunView) -> RunPage:
    return RunPage(
        id=view.id,
        workflow=view.workflow,
        status=view.status,
        trigger=view.trigger,
        started=view.started,
        took=_took(view.started, view.ended),
        error=view.error,
        steps=tuple(_step(step) for step in view.steps),
        path=view.path,
    )


def _step(step: StepView) -> StepLine:
    took = None if step.started is None else _took(step.started, step.ended)
    return StepLine(
        step.id, step.tool, step.status, step.branch, step.attempts, step.started, took, step.error
    )


def _took(started: float, ended: float | None) -> float | None:
    return None if ended is None else ended - started
