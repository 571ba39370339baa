"""`planaria observe`: what every process does now, answered by a thread of the node, also while the node is stuck."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planaria.cli import output
from planaria.cli.errors import NO_ANSWER, NOT_RUNNING, REFUSED, CliError
from planaria.cli.garden import find_garden, json_option
from planaria.nerve.protocol import OBSERVER, socket_path
from planaria.otp.observe.client import Asked, ObserverClient
from planaria.otp.observe.dump import NoStacks, read_stacks
from planaria.otp.observe.remote import Unreachable, look_into_program

if TYPE_CHECKING:
    from rich.console import RenderableType

ANSWER_TIME = 3.0
"""Seconds before a node that does not answer is asked for its stacks in another way."""
MOST_ROWS = 30


def place_option[F: Callable[..., Any]](command: F) -> F:
    """`--garden DIR` and `--socket PATH`, given to the command as `garden` and `socket`."""
    command = click.option(
        "--garden", type=click.Path(path_type=Path), help="The garden's folder.", metavar="DIR"
    )(command)
    return click.option(
        "--socket", type=click.Path(path_type=Path), help="The socket of any other observer.", metavar="PATH"
    )(command)


def find_socket(garden: Path | None, socket: Path | None) -> Path:
    """Where the observer listens: as named, or the garden's."""
    return socket if socket is not None else socket_path(find_garden(garden), OBSERVER)


@contextmanager
def connected(path: Path) -> Generator[ObserverClient]:
    """A connection to an observer; what goes wrong with it ends the command in words."""
    try:
        with ObserverClient(path) as client:
            yield client
    except Asked as error:
        raise CliError(REFUSED, str(error), error.mend, error.code) from error
    except (FileNotFoundError, ConnectionRefusedError) as error:
        mend = "start it with `planaria up`, or name another with --socket PATH"
        raise CliError(NOT_RUNNING, f"no node listens at {path}", mend, "not_running") from error
    except TimeoutError as error:
        raise _frozen(path) from error
    except ConnectionError as error:
        mend = "it has ended: start it with `planaria up`"
        raise CliError(NO_ANSWER, f"the node at {path} has closed the connection", mend, "closed") from error
    except OSError as error:
        raise CliError(NO_ANSWER, f"{path}: {error}", "see whether the node still runs", "closed") from error


def _frozen(path: Path) -> CliError:
    """The node holds even its interpreter's lock: what it does, as its signal handler tells."""
    mend = "`planaria observe --stacks` asks it in another way"
    try:
        text = read_stacks(f"{path}.stacks")
    except NoStacks as error:
        mend = str(error)
    else:
        click.echo(output.clean(text), err=True)
        mend = (
            "a call into C holds the interpreter's lock (above: `most recent call first`); run it in a worker"
        )
    return CliError(NO_ANSWER, f"no thread of the node answers within {ANSWER_TIME:g} s", mend, "frozen")


@click.command()
@click.argument("process", required=False)
@place_option
@json_option
@click.option("--follow", is_flag=True, help="Show it again every second, until Ctrl-C.")
@click.option(
    "--trace", "traced", metavar="PATTERN", help="Follow what matching processes receive, send, become."
)
@click.option("--stacks", is_flag=True, help="The stack of every thread, even if nothing else answers.")
@click.option("--remote", type=int, metavar="PID", help="Look into any Python 3.14 program, prepared or not.")
@click.option("--suspend", "act", flag_value="suspend", help="Let PROCESS handle no messages until resumed.")
@click.option("--resume", "act", flag_value="resume", help="Let it go on.")
@click.option("--kill", "act", flag_value="kill", help="End PROCESS at once.")
def observe(
    process: str | None,
    garden: Path | None,
    socket: Path | None,
    as_json: bool,
    follow: bool,
    traced: str | None,
    stacks: bool,
    remote: int | None,
    act: str | None,
) -> None:
    """What the node does now: all processes, one PROCESS (name or pid), or those a glob matches.

    Works while the node is stuck: a thread of its own answers.
    """
    if remote is not None:
        _remote(remote, as_json)
        return
    path = find_socket(garden, socket)
    if stacks:
        _stacks(path, as_json)
        return
    if act is not None and process is None:
        raise click.UsageError(f"--{act} needs a PROCESS")
    with connected(path) as client:
        if traced is not None:
            with suppress(KeyboardInterrupt):
                _trace(client, traced, as_json)
        elif act is not None:
            result = client.ask(act, process=process)
            output.print_json(result) if as_json else click.echo(f"{act}: {process}")
        elif follow:
            with suppress(KeyboardInterrupt):
                _follow(client, process, as_json)
        else:
            view = _look(client, process)
            if as_json:
                output.print_json(view)
            else:
                output.console().print(_drawn(view))


