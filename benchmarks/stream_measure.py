"""How `bench_stream` measures one reader, in a process of its own; standard library only.

Prints one JSON line: processor time a word (`us_per_chunk`), how many cores that was while it ran, and the milliseconds
from a word's sending to its being read.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from time import monotonic_ns, perf_counter, process_time
from typing import Any

from benchmarks.stream_server import ROUND, STEP

type Words = list[int]
"""How long each word took, in steps of 10 µs."""
type Reader = Callable[[str, Words], Awaitable[None]]
type Way = Callable[[int], AbstractAsyncContextManager[Reader]]

BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


def note(words: Words, text: str) -> None:
    """Note how long one word took."""
    words.append((monotonic_ns() // STEP - int(text)) % ROUND)


async def measure(way: Way, port: int, streams: int, model: str, expected: int) -> dict[str, Any]:
    """So many streams at once, after a short one to warm up."""
    async with way(port) as read:
        await read("burst-20", [])
        took: list[Words] = [[] for _ in range(streams)]
        began, cpu = perf_counter(), process_time()
        await asyncio.gather(*(read(model, words) for words in took))
        cpu, seconds = process_time() - cpu, perf_counter() - began
    assert [len(words) for words in took] == [expected] * streams, [len(words) for words in took][:9]
    return told(took, cpu, seconds)


def told(took: list[Words], cpu: float, seconds: float) -> dict[str, Any]:
    """The figures of so many words."""
    delays = sorted(word for words in took for word in words)
    return {
        "us_per_chunk": round(cpu / len(delays) * 1e6, 1),
        "cores": round(cpu / seconds, 2),
        "p50_ms": round(delays[len(delays) // 2] / 100, 2),
        "p99_ms": round(delays[int(len(delays) * 0.99)] / 100, 2),
    }


def main(ways: dict[str, Way]) -> None:
    """Measure the case the command line names: `CASE PORT STREAMS MODEL WORDS`; `-` as case prints what there is."""
    if sys.argv[1] == "-":
        print(json.dumps(list(ways)))
        return
    case, port, streams, model, words = sys.argv[1:6]
    print(json.dumps(asyncio.run(measure(ways[case], int(port), int(streams), model, int(words)))))
