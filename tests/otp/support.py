"""Small servers and probes the kernel's tests share."""

from collections.abc import Awaitable, Callable
from typing import Any

from planaria.otp import (
    Deferred,
    Exit,
    GenServer,
    Node,
    Pid,
    call,
    cast,
    receive,
    self_,
    send,
    trap_exits,
)


class Boom(Exception):
    """What crashes in tests crash with."""


class Counter(GenServer):
    """Counts; crashes, stops and hangs when told."""

    def init(self, start: int = 0) -> None:
        self.count = start
        self.seen: list[object] = []
        self.waiting: list[Deferred[Any]] = []

    @call
    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

    @call
    async def add_slowly(self, by: int = 1) -> int:
        return self.add(by)

    @call
    def later(self) -> Deferred[int]:
        self.waiting.append(deferred := self.defer())
        return deferred

    @cast
    def answer(self, value: int) -> None:
        for deferred in self.waiting:
            deferred.reply(value)
        self.waiting = []

    @cast
    def crash(self) -> None:
        raise Boom

    @cast
    def end(self, reason: object = "normal") -> None:
        self.stop(reason)

    @call
    def everything(self) -> list[object]:
        return list(self.seen)

    def handle_info(self, message: object) -> None:
        self.seen.append(message)


class Journal:
    """Who did what, in order; shared by the processes of one test."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, line: str) -> None:
        self.lines.append(line)

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


class Scribe(GenServer):
    """Writes its start and its end into a journal; traps exits, so that it is told to terminate."""

    trap_exit = True

    def init(self, journal: Journal, name: str, refuse: Callable[[], bool] | None = None) -> None:
        self.journal = journal
        self.name = name
        if refuse is not None and refuse():
            journal.add(f"{name} refuses")
            raise Exit("refused")
        journal.add(f"{name} starts")

    @cast
    def crash(self) -> None:
        raise Boom

    @cast
    def end(self, reason: object = "normal") -> None:
        self.stop(reason)

    @call
    def ping(self) -> str:
        return self.name

    def terminate(self, reason: object) -> None:
        self.journal.add(f"{self.name} ends")


async def idle() -> None:
    """A process that takes messages and does nothing."""
    while True:
        await receive()


async def collect(into: list[Any], trap: bool = False) -> None:
    """A process that keeps every message."""
    trap_exits(trap)
    while True:
        into.append(await receive())


async def end_with(reason: object) -> None:
    """A process that ends at once."""
    raise Exit(reason)


async def on_request(work: Callable[[], Awaitable[object]]) -> None:
    """A process that waits for any message, then works."""
    await receive()
    await work()


async def reason_of_end(node: Node, pid: Pid) -> object:
    """Wait for the end of a process and tell its reason."""
    return await node.wait_exit(pid)


async def echo_until_stopped() -> None:
    """A process that sends each message back to the pid inside it."""
    while True:
        sender = await receive(Pid)
        send(sender, self_())
