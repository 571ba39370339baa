"""The kernel's rows on Pykka: an actor is a thread with a queue."""

import gc
import queue
from importlib.metadata import version
from time import perf_counter
from typing import Any

import pykka

from benchmarks.peers.serve import Row, resident_bytes, serve, within

ACTORS = 1_000


class Counter(pykka.ThreadingActor):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_receive(self, message: Any) -> int:
        self.count += message
        return self.count


class Pong(pykka.ThreadingActor):
    def __init__(self, answers: queue.SimpleQueue[object]) -> None:
        super().__init__()
        self.answers = answers

    def on_receive(self, message: Any) -> None:
        self.answers.put(message)


def call(n: int) -> float:
    ref = Counter.start()
    start = perf_counter()
    for _ in range(n):
        ref.ask(1)
    elapsed = perf_counter() - start
    ref.stop()
    return elapsed * 1e9 / n


def cast(n: int) -> float:
    ref = Counter.start()
    start = perf_counter()
    for _ in range(n):
        ref.tell(1)
    ref.ask(0)
    elapsed = perf_counter() - start
    ref.stop()
    return elapsed * 1e9 / n


def start_stop(n: int) -> float:
    start = perf_counter()
    for _ in range(n):
        Counter.start().stop()
    return (perf_counter() - start) * 1e9 / n


def broadcast(n: int) -> float:
    count, factor = within(ACTORS, n)
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    refs = [Pong.start(answers) for _ in range(count)]
    start = perf_counter()
    for ref in refs:
        ref.tell("ping")
    for _ in range(count):
        answers.get()
    elapsed = perf_counter() - start
    pykka.ActorRegistry.stop_all()
    return elapsed * 1e3 * factor


def fan_out(n: int) -> float:
    count, factor = within(ACTORS, n)
    refs = [Counter.start() for _ in range(count)]
    start = perf_counter()
    for _ in range(10):
        for ref in refs:
            ref.tell(1)
    for ref in refs:
        ref.ask(0)
    elapsed = perf_counter() - start
    pykka.ActorRegistry.stop_all()
    return elapsed * factor


def idle_bytes(n: int) -> float:
    count, _ = within(ACTORS, n)
    Counter.start()
    gc.collect()
    before = resident_bytes()
    for _ in range(count):
        Counter.start()
    grown = resident_bytes() - before
    pykka.ActorRegistry.stop_all()
    return grown / count


ROWS: dict[str, Row] = {
    "call": call,
    "cast": cast,
    "start_stop": start_stop,
    "broadcast": broadcast,
    "fan_out": fan_out,
    "idle_bytes": idle_bytes,
}
ABSENT = {
    "call_async": "no async handlers",
    "spawn_exit": "every process is an actor: see start_stop",
    "restart": "no supervision",
}

if __name__ == "__main__":
    serve(ROWS, f"Pykka {version('pykka')}", ABSENT)
