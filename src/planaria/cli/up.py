"""`planaria up`: runs the node of a garden in the foreground, until Ctrl-C, SIGTERM or `planaria stop`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from planaria.cli import output
from planaria.cli.errors import NO_GARDEN, RUNNING, CliError
from planaria.cli.garden import garden_option
from planaria.config.errors import SettingsError
from planaria.config.lock import GardenInUse, GardenLock, PrivateFolderError

if TYPE_CHECKING:
    from planaria.node import Ready


@click.command()
@garden_option
def up(garden: Path) -> None:
    """Start the node of a garden: its agents, workflows and dashboard."""
    try:
        lock = GardenLock(garden, since=time.time())
    except GardenInUse as error:
        at = f" at {error.url}" if error.url else ""
        what = f"a node runs the garden {garden} already: process {error.pid}{at}"
        raise CliError(RUNNING, what, "use that one, or end it with `planaria stop`", "running") from error
    except PrivateFolderError as error:
        raise CliError(NO_GARDEN, str(error)) from error

    def ready(found: "Ready") -> None:
        lock.announce(found.url)
        _greet(found)

    with lock:
        # Lazily: this brings in the whole node, which the clients of a node, and those refused above, do without.
        from planaria import node

        try:
            code = node.run(garden, ready)
        except SettingsError as error:
            raise CliError(NO_GARDEN, str(error), code="settings") from error
        except PrivateFolderError as error:
            raise CliError(NO_GARDEN, str(error)) from error
    raise SystemExit(code)


def _greet(ready: "Ready") -> None:
    click.echo(output.clean(ready.tree))
    click.echo(f"\njournal    {output.clean(ready.journal)}")
    click.echo(f"dashboard  {click.style(ready.login_url, bold=True)}")
    click.echo("Ctrl-C ends the node in order.")
