"""How late are the timers of others while one process does not pause, and what does the watchdog cost when none does?

`python -m benchmarks.bench_watchdog [--seconds 20] [--json]`, one JSON line a case.
`timers`: 200 processes sleep 10 ms again and again; another gets a message without end every two seconds and is broken
after `limit`. Units: seconds of lateness; `share_above` is the share of all timers later than a tenth of the limit.
`timers_quiet`: the same without that process. `call`: nanoseconds of a call round trip, watchdog off and on in turns.
`idle`: processor seconds that an idle node uses in a second, watchdog off and on.
"""

import argparse
import asyncio
import json
import logging
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from planaria.otp import GenServer, Node, call, cast, child, sleep, supervisor
from planaria.otp.observe.watchdog import Watchdog

TIMERS = 200
PAUSE = 0.01
CALLS = 50_000
ROUNDS = 9


class Hog(GenServer):
    @cast
    def spin(self) -> None:
        while True:
            pass

    @call
    def ping(self) -> int:
        return 1


async def timers(seconds: float, limit: float, *, hog: bool) -> dict[str, Any]:
    """How late sleeping processes wake."""
    late: list[float] = []
    stalls = 0

    async def nap() -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (now := loop.time()) < until:
            await sleep(PAUSE)
            late.append(loop.time() - now - PAUSE)

    async with Node("bench") as node:
        await node.start(supervisor(child(Hog, name="hog"), name="root", max_restarts=1000))
        with Watchdog(node, limit=limit) as watchdog:
            napping = [node.run(nap) for _ in range(TIMERS)]

            async def hogging() -> None:
                for _ in range(int(seconds / 2)):
                    await asyncio.sleep(2.0)
                    if hog:
                        Hog.spin(node["hog"])

            await asyncio.gather(*napping, hogging())
            stalls = len(watchdog.stalls) + (watchdog.stall is not None)
    late.sort()
    return {
        "limit": limit,
        "timers": len(late),
        "stalls": stalls,
        "p50": round(late[len(late) // 2], 5),
        "p99": round(late[int(len(late) * 0.99)], 5),
        "p999": round(late[int(len(late) * 0.999)], 5),
        "max": round(late[-1], 4),
        "share_above": round(sum(each > limit / 10 for each in late) / len(late), 4),
    }


def watching(node: Node, on: bool) -> AbstractContextManager[object]:
    """A watchdog, or nothing."""
    return Watchdog(node) if on else nullcontext()


async def calls(on: bool) -> float:
    """Nanoseconds of one round trip."""
    async with Node("bench") as node:
        await node.start(supervisor(child(Hog, name="hog"), name="root"))

        async def work() -> float:
            pid = node["hog"]
            began = time.perf_counter()
            for _ in range(CALLS):
                await Hog.ping(pid)
            return (time.perf_counter() - began) / CALLS * 1e9

        with watching(node, on):
            return await node.run(work)


async def idle(on: bool) -> float:
    """Processor seconds an idle node uses in a second."""
    async with Node("bench") as node:
        await node.start(supervisor(child(Hog, name="hog"), name="root"))
        with watching(node, on):
            began = time.process_time()
            await asyncio.sleep(3.0)
            return (time.process_time() - began) / 3.0


def off_and_on(measure: Callable[[bool], Awaitable[float]], rounds: int) -> dict[str, Any]:
    """Medians with their spread, measured in turns."""
    figures: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for on in (False, True):
            figures[on].append(asyncio.run(_given(measure, on)))
    told = {}
    for name, on in (("off", False), ("on", True)):
        values = sorted(figures[on])
        told[name] = {"median": statistics.median(values), "low": values[0], "high": values[-1]}
    return told


async def _given(measure: Callable[[bool], Awaitable[float]], on: bool) -> float:
    return await measure(on)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true", help="the only format; kept for scripts")
    options = parser.parse_args()
    logging.disable(logging.ERROR)
    about = {"benchmark": "watchdog", "python": platform.python_version(), "machine": platform.machine()}
    rows: list[dict[str, Any]] = [
        {"row": "timers_quiet", **asyncio.run(timers(options.seconds, 0.5, hog=False))},
        {"row": "timers", **asyncio.run(timers(options.seconds, 0.5, hog=True))},
        {"row": "timers", **asyncio.run(timers(options.seconds, 2.0, hog=True))},
        {"row": "call", "unit": "ns", **off_and_on(calls, ROUNDS)},
        {"row": "idle", "unit": "processor seconds a second", **off_and_on(idle, 3)},
    ]
    for row in rows:
        print(json.dumps(about | row), flush=True)


if __name__ == "__main__":
    main()
