"""The kernel's rows on Ray: an actor is an operating-system process. One node on loopback, no dashboard."""

import os
import time
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import Any

import ray

from benchmarks.peers.serve import Row, serve


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self, by: int) -> int:
        self.count += by
        return self.count

    def pid(self) -> int:
        return os.getpid()


class AsyncCounter:
    def __init__(self) -> None:
        self.count = 0

    async def add(self, by: int) -> int:
        self.count += by
        return self.count


COUNTER: Any = ray.remote(num_cpus=0, max_restarts=-1)(Counter)
ASYNC_COUNTER: Any = ray.remote(num_cpus=0)(AsyncCounter)


def _call(kind: Any, n: int) -> float:
    actor = kind.remote()
    ray.get(actor.add.remote(0))
    count = min(n, 1_000)
    start = perf_counter()
    for _ in range(count):
        ray.get(actor.add.remote(1))
    elapsed = perf_counter() - start
    ray.kill(actor)
    return elapsed * 1e9 / count


def call(n: int) -> float:
    return _call(COUNTER, n)


def call_async(n: int) -> float:
    return _call(ASYNC_COUNTER, n)


def cast(n: int) -> float:
    actor = COUNTER.remote()
    ray.get(actor.add.remote(0))
    count = min(n, 2_000)
    start = perf_counter()
    for _ in range(count):
        actor.add.remote(1)
    ray.get(actor.add.remote(0))
    elapsed = perf_counter() - start
    ray.kill(actor)
    return elapsed * 1e9 / count


def start_stop(n: int) -> float:
    count = min(n, 2)
    start = perf_counter()
    for _ in range(count):
        actor = COUNTER.remote()
        ray.get(actor.add.remote(0))
        ray.kill(actor)
    return (perf_counter() - start) * 1e9 / count


def restart(n: int) -> list[float]:
    """Kill to ready again: Ray restarts it, the caller asks until it answers."""
    actor = COUNTER.remote()
    ray.get(actor.add.remote(0))
    times = []
    for _ in range(min(n, 2)):
        before = ray.get(actor.pid.remote())
        start = perf_counter()
        ray.kill(actor, no_restart=False)
        while True:
            try:
                if ray.get(actor.pid.remote(), timeout=30) != before:
                    break
            except ray.exceptions.RayActorError:
                time.sleep(0.001)
        times.append((perf_counter() - start) * 1e6)
    ray.kill(actor)
    return times


def idle_bytes(n: int) -> float:
    """The share of memory that is the actor's own."""
    actor = COUNTER.remote()
    pid = ray.get(actor.pid.remote())
    smaps = Path(f"/proc/{pid}/smaps_rollup").read_text()
    ray.kill(actor)
    return float(next(line.split()[1] for line in smaps.splitlines() if line.startswith("Pss:"))) * 1024


ROWS: dict[str, Row] = {
    "call": call,
    "call_async": call_async,
    "cast": cast,
    "start_stop": start_stop,
    "restart": restart,
    "idle_bytes": idle_bytes,
}
ABSENT = {
    "spawn_exit": "every process is an actor: see start_stop",
    "broadcast": "an actor is an OS process: 10 000 do not fit here",
    "fan_out": "an actor is an OS process: 100 000 do not fit here",
}

if __name__ == "__main__":
    ray.init(
        num_cpus=1,
        include_dashboard=False,
        object_store_memory=100 * 1024 * 1024,
        log_to_driver=False,
        logging_level="ERROR",
        _node_ip_address="127.0.0.1",
    )
    serve(ROWS, f"Ray {version('ray')}, one node on loopback", ABSENT)
    ray.shutdown()
