"""Methods about workflows: the definitions, starting a run, looking at runs."""

from typing import Any

import msgspec

from planaria.cortex.errors import JournalUnavailable
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import receive, subscribe
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import TOPIC, Refused, RunChanged
from planaria.workflows.views import RunSummary, RunView, WorkflowView


class Start(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A workflow and values for its inputs; with `follow` the run is told step by step until it is over."""

    name: str
    arguments: dict[str, Any] = {}
    follow: bool = False


class WhichRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run by its id."""

    run: str


class Runs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the latest runs."""

    limit: int = 20


class Started(msgspec.Struct, frozen=True):
    """The run was accepted and will end, whatever is killed meanwhile."""

    run: str


async def workflows(params: Nothing, services: Services, channel: Channel) -> tuple[WorkflowView, ...]:
    """All workflows, broken ones included."""
    return await Workflows.list("workflows")


async def runs(params: Runs, services: Services, channel: Channel) -> tuple[RunSummary, ...]:
    """The latest runs, newest first."""
    return await Workflows.runs("workflows", params.limit)


async def run(params: Start, services: Services, channel: Channel) -> Started | RunView:
    """Start a run. With `follow` its views come as events and the last is the result."""
    subscribe(TOPIC)
    started = await Workflows.start_run("workflows", params.name, "hand", params.arguments)
    if isinstance(started, Refused):
        raise ControlError("refused", started.error)
    if not params.follow:
        return Started(started)
    while True:
        view = await _view(started)
        if view.status != "running":
            return view
        channel.send(view)
        await receive(lambda message: isinstance(message, RunChanged) and message.run_id == started)


async def show(params: WhichRun, services: Services, channel: Channel) -> RunView:
    """A run in full."""
    return await _view(params.run)


async def cancel(params: WhichRun, services: Services, channel: Channel) -> dict[str, bool]:
    """End a run."""
    done = await Workflows.cancel("workflows", params.run)
    if isinstance(done, Refused):
        raise ControlError("refused", done.error)
    return {"cancelled": bool(done)}


async def _view(run_id: str) -> RunView:
    try:
        view = await Workflows.show("workflows", run_id)
    except JournalUnavailable as error:
        raise ControlError("unavailable", error.cause, error.mend) from error
    if view is None:
        raise ControlError("not_found", f"no run {run_id!r}", "`planaria workflow runs` lists the latest")
    return view
