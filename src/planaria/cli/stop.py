"""`planaria stop`: ends the node in order; or, with a target, what agents do, at once."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import NO_ANSWER, REFUSED, CliError
from planaria.cli.garden import garden_option, json_option
from planaria.cli.who import by_option
from planaria.config.lock import find_holder

STOP_TIME = 60.0
"""Seconds a node may take to end in order before the command gives up watching."""
KINDS = ("agent", "room", "session")
IDLE = ("idle", "down")
SHOWN = 3
"""Names that are told of those at work."""


@click.command()
@click.argument("target", nargs=-1)
@click.option("--kill", is_flag=True, help="Let nothing unwind: work under way has no time to clean up.")
@click.option("--why", default="", help="A word about the reason; the room is told.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask whether to end the node.")
@by_option
@garden_option
@json_option
def stop(
    target: tuple[str, ...], kill: bool, why: str, yes: bool, by: str, garden: Path, as_json: bool
) -> None:
    """Without TARGET: end the node in order, and return when it is gone. You are asked before; a script says --yes.

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
        _end_node(garden, as_json, sure=yes)
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


def _end_node(garden: Path, as_json: bool, *, sure: bool) -> None:
    with Client(garden) as client:
        if not sure:
            _ask(client, garden)
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


def _ask(client: Client, garden: Path) -> None:
    """Make sure that the whole node is meant.

    Raises:
        CliError: nobody can be asked.
    """
    if not _is_terminal():
        mend = "write `planaria stop --yes`; for what agents do: `planaria stop NAME`, `planaria stop all`"
        raise CliError(REFUSED, "this ends the whole node, and nobody is here to be asked", mend, "not_sure")
    click.confirm(f"This ends the node of {garden}; {_at_work(client)}. End it?", abort=True, err=True)


def _at_work(client: Client) -> str:
    """Who is at work, in words."""
    try:
        rows = client.ask("live", table="sessions", limit=1000)
    except CliError:
        return "who is at work cannot be seen now"
    busy = sorted(row["key"].removeprefix("session:") for row in rows if row["status"] not in IDLE)
    if not busy:
        return "nobody is at work"
    more = f" and {len(busy) - SHOWN} more" if len(busy) > SHOWN else ""
    return f"{', '.join(output.clean(name) for name in busy[:SHOWN])}{more} {'is' if len(busy) == 1 else 'are'} at work"


def _is_terminal() -> bool:
    return sys.stdin.isatty()