def _look(client: ObserverClient, process: str | None) -> dict[str, Any]:
    """What is to be shown: `info` of one process, or `node` and `processes`."""
    if process is not None and not any(mark in process for mark in "*?["):
        return {"info": client.ask("info", within=ANSWER_TIME, process=process)}
    node = client.ask("node", within=ANSWER_TIME)
    rows = client.ask("processes", within=ANSWER_TIME, pattern=process)
    return {"node": node, "processes": rows}


def _follow(client: ObserverClient, process: str | None, as_json: bool) -> None:
    if as_json or not sys.stdout.isatty():
        while True:
            output.print_json_line(_look(client, process))
            time.sleep(1.0)
    from rich.live import Live

    with Live(console=output.console(), screen=True, auto_refresh=False) as live:
        while True:
            live.update(_drawn(_look(client, process)), refresh=True)
            time.sleep(1.0)


def _trace(client: ObserverClient, pattern: str, as_json: bool) -> None:
    for event in client.follow("trace", pattern=pattern):
        if as_json:
            output.print_json_line(event)
        else:
            output.console().print(_event(event))
            sys.stdout.flush()


def _stacks(path: Path, as_json: bool) -> None:
    try:
        text = read_stacks(f"{path}.stacks")
    except NoStacks as error:
        mend = "is the node of a garden, or has the program an Observer?"
        raise CliError(NOT_RUNNING, str(error), mend, "no_stacks") from error
    if as_json:
        output.print_json({"stacks": text})
    else:
        click.echo(output.clean(text), nl=False)


def _remote(pid: int, as_json: bool) -> None:
    try:
        text = look_into_program(pid)
    except Unreachable as error:
        mend = "`planaria observe --stacks` works on every Python, for programs with an observer"
        raise CliError(NO_ANSWER, str(error), mend, "unreachable") from error
    if as_json:
        output.print_json({"text": text})
    else:
        click.echo(output.clean(text), nl=False)


# --- drawing --------------------------------------------------------------------------------------------------------


def _drawn(view: dict[str, Any]) -> "RenderableType":
    from rich.console import Group

    if "info" in view:
        return Group(*_info(view["info"]))
    return Group(*_node(view["node"]), *_table(view["processes"]))


def _node(node: dict[str, Any]) -> list["RenderableType"]:
    lag = node["loop_lag"]
    speed = node["reductions_per_second"]
    memory = "" if node["memory"] is None else f", {node['memory'] / 1e6:.0f} MB"
    head = output.styled(node["name"], "bold")
    head.append_text(
        output.styled(
            f"  process {node['os_pid']}, Python {node['python']}, {node['processes']} processes,"
            f" {node['queued']} messages waiting, {node['run_queue']} ready"
            + ("" if speed is None else f", {speed:.0f} reductions/s")
            + memory,
            "dim",
        )
    )
    lines: list[RenderableType] = [head]
    if lag is None:
        who = node["running"] or "code outside any process"
        lines.append(output.styled(f"the loop does not turn: {who} runs", "bold red"))
    else:
        lines.append(output.styled(f"the loop turns, lag {lag * 1000:.1f} ms", "green"))
    if node["stall"] is not None:
        lines += _stall(node["stall"])
    elif node["stalls"]:
        last = node["stalls"][-1]
        ago = output.seconds(max(0.0, time.time() - last["began"]))
        lines.append(
            output.styled(
                f"last stall {ago} ago: {last['who']}, {last['seconds']:.2f} s, {last['outcome']}", "yellow"
            )
        )
    return lines


def _stall(stall: dict[str, Any]) -> list["RenderableType"]:
    cpu = "" if stall["cpu"] is None else f", {stall['cpu']:.1f} s of it on the processor"
    lines: list[RenderableType] = [
        output.styled(f"{stall['who']} has held it up for {stall['seconds']:.1f} s{cpu}", "bold red")
    ]
    if stall["message"]:
        lines.append(output.styled(f"  in hand: {stall['message']}"))
    lines += [_place(frame) for frame in stall["stack"]]
    lines += [output.styled(f"  {note}", "yellow") for note in stall["notes"]]
    return lines


def _place(frame: dict[str, Any]) -> "RenderableType":
    text = output.styled(f"  {frame['file']}:{frame['line']} ", "cyan")
    text.append_text(output.styled(frame["function"], "bold"))
    if frame["source"]:
        text.append_text(output.styled(f"\n      {frame['source']}"))
    return text


def _table(rows: list[dict[str, Any]]) -> list["RenderableType"]:
    from planaria.cli.table import Rows

    columns = ("pid", "process", "kind", "status", "waiting", "reductions", "restarts", "age")
    busiest = sorted(
        rows, key=lambda row: (row["status"] != "running", -row["queue_len"], -row["reductions"])
    )
    cells = [
        [
            *(output.styled(text) for text in (row["pid"], row["name"] or row["label"], row["kind"])),
            output.styled(row["status"], output.STATUS_STYLES.get(row["status"], "")),
            *(output.styled(row[name]) for name in ("queue_len", "reductions", "restarts")),
            output.styled(output.seconds(row["age"])),
        ]
        for row in busiest[:MOST_ROWS]
    ]
    table = Rows(columns, cells, right=frozenset(range(4, len(columns))))
    more = len(rows) - MOST_ROWS
    return [table, output.styled(f"and {more} more", "dim")] if more > 0 else [table]


