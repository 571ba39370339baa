"""What does a message, a process, a restart cost: in our kernel, on the real BEAM, and with an asyncio task each?

Units: call, call_async, cast, spawn_exit, start_stop in ns each; restart in µs; broadcast in ms; fan_out in s;
idle_bytes in bytes per waiting server. `python -m benchmarks.bench_kernel [--json] [--scale 0.1] [--rows call,cast]`.
The BEAM's column needs `escript`; without it, it is null. `study` is the bar: what prototypes of this design cost on a
quiet machine of this kind, where a call on the BEAM took 1 150 ns. About a minute in all.
"""

import argparse
import asyncio
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from benchmarks.peers import asyncio_tasks, planaria_kernel
from planaria.otp.program import tune_collector

BEAM = Path(__file__).parent / "peers" / "beam.escript"

type Measurement = Callable[[int], Awaitable[float | list[float]]]

ROWS: dict[str, tuple[str, int, int]] = {
    "call": ("ns", 50_000, 5),
    "call_async": ("ns", 50_000, 5),
    "cast": ("ns", 100_000, 5),
    "spawn_exit": ("ns", 20_000, 5),
    "start_stop": ("ns", 10_000, 5),
    "restart": ("us", 2_000, 3),
    "broadcast": ("ms", 10_000, 3),
    "fan_out": ("s", 100_000, 1),
    "idle_bytes": ("bytes", 100_000, 1),
}
"""Unit, how many of the thing one run does, and how many runs."""

STUDY: dict[str, float] = {
    "call": 1_120,
    "call_async": 1_270,
    "cast": 392,
    "spawn_exit": 1_350,
    "start_stop": 2_350,
    "restart": 4.2,
    "broadcast": 6.8,
    "fan_out": 0.9,
    "idle_bytes": 345,
}
"""What prototypes of this design cost on this kind of machine when it was quiet (a BEAM call: 1 150 ns): the bar."""

SLOW_PEER_SCALE = 0.1
"""The peer with a task per process does a tenth in fan_out and idle_bytes; the figures are scaled to match."""


def summary(values: list[float]) -> dict[str, float]:
    """Median and spread over the runs; p99 where one run has many values."""
    ordered = sorted(values)
    told = {
        "median": statistics.median(ordered),
        "low": ordered[0],
        "high": ordered[-1],
        "samples": len(ordered),
    }
    if len(ordered) >= 100:
        told["p99"] = ordered[int(len(ordered) * 0.99)]
        told["low"], told["high"] = ordered[len(ordered) // 100], told["p99"]
    return told


async def measure(function: Measurement, n: int, runs: int) -> list[float]:
    """All values of all runs, the collector having run before each."""
    values: list[float] = []
    tune_collector()  # as a node does when it has started; both Python columns have it
    for _ in range(runs):
        gc.collect()
        value = await function(n)
        values.extend(value if isinstance(value, list) else [value])
    return values


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


async def idle_bytes(idle: Callable[[int], Awaitable[Any]], n: int) -> float:
    """Growth of the resident set by one waiting server; meant for a process of its own."""
    await idle(100)
    gc.collect()
    before = resident_bytes()
    servers = await idle(n)
    gc.collect()
    grown = (resident_bytes() - before) / n
    del servers
    return grown


def in_own_process(subject: str, n: int) -> float | None:
    """Measure `idle_bytes` where nothing else was ever allocated."""
    command = [sys.executable, "-m", "benchmarks.bench_kernel", "--idle", subject, str(n)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1])
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return None
    return float(done.stdout)


def beam(scale: float) -> dict[str, dict[str, float]]:
    """The BEAM's rows; empty if there is no `escript`."""
    if shutil.which("escript") is None:
        return {}
    done = subprocess.run(["escript", str(BEAM), f"{scale:.4f}"], capture_output=True, text=True, check=True)
    rows = {}
    for line in done.stdout.splitlines():
        row, _unit, _n, *values = line.split()
        rows[row] = summary([float(value) for value in values])
    return rows


def row(name: str, scale: float, of_beam: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Measure one row with each subject, one after the other."""
    unit, full, runs = ROWS[name]
    n = max(1, round(full * scale))
    told: dict[str, Any] = {"benchmark": "kernel", "row": name, "unit": unit, "n": n}
    for subject, module in (("planaria", planaria_kernel), ("asyncio", asyncio_tasks)):
        slow = subject == "asyncio" and name in ("fan_out", "idle_bytes")
        count = max(1, round(n * SLOW_PEER_SCALE)) if slow else n
        if name == "idle_bytes":
            weight = in_own_process(subject, count)
            told[subject] = None if weight is None else summary([weight])
            continue
        values = asyncio.run(measure(module.ROWS[name], count, runs))
        told[subject] = summary([value * n / count for value in values] if slow else values)
    told["beam"] = of_beam.get(name)
    told["study"] = STUDY[name]
    told["python"] = platform.python_version()
    told["cores"] = os.cpu_count()
    return told


def text(told: dict[str, Any]) -> str:
    """One row for people."""
    cells = []
    for subject in ("planaria", "asyncio", "beam"):
        found = told[subject]
        cell = "-" if found is None else f"{found['median']:.4g} ({found['low']:.4g}..{found['high']:.4g})"
        cells.append(f"{subject} {cell:<28}")
    return f"{told['row']:<11}{told['unit']:<6}{' '.join(cells)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the full counts to do")
    parser.add_argument("--rows", default=",".join(ROWS), help="which rows, separated by commas")
    parser.add_argument("--idle", nargs=2, metavar=("SUBJECT", "N"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.idle:
        subject, count = options.idle
        module = planaria_kernel if subject == "planaria" else asyncio_tasks
        print(asyncio.run(idle_bytes(module.idle, int(count))))
        return
    of_beam = beam(options.scale)
    for name in options.rows.split(","):
        told = row(name, options.scale, of_beam)
        print(json.dumps(told) if options.json else text(told), flush=True)


if __name__ == "__main__":
    main()
