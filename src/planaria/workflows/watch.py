"""Tells `Workflows` which Python files in `workflows/` change; Markdown files are the library's.

Started as a task of the workflow tree. A lost watch raises, and the supervisor starts it again.
Does badly: network file systems that report nothing.
"""

from pathlib import Path, PurePath

from watchfiles import Change, awatch

from planaria.otp import Server, run_blocking
from planaria.workflows.engine import Workflows
from planaria.workflows.load import FOLDER


async def watch(garden: Path, workflows: Server = "workflows", debounce: int = 400) -> None:
    """Watch for ever.

    Args:
        garden: its folder.
        workflows: who is told.
        debounce: milliseconds in which a burst of changes counts as one.
    """
    root = await run_blocking(Path(garden).resolve)

    def concerns(_: Change, path: str) -> bool:
        return (place := Path(path)).is_relative_to(root) and is_definition(place.relative_to(root))

    async for batch in awatch(root, watch_filter=concerns, debounce=debounce, step=40):
        for path in sorted({path for _, path in batch}):
            Workflows.changed(workflows, Path(path).relative_to(root).as_posix())


def is_definition(place: PurePath) -> bool:
    """Whether a path in the garden is a Python file that may hold workflows."""
    match place.parts:
        case (folder, file):
            return folder == FOLDER and file.endswith(".py") and not file.startswith(("_", "."))
        case _:
            return False
