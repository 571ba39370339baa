"""`planaria attach`: a Python prompt inside the running node."""

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from planaria.cli import output
from planaria.cli.observe import connected, find_socket, place_option
from planaria.otp.observe.client import ObserverClient

WELCOME = """\
Python inside the node {name}, process {os_pid}. Each input runs as a process of its own and is written to the journal.
ps()  tree()  info(pid)  state(pid)  trace(pid)  kill(pid)  whereis(name)  node  _   `await` works. Ctrl-D leaves."""


class _Left(Exception):
    """The input was `exit()`."""

    def __init__(self, *, well: bool) -> None:
        super().__init__()
        self.well = well


@click.command()
@place_option
@click.option("-c", "source", metavar="CODE", help="Run this and leave.")
def attach(garden: Path | None, socket: Path | None, source: str | None) -> None:
    """A Python prompt inside the running node. You can do there whatever the node can."""
    with connected(find_socket(garden, socket)) as client:
        if source is not None or not sys.stdin.isatty():
            try:
                well = _run(client, sys.stdin.read() if source is None else source)
            except _Left as left:
                well = left.well
            raise SystemExit(0 if well else 1)
        click.echo(WELCOME.format(**client.ask("node")))
        client.ask("eval", source="None")  # the prompt, and with it completion, begins with the first input
        with _editing(client):
            _converse(client)


def _converse(client: ObserverClient) -> None:
    while True:
        try:
            source = read_input()
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            continue
        if source.strip():
            try:
                _run(client, source)
            except _Left:
                return


def read_input() -> str:
    """One input: a line, or a block that an empty line ends."""
    import ast
    import codeop

    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    lines = [input(">>> ")]
    while True:
        source = "\n".join(lines)
        try:
            if compiler(source, "<attach>", "single") is not None:
                return source
        except (SyntaxError, ValueError, OverflowError):
            return source  # several statements, or the node says what is wrong with it
        lines.append(input("... "))


def _run(client: ObserverClient, source: str) -> bool:
    """Evaluate one input and show what comes back; Ctrl-C ends it in the node, too. Whether it went well."""
    number = client.send("eval", source=source)
    interrupted = False
    while True:
        try:
            reply = client.read(None)
            if reply.get("dropped"):
                click.echo(f"[{reply['dropped']} pieces of output were dropped]", err=True)
            if reply.get("id") == number and "event" in reply:
                click.echo(output.clean(reply["event"]["output"]), nl=False)
        except KeyboardInterrupt:
            if interrupted:
                click.echo(
                    "left alone; the loop of the node does not come to it (`planaria observe`)", err=True
                )
                return False
            interrupted = True
            client.send("interrupt")
            continue
        if reply.get("id") != number or "event" in reply:
            continue
        if "error" in reply:
            click.echo(output.clean(reply["error"]["message"]), err=True)
            return False
        if reply["result"].get("left"):
            raise _Left(well=reply["result"]["ok"])
        return bool(reply["result"]["ok"])


@contextlib.contextmanager
def _editing(client: ObserverClient) -> Any:
    """Line editing and completion, where the system has them."""
    try:
        import readline
    except ImportError:
        yield
        return
    before = readline.get_completer()
    readline.set_completer(_completer(client))
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before)


def _completer(client: ObserverClient) -> Callable[[str, int], str | None]:
    found: list[str] = []

    def complete(text: str, number: int) -> str | None:
        if number == 0:
            found[:] = client.ask("complete", text=text)
        return found[number] if number < len(found) else None

    return complete
