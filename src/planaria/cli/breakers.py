"""`planaria breakers`: what keeps failing and is left alone for a while, and doing so by hand."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.listing import Listing
from planaria.cli.who import by_option

LONGEST = 80
"""Characters of a reason in a list."""


@click.group(cls=Listing, invoke_without_command=True)
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@json_option
@click.pass_context
def breakers(context: click.Context, garden: Path | None, as_json: bool) -> None:
    """Breakers of tools, providers, MCP servers and gateways; without a subcommand all that were used."""
    if context.invoked_subcommand is None:
        _list(find_garden(garden), False, as_json)


@breakers.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not closed.")
@garden_option
@json_option
def list_(only_open: bool, garden: Path, as_json: bool) -> None:
    """All that were used since the node started, and all that are open."""
    _list(garden, only_open, as_json)


@breakers.command("open")
@click.argument("name")
@click.option("--for", "seconds", type=float, help="For so many seconds; else until it is closed.")
@click.option("--why", default="", help="A word about the reason; whoever is refused reads it.")
@by_option
@garden_option
@json_option
def open_(name: str, seconds: float | None, why: str, by: str, garden: Path, as_json: bool) -> None:
    """Hold NAME back, such as tool:web.fetch or provider:openai."""
    with Client(garden) as client, output.working("opening"):
        view = client.ask("breakers.open", name=name, by=f"person:{by}", why=why, seconds=seconds)
    _say(view, as_json)


@breakers.command()
@click.argument("name")
@click.option("--why", default="", help="A word about the reason; kept.")
@by_option
@garden_option
@json_option
def close(name: str, why: str, by: str, garden: Path, as_json: bool) -> None:
    """Let NAME be used again, and forget what was held against it."""
    with Client(garden) as client, output.working("closing"):
        view = client.ask("breakers.close", name=name, by=f"person:{by}", why=why)
    _say(view, as_json)


def _list(garden: Path, only_open: bool, as_json: bool) -> None:
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("breakers.list")
    if only_open:
        found = [each for each in found if each["state"] != "closed"]
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo(
            "no breaker is open" if only_open else "nothing with a breaker was used since the start", err=True
        )
        return
    columns = ("breaker", "state", "until", "failures", "of late", "why")
    output.print_table(columns, [_row(each) for each in found])


def _say(view: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(view)
    else:
        until = _until(view)
        click.echo(output.clean(f"{view['name']} is {view['state']}{f', until {until}' if until else ''}"))


def _row(view: dict[str, Any]) -> list[object]:
    why = view["why"].replace("\n", " ")
    late = f"{view['failed']} of {view['calls']} failed" if view["calls"] else ""
    return [
        view["name"],
        view["state"],
        _until(view),
        view["failures"],
        late,
        why if len(why) <= LONGEST else why[: LONGEST - 1] + "…",
    ]


def _until(view: dict[str, Any]) -> str:
    if view["state"] == "closed":
        return ""
    if view["until"] is None:
        return f"closed by hand ({view['by']} opened it)" if view["by"] else "closed by hand"
    return "" if view["state"] == "half_open" else output.when(view["until"])
