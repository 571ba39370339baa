"""`planaria journal`: what happened."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import garden_option, json_option


@click.group()
def journal() -> None:
    """Read the journal: everything that happened."""


@journal.command()
@click.option("-n", "--limit", default=20, show_default=True, help="How many of the latest events.")
@click.option("-f", "--follow", is_flag=True, help="Go on with those that come, until Ctrl-C.")
@click.option("--session", help="Only one stream, such as room:garden.")
@click.option(
    "--kind", "kinds", multiple=True, help="Only this kind, such as tool.finished; may be repeated."
)
@garden_option
@json_option
def tail(
    limit: int, follow: bool, session: str | None, kinds: tuple[str, ...], garden: Path, as_json: bool
) -> None:
    """The latest events, oldest first."""
    params: dict[str, Any] = {"limit": limit, "session": session, "kinds": list(kinds), "follow": follow}
    with Client(garden) as client:
        if follow:
            for event in client.follow("journal.tail", **params):
                output.print_json_line(event) if as_json else _print(event)
            return
        with output.working("reading the journal"):
            events = client.ask("journal.tail", **params)
    if as_json:
        output.print_json(events)
        return
    for event in events:
        _print(event)


def _print(event: dict[str, Any]) -> None:
    at = datetime.fromtimestamp(event["at"], UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    payload = ", ".join(f"{name}={_short(value)}" for name, value in event["payload"].items())
    head = f"{event['seq']:>7}  {at}  {click.style(output.clean(event['kind']), bold=True)}"
    click.echo(f"{head}  {click.style(output.clean(event['session']), dim=True)}  {output.clean(payload)}")


def _short(value: object) -> str:
    text = str(value).replace("\n", " ")
    return text if len(text) <= 120 else text[:119] + "…"
