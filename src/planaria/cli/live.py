"""What goes on now: `planaria top`, `planaria sessions`, `planaria live`."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import Client
from planaria.cli.errors import CliError
from planaria.cli.garden import garden_option, json_option
from planaria.cli.live_draw import money, session_line, top_view

FASTEST = 0.2


@click.command()
@click.option("--once", is_flag=True, help="Print it once and end.")
@click.option("--every", default=1.0, show_default=True, help="Seconds between two looks.")
@click.option("-n", "--limit", default=20, show_default=True, help="Rows of each table.")
@garden_option
@json_option
def top(garden: Path, as_json: bool, once: bool, every: float, limit: int) -> None:
    """What goes on now: agents, models, runs, processes; until Ctrl-C.

    With --json one line for each look.
    """
    pause = max(every, FASTEST)
    with Client(garden) as client:
        if once:
            view = client.ask("top", limit=limit)
            output.print_json(view) if as_json else output.console().print(top_view(view, None))
        elif as_json or not sys.stdout.isatty():
            while True:
                output.print_json_line(client.ask("top", limit=limit))
                time.sleep(pause)
        else:
            _draw(client, limit, pause)


def _draw(client: Client, limit: int, pause: float) -> None:
    from rich.live import Live

    before: dict[str, Any] | None = None
    with Live(console=output.console(), screen=True, auto_refresh=False) as live:
        while True:
            view = client.ask("top", limit=limit)
            live.update(top_view(view, before), refresh=True)
            before = view
            time.sleep(pause)


@click.command()
@click.argument("pattern", default="")
@click.option("-f", "--follow", is_flag=True, help="Go on with what changes, until Ctrl-C.")
@garden_option
@json_option
def sessions(pattern: str, follow: bool, garden: Path, as_json: bool) -> None:
    """What each agent does right now.

    PATTERN is an agent, or AGENT@ROOM; * stands for anything.
    """
    match = "" if not pattern else f"session:{pattern}" if "@" in pattern else f"session:{pattern}@*"
    with Client(garden) as client:
        if follow:
            for changes in client.follow("live.follow", table="sessions", match=match):
                for row in changes["rows"]:
                    output.print_json_line(row) if as_json else _say(row)
            return
        with output.working("asking the node"):
            rows = client.ask("live", table="sessions", match=match, limit=1000)
    if as_json:
        output.print_json(rows)
        return
    if not rows:
        named = f" matches {pattern!r}" if pattern else " is open yet; say something with `planaria chat`"
        click.echo(f"no session{named}", err=True)
    for row in rows:
        _say(row)


def _say(row: dict[str, Any]) -> None:
    for line in session_line(row, time.time()):
        click.echo(output.clean(line))


@click.command()
@click.argument("table", default="")
@click.option("--match", default="", help="A pattern for the key, such as 'session:scout@*'.")
@click.option("--where", "wheres", multiple=True, help="LABEL=VALUE; may be repeated.", metavar="K=V")
@click.option("--order", default="", help="A field; -FIELD for the greatest first.")
@click.option("-n", "--limit", default=100, show_default=True, help="Rows at most.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what changes, until Ctrl-C.")
@garden_option
@json_option
def live(
    table: str,
    match: str,
    wheres: tuple[str, ...],
    order: str,
    limit: int,
    follow: bool,
    garden: Path,
    as_json: bool,
) -> None:
    """Rows of a TABLE of now; without one, the tables there are."""
    where = dict(_pair(text) for text in wheres)
    with Client(garden) as client:
        if not table:
            _tables(client.ask("live.tables"), as_json)
            return
        if follow:
            for changes in client.follow("live.follow", table=table, match=match, where=where):
                _print_changes(changes, as_json)
            return
        with output.working("asking the node"):
            rows = client.ask("live", table=table, match=match, where=where, order=order, limit=limit)
    if as_json:
        output.print_json(rows)
    elif rows:
        columns = list(rows[0])
        output.print_table(columns, [[_cell(name, row[name]) for name in columns] for row in rows])
    else:
        click.echo("no rows", err=True)


def _tables(status: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(status)
        return
    columns = ("table", "rows", "limit", "evicted", "labels", "a row is")
    output.print_table(
        columns,
        [
            (t["name"], t["rows"], t["limit"], t["evicted"], ", ".join(t["labels"]), t["about"])
            for t in status["tables"]
        ],
    )


def _print_changes(changes: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json_line(changes)
        return
    for row in changes["rows"]:
        fields = ", ".join(f"{name}={_cell(name, value)}" for name, value in row.items() if name != "key")
        click.echo(f"{click.style(output.clean(row['key']), bold=True)}  {output.clean(fields)}")
    for key in changes["gone"]:
        click.echo(f"{output.clean(key)}  gone")


def _cell(name: str, value: Any) -> object:
    if value is None:
        return ""
    if name == "cost_micro":
        return money(value)
    if isinstance(value, float):
        return round(value, 3)
    text = str(value).replace("\n", " ")
    return value if isinstance(value, int) else text if len(text) <= 80 else text[:79] + "…"


def _pair(text: str) -> tuple[str, str]:
    label, equals, value = text.partition("=")
    if not equals or not label:
        raise CliError(2, f"--where {text!r} is no LABEL=VALUE", "write it as --where agent=scout")
    return label, value
