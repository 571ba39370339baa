"""The same work for every subject of the journal's benchmark: sessions of turns, each step durable before the next.

A turn is a message, a model call that asks for a tool, the tool call, the answer. The model is a function that answers
at once; what is measured is the price of not forgetting. Standard library only: peers run it in environments of their
own.

Rows, each in a new folder or database: `one` (one session) and `many` (100 sessions at once) with n turns a session:
turns per second and bytes on disk a turn; `growth`: bytes a turn of one session's turns up to 10, from there to 100,
and to n.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

MANY = 100
"""Sessions at once in the row `many`."""

MESSAGE = "could you look up what the weather will be in Lisbon tomorrow, and tell me in one line?"
TOOL = "weather.forecast"
ARGUMENTS = {"place": "Lisbon", "day": "tomorrow", "units": "metric"}
RESULT = "Lisbon, tomorrow: sunny, 24 degrees at noon, light wind from the north-west, no rain expected; sunset 20:41."
ANSWER = "Tomorrow in Lisbon: sunny, around 24 degrees, a light north-westerly wind and no rain."

type Run = Callable[[int, int], Awaitable[float]]
"""Sessions and turns of each; answers the seconds it took."""


def model(message: str) -> dict[str, object]:
    """What the model answers: a call of the tool."""
    return {"tool": TOOL, "arguments": ARGUMENTS, "tokens": [len(message), 20]}


def tool(arguments: object) -> str:
    """What the tool answers."""
    assert arguments == ARGUMENTS
    return RESULT


def answer(result: str) -> str:
    """What is said in the end."""
    assert result == RESULT
    return ANSWER


def new_folder() -> Path:
    """A folder of its own below `PLANARIA_BENCH_FOLDER`, or the system's for temporary files."""
    return Path(tempfile.mkdtemp(prefix="turns-", dir=os.environ.get("PLANARIA_BENCH_FOLDER")))


def drop_folder(folder: Path) -> None:
    """Remove it."""
    shutil.rmtree(folder, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """All that lies in it."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began
