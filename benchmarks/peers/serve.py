"""The loop every Python subject of the kernel's benchmark runs: asked on standard input, answering on standard output.

`row n` in, one line of figures out, in the row's unit and one for each measurement; `! why` if it cannot.
Standard library only: peers run it in an environment of their own.
"""

import asyncio
import gc
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path

from benchmarks.peers.profile import Profile

type Figures = float | list[float]
PROFILE = "profile:"
"""Before a row's name: answer with where the time goes."""

type Row = Callable[[int], Figures | Awaitable[Figures]]


def tune_collector() -> None:
    """The collector as a node sets it once it has started; every Python subject has it."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def resident_bytes() -> int:
    """The resident set of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def within(limit: int, n: int) -> tuple[int, float]:
    """How many a slow subject does in place of n, and what its figure is multiplied by to stand for n."""
    count = min(n, limit)
    return count, n / count


def serve(rows: dict[str, Row], about: str, absent: dict[str, str] | None = None) -> None:
    """Say who this is, then answer until standard input ends. What rows print goes to standard error.

    Args:
        rows: figures by row; sync or async, each async one in an event loop of its own.
        about: one line for the table.
        absent: why a row is not there.
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    print(f"Python {sys.version.split()[0]}, {about}", file=answers)
    tune_collector()
    for line in sys.stdin:
        name, count = line.split()
        name, sampled = name.removeprefix(PROFILE), name.startswith(PROFILE)
        if name not in rows:
            print(f"! {(absent or {}).get(name, 'not measured')}", file=answers)
            continue
        gc.collect()
        profile = Profile()
        try:
            with profile if sampled else nullcontext():
                found = rows[name](int(count))
                values = asyncio.run(found) if asyncio.iscoroutine(found) else found
        except Exception as error:  # noqa: BLE001  the asker is told
            print(f"! {type(error).__name__}: {error}".replace("\n", " ")[:300], file=answers)
            continue
        if sampled:
            print(profile, file=answers)
            continue
        print(*(values if isinstance(values, list) else [values]), file=answers)
