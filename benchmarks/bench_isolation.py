"""What does a worker cost: to start, to call, and to send a hundred megabytes, beside the standard library's ways?

Units: ms for a start, µs for a round trip, ms for 100 MB there and back; medians with the spread of all runs, and
ratios of ours to the peer measured in the same run, turn by turn.
`python -m benchmarks.bench_isolation [--json] [--quick]`.

- `start_warm`: `child(Server, isolation="worker")` with a worker waiting in the pool, until `init` has answered;
  `start_cold`: the same with an empty pool; `start_first`: the first of a node, template included. Peers: a
  `multiprocessing.Process` until its first word through a pipe, by fork server and by spawn.
- `call`: a call to the server and its answer; peer: `ProcessPoolExecutor.submit`, awaited.
- `echo_bytes`, `echo_view`, `echo_shared`: 100 MB sent and returned, as `bytes`, as a `memoryview`, and in a
  `shared_buffer`; peer: the executor with the same bytes.
- `kill`: SIGKILL until the node has reaped it, ms.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import Connection
from typing import Any

from planaria.otp import GenServer, Node, Pid, call, child, exit_signal, shared_buffer, warm_up, worker_pool
from planaria.otp.isolation.proxy import worker_of

MEGABYTES = 100


class Echo(GenServer):
    """Answers."""

    @call
    def add(self, number: int) -> int:
        return number + 1

    @call
    def echo(self, value: Any) -> Any:
        return value

    @call
    def length(self, value: Any) -> int:
        return len(value)


def add(number: int) -> int:
    return number + 1


def echo(value: Any) -> Any:
    return value


def speak(pipe: Connection) -> None:
    pipe.send(add(1))
    pipe.recv()


def spread(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": round(statistics.median(ordered), 3),
        "low": round(ordered[0], 3),
        "high": round(ordered[-1], 3),
    }


async def timed(work: Callable[[], Awaitable[object]], scale: float) -> float:
    before = time.perf_counter()
    await work()
    return (time.perf_counter() - before) * scale


async def started(node: Node) -> Pid:
    process = await node.run(child(Echo, isolation="worker").start_child)
    assert process is not None
    return process


async def end(node: Node, process: Pid) -> None:
    async def kill() -> None:
        exit_signal(process, "kill")

    await node.run(kill)


async def reaped(node: Node, process: Pid) -> None:
    worker = worker_of(process)
    assert worker is not None
    await end(node, process)
    while not worker.ended:
        await asyncio.sleep(0)


def peer_start(method: str) -> float:
    context = multiprocessing.get_context(method)
    before = time.perf_counter()
    ours, theirs = context.Pipe()
    process = context.Process(target=speak, args=(theirs,))  # type: ignore[attr-defined]
    process.start()
    assert ours.recv() == 2
    taken = (time.perf_counter() - before) * 1000
    ours.send(None)
    process.join()
    return taken


async def measure(quick: bool) -> dict[str, tuple[list[float], list[float], str]]:
    rounds = 3 if quick else 15
    calls = 200 if quick else 2000
    found: dict[str, tuple[list[float], list[float], str]] = {}

    def note(operation: str, ours: float | None, peer: float | None, of: str) -> None:
        mine, theirs, _ = found.setdefault(operation, ([], [], of))
        if ours is not None:
            mine.append(ours)
        if peer is not None:
            theirs.append(peer)

    peer_start("forkserver")  # its server is up, as our template is below
    for _ in range(3 if quick else 5):
        async with Node("first") as node:
            worker_pool(node, warm=0)
            note("start_first", await timed(lambda node=node: started(node), 1000), None, "spawn")  # type: ignore[misc]
        note("start_first", None, await asyncio.to_thread(peer_start, "spawn"), "spawn")

    async with Node("bench") as node:
        await warm_up(node, 1)
        for operation, warm in (("start_warm", 1), ("start_cold", 0)):
            pool = worker_pool(node, warm=warm)
            await asyncio.sleep(0.2)
            await end(node, await started(node))  # from now on waiting workers have imported this module
            for _ in range(rounds):
                while pool.idle < warm or pool.busy:
                    await asyncio.sleep(0.01)
                for worker in tuple(pool._idle):
                    await worker.ready()
                await asyncio.sleep(0.05)
                held: list[Pid] = []

                async def start(node: Node = node, held: list[Pid] = held) -> None:
                    held.append(await started(node))

                note(operation, await timed(start, 1000), None, "forkserver")
                note(operation, None, await asyncio.to_thread(peer_start, "forkserver"), "forkserver")
                note("kill", await timed(lambda held=held: reaped(node, held[0]), 1000), None, "")  # type: ignore[misc]

        loop = asyncio.get_running_loop()
        process = await started(node)
        with ProcessPoolExecutor(1, multiprocessing.get_context("forkserver")) as executor:
            await loop.run_in_executor(executor, add, 1)

            async def ours() -> None:
                for number in range(calls):
                    await Echo.add(process, number)

            async def from_a_process() -> None:
                await node.run(ours)

            async def theirs() -> None:
                for number in range(calls):
                    await loop.run_in_executor(executor, add, number)

            for _ in range(3 if quick else 7):
                note(
                    "call",
                    await timed(from_a_process, 1e6 / calls),
                    await timed(theirs, 1e6 / calls),
                    "executor",
                )

            block = os.urandom(1 << 20) * MEGABYTES
            whole = shared_buffer(len(block))
            whole[:] = block
            for _ in range(3 if quick else 5):
                peer = await timed(lambda: loop.run_in_executor(executor, echo, block), 1000)
                for operation, value in (
                    ("echo_bytes", block),
                    ("echo_view", memoryview(block)),
                    ("echo_shared", whole),
                ):
                    work = Echo.echo.within(60)
                    taken = await timed(lambda value=value, work=work: work(process, value), 1000)  # type: ignore[misc]
                    note(operation, taken, peer, "executor")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="few rounds")
    options = parser.parse_args()
    units = {"call": "µs"}
    for operation, (ours, peers, of) in asyncio.run(measure(options.quick)).items():
        row: dict[str, Any] = {
            "bench": "isolation",
            "operation": operation,
            "unit": units.get(operation, "ms"),
            "ours": spread(ours),
            "peer": of or None,
            "peer_took": spread(peers) if peers else None,
            "ratio": round(statistics.median(ours) / statistics.median(peers), 3) if peers else None,
            "runs": len(ours),
            "machine": platform.machine(),
            "python": platform.python_version(),
            "cpus": os.cpu_count(),
        }
        if options.json:
            print(json.dumps(row), flush=True)
        else:
            took = row["peer_took"]
            beside = "" if took is None else f"   {of} {took['median']:>10.3f}   ratio {row['ratio']}"
            print(f"{operation:12} {row['ours']['median']:>10.3f} {row['unit']}{beside}")


if __name__ == "__main__":
    main()
