"""What does demand cost: events a second through stages, beside asyncio.Queue; and what a bounded mailbox adds?

Rows `flow`: `events_per_s` from a producer to a consumer (`stages`: 2) and through one between (3), by `max_demand`;
`queue`: the same events through `asyncio.Queue` of that size between two tasks, one `put` and one `get` each (with a
third task between for 3); `batched_queue`: in lists as large as the stages' batches. All in turns in one run.
Rows `mailbox`: `ns` to cast one message and handle it, queued behind others, unbounded and with a limit that is never
met, and a cast that is shed (`drop_oldest`, `drop_newest`) or refused. Medians of 5 runs with their spread.
`python -m benchmarks.bench_flow [--scale 0.1]`; prints JSON lines, with or without `--json`.
"""

import argparse
import asyncio
import json
import logging
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

from planaria.otp import (
    Bound,
    Consumer,
    GenServer,
    MailboxFull,
    Node,
    Pid,
    Producer,
    ProducerConsumer,
    Subscription,
    bounded,
    call,
    cast,
    hang,
    self_,
    send,
    sleep,
)
from planaria.otp.kernel.ambient import receive
from planaria.otp.program import tune_collector

RUNS = 5


class Numbers(Producer):
    def init(self, count: int) -> None:
        self.next, self.count = 0, count

    def handle_demand(self, demand: int) -> range:
        first = self.next
        self.next = min(self.count, first + demand)
        return range(first, self.next)


class Passing(ProducerConsumer):
    def init(self, source: Pid, max_demand: int) -> None:
        self.subscribe_to(source, max_demand=max_demand, cancel="temporary")

    def handle_events(self, events: list[int], source: Subscription) -> list[int]:
        return events


class Counting(Consumer):
    def init(self, source: Pid, max_demand: int, count: int, tell: Pid) -> None:
        self.left, self.tell = count, tell
        self.subscribe_to(source, max_demand=max_demand, cancel="temporary")

    def handle_events(self, events: list[int], source: Subscription) -> None:
        self.left -= len(events)
        if not self.left:
            send(self.tell, "done")


class Sink(GenServer):
    @cast
    def note(self, what: int) -> None:
        pass

    @call
    def flush(self) -> None:
        pass


async def flow(count: int, stages: int, max_demand: int) -> float:
    """Events a second."""

    async def work() -> float:
        started = time.perf_counter()
        source = await Numbers.start(count)
        for _ in range(stages - 2):
            source = await Passing.start(source, max_demand)
        await Counting.start(source, max_demand, count, self_())
        await receive()
        return count / (time.perf_counter() - started)

    async with Node() as node:
        return await node.run(work)


async def queue(count: int, stages: int, size: int, batch: int = 1) -> float:
    """Events a second through bounded queues."""
    queues: list[asyncio.Queue[Any]] = [asyncio.Queue(max(1, size // batch)) for _ in range(stages - 1)]

    async def put() -> None:
        for number in range(0, count, batch):
            await queues[0].put(number if batch == 1 else list(range(number, min(count, number + batch))))

    async def pass_on(source: asyncio.Queue[Any], target: asyncio.Queue[Any]) -> None:
        for _ in range(0, count, batch):
            await target.put(await source.get())

    async def take() -> None:
        for _ in range(0, count, batch):
            await queues[-1].get()

    started = time.perf_counter()
    await asyncio.gather(put(), *(pass_on(*pair) for pair in pairwise(queues)), take())
    return count / (time.perf_counter() - started)


async def mailbox(count: int, bound: Bound | None) -> float:
    """Nanoseconds to cast and handle one of `count` messages."""

    async def work() -> float:
        pid = await Sink.start(mailbox=bound)
        started = time.perf_counter_ns()
        for number in range(count):
            Sink.note(pid, number)
        await Sink.flush.within(None)(pid)
        return (time.perf_counter_ns() - started) / count

    async with Node() as node:
        return await node.run(work)


async def shed(count: int, bound: Bound) -> float:
    """Nanoseconds of one cast to a full mailbox."""

    class Busy(Sink):
        @cast
        async def begin(self) -> None:
            await hang()

    async def work() -> float:
        pid = await Busy.start(mailbox=bound)
        Busy.begin(pid)
        await sleep(0)
        for number in range(bound.limit):
            Busy.note(pid, number)
        started = time.perf_counter_ns()
        for number in range(count):
            try:
                Busy.note(pid, number)
            except MailboxFull:
                pass
        return (time.perf_counter_ns() - started) / count

    async with Node() as node:
        return await node.run(work)


async def in_turns(cases: dict[str, Callable[[], Awaitable[float]]]) -> dict[str, dict[str, float]]:
    """Run the cases in turns, so that all meet the same machine; median and spread of each."""
    values: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(RUNS):
        for name, case in cases.items():
            values[name].append(await case())
    return {
        name: {"median": round(statistics.median(v)), "low": round(min(v)), "high": round(max(v))}
        for name, v in values.items()
    }


async def measure(scale: float) -> None:
    """Print all rows."""
    about = {"bench": "flow", "machine": platform.machine(), "python": platform.python_version()}
    for stages in (2, 3):
        for max_demand, n in ((1, 10_000), (10, 50_000), (1_000, 200_000), (1_000, 2_000_000)):
            count = max(1_000, int(n * scale))
            batch = max(1, max_demand // 2)
            cases: dict[str, Callable[[], Awaitable[float]]] = {
                "flow": lambda c=count, s=stages, m=max_demand: flow(c, s, m),  # type: ignore[misc]
                "batched_queue": lambda c=count, s=stages, m=max_demand, b=batch: queue(c, s, m, b),  # type: ignore[misc]
            }
            if n <= 200_000:
                cases["queue"] = lambda c=count, s=stages, m=max_demand: queue(c, s, m)  # type: ignore[misc]
            rows = await in_turns(cases)
            row = {
                "operation": "flow",
                "unit": "events_per_s",
                "stages": stages,
                "max_demand": max_demand,
                "n": count,
            }
            print(json.dumps(about | row | rows), flush=True)
    for n in (10_000, 100_000):
        count = max(1_000, int(n * scale))
        rows = await in_turns(
            {
                "unbounded": lambda c=count: mailbox(c, None),  # type: ignore[misc]
                "bounded": lambda c=count: mailbox(c, bounded(c + 10)),  # type: ignore[misc]
                "drop_oldest": lambda c=count: shed(c, bounded(1_000, "drop_oldest")),  # type: ignore[misc]
                "drop_newest": lambda c=count: shed(c, bounded(1_000, "drop_newest")),  # type: ignore[misc]
                "refuse": lambda c=count: shed(c, bounded(1_000, "refuse")),  # type: ignore[misc]
            }
        )
        print(json.dumps(about | {"operation": "mailbox", "unit": "ns", "n": count} | rows), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="What demand and bounds cost")
    parser.add_argument("--json", action="store_true", help="accepted for the sake of uniformity")
    parser.add_argument("--scale", type=float, default=1.0, help="of the counts; 0.1 is quick")
    scale = parser.parse_args().scale
    tune_collector()
    logging.disable()  # what a full mailbox says is not what is measured
    asyncio.run(measure(scale))


if __name__ == "__main__":
    main()
