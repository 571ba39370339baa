"""Looking at a running node, and ending things: `planaria status`, `tree`, `inspect`, `kill` and the like."""

import sys
import time
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.client import RESTART_TIME, Client
from planaria.cli.errors import NO_ANSWER, REFUSED, CliError
from planaria.cli.garden import garden_option, json_option


@click.command()
@garden_option
@json_option
def status(garden: Path, as_json: bool) -> None:
    """The node in figures."""
    with Client(garden) as client, output.working("asking the node"):
        view = client.ask("status")
    if as_json:
        output.print_json(view)
        return
    problems = view["problems"]
    output.print_pairs(
        [
            ("node", f"{view['name']}, process {view['pid']}, up {output.seconds(view['uptime'])}"),
            ("garden", view["garden"]),
            ("dashboard", view["login_url"] or view["url"] or "off"),
            ("version", f"planaria {view['version']}, Python {view['python']}"),
            (
                "processes",
                f"{view['processes']}, {view['queued']} messages waiting, {view['restarts']} restarts",
            ),
            ("memory", f"{view['rss_mb']} MB"),
            ("records", "" if problems is None else f"{problems} to mend" if problems else "all in order"),
            ("journal", "writes" if not view["journal"] else "does not work"),
        ]
    )
    if view["journal"]:
        click.echo(click.style(f"\n{output.clean(view['journal'])}", fg="red", bold=True), err=True)
        click.echo(output.clean(view["mend"]), err=True)


@click.command()
@garden_option
@json_option
@click.option("--watch", is_flag=True, help="Draw it again every second, until Ctrl-C.")
def tree(garden: Path, as_json: bool, watch: bool) -> None:
    """The supervision tree: who runs, and who watches over whom."""
    with Client(garden) as client:
        if watch:
            _watch(client, as_json)
            return
        with output.working("asking the node"):
            trees = client.ask("tree")
    if as_json:
        output.print_json(trees)
    else:
        output.console().print(output.process_tree(trees, str(garden)))


def _watch(client: Client, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        while True:
            output.print_json_line(client.ask("tree"))
            time.sleep(1.0)
    from rich.live import Live

    with Live(console=output.console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(output.process_tree(client.ask("tree"), str(client.garden)), refresh=True)
            time.sleep(1.0)


@click.command()
@garden_option
@json_option
def processes(garden: Path, as_json: bool) -> None:
    """Every process, oldest first."""
    with Client(garden) as client, output.working("asking the node"):
        rows = client.ask("processes")
    if as_json:
        output.print_json(rows)
        return
    columns = ("pid", "process", "kind", "status", "waiting", "reductions", "restarts", "age")
    output.print_table(columns, [_process_row(row) for row in rows])


def _process_row(row: dict[str, Any]) -> list[object]:
    return [
        row["pid"],
        row["name"] or row["label"],
        row["kind"],
        row["status"],
        row["queue_len"],
        row["reductions"],
        row["restarts"],
        output.seconds(row["age"]),
    ]


@click.command()
@click.argument("process")
@garden_option
@json_option
def inspect(process: str, garden: Path, as_json: bool) -> None:
    """Everything there is to see of one PROCESS.

    PROCESS is a name, a pid such as '<garden.7>', or 7.
    """
    with Client(garden) as client, output.working("asking the node"):
        view = client.ask("inspect", process=process)
    if as_json:
        output.print_json(view)
        return
    output.print_pairs(
        [
            ("process", f"{view['name'] or view['label']} {view['pid']}"),
            ("kind", view["kind"]),
            ("status", f"{view['status']}, {output.seconds(view['age'])} old, {view['restarts']} restarts"),
            ("mailbox", f"{view['queue_len']} waiting, {view['reductions']} reductions so far"),
            ("parent", view["parent"] or "none"),
            ("links", ", ".join(view["links"]) or "none"),
            ("watches", ", ".join(view["monitors"]) or "none"),
            ("watched by", ", ".join(view["monitored_by"]) or "none"),
            ("in hand", view["current"] or "nothing"),
        ]
    )
    _section("awaits", [f"{frame['file']}:{frame['line']} {frame['function']}" for frame in view["awaits"]])
    _section("state", [f"{field['name']} = {field['value']}" for field in view["state"]])
    _section("waiting, oldest first", [_message(message) for message in view["queued"]])
    _section("handled, newest first", [_message(message) for message in view["consumed"]])


def _section(title: str, lines: list[str]) -> None:
    if lines:
        click.echo(click.style(f"\n{title}", bold=True))
        for line in lines:
            click.echo(f"  {output.clean(line)}")


def _message(message: dict[str, Any]) -> str:
    sender = f" from {message['sender']}" if message["sender"] else ""
    return f"{message['kind']} {message['text']}{sender}, {output.seconds(message['age'])} ago"


@click.command()
@click.argument("process")
@garden_option
@json_option
def kill(process: str, garden: Path, as_json: bool) -> None:
    """End a PROCESS at once; its supervisor decides what follows."""
    _end("process.kill", "killed", process, garden, as_json)


@click.command()
@click.argument("process")
@garden_option
@json_option
def restart(process: str, garden: Path, as_json: bool) -> None:
    """Let its supervisor end a PROCESS in order and start it anew."""
    _end("process.restart", "restarted", process, garden, as_json)


def _after(garden: Path, before: dict[str, Any]) -> dict[str, Any]:
    """What became of a process whose end took the control socket along, asked of the socket that came after."""
    successor = None
    until = time.monotonic() + RESTART_TIME
    while before["name"]:
        try:
            with Client(garden) as client:
                successor = client.ask("inspect", process=before["name"])["pid"]
            break
        except CliError as error:
            # The old socket may still take a connection, only to close it; or the successor is not there yet.
            if error.exit_code not in (REFUSED, NO_ANSWER):
                raise
            if time.monotonic() > until:
                break
            time.sleep(0.05)
    return {"process": f"{before['name'] or ''} {before['pid']}".strip(), "successor": successor}


def _end(method: str, word: str, process: str, garden: Path, as_json: bool) -> None:
    with Client(garden) as client, output.working(f"{process}: ending"):
        before = client.ask("inspect", process=process)
        try:
            result = client.ask(method, process=process)
        except CliError as error:
            if error.code != "closed":
                raise
            result = _after(garden, before)
    if as_json:
        output.print_json(result)
        return
    successor = f"; now {result['successor']}" if result["successor"] else ""
    click.echo(output.clean(f"{word} {result['process']}{successor}"))
