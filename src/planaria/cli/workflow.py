"""`planaria workflow`: listing workflows, running one and watching it, looking at runs."""

import json
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import NEGATIVE
from planaria.cli.garden import garden_option, json_option
from planaria.cli.listing import Listing

COLORS = {
    "done": "green",
    "failed": "red",
    "running": "yellow",
    "retrying": "yellow",
    "cancelled": "magenta",
    "pending": None,
    "skipped": None,
}


@click.group(cls=Listing)
def workflow() -> None:
    """Workflows: steps that run without a model deciding the route."""


@workflow.command("list")
@garden_option
@json_option
def list_(garden: Path, as_json: bool) -> None:
    """All workflows, when they run next, how the last run ended."""
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("workflow.list")
    if as_json:
        output.print_json(found)
        return
    output.print_table(("workflow", "runs", "last run", "description"), [_row(view) for view in found])
    for view in found:
        for problem in view["problems"]:
            text = f"{problem['path']}:{problem['line']}: {problem['problem']}. {problem['mend']}"
            click.echo(click.style(output.clean(text), fg="red"), err=True)


def _row(view: dict[str, Any]) -> list[object]:
    if not view["runnable"]:
        when = "broken"
    elif view["cron"]:
        when = f"next {_at(view['next_at'])}" if view["next_at"] else view["cron"]
    else:
        when = "by hand"
    last = view["last_run"]
    return [
        view["name"],
        when,
        f"{last['status']} {_at(last['started'])}" if last else "",
        view["description"],
    ]


@workflow.command()
@click.option("-n", "--limit", default=20, show_default=True, help="How many.")
@garden_option
@json_option
def runs(limit: int, garden: Path, as_json: bool) -> None:
    """The latest runs, newest first."""
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("workflow.runs", limit=limit)
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("no workflow has run yet; `planaria workflow run NAME` runs one", err=True)
        return
    rows = [
        [run["id"], run["workflow"], run["status"], _at(run["started"]), run["error"] or ""] for run in found
    ]
    output.print_table(("run", "workflow", "status", "started", "error"), rows)


@workflow.command()
@click.argument("name")
@click.option(
    "--with", "given", multiple=True, metavar="KEY=VALUE", help="A value for an input; may be repeated."
)
@click.option("--no-wait", is_flag=True, help="Return when the run is accepted.")
@garden_option
@json_option
def run(name: str, given: tuple[str, ...], no_wait: bool, garden: Path, as_json: bool) -> None:
    """Run the workflow NAME and watch it. Exit code 1 if the run fails.

    A VALUE that is JSON is taken as such (5, true, ["a"]), anything else as text.
    """
    params: dict[str, Any] = {"name": name, "arguments": dict(map(_argument, given))}
    with Client(garden) as client:
        if no_wait:
            with output.working("starting the run"):
                started = client.ask("workflow.run", **params)
            if as_json:
                output.print_json(started)
            else:
                click.echo(started["run"])
            return
        progress = Progress(as_json)
        with ExitStack() as waiting:
            waiting.enter_context(output.working(f"{name} runs"))
            stream = client.follow("workflow.run", follow=True, **params)
            view = output.each(stream, progress.show)
    if as_json:
        output.print_json(view)
    else:
        progress.show(view)
        click.echo(f"{_status(view['status'])} {view['id']}" + _error(view["error"]))
    if view["status"] != "done":
        raise SystemExit(NEGATIVE)


class Progress:
    """Prints each step of a run once, when it is over."""

    def __init__(self, silent: bool) -> None:
        self.silent = silent
        self.shown: set[tuple[str, int]] = set()

    def show(self, view: dict[str, Any]) -> None:
        """Print what is new in a run."""
        for step in view["steps"]:
            key = (step["id"], step["visits"])
            if not self.silent and step["ended"] is not None and key not in self.shown:
                self.shown.add(key)
                click.echo(_step(step))


@workflow.command()
@click.argument("what", metavar="RUN|NAME")
@garden_option
@json_option
def show(what: str, garden: Path, as_json: bool) -> None:
    """A run, step by step; or, for the name of a workflow, its steps and where they lead."""
    with Client(garden) as client, output.working("asking the node"):
        definition = next((view for view in client.ask("workflow.list") if view["name"] == what), None)
        view = definition or client.ask("workflow.show", run=what)
    if as_json:
        output.print_json(view)
    elif definition is not None:
        _show_definition(view)
    else:
        _show_run(view)


@workflow.command()
@click.argument("run_id", metavar="RUN")
@garden_option
@json_option
def cancel(run_id: str, garden: Path, as_json: bool) -> None:
    """End a run; what it has done stays done."""
    with Client(garden) as client, output.working("ending the run"):
        result = client.ask("workflow.cancel", run=run_id)
    if as_json:
        output.print_json(result)
    else:
        click.echo("cancelled" if result["cancelled"] else "it was over already")


def _show_definition(view: dict[str, Any]) -> None:
    output.print_pairs(
        [
            ("workflow", view["name"]),
            ("file", view["path"]),
            ("description", view["description"]),
            ("schedule", f"{view['cron']} ({view['zone']})" if view["cron"] else "by hand"),
            ("inputs", ", ".join(f"{key}={value!r}" for key, value in view["inputs"].items()) or "none"),
        ]
    )
    for node in view["nodes"]:
        if node["kind"] != "step":
            continue
        click.echo(f"\n{click.style(output.clean(node['id']), bold=True)}  {output.clean(node['tool'])}")
        for edge in view["edges"]:
            if edge["source"] == node["id"]:
                click.echo(output.clean(f"  {edge['branch']} → {edge['target']}"))


def _show_run(view: dict[str, Any]) -> None:
    end = f", ended {_at(view['ended'])}" if view["ended"] else ""
    output.print_pairs(
        [
            ("run", view["id"]),
            ("workflow", view["workflow"]),
            ("started", f"{_at(view['started'])} by {view['trigger']}{end}"),
            ("path", " → ".join(view["path"])),
        ]
    )
    for step in view["steps"]:
        click.echo(_step(step))
    click.echo(_status(view["status"]) + _error(view["error"]))


def _step(step: dict[str, Any]) -> str:
    took = (
        f" in {output.seconds(step['ended'] - step['started'])}" if step["ended"] and step["started"] else ""
    )
    tries = f", {step['attempts']} attempts" if step["attempts"] > 1 else ""
    branch = f" → {step['branch']}" if step["branch"] else ""
    line = f"{step['id']}  {step['tool']}{branch}{took}{tries}"
    return f"{_status(step['status'])} {output.clean(line)}{_error(step['error'])}"


def _status(status: str) -> str:
    return click.style(output.clean(status).ljust(9), fg=COLORS.get(status))


def _error(error: str | None) -> str:
    return f"\n          {output.clean(error)}" if error else ""


def _at(unix: float) -> str:
    return datetime.fromtimestamp(unix, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--with")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value
