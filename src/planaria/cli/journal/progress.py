"""How far long work is, on standard error, for people at a terminal."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from planaria.cli.output import PATIENCE


@contextmanager
def progress(what: str) -> Generator[Callable[[Any], None]]:
    """Gives a function that takes `{"done": n, "total": n}`, and draws a bar once it takes longer than a second."""
    if not sys.stderr.isatty():
        yield lambda event: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=None)
    since = time.monotonic()
    shown = False

    def show(event: Any) -> None:
        nonlocal shown
        if not shown and time.monotonic() - since > PATIENCE:
            shown = True
            bar.start()
        bar.update(task, completed=event["done"], total=event["total"] or None)

    try:
        yield show
    finally:
        if shown:
            bar.stop()
