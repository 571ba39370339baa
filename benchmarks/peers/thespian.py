"""The kernel's rows on Thespian, in its fastest system base: all actors in this process, run as messages are sent."""

import gc
from collections.abc import Callable
from importlib.metadata import version
from time import perf_counter
from typing import Any

from thespian.actors import Actor, ActorExitRequest, ActorSystem

from benchmarks.peers.serve import Row, resident_bytes, serve, within

ACTORS = 1_000


class Counter(Actor):
    count = 0

    def receiveMessage(self, message: Any, sender: Any) -> None:  # noqa: N802  Thespian's name
        if isinstance(message, tuple):
            self.count += message[1]
            if message[0] == "call":
                self.send(sender, self.count)


def in_system(work: Callable[[Any], float]) -> float:
    """Run a measurement in an actor system of its own."""
    system = ActorSystem("simpleSystemBase")
    try:
        return work(system)
    finally:
        system.shutdown()


def call(n: int) -> float:
    def work(system: Any) -> float:
        address = system.createActor(Counter)
        start = perf_counter()
        for _ in range(n):
            system.ask(address, ("call", 1))
        return (perf_counter() - start) * 1e9 / n

    return in_system(work)


def cast(n: int) -> float:
    def work(system: Any) -> float:
        address = system.createActor(Counter)
        start = perf_counter()
        for _ in range(n):
            system.tell(address, ("cast", 1))
        system.ask(address, ("call", 0))
        return (perf_counter() - start) * 1e9 / n

    return in_system(work)


def start_stop(n: int) -> float:
    def work(system: Any) -> float:
        start = perf_counter()
        for _ in range(n):
            system.tell(system.createActor(Counter), ActorExitRequest())
        return (perf_counter() - start) * 1e9 / n

    return in_system(work)


def broadcast(n: int) -> float:
    count, factor = within(ACTORS, n)

    def work(system: Any) -> float:
        addresses = [system.createActor(Counter) for _ in range(count)]
        start = perf_counter()
        for address in addresses:
            system.tell(address, ("call", 1))
        for _ in addresses:
            assert system.listen(5) is not None
        return (perf_counter() - start) * 1e3 * factor

    return in_system(work)


def fan_out(n: int) -> float:
    count, factor = within(ACTORS, n)

    def work(system: Any) -> float:
        addresses = [system.createActor(Counter) for _ in range(count)]
        start = perf_counter()
        for _ in range(10):
            for address in addresses:
                system.tell(address, ("cast", 1))
        for address in addresses:
            system.ask(address, ("call", 0))
        return (perf_counter() - start) * factor

    return in_system(work)


def idle_bytes(n: int) -> float:
    count, _ = within(20 * ACTORS, n)

    def work(system: Any) -> float:
        system.createActor(Counter)
        gc.collect()
        before = resident_bytes()
        kept = [system.createActor(Counter) for _ in range(count)]
        for address in kept:
            system.ask(address, ("call", 0))  # an actor is made when its first message comes
        gc.collect()
        return (resident_bytes() - before) / len(kept)

    return in_system(work)


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
    "restart": "no supervision: a parent is told and restarts by hand",
}

if __name__ == "__main__":
    serve(ROWS, f"Thespian {version('thespian')}, simpleSystemBase", ABSENT)
