"""What does an upgrade of 10 000 live processes under load cost, beside stopping and starting them all?

Units: `seconds` for the whole, `pause_p50_ms`, `pause_p99_ms` for one process (no message of its is handled that long),
`longest_call_ms` for callers meanwhile, `lost` and `doubled` messages. `together` holds all, changes them, lets them
go; `one_by_one` changes each between two messages. The peer, `restart`, stops every server and starts it anew, as one
does without hot code: its state and what waits in mailboxes is gone, unless it was stored elsewhere.
`python -m benchmarks.bench_upgrade [--json] [--processes 10000] [--runs 5]`. The check in a worker is in `checked_s`.
"""

import argparse
import asyncio
import contextlib
import importlib
import json
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from planaria.otp import CallError, Node, upgrade
from planaria.otp.kernel.ambient import sleep, spawn
from planaria.otp.program import tune_collector
from planaria.otp.servers.gen_server import stop

MODULE = "bench_upgrade_target"
TEXT = """
from planaria.otp import GenServer, call, cast

class Account(GenServer):
    fee = {fee}

    def init(self, number):
        self.number = number
        self.balance = 0
        self.seen = []

    @cast
    def put(self, amount):
        self.seen.append(amount)
        self.balance += amount - self.fee

    @call
    def look(self):
        return len(self.seen), len(set(self.seen))

    def code_change(self, old_version, extra):
        self.history = (self.balance,)
"""
ROUNDS = 40
"""Messages each process gets while the upgrade runs."""


def write(folder: Path, fee: int) -> None:
    (folder / f"{MODULE}.py").write_text(TEXT.format(fee=fee), encoding="utf-8")


async def load_on(
    node: Node, pids: list[Any], account: Any, done: asyncio.Event, latencies: list[float]
) -> None:
    """Keeps everybody busy: casts to all in turn, a call now and then."""
    for number in range(ROUNDS):
        for index, pid in enumerate(pids):
            account.put(pid, number)
            if index % 250 == 0:
                began = time.perf_counter()
                with contextlib.suppress(CallError):  # of the peer: it is just being restarted
                    await account.look(pid)
                latencies.append(time.perf_counter() - began)
                await sleep(0)
    done.set()


async def once(folder: Path, processes: int, how: str) -> dict[str, float]:
    """One run on a node of its own."""
    write(folder, 0)
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()
    account: Any = importlib.import_module(MODULE).Account
    async with Node("bench") as node:

        async def start(count: int) -> list[Any]:
            return [await account.start(number) for number in range(count)]

        pids = await node.run(start, processes)
        tune_collector()
        done = asyncio.Event()
        latencies: list[float] = []

        async def under_load() -> None:
            await load_on(node, pids, account, done, latencies)

        async def work() -> dict[str, float]:
            spawn(under_load)
            await sleep(0.05)
            write(folder, 1)
            latencies.clear()
            began = time.perf_counter()
            if how == "restart":
                pauses = await restart_all(pids, account)
            else:
                report = await upgrade.load(MODULE, check=False, order=how, probation=0)  # type: ignore[arg-type]
                assert report.moved == processes and not report.late, report
                pauses = [report.pauses.p50, report.pauses.p99]
            seconds = time.perf_counter() - began
            while not done.is_set():
                await sleep(0.01)
            lost, doubled = 0, 0
            for pid in pids:
                count, different = await account.look(pid)
                lost += ROUNDS - different
                doubled += count - different
            return {
                "seconds": seconds,
                "pause_p50_ms": pauses[0] * 1e3,
                "pause_p99_ms": pauses[1] * 1e3,
                "longest_call_ms": max(latencies) * 1e3,
                "lost": float(lost),
                "doubled": float(doubled),
            }

        return await node.run(work)


async def restart_all(pids: list[Any], account: Any) -> list[float]:
    """Stop each, start another in its place: its pid, state and mailbox are gone."""
    pauses: list[float] = []
    for index, pid in enumerate(pids):
        began = time.perf_counter()
        await stop(pid)
        pids[index] = await account.start(index)
        pauses.append(time.perf_counter() - began)
    pauses.sort()
    return [pauses[len(pauses) // 2], pauses[int(len(pauses) * 0.99)]]


async def checked(folder: Path) -> float:
    """Seconds of a complete load of one small module, the check in a worker included."""
    write(folder, 0)
    sys.modules.pop(MODULE, None)
    importlib.invalidate_caches()
    importlib.import_module(MODULE)
    async with Node("bench") as node:
        write(folder, 1)
        return (await upgrade.load(MODULE, node=node, probation=0)).seconds


def summary(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--processes", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sys.path.insert(0, name)
        sys.dont_write_bytecode = True
        check = [asyncio.run(checked(folder)) for _ in range(options.runs)]
        for how in ("together", "one_by_one", "restart"):
            runs = [asyncio.run(once(folder, options.processes, how)) for _ in range(options.runs)]
            row: dict[str, Any] = {
                "benchmark": "upgrade",
                "case": how,
                "processes": options.processes,
                "python": platform.python_version(),
            }
            row |= {key: summary([run[key] for run in runs]) for key in runs[0]}
            row["checked_s"] = summary(check) if how != "restart" else None
            print(json.dumps(row) if options.json else text(row), flush=True)


def text(row: dict[str, Any]) -> str:
    figures = ", ".join(f"{k} {v['median']:.4g}" for k, v in row.items() if isinstance(v, dict))
    return f"{row['case']} of {row['processes']:,}: {figures}"


if __name__ == "__main__":
    main()
