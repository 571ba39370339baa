"""`planaria stop`: ends the node in order; or, with a target, what agents do, at once."""

import time
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import NO_ANSWER, CliError
from planaria.cli.garden import garden_option, json_option
from planaria.cli.who import by_option
from planaria.config.lock import find_holder

STOP_TIME = 60.0
"""Seconds a node may take to end in order before the command gives up watching."""
KINDS = ("agent", "room", "session")


@click.command()
@click.argument("target", nargs=-1)
@click.option("--kill", is_flag=True, help="Let nothing unwind: work under way has no time to clean up.")
@click.option("--why", default="", help="A word about the reason; the room is told.")
@by_option
@garden_option
@json_option
def stop(target: tuple[str, ...], kill: bool, why: str, by: str, garden: Path, as_json: bool) -> None:
    """Without TARGET: end the node in order, and return when it is gone.

    With TARGET the node goes on, and what agents do ends at once: connections to models are closed, commands are
    killed. What an agent had written by then stays in the room. Messages that were stopped are not handled again.

    \b
    planaria stop scout                  an agent, in all rooms
    planaria stop room kitchen           whoever sits in a room
    planaria stop session scout@garden   one agent in one room
    planaria stop all                    all agents, and the runs of workflows
    """
    if not target:
        if kill or why:
            raise click.UsageError("--kill and --why are for a target, as in `planaria stop all --kill`")
        _end_node(garden, as_json)
        return
    kind, name = _read(target)
    with Client(garden) as client, output.working("stopping"):
        mode = "kill" if kill else "cancel"
        stopped = client.ask("work.stop", kind=kind, name=name, mode=mode, by=by, why=why)
    if as_json:
        output.print_json(stopped)
        return
    for line in _lines(stopped):
        click.echo(output.clean(line))


def _read(target: tuple[str, ...]) -> tuple[str, str]:
    match target:
        case ("all",):
            return "all", ""
        case (name,) if name not in KINDS:
            return ("session" if "@" in name else ""), name
        case (kind, name) if kind in KINDS:
            return kind, name
        case _:
            mend = "write `planaria stop all`, `planaria stop NAME`, or one of agent, room, session with its name"
            raise click.UsageError(f"nothing is called {' '.join(target)!r}: {mend}")


def _lines(stopped: dict[str, Any]) -> list[str]:
    lines: list[str] = []
    for session in stopped["sessions"]:
        name = session["session"].removeprefix("session:")
        turns = len(session["turns"])
        if session["problem"]:
            lines.append(f"{name}: not certain that it was written down: {session['problem']}")
        elif turns:
            lines.append(f"{name}: stopped, {turns} {'message' if turns == 1 else 'messages'}")
    lines += [f"run {run}: cancelled" for run in stopped["runs"]]
    lines += [f"run {run}: {why}" for run, why in stopped["unsure"].items()]
    return lines or ["nothing was under way"]


def _end_node(garden: Path, as_json: bool) -> None:
    with Client(garden) as client:
        client.ask("stop")
    deadline = time.monotonic() + STOP_TIME
    with output.working("the node is ending"):
        while find_holder(garden) is not None:
            if time.monotonic() > deadline:
                mend = "see what it waits for: `planaria tree`"
                raise CliError(NO_ANSWER, f"the node has not ended within {STOP_TIME:g} s", mend, "timeout")
            time.sleep(0.05)
    if as_json:
        output.print_json({"stopped": True})
    else:
        click.echo("stopped: the node, with all its agents; `planaria up` goes on where they stood")
        click.echo("to end only what one of them does: `planaria stop NAME`", err=True)
