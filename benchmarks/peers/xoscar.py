"""The kernel's rows on xoscar: one actor pool in this process, on loopback."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any

import xoscar

from benchmarks.peers.serve import Row, resident_bytes, serve, within

ACTORS = 1_000


class Counter(xoscar.Actor):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def add(self, by: int) -> int:
        self.count += by
        return self.count

    async def add_async(self, by: int) -> int:
        self.count += by
        return self.count


class Pong(xoscar.Actor):
    def __init__(self, answered: Callable[[], None]) -> None:
        super().__init__()
        self.answered = answered

    def ping(self) -> None:
        self.answered()


async def in_pool(work: Callable[[str], Awaitable[float]]) -> float:
    """Run a measurement in an actor pool of its own."""
    pool = await xoscar.create_actor_pool("127.0.0.1", n_process=0)
    async with pool:
        return await work(pool.external_address)


async def counters(address: str, n: int) -> list[Any]:
    return [await xoscar.create_actor(Counter, address=address) for _ in range(n)]


async def _call(n: int, asynchronous: bool) -> float:
    async def work(address: str) -> float:
        (ref,) = await counters(address, 1)
        add = ref.add_async if asynchronous else ref.add
        start = perf_counter()
        for _ in range(n):
            await add(1)
        return (perf_counter() - start) * 1e9 / n

    return await in_pool(work)


async def call(n: int) -> float:
    return await _call(n, asynchronous=False)


async def call_async(n: int) -> float:
    return await _call(n, asynchronous=True)


async def cast(n: int) -> float:
    async def work(address: str) -> float:
        (ref,) = await counters(address, 1)
        start = perf_counter()
        for _ in range(n):
            await ref.add.tell(1)
        await ref.add(0)
        return (perf_counter() - start) * 1e9 / n

    return await in_pool(work)


async def start_stop(n: int) -> float:
    async def work(address: str) -> float:
        start = perf_counter()
        for _ in range(n):
            await xoscar.destroy_actor(await xoscar.create_actor(Counter, address=address))
        return (perf_counter() - start) * 1e9 / n

    return await in_pool(work)


async def broadcast(n: int) -> float:
    count, factor = within(ACTORS, n)

    async def work(address: str) -> float:
        done = asyncio.get_running_loop().create_future()
        missing = count

        def answered() -> None:
            nonlocal missing
            missing -= 1
            if not missing:
                done.set_result(None)

        refs = [await xoscar.create_actor(Pong, answered, address=address) for _ in range(count)]
        start = perf_counter()
        for ref in refs:
            await ref.ping.tell()
        await done
        return (perf_counter() - start) * 1e3 * factor

    return await in_pool(work)


async def fan_out(n: int) -> float:
    count, factor = within(ACTORS, n)

    async def work(address: str) -> float:
        refs = await counters(address, count)
        start = perf_counter()
        for _ in range(10):
            for ref in refs:
                await ref.add.tell(1)
        for ref in refs:
            await ref.add(0)
        return (perf_counter() - start) * factor

    return await in_pool(work)


async def idle_bytes(n: int) -> float:
    count, _ = within(10 * ACTORS, n)

    async def work(address: str) -> float:
        await counters(address, 100)
        gc.collect()
        before = resident_bytes()
        kept = await counters(address, count)
        gc.collect()
        return (resident_bytes() - before) / len(kept)

    return await in_pool(work)


ROWS: dict[str, Row] = {
    "call": call,
    "call_async": call_async,
    "cast": cast,
    "start_stop": start_stop,
    "broadcast": broadcast,
    "fan_out": fan_out,
    "idle_bytes": idle_bytes,
}
ABSENT = {
    "spawn_exit": "every process is an actor: see start_stop",
    "restart": "no supervision of single actors",
}

if __name__ == "__main__":
    serve(ROWS, f"xoscar {version('xoscar')}, one pool in one process", ABSENT)
