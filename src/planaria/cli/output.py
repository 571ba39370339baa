"""What commands print: JSON for programs, tables and trees for people, a spinner for those who wait.

Rich is imported on first use: commands that print JSON or nothing do not pay for it. Text that came from outside
(names, messages, a model's words) loses its control characters, so that it cannot drive the terminal.
"""

import json
import re
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

PATIENCE = 1.0
"""Seconds after which somebody who waits is shown that work goes on."""

# C0 and C1 controls but newline and tab, the characters that turn the direction of text around them, and halves of
# characters, which no encoding can write.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

STATUS_STYLES = {
    "running": "green",
    "ready": "green",
    "waiting": "dim",
    "suspended": "yellow",
    "dead": "bold red",
}


def clean(text: object) -> str:
    """The text without what could drive the terminal."""
    return _CONTROLS.sub("", str(text))


def print_json(value: Any) -> None:
    """A value as JSON."""
    click.echo(_json(value, indent=2))


def print_json_line(value: Any) -> None:
    """A value as one line of JSON, at once; for streams."""
    click.echo(_json(value))


def _json(value: Any, indent: int | None = None) -> str:
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character, as in the name of a file in another encoding
        return json.dumps(value, indent=indent)
    return text


def console() -> "Console":
    """Where people read; plain text when the output is a file or a pipe."""
    from rich.console import Console

    # In a file or a pipe no line is cut at the width of a screen.
    width = None if sys.stdout.isatty() else 1000
    return Console(highlight=False, markup=False, emoji=False, width=width)


def styled(text: object, style: str = "") -> "Text":
    """Clean text with a style."""
    from rich.text import Text

    return Text(clean(text), style=style)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; numbers to the right. In a pipe: columns parted by tabs, for `cut` and `awk`.

    On a terminal too narrow for it each row is a few lines; see `planaria.cli.table`.
    """
    lines = [list(row) for row in rows]
    if not sys.stdout.isatty():
        for line in lines:
            click.echo("\t".join(clean(cell).replace("\t", " ").replace("\n", " ") for cell in line))
        return
    from planaria.cli.table import Rows

    right = frozenset(
        place
        for place in range(len(columns))
        if lines and all(isinstance(line[place], int | float) for line in lines)
    )
    console().print(Rows(columns, [[styled(cell) for cell in line] for line in lines], right))


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line."""
    found = list(pairs)
    width = max((len(name) for name, _ in found), default=0)
    for name, value in found:
        click.echo(f"{click.style(name.ljust(width), dim=True)}  {clean(value)}")


def process_tree(trees: Sequence[dict[str, Any]], title: str) -> "Tree":
    """The supervision tree, drawn."""
    from rich.tree import Tree

    top = Tree(styled(title, "bold"), guide_style="dim")
    waiting = [(top, branch) for branch in reversed(trees)]
    while waiting:
        parent, branch = waiting.pop()
        here = parent.add(_process_line(branch))
        waiting += [(here, child) for child in reversed(branch["children"])]
    return top


def _process_line(process: dict[str, Any]) -> "Text":
    line = styled(process["name"] or process["label"], "bold" if process["children"] else "")
    line.append_text(styled(f"  {process['pid'] or 'no process'} {process['kind']} ", "dim"))
    line.append_text(styled(process["status"], STATUS_STYLES.get(process["status"], "")))
    if process["queue_len"]:
        line.append_text(styled(f"  {process['queue_len']} waiting", "yellow"))
    if process["restarts"]:
        line.append_text(styled(f"  restarted {process['restarts']}x", "red"))
    return line


@contextmanager
def working(what: str) -> Generator[None]:
    """Show that work goes on, on standard error, when it takes longer than a second and somebody watches."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def spin() -> None:
        if done.wait(PATIENCE):
            return
        from rich.console import Console

        with Console(stderr=True, markup=False).status(what):
            done.wait()

    spinner = threading.Thread(target=spin, daemon=True)
    spinner.start()
    try:
        yield
    finally:
        done.set()
        spinner.join()


def each[T](events: Generator[Any, None, T], show: Callable[[Any], None]) -> T:
    """Show every event of a stream as it comes; what the stream returns."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: T = end.value
            return result
        show(event)


def when(at: float) -> str:
    """A moment for people, in this machine's zone: the time today, else the day too."""
    moment, today = datetime.fromtimestamp(at, UTC).astimezone(), datetime.now(UTC).astimezone()
    return f"{moment:%H:%M:%S}" if moment.date() == today.date() else f"{moment:%Y-%m-%d %H:%M}"


def seconds(value: float) -> str:
    """A span of time for people: `42 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`."""
    whole = int(value)
    if whole < 60:
        return f"{value:.1f} s" if value < 10 else f"{whole} s"
    for size, unit, smaller, small_unit in ((3600, "min", 60, "s"), (86400, "h", 3600, "min")):
        if whole < size:
            big = whole // smaller
            return f"{big} {unit} {(whole - big * smaller) // (smaller // 60)} {small_unit}"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
