"""The subtree of a garden's own tools, and the watch over their folder."""

from collections.abc import Mapping
from pathlib import Path, PurePath

from watchfiles import Change, awatch

from planaria.membrane.garden_tools.keeper import NAME, WORKERS, UserTools
from planaria.membrane.garden_tools.offer import FOLDER
from planaria.membrane.gate.gate import Gate
from planaria.otp import ChildSpec, Server, Task, child, dynamic, run_blocking, sleep, supervisor, task_child

BEGUN = 0.3
"""Seconds after which a watch has begun."""


def tree(garden: Path, gate: Gate, services: Mapping[type, object]) -> ChildSpec:
    """The processes of this part, as one child of the node."""
    return supervisor(
        dynamic(name=WORKERS, max_restarts=20, within=60.0),
        child(UserTools, garden, gate, services, name=NAME),
        task_child(watch, garden, name="tool_files"),
        strategy="rest_for_one",
        name="own_tools",
        max_restarts=10,
        within=30.0,
    )


async def watch(garden: Path, keeper: Server = NAME, debounce: int = 400) -> None:
    """Watch for ever; a lost watch raises, and the supervisor starts it again.

    Args:
        keeper: who is told.
        debounce: milliseconds in which a burst of changes counts as one.
    """
    root = await run_blocking(Path(garden).resolve)

    def concerns(_: Change, path: str) -> bool:
        return (place := Path(path)).is_relative_to(root) and is_tools(place.relative_to(root))

    # What changed before anybody watched is found by a look at all, once the watch has begun.
    Task.start_link(look_soon, keeper, label="a look at all tools")
    async for batch in awatch(root, watch_filter=concerns, debounce=debounce, step=40):
        for path in sorted({path for _, path in batch}):
            UserTools.changed(keeper, Path(path).relative_to(root).as_posix())


async def look_soon(keeper: Server) -> None:
    """Have all files looked at."""
    await sleep(BEGUN)
    UserTools.changed(keeper, "")


def is_tools(place: PurePath) -> bool:
    """Whether a path in the garden is a Python file of its tools."""
    match place.parts:
        case (folder, file):
            return folder == FOLDER and file.endswith(".py") and not file.startswith(".")
        case _:
            return False
