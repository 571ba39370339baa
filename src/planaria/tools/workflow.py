"""Tools for workflows: list them, start one.

A run is started, not awaited: it goes on by itself, whatever becomes of the caller. It is keyed by the call, so a call
that is made again, after a crash or as the next attempt of a step, is still one run.
"""

from typing import Any

from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import Refused


@tool(needs={"workflows.run"}, touches={"workflows.run": "name"}, branches=("ok",), idempotent=True)
async def run(context: Context, name: str, arguments: dict[str, Any] = {}) -> Done | Failed:  # noqa: B006 - copied per call
    """Start a workflow by hand; it runs on its own.

    Args:
        name: the workflow's name.
        arguments: values for its inputs, if it has any.
    """
    answer = await Workflows.start_run(
        "workflows",
        name,
        trigger=context.caller,
        arguments=arguments,
        cause_id=context.cause_id,
        trace_id=context.trace_id,
        key=context.effect,
    )
    if isinstance(answer, Refused):
        return Failed(answer.error, retry=answer.retry)
    return Done({"run": answer, "workflow": name}, text=f"The workflow {name} has started: run {answer}.")


@tool(needs={"workflows.read"}, branches=("ok", "none"), idempotent=True, name="workflow.list")
async def list_workflows(context: Context) -> Done | Failed:
    """List the workflows: what they do, when they run, and what is wrong with those that cannot."""
    views = await Workflows.list("workflows")
    value = [
        {
            "name": view.name,
            "description": view.description,
            "runnable": view.runnable,
            "schedule": view.cron,
            "problems": [str(problem) for problem in view.problems],
            "last_run": view.last_run,
        }
        for view in views
    ]
    lines = [
        f"- {view.name}: {view.description or 'no description'}"
        + (f" (schedule {view.cron}, {view.zone})" if view.cron else "")
        + (f"; last run: {view.last_run.status}" if view.last_run else "")
        + "".join(f"\n  problem: {problem}" for problem in view.problems)
        for view in views
    ]
    return Done(value, branch="ok" if views else "none", text="\n".join(lines) or "There are no workflows.")
