"""`planaria totp`: the second factor, an authenticator app whose codes some approvals need."""

from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import garden_option, json_option
from planaria.cli.listing import Listing
from planaria.cli.who import by_option, moment

code_option = click.option("--code", default="", metavar="CODE", help="Of the authenticator in use.")


@click.group(cls=Listing)
def totp() -> None:
    """The second factor: codes of an authenticator app, for approvals that need one."""


@totp.command()
@garden_option
@json_option
def status(garden: Path, as_json: bool) -> None:
    """Whether there is an authenticator."""
    with Client(garden) as client, output.working("asking the node"):
        view = client.ask("totp.status")
    if as_json:
        output.print_json(view)
        return
    if view["enrolled"]:
        click.echo(f"an authenticator is in use since {moment(view['since'])}")
    else:
        click.echo("no authenticator; what needs a code is denied. `planaria totp enroll` makes one")
    if view["locked_until"]:
        click.echo(f"too many wrong codes: none is looked at until {moment(view['locked_until'])}")


@totp.command()
@code_option
@by_option
@garden_option
@json_option
def enroll(code: str, by: str, garden: Path, as_json: bool) -> None:
    """Make a secret for an authenticator app, and show it this once; then confirm with a first code."""
    with Client(garden) as client, output.working("making a secret"):
        made: dict[str, Any] = client.ask("totp.enroll", by=by, code=code)
    if as_json:
        output.print_json(made)
        return
    click.echo("Add this to your authenticator app; it is not shown again:\n")
    click.echo(f"  secret  {made['secret']}")
    click.echo(f"  URI     {made['uri']}\n")
    click.echo("Then confirm with the code it shows: planaria totp confirm CODE")


@totp.command()
@click.argument("code", metavar="CODE")
@by_option
@garden_option
@json_option
def confirm(code: str, by: str, garden: Path, as_json: bool) -> None:
    """Take a new authenticator into use, by the CODE it shows."""
    with Client(garden) as client, output.working("confirming"):
        view = client.ask("totp.confirm", by=by, code=code)
    if as_json:
        output.print_json(view)
    else:
        click.echo("the authenticator is in use")


@totp.command()
@click.argument("code", metavar="CODE")
@by_option
@garden_option
@json_option
def remove(code: str, by: str, garden: Path, as_json: bool) -> None:
    """Use no authenticator any more, by a last CODE: what needs one is denied from then on."""
    with Client(garden) as client, output.working("removing"):
        view = client.ask("totp.remove", by=by, code=code)
    if as_json:
        output.print_json(view)
    else:
        click.echo("the authenticator is removed")
