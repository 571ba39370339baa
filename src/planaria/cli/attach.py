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


@click.command()
@place_option
@click.option("-c", "source", metavar="CODE", help="Run this and leave.")
def attach(garden: Path | None, socket: Path | None, source: str | None) -> None:
    """A Python prompt inside the running node. You can do there whatever the node can."""
    with connected(find_socket(garden, socket)) as client:
        if source is not None:
            raise SystemExit(0 if _run(client, source) else 1)
        if not sys.stdin.isatty():
            raise SystemExit(0 if _run(client, sys.stdin.read()) else 1)
        click.echo(WELCOME.format(**client.ask("node")))
        client.ask("eval", source="None")  # the prompt, and with it completion, begins with the first input
        with _editing(client):
            _converse(client)


def _converse(client: ObserverClient) -> None:
    while True:
        try:
            source = _input()
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            continue
        if source.strip():
            _run(client, source)


def _input() -> str:
    """One input: a line, or a block that an empty line ends."""
    import ast
    import codeop

    compiler = codeop.CommandCompiler()
    compiler.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    lines = [input(">>> ")]
    while True:
        source = "\n".join(lines)
        try:
            if compiler(source, "<attach>", "exec") is not None:
                return source
        except (SyntaxError, ValueError, OverflowError):
            return source  # the node says what is wrong with it
        lines.append(input("... "))


def _run(client: ObserverClient, source: str) -> bool:
    """Evaluate one input and show what comes back; Ctrl-C ends it in the node, too. Whether it went well."""
    number = client.send("eval", source=source)
    while True:
        try:
            reply = client.read(None)
        except KeyboardInterrupt:
            client.send("interrupt")
            continue
        if reply.get("id") != number:
            continue
        if "event" in reply:
            click.echo(output.clean(reply["event"]["output"]), nl=False)
        else:
            return bool((reply.get("result") or {}).get("ok"))


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
