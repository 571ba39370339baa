"""`planaria approvals`: what people have approved for more than one call, and taking it back."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.grants import covered
from planaria.cli.listing import Listing
from planaria.cli.who import by_option, moment


@click.group(cls=Listing, invoke_without_command=True)
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@json_option
@click.pass_context
def approvals(context: click.Context, garden: Path | None, as_json: bool) -> None:
    """What you have approved for more than one call; without a subcommand the list."""
    if context.invoked_subcommand is None:
        _list(find_garden(garden), as_json)


@approvals.command("list")
@garden_option
@json_option
def list_(garden: Path, as_json: bool) -> None:
    """What is approved now, oldest first. What waits for you is in `planaria questions`."""
    _list(garden, as_json)


@approvals.command()
@click.argument("approval", metavar="ID")
@by_option
@garden_option
@json_option
def revoke(approval: str, by: str, garden: Path, as_json: bool) -> None:
    """Take the approval ID back (the beginning of its id will do): the next such call is asked for again."""
    with Client(garden) as client, output.working("revoking"):
        found = client.ask("approvals.revoke", approval=approval, by=by)
    if as_json:
        output.print_json(found)
    else:
        click.echo(output.clean(f"revoked: {found['caller']}, {covered(found)}"))


def _list(garden: Path, as_json: bool) -> None:
    with Client(garden) as client, output.working("asking the node"):
        found: list[dict[str, Any]] = client.ask("approvals.list")
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("nothing is approved for more than one call", err=True)
        return
    rows = [
        [each["id"][:10], each["caller"], covered(each), each["by"], moment(each["at"])] for each in found
    ]
    output.print_table(("id", "who", "may", "by", "when"), rows)
