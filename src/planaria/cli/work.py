"""`planaria work`: what is planned for later, and what is tried again."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import NEGATIVE
from planaria.cli.garden import find_garden, garden_option, json_option
from planaria.cli.listing import Listing
from planaria.cli.who import by_option, moment


@click.group(cls=Listing, invoke_without_command=True)
@click.option("--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR")
@json_option
@click.pass_context
def work(context: click.Context, garden: Path | None, as_json: bool) -> None:
    """What is planned for later; without a subcommand all of it, the next first."""
    if context.invoked_subcommand is None:
        _list(find_garden(garden), None, 100, as_json)


@work.command("list")
@click.option("--room", help="Only what is planned in one room.")
@click.option("-n", "--limit", default=100, show_default=True, help="How many.")
@garden_option
@json_option
def list_(room: str | None, limit: int, garden: Path, as_json: bool) -> None:
    """What is planned, the next first."""
    _list(garden, room, limit, as_json)


@work.command()
@click.argument("work_id", metavar="ID")
@click.option("--why", default="", help="A word about the reason; kept.")
@by_option
@garden_option
@json_option
def cancel(work_id: str, why: str, by: str, garden: Path, as_json: bool) -> None:
    """Cancel the work ID; what runs is ended."""
    with Client(garden) as client, output.working("cancelling"):
        result = client.ask("work.cancel", work=work_id, by=by, why=why)
    if as_json:
        output.print_json(result)
    else:
        click.echo("cancelled" if result["cancelled"] else "there is no such work going on; it may be over")
    if not result["cancelled"]:
        raise SystemExit(NEGATIVE)


def _list(garden: Path, room: str | None, limit: int, as_json: bool) -> None:
    with Client(garden) as client, output.working("asking the node"):
        found = client.ask("work.list", room=room, limit=limit)
    if as_json:
        output.print_json(found)
        return
    if not found:
        click.echo("nothing is planned", err=True)
        return
    columns = ("work", "next", "kind", "by", "attempts", "what")
    output.print_table(columns, [_row(job) for job in found])


def _row(job: dict[str, Any]) -> list[object]:
    errors = job["errors"]
    what = job["label"] or job["room"]
    last = f"{what}; last: {errors[-1]}" if errors else what
    when = "now" if job["running"] else moment(job["due"])
    return [job["id"], when, job["work"], job["by"], job["attempt"], last.replace("\n", " ")]
