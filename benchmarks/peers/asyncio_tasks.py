"""The same rows with what people write by hand: one asyncio task and one `asyncio.Queue` per process.

Run by `bench_kernel.py`, as a peer. Does badly, on purpose: no links, no monitors, no names, no deadlines; a peer with
them would be slower still.
"""

import asyncio
import gc
from collections.abc import Callable
from time import perf_counter

from benchmarks.peers.serve import Row, resident_bytes, serve, within

type Message = tuple[str, int, asyncio.Future[int] | None]


class Server:
    """A counter with a standing task and a queue."""

    def __init__(self, asynchronous: bool = False, on_ping: Callable[[], None] | None = None) -> None:
        self.count = 0
        self.queue: asyncio.Queue[Message] = asyncio.Queue()
        self.on_ping = on_ping
        self.task = asyncio.create_task(self._run(asynchronous))

    async def call(self, by: int) -> int:
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.queue.put_nowait(("call", by, answer))
        return await answer

    def cast(self, by: int) -> None:
        self.queue.put_nowait(("cast", by, None))

    async def stop(self) -> None:
        self.queue.put_nowait(("stop", 0, None))
        await self.task

    async def _run(self, asynchronous: bool) -> None:
        while True:
            kind, by, answer = await self.queue.get()
            match kind:
                case "stop":
                    return
                case "ping":
                    assert self.on_ping is not None
                    self.on_ping()
                case "crash":
                    raise RuntimeError("crash")
                case _:
                    value = await self._add_later(by) if asynchronous else self._add(by)
                    if answer is not None:
                        answer.set_result(value)

    def _add(self, by: int) -> int:
        self.count += by
        return self.count

    async def _add_later(self, by: int) -> int:
        self.count += by
        return self.count


async def call(n: int) -> float:
    return await _call(n, asynchronous=False)


async def call_async(n: int) -> float:
    return await _call(n, asynchronous=True)


async def _call(n: int, asynchronous: bool) -> float:
    server = Server(asynchronous)
    start = perf_counter()
    for _ in range(n):
        await server.call(1)
    elapsed = perf_counter() - start
    await server.stop()
    return elapsed * 1e9 / n


async def cast(n: int) -> float:
    server = Server()
    start = perf_counter()
    for _ in range(n):
        server.cast(1)
    await server.call(0)
    elapsed = perf_counter() - start
    await server.stop()
    return elapsed * 1e9 / n


async def spawn_exit(n: int) -> float:
    async def nothing() -> None:
        return

    start = perf_counter()
    for _ in range(n):
        await asyncio.create_task(nothing())
    return (perf_counter() - start) * 1e9 / n


async def start_stop(n: int) -> float:
    start = perf_counter()
    for _ in range(n):
        server = Server()
        await server.call(0)
        await server.stop()
    return (perf_counter() - start) * 1e9 / n


async def restart(n: int) -> list[float]:
    """Crash to ready again, seen by whoever crashed it; a done-callback is the supervisor."""
    loop = asyncio.get_running_loop()
    times = []
    server = Server()
    await server.call(0)
    for _ in range(n):
        up: asyncio.Future[Server] = loop.create_future()

        def replace(task: asyncio.Task[None], up: asyncio.Future[Server] = up) -> None:
            task.exception()
            up.set_result(Server())

        server.task.add_done_callback(replace)
        start = perf_counter()
        server.queue.put_nowait(("crash", 0, None))
        server = await up
        await server.call(0)
        times.append((perf_counter() - start) * 1e6)
    await server.stop()
    return times


async def broadcast(n: int) -> float:
    done = asyncio.get_running_loop().create_future()
    missing = n

    def pong() -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            done.set_result(None)

    servers = [Server(on_ping=pong) for _ in range(n)]
    await asyncio.sleep(0)
    start = perf_counter()
    for server in servers:
        server.queue.put_nowait(("ping", 0, None))
    await done
    elapsed = perf_counter() - start
    await asyncio.gather(*(server.stop() for server in servers))
    return elapsed * 1e3


async def fan_out(n: int) -> float:
    count, factor = within(10_000, n)
    servers = [Server() for _ in range(count)]
    await asyncio.sleep(0)
    start = perf_counter()
    for _ in range(10):
        for server in servers:
            server.cast(1)
    for server in servers:
        await server.call(0)
    elapsed = perf_counter() - start
    await asyncio.gather(*(server.stop() for server in servers))
    return elapsed * factor


async def idle_bytes(n: int) -> float:
    count, _ = within(20_000, n)
    servers = [Server() for _ in range(100)]
    await asyncio.sleep(0)
    gc.collect()
    before = resident_bytes()
    servers += [Server() for _ in range(count)]
    await asyncio.sleep(0)
    gc.collect()
    grown = resident_bytes() - before
    for server in servers:
        server.task.cancel()
    return grown / count


ROWS: dict[str, Row] = {
    "call": call,
    "call_async": call_async,
    "cast": cast,
    "spawn_exit": spawn_exit,
    "start_stop": start_stop,
    "restart": restart,
    "broadcast": broadcast,
    "fan_out": fan_out,
    "idle_bytes": idle_bytes,
}

if __name__ == "__main__":
    serve(ROWS, "one task and one asyncio.Queue a process")
