"""`planaria journal tail`, `show`, `sessions`: reading what happened."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.garden import garden_option, json_option
from planaria.cli.journal.door import open_door


@click.command()
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
    if follow:
        with Client(garden) as client:
            for event in client.follow("journal.tail", **params):
                output.print_json_line(event) if as_json else _print(event)
        return
    with output.working("reading the journal"), open_door(garden) as door:
        events = door.ask("journal.tail", **params)
    if as_json:
        output.print_json(events)
        return
    for event in events:
        _print(event)


@click.command()
@click.argument("event")
@garden_option
@json_option
def show(event: str, garden: Path, as_json: bool) -> None:
    """One EVENT in full, by its place or its id."""
    with output.working("reading the journal"), open_door(garden) as door:
        found = door.ask("journal.show", event=event)
    if as_json:
        output.print_json(found)
        return
    state = found.get("state", "whole")
    output.print_pairs(
        [
            ("place", found["seq"]),
            ("id", found["id"]),
            ("at", when(found["at"])),
            ("kind", f"{found['kind']}, version {found['version']}"),
            ("session", found["session"]),
            ("process", f"{found['process']} on {found['node']}"),
            ("trace", found["trace_id"]),
            ("cause", found["cause_id"] or ""),
            ("subject", found["subject"]),
        ]
    )
    if state != "whole":
        click.echo(click.style(f"\nits content was {state}", fg="yellow"))
        return
    click.echo()
    click.echo(output.clean(json.dumps(found["payload"], indent=2, ensure_ascii=False)))


@click.command()
@click.argument("prefix", default="")
@click.option("-n", "--limit", default=100, show_default=True, help="How many of those last written to.")
@garden_option
@json_option
def sessions(prefix: str, limit: int, garden: Path, as_json: bool) -> None:
    """The streams of the journal that begin with PREFIX, such as room: or session:, the latest first."""
    with output.working("reading the journal"), open_door(garden) as door:
        rows = door.ask("journal.sessions", prefix=prefix, limit=limit)
    if as_json:
        output.print_json(rows)
        return
    columns = ("session", "events", "first", "last", "last at")
    table = [
        (row["name"], row["events"], row["first_seq"], row["last_seq"], when(row["last_at"])) for row in rows
    ]
    output.print_table(columns, table)


def when(at: float) -> str:
    """Unix seconds for people, in their zone."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _print(event: dict[str, Any]) -> None:
    state = event.get("state", "whole")
    payload = ", ".join(f"{name}={_short(value)}" for name, value in event["payload"].items())
    if state != "whole":
        payload = f"({state})"
    head = f"{event['seq']:>7}  {when(event['at'])}  {click.style(output.clean(event['kind']), bold=True)}"
    click.echo(f"{head}  {click.style(output.clean(event['session']), dim=True)}  {output.clean(payload)}")


def _short(value: object) -> str:
    text = str(value).replace("\n", " ")
    return text if len(text) <= 120 else text[:119] + "…"
