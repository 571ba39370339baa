"""The watcher: tells the library what people change on disk.

Started by the `records` supervisor as a `task_child`, after the library. Changes that come in a burst are
told once. Editors that save by renaming a temporary file over the old one are understood: the path is read
again, whatever happened to it. Does badly: network file systems that report nothing (the library's
`changed("")` reads all again).
Emits nothing; `Library.changed` follows.
"""

from collections.abc import Iterable
from pathlib import Path
from threading import Event
from typing import Any

from watchfiles import Change, awatch

from planaria.otp import Server, run_blocking
from planaria.records.kinds import FOLDERS, kind_of
from planaria.records.library import Library

DEBOUNCE = 400  # milliseconds in which further changes join a batch
STEP = 40  # milliseconds of silence that end a batch


async def watch(garden: Path, library: Server = "library", debounce: int = DEBOUNCE) -> None:
    """Watch a garden for ever. A lost watch raises, and the supervisor starts it again.

    What changed while nobody watched is found by one full look at the start.

    Args:
        garden: the folder; it must exist.
        library: who is told.
        debounce: milliseconds in which a burst of changes counts as one.
    """
    root = await run_blocking(Path(garden).resolve)
    Library.changed(library, "")
    stop: Any = Event()  # of threads: a thread asks it, and it is only asked is_set()
    try:
        async for batch in awatch(
            root, watch_filter=RelevantTo(root), debounce=debounce, step=STEP, stop_event=stop
        ):
            for path in coalesced(Path(place).relative_to(root).as_posix() for _, place in batch):
                Library.changed(library, path)
    finally:
        stop.set()  # or its thread would wait on


def relevant(path: str) -> bool:
    """Whether a path in the garden may concern a record: a record's file, or a folder that may hold some.

    Hidden files, `.planaria`, and the temporary files of editors (`#x#`, `x~`, `.x.swp`, `4913`) do not.
    """
    parts = path.split("/")
    if any(part.startswith((".", "#")) or part.endswith(("~", ".tmp", ".swp")) for part in parts):
        return False
    if kind_of(path):
        return True
    return parts[0] in FOLDERS and "." not in parts[-1] and parts[-1] != "4913"


def coalesced(paths: Iterable[str]) -> list[str]:
    """Each path once, sorted, without those inside a folder that is named too."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(f"{above}/") for above in kept):
            kept.append(path)
    return kept


class RelevantTo:
    """A filter for watchfiles, which hands over absolute paths."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __call__(self, change: Change, path: str) -> bool:
        place = Path(path)
        return place.is_relative_to(self.root) and relevant(place.relative_to(self.root).as_posix())