def _info(info: dict[str, Any]) -> list["RenderableType"]:
    title = output.styled(f"{info['name'] or info['label']} {info['pid']}  ", "bold")
    title.append_text(output.styled(f"{info['kind']} ", "dim"))
    title.append_text(output.styled(info["status"], output.STATUS_STYLES.get(info["status"], "")))
    facts = (
        f"{info['queue_len']} waiting, {info['reductions']} reductions, {info['restarts']} restarts,"
        f" {output.seconds(info['age'])} old, about {info['memory']['bytes']} bytes"
        + ("" if info["memory"]["complete"] else " at least")
    )
    lines: list[RenderableType] = [title, output.styled(facts, "dim")]
    for name, value in (
        ("parent", info["parent"]),
        ("links", ", ".join(info["links"])),
        ("watches", ", ".join(info["monitors"])),
        ("watched by", ", ".join(info["monitored_by"])),
        ("in hand", info["current"] and _message(info["current"])),
        ("waits for", info["waits_for"]),
    ):
        if value:
            lines.append(output.styled(f"{name:<11}{value}"))
    lines += _section("executing", [_place(frame) for frame in info["executing"] if not frame["kernel"]])
    lines += _worker(info.get("worker"))
    awaits: list[RenderableType] = []
    for frame in info["awaits"]:
        awaits.append(_place(frame))
        awaits += [output.styled(f"      {name} = {value}", "dim") for name, value in frame["locals"].items()]
    lines += _section("awaits, outermost first", awaits)
    lines += _section(
        "state", [output.styled(f"  {name} = {value}") for name, value in info["state"].items()]
    )
    for name, key in (("waiting, oldest first", "queued"), ("handled, newest first", "consumed")):
        lines += _section(name, [output.styled(f"  {_message(each)}") for each in info[key]])
    reasons = [f"  {each['text']} {each['where'] or ''}" for each in info["restart_reasons"]]
    lines += _section("restarted because of", [output.styled(each, "red") for each in reasons])
    return lines


def _worker(worker: dict[str, Any] | None) -> list["RenderableType"]:
    """A process that runs in an operating-system process of its own."""
    if worker is None:
        return []
    if "error" in worker:
        return _section("its worker does not answer", [output.styled(f"  {worker['error']}", "red")])
    facts = (
        f"  process {worker['os_pid']}, {worker['status']}, {worker['memory'] / 1e6:.0f} MB,"
        f" {worker['cpu']:.1f} s of processor time, {worker['reductions']} reductions, in hand: {worker['current']}"
    )
    lines: list[RenderableType] = [output.styled(facts)]
    for each in (*worker["awaits"], *worker["stack"]):
        lines.append(_place(each | {"source": ""}))
    lines += [output.styled(f"  {name} = {value}") for name, value in worker["state"].items()]
    return _section("in a worker", lines)


def _section(title: str, lines: list["RenderableType"]) -> list["RenderableType"]:
    return [output.styled(title, "bold"), *lines] if lines else []


def _message(message: dict[str, Any]) -> str:
    sender = f" from {message['sender']}" if message["sender"] else ""
    return f"{message['kind']} {message['text']}{sender}, {output.seconds(message['age'])} ago"


_STYLES = {"received": "green", "sent": "cyan", "replied": "blue", "state": "yellow", "exited": "red"}


def _event(event: dict[str, Any]) -> "RenderableType":
    at = time.strftime("%H:%M:%S", time.localtime(event["at"])) + f"{event['at'] % 1:.3f}"[1:]
    text = output.styled(f"{at} {event['name'] or event['label']} {event['pid']} ", "dim")
    text.append_text(output.styled(f"{event['event']:<9}", _STYLES.get(event["event"], "bold")))
    match event["event"]:
        case "received":
            what = f"{event['kind']} {event['message']}" + (f" from {event['from']}" if event["from"] else "")
        case "sent":
            what = f"{event['kind']} {event['message']} to {event['to']}"
        case "replied":
            answer = event.get("value", event.get("error"))
            what = f"{answer}" + (f" to {event['to']}" if event["to"] else "")
        case "state":
            what = ", ".join(f"{name}: {old} -> {new}" for name, (old, new) in event["changed"].items())
        case "exited":
            what = f"{event['reason']['text']} {event['reason']['where'] or ''}"
        case _:
            what = event.get("child") or ""
    text.append_text(output.styled(what))
    return text
