"""A producer made of an iterable: a list, a generator, an async generator, a feed."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable
from itertools import islice
from typing import Any

from planaria.otp.flow.producer import Producer
from planaria.otp.kernel.ambient import receive, send, spawn_link
from planaria.otp.kernel.message import ExitSignal
from planaria.otp.kernel.process import Process
from planaria.otp.servers.handler import cast

type Source = Iterable[Any] | AsyncIterable[Any] | Callable[[], Iterable[Any] | AsyncIterable[Any]]


class IterableProducer(Producer):
    """Gives what an iterable gives, no faster than it is asked for, and ends with `normal` when that ends.

    Args of `init`:
        source: the iterable, or a function that opens it: a supervised producer needs that to begin anew. An async
            one is read by a linked process of its own, one event at a time. An error it raises ends the producer
            with that crash, after the events read before.
    Source: GenStage.from_enumerable/2.
    """

    trap_exit = True  # the reader's end comes after what it has read

    def init(self, source: Source) -> None:
        """Open the iterable."""
        opened = source() if callable(source) else source
        self.reader: Process | None = None
        if isinstance(opened, AsyncIterable):
            self.reader = spawn_link(_read, opened, self.pid, label=f"reader of {self.pid.label}")
        else:
            self.iterator = iter(opened)

    def handle_demand(self, demand: int) -> list[Any] | None:
        """Take so many from the iterable, or have them read."""
        if self.reader is not None:
            send(self.reader, demand)
            return None
        events = list(islice(self.iterator, demand))
        if len(events) < demand:
            self.finish()
        return events

    @cast
    def flow_read(self, event: Any) -> None:
        """The reader has one."""
        self.emit((event,))

    @cast
    def flow_read_all(self) -> None:
        """The reader has come to the end."""
        self.finish()

    def handle_info(self, message: Any) -> None:
        """The reader has failed, or somebody linked ended."""
        if not isinstance(message, ExitSignal):
            super().handle_info(message)
        elif message.sender is self.reader:
            if message.reason != "normal":
                self.finish(message.reason)
        elif message.reason != "normal":
            self.stop(message.reason)


async def _read(source: AsyncIterable[Any], owner: Process) -> None:
    iterator = aiter(source)
    wanted = 0
    while True:
        if not wanted:
            wanted = await receive(int)
        try:
            event = await anext(iterator)
        except StopAsyncIteration:
            IterableProducer.flow_read_all(owner)
            return
        wanted -= 1
        IterableProducer.flow_read(owner, event)
