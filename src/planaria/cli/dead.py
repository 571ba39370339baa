"""`planaria dead`: what was given up, and having it done again or dropping it."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import garden_option, json_option
from planaria.cli.listing import Listing
from planaria.cli.who import by_option, moment

LONGEST = 100
"""Characters of a reason in a list."""


@click.group(cls=Listing)
def dead() -> None:
    """Dead letters: what was accepted and given up, with the reason."""


@dead.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that were replayed or dropped of late.")
@click.option("-n", "--limit", default=100, show_default=True, help="How many.")
@garden_option
@json_option
def list_(everything: bool, limit: int, garden: Path, as_json: bool) -> None:
    """The open letters, latest first."""
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("dead.list", closed=everything, limit=limit)
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("no dead letters", err=True)
        return
    columns = ("letter", "when", "kind", "what", "attempt", "state", "reason")
    output.print_table(columns, [_row(letter) for letter in found])


@dead.command()
@click.argument("letter", metavar="ID")
@garden_option
@json_option
def show(letter: str, garden: Path, as_json: bool) -> None:
    """The letter ID (its number, or its id) with all that is known about it."""
    with Client(garden) as client, output.working("asking the node"):
        view = client.ask("dead.show", letter=letter)
    if as_json:
        output.print_json(view)
        return
    found = view["letter"]
    output.print_pairs(
        [
            ("letter", f"#{found['number']}  {found['id']}"),
            ("kind", found["letter"]),
            ("what", found["target"]),
            ("reason", found["reason"]),
            ("given up", f"{_times(found['attempt'])}, at {moment(found['at'])}"),
            ("state", _state(found)),
            *([("replay", _outcome(view))] if found["state"] == "replayed" else []),
            ("trace", found["trace_id"]),
            *((f"  {name}", _said(value)) for name, value in view["evidence"].items()),
        ]
    )


@dead.command()
@click.argument("letter", metavar="ID")
@by_option
@garden_option
@json_option
def replay(letter: str, by: str, garden: Path, as_json: bool) -> None:
    """Have it done again. If it is given up again, that is a new letter, which counts the attempts."""
    with Client(garden) as client, output.working("replaying"):
        result = client.ask("dead.replay", letter=letter, by=by)
    if as_json:
        output.print_json(result)
    else:
        click.echo(f"it is done again; `planaria dead show {output.clean(letter)}` tells what came of it")


@dead.command()
@click.argument("letter", metavar="ID")
@click.option("--why", default="", help="A word about the reason; kept.")
@by_option
@garden_option
@json_option
def drop(letter: str, why: str, by: str, garden: Path, as_json: bool) -> None:
    """Decide that it need not be done. The letter stays in the journal."""
    with Client(garden) as client, output.working("dropping"):
        result = client.ask("dead.drop", letter=letter, by=by, why=why)
    if as_json:
        output.print_json(result)
    else:
        click.echo("dropped")


def _row(letter: dict[str, Any]) -> list[object]:
    reason = letter["reason"].replace("\n", " ")
    short = reason if len(reason) <= LONGEST else reason[: LONGEST - 1] + "…"
    number, at = f"#{letter['number']}", moment(letter["at"])
    return [number, at, letter["letter"], letter["target"], letter["attempt"], letter["state"], short]


def _times(attempt: int) -> str:
    return "once" if attempt == 1 else f"{attempt} times"


def _state(letter: dict[str, Any]) -> str:
    if letter["state"] == "open":
        return f"open: `planaria dead replay {letter['number']}` or `planaria dead drop {letter['number']}`"
    why = f": {letter['why']}" if letter["why"] else ""
    return f"{letter['state']} by {letter['by']}, {moment(letter['closed_at'])}{why}"


def _outcome(view: dict[str, Any]) -> str:
    if again := view.get("again"):
        return f"given up again: `planaria dead show {again}`"
    if not view["outcome"]:
        return f"under way, work {view['letter']['work']}"
    said = f": {view['outcome_text']}" if view["outcome_text"] else ""
    return f"{view['outcome'].removeprefix('work.')}{said}"


def _said(value: object) -> str:
    text = str(value)
    return text if len(text) <= 500 else text[:499] + "…"
