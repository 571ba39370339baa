"""The rows of `bench_kernel.py` on our kernel, pure or compiled, each inside a process of a fresh node."""

import gc
import random
from collections.abc import Awaitable, Callable
from time import perf_counter

from benchmarks.peers.serve import Row, resident_bytes, serve
from planaria.otp import (
    COMPILED,
    Down,
    GenServer,
    Node,
    Pid,
    call,
    cast,
    child,
    exit_signal,
    receive,
    self_,
    send,
    sleep,
    spawn,
    spawn_monitor,
    stop,
    supervisor,
)

GROWTH_OPERATIONS = 200_000
GROWTH_SPAWNS = 50_000
RESTARTS = 10
"""Of one supervisor, as in `kernel_bench.erl`."""
TIMERS = 500
TIMER_WINDOW = 2.0


class Counter(GenServer):
    def init(self) -> None:
        self.count = 0

    @call
    def add(self, by: int) -> int:
        self.count += by
        return self.count

    @call
    async def add_async(self, by: int) -> int:
        self.count += by
        return self.count

    @cast
    def put(self, by: int) -> None:
        self.count += by


class Pong(GenServer):
    def init(self, owner: Pid) -> None:
        self.owner = owner

    def handle_info(self, message: object) -> None:
        send(self.owner, message)


class Spinner(GenServer):
    def init(self) -> None:
        self.count = 0

    def handle_info(self, message: object) -> None:
        self.count += 1
        send(self.pid, message)


class Announcer(GenServer):
    def init(self, owner: Pid) -> None:
        send(owner, self.pid)


async def nothing() -> None:
    return


async def in_process[R](work: Callable[[], Awaitable[R]]) -> R:
    """Run a measurement as a process of a node of its own."""
    async with Node("bench") as node:
        return await node.run(work)


async def call_(n: int, asynchronous: bool) -> float:
    async def work() -> float:
        pid = await Counter.start_link()
        add = Counter.add_async if asynchronous else Counter.add
        start = perf_counter()
        for _ in range(n):
            await add(pid, 1)
        return (perf_counter() - start) * 1e9 / n

    return await in_process(work)


async def call_sync(n: int) -> float:
    return await call_(n, asynchronous=False)


async def call_async(n: int) -> float:
    return await call_(n, asynchronous=True)


async def cast_(n: int) -> float:
    async def work() -> float:
        pid = await Counter.start_link()
        start = perf_counter()
        for _ in range(n):
            Counter.put(pid, 1)
        await Counter.add.within(None)(pid, 0)
        return (perf_counter() - start) * 1e9 / n

    return await in_process(work)


async def spawn_exit(n: int) -> float:
    async def work() -> float:
        start = perf_counter()
        for _ in range(n):
            spawn_monitor(nothing)
            await receive(Down)
        return (perf_counter() - start) * 1e9 / n

    return await in_process(work)


async def start_stop(n: int) -> float:
    async def work() -> float:
        start = perf_counter()
        for _ in range(n):
            await stop(await Counter.start_link())
        return (perf_counter() - start) * 1e9 / n

    return await in_process(work)


async def restarts() -> list[float]:
    """Kill to ready again, seen by the one who killed."""
    times = []
    tree = supervisor(child(Announcer, self_()), max_restarts=RESTARTS + 1, within=3600.0)
    root = await tree.start(link=True)
    assert root is not None
    pid = await receive(Pid)
    for _ in range(RESTARTS):
        start = perf_counter()
        exit_signal(pid, "kill")
        pid = await receive(Pid)
        times.append((perf_counter() - start) * 1e6)
    await stop(root)
    return times


async def restart(n: int) -> list[float]:
    async def work() -> list[float]:
        times = []
        for _ in range(max(1, n // RESTARTS)):
            times += await restarts()
        return times

    return await in_process(work)


async def broadcast(n: int) -> float:
    async def work() -> float:
        pids = [await Pong.start_link(self_()) for _ in range(n)]
        start = perf_counter()
        for pid in pids:
            send(pid, "ping")
        for _ in range(n):
            await receive()
        return (perf_counter() - start) * 1e3

    return await in_process(work)


async def fan_out(n: int) -> float:
    async def work() -> float:
        pids = [await Counter.start() for _ in range(n)]
        start = perf_counter()
        for _ in range(10):
            for pid in pids:
                Counter.put(pid, 1)
        add = Counter.add.within(None)
        for pid in pids:
            await add(pid, 0)
        return perf_counter() - start

    return await in_process(work)


async def weigh(n: int, *, linked: bool) -> float:
    """Growth of the resident set by one waiting server; asked of a fresh interpreter."""
    start = Counter.start_link if linked else Counter.start

    async def work() -> float:
        kept = [await start() for _ in range(100)]
        gc.collect()
        before = resident_bytes()
        kept += [await start() for _ in range(n)]
        gc.collect()
        return (resident_bytes() - before) / n

    return await in_process(work)


async def idle_bytes(n: int) -> float:
    return await weigh(n, linked=False)


async def linked_bytes(n: int) -> float:
    return await weigh(n, linked=True)


async def growth(n: int) -> list[float]:
    """With n servers alive: ns to start one, to call and cast one of them at random, to see another process end."""

    async def work() -> list[float]:
        start = perf_counter()
        pids = [await Counter.start() for _ in range(n)]
        started = perf_counter() - start
        picked = random.Random(1).choices(pids, k=GROWTH_OPERATIONS)
        start = perf_counter()
        for pid in picked:
            await Counter.add(pid, 1)
        called = perf_counter() - start
        start = perf_counter()
        for pid in picked:
            Counter.put(pid, 1)
        add = Counter.add.within(None)
        for pid in picked[:100]:
            await add(pid, 1)
        sent = perf_counter() - start
        start = perf_counter()
        for _ in range(GROWTH_SPAWNS):
            spawn_monitor(nothing)
            await receive(Down)
        spawned = perf_counter() - start
        return [
            started * 1e9 / n,
            called * 1e9 / GROWTH_OPERATIONS,
            sent * 1e9 / GROWTH_OPERATIONS,
            spawned * 1e9 / GROWTH_SPAWNS,
        ]

    return await in_process(work)


async def timer(n: int) -> list[float]:
    """How late timers are, in ms, while n servers always have a message to handle."""

    async def work() -> list[float]:
        owner = self_()
        for _ in range(n):
            send(await Spinner.start(), "spin")
        begin = perf_counter()

        async def sleeper(due: float) -> None:
            await sleep(due - (perf_counter() - begin))
            send(owner, (perf_counter() - begin - due) * 1e3)

        for index in range(TIMERS):
            spawn(sleeper, 0.1 + TIMER_WINDOW * index / TIMERS)
        return [max(0.0, await receive(float)) for _ in range(TIMERS)]

    return await in_process(work)


ROWS: dict[str, Row] = {
    "call": call_sync,
    "call_async": call_async,
    "cast": cast_,
    "spawn_exit": spawn_exit,
    "start_stop": start_stop,
    "restart": restart,
    "broadcast": broadcast,
    "fan_out": fan_out,
    "idle_bytes": idle_bytes,
    "linked_bytes": linked_bytes,
    "growth": growth,
    "timer": timer,
}

if __name__ == "__main__":
    serve(ROWS, "compiled" if COMPILED else "pure")
