"""How many appends per second does the journal acknowledge, alone and among many, and how many share a commit?

Units: appends per second; p50 and p99 of one append's latency in ms; appends per commit; journal bytes per event.
`python -m benchmarks.bench_journal [--seconds 2] [--folder DIR]`, one JSON line a case. Give a folder on the disk
that counts: the figures are that disk's. Cases: 1, 10 and 100 appenders, each waiting for its answer before the next
append, with group commit; the same 100 without (each append its own commit); and reads of 100 events from the end.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal, JournalOptions, JournalStatus
from planaria.cortex.query import Query
from planaria.cortex.stores.sqlite import SqliteStore
from planaria.otp import Node, child

TEXT = "the quick brown fox jumps over the lazy dog " * 5


async def measure(path: Path, appenders: int, options: JournalOptions, seconds: float) -> dict[str, float]:
    """Appenders that each wait for their answer, for some seconds."""
    latencies: list[float] = []

    async def appender(number: int) -> None:
        event = NewEvent("bench.append", {"text": TEXT, "author": number}, session=f"room:{number}")
        while time.perf_counter() < end:
            began = time.perf_counter()
            await Journal.append("journal", [event])
            latencies.append(time.perf_counter() - began)

    async with Node("bench") as node:
        pid = await node.start(child(Journal, partial(SqliteStore, path), options, name="journal"))
        end = time.perf_counter() + seconds
        began = time.perf_counter()
        await asyncio.gather(*(node.run(appender, number) for number in range(appenders)))
        took = time.perf_counter() - began
        status: JournalStatus = await Journal.status(pid)
    ordered = sorted(latencies)
    return {
        "appends": len(ordered),
        "appends_per_s": round(len(ordered) / took),
        "p50_ms": round(statistics.median(ordered) * 1000, 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
        "appends_per_commit": round(status.appends / status.commits, 1),
        "bytes_per_event": round(path.stat().st_size / status.events),
    }


async def measure_reads(path: Path, seconds: float) -> dict[str, float]:
    """Reads of the last 100 events of one session in a journal of 50,000 events."""
    async with Node("bench") as node:
        pid = await node.start(child(Journal, partial(SqliteStore, path), name="journal"))
        for _ in range(50):
            events = [NewEvent("bench.append", {"text": TEXT}, session=f"room:{n % 10}") for n in range(1000)]
            await Journal.append(pid, events)

        async def reader() -> int:
            count, end = 0, time.perf_counter() + seconds
            while time.perf_counter() < end:
                await Journal.read("journal", Query(session="room:3", limit=100, newest_first=True))
                count += 1
            return count

        reads = await node.run(reader)
    return {"reads_per_s": round(reads / seconds), "events_per_read": 100}


async def main(seconds: float, folder: Path | None) -> None:
    """Run every case in a new file and print its line."""
    cases: list[tuple[str, Callable[[Path], Awaitable[dict[str, float]]]]] = [
        (f"{n} appenders, group commit", lambda path, n=n: measure(path, n, JournalOptions(), seconds))  # type: ignore[misc]
        for n in (1, 10, 100)
    ]
    alone = JournalOptions(max_batch=1)
    cases.append(("100 appenders, a commit each", lambda path: measure(path, 100, alone, seconds)))
    cases.append(("reads of 100 events", lambda path: measure_reads(path, seconds)))
    machine = {"machine": platform.machine(), "cpus": os.cpu_count(), "python": platform.python_version()}
    for name, case in cases:
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            figures = await case(Path(scratch) / "journal.db")
        print(json.dumps({"case": name, **figures, **machine}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="how long each case runs")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where the journal lies; default: the system's own"
    )
    options = parser.parse_args()
    asyncio.run(main(options.seconds, options.folder))
