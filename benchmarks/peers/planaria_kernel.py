"""The rows measured on our kernel, each inside a process of a fresh node. Run by `bench_kernel.py`."""

from collections.abc import Awaitable, Callable
from time import perf_counter

from planaria.otp import (
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
    spawn_monitor,
    stop,
    supervisor,
)


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


class Announcer(GenServer):
    def init(self, owner: Pid) -> None:
        send(owner, self.pid)


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
    async def nothing() -> None:
        return

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


async def restart(n: int) -> list[float]:
    """Kill to ready again, seen by the one who killed."""

    async def work() -> list[float]:
        times = []
        tree = supervisor(child(Announcer, self_()), max_restarts=n + 1, within=3600.0)
        await tree.start(link=True)
        pid = await receive(Pid)
        for _ in range(n):
            start = perf_counter()
            exit_signal(pid, "kill")
            pid = await receive(Pid)
            times.append((perf_counter() - start) * 1e6)
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


async def idle(n: int) -> list[Pid]:
    """Servers that only wait; the caller measures what they weigh."""
    node = Node("bench")
    await node.__aenter__()

    async def work() -> list[Pid]:
        return [await Counter.start() for _ in range(n)]

    return await node.run(work)


ROWS: dict[str, Callable[[int], Awaitable[float | list[float]]]] = {
    "call": call_sync,
    "call_async": call_async,
    "cast": cast_,
    "spawn_exit": spawn_exit,
    "start_stop": start_stop,
    "restart": restart,
    "broadcast": broadcast,
    "fan_out": fan_out,
}
