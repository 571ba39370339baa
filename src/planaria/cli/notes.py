"""`planaria notes`: finding notes."""

from pathlib import Path

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import garden_option, json_option
from planaria.cli.listing import Listing


@click.group(cls=Listing)
def notes() -> None:
    """The garden's notes."""


@notes.command()
@click.argument("query", nargs=-1, required=True)
@click.option("-n", "--limit", default=10, show_default=True, help="At most so many.")
@garden_option
@json_option
def search(query: tuple[str, ...], limit: int, garden: Path, as_json: bool) -> None:
    """Find notes by their words; "a phrase" in quotation marks."""
    with Client(garden) as client, output.working("searching"):
        hits = client.ask("notes.search", query=" ".join(query), limit=limit)
    if as_json:
        output.print_json(hits)
        return
    if not hits:
        click.echo("nothing found", err=True)
    for hit in hits:
        click.echo(f"{click.style(output.clean(hit['path']), bold=True)}  {output.clean(hit['title'])}")
        click.echo(f"  {output.clean(hit['snippet'])}")
