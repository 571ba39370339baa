"""`planaria rooms`: the rooms of a garden, and opening one."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.listing import Listing


@click.group(cls=Listing, invoke_without_command=True)
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@json_option
@click.pass_context
def rooms(context: click.Context, garden: Path | None, as_json: bool) -> None:
    """The rooms where people and agents talk."""
    if context.invoked_subcommand is not None:
        return
    with Client(find_garden(garden)) as client, output.working("asking the node"):
        found = client.ask("rooms")
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("no room is open yet; `planaria rooms open NAME` opens one", err=True)
    output.print_table(("room", "agents", "last message"), [_row(room) for room in found])


@rooms.command("open")
@click.argument("name")
@garden_option
@json_option
def open_room(name: str, garden: Path, as_json: bool) -> None:
    """Open a room called NAME; nothing happens if it is open."""
    with Client(garden) as client, output.working("opening the room"):
        result = client.ask("room.open", room=name)
    if as_json:
        output.print_json(result)
    else:
        click.echo(output.clean(f"open: {result['room']}; talk there with `planaria chat {result['room']}`"))


def _row(room: dict[str, Any]) -> list[object]:
    last = room["last"]
    said = f"{last['author']}: {last['text']}".replace("\n", " ") if last else ""
    return [room["name"], ", ".join(room["members"]), said if len(said) <= 80 else said[:79] + "…"]
