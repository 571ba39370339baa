"""What does one chunk of a streamed answer cost the reader, and what do other ways to read it cost?

Unit: µs of processor time a word, in the reading process; words travel alone, each in a chunk of HTTP and an event of
its own, from a server in another process. `paced`: 100 streams at 50 words a second each; `burst`: 100 streams as fast
as they can be read; `thousand`: 1,000 streams at 50 words a second each, with the delay from a word's sending to its
being read; `sessions`: 1,000 whole sessions of a node that stream at once (`stream_sessions.py`). `ratio` is to
`planaria`, in the same round; what is told is the median of the rounds. Since it is processor time that is counted, a
machine that has other things to do disturbs it less, but it does; delays it disturbs most.

Readers: `planaria` (our provider, its pieces pushed), `iterated` (our provider as an iterator), `raw` (asyncio's
protocol and msgspec), `httpx2` (its lines and msgspec), `openai` (the official SDK); those of the peers' environment
(`scripts/setup-peers`): `openai-agents`, `pydantic-ai`, `langgraph`, `agno`. One that is not installed, or cannot keep
up, is told on standard error and left out.
`python -m benchmarks.bench_stream --json [--rounds 3] [--only CASE,CASE] [--quick]`
"""

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.stream_server import serve

ROOT = Path(__file__).parent.parent
PEERS = Path(os.environ.get("PLANARIA_PEERS", ROOT / ".venv-peers")) / "bin" / "python"
OURS = "planaria"
SETTINGS = {
    "paced": (100, "paced", 250),
    "burst": (100, "burst", 250),
    "thousand": (1000, "paced", 250),
    "sessions": (1000, "paced", 250),
}
"""Streams, how they are sent, and words of each."""
ABLE = {"thousand": ("planaria", "iterated", "raw"), "sessions": ("sessions",)}
"""Who is measured there, where it is not everybody but `sessions`."""
LIMIT = 120.0
"""Seconds one measurement may take."""

type Row = dict[str, Any]


def cases() -> dict[str, tuple[str, str]]:
    """Every reader there is: its interpreter and its module."""
    found: dict[str, tuple[str, str]] = {}
    places = (
        (sys.executable, "stream_readers"),
        (sys.executable, "stream_sessions"),
        (str(PEERS), "peers.streams"),
    )
    for python, module in places:
        if not Path(python).exists():
            print(f"no {python}: run scripts/setup-peers to measure the peers", file=sys.stderr)
            continue
        told = subprocess.run(
            [python, "-m", f"benchmarks.{module}", "-"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        found |= dict.fromkeys(json.loads(told.stdout), (python, f"benchmarks.{module}"))
    return found


def read(python: str, module: str, case: str, port: int, setting: str, share: float) -> Row | None:
    """One measurement; None if the reader could not do it."""
    streams, how, words = SETTINGS[setting]
    words = max(20, int(words * share))
    asked = f"{how}-{words}-{streams}" if how == "paced" else f"{how}-{words}"
    command = [python, "-m", module, case, str(port), str(streams), asked, str(words)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT, check=True)
    except subprocess.CalledProcessError as error:
        print(f"{case} cannot: {error.stderr.strip().rpartition(chr(10))[2]}", file=sys.stderr)
        return None
    except subprocess.TimeoutExpired:
        print(f"{case} cannot keep up: {setting} took more than {LIMIT:g} s", file=sys.stderr)
        return None
    told: Row = json.loads(done.stdout)
    return told


def median(rows: list[Row]) -> Row:
    """Each figure's median over the rounds."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def measured(
    names: dict[str, tuple[str, str]], port: int, setting: str, rounds: int, share: float
) -> list[Row]:
    """Every reader under one setting, one after the other, round by round: what disturbs one disturbs all."""
    rows: dict[str, list[Row]] = {}
    ratios: dict[str, list[float]] = {}
    for _ in range(rounds):
        ours: float | None = None
        for case, (python, module) in names.items():
            row = read(python, module, case, port, setting, share)
            if row is None:
                continue
            rows.setdefault(case, []).append(row)
            ours = row["us_per_chunk"] if case == OURS else ours
            if ours is not None:
                ratios.setdefault(case, []).append(row["us_per_chunk"] / ours)
    return [
        {
            "bench": "stream",
            "case": case,
            "setting": setting,
            "streams": SETTINGS[setting][0],
            **median(found),
            "ratio": round(statistics.median(ratios[case]), 2) if case in ratios else None,
            "rounds": len(found),
        }
        for case, found in rows.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line; else a table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases, divided by commas; planaria is always measured")
    parser.add_argument("--quick", action="store_true", help="one round of fewer words; not the thousands")
    options = parser.parse_args()
    wanted = {OURS, *options.only.split(",")} if options.only else None
    names = {case: place for case, place in cases().items() if wanted is None or case in wanted}
    names = {OURS: names.pop(OURS), **names}  # the others are told in ratio to it
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=serve, args=(there,), daemon=True)
    server.start()
    port = here.recv()
    about = {"python": platform.python_version(), "cpus": os.cpu_count()}
    try:
        for setting in ("paced", "burst") if options.quick else SETTINGS:
            able = {
                case: place
                for case, place in names.items()
                if (case in ABLE[setting] if setting in ABLE else case != "sessions")
            }
            rounds, share = (1, 0.4) if options.quick else (options.rounds, 1.0)
            for row in measured(able, port, setting, rounds, share):
                print(json.dumps({**row, **about}) if options.json else line(row), flush=True)
    finally:
        server.terminate()
        server.join()


def line(row: Row) -> str:
    """A row for people."""
    return (
        f"{row['setting']:9} {row['case']:14} {row['us_per_chunk']:8.1f} µs/chunk  {row['cores']:5.2f} cores  "
        f"p50 {row['p50_ms']:8.2f} ms  p99 {row['p99_ms']:8.2f} ms  x{row['ratio']}"
    )


if __name__ == "__main__":
    main()
