"""Reading producers from plain async code, in a process or outside.

```python
async for event in events_of(producer): ...             # to its end

async with events_of(producer, max_demand=10) as events:  # or for a while
    async for event in events:
        if event == wanted:
            break
```
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Any, ClassVar, Self

from planaria.otp.flow.consumer import Consumer
from planaria.otp.flow.subscription import MAX_DEMAND, Subscription
from planaria.otp.kernel.ambient import Server, monitor, resolve
from planaria.otp.kernel.message import Down
from planaria.otp.kernel.process import Process, running
from planaria.otp.kernel.reason import NotAProcess, ServerExited, is_orderly
from planaria.otp.kernel.signals import signal, unlink
from planaria.otp.servers.handler import Deferred, call


class Tap(Consumer):
    """The consumer behind a stream: holds what came until it is taken, and asks for no more before."""

    call_timeout: ClassVar[float | None] = None

    def init(self, producers: list[Process], max_demand: int, reader: Process | None = None) -> None:
        """Subscribe to all; end with the reader."""
        self.reading = None if reader is None else monitor(reader)
        self.ready: deque[tuple[Subscription, list[Any]]] = deque()
        self.taken: tuple[Subscription, int] | None = None
        self.taker: Deferred[list[Any] | None] | None = None
        self.failure: ServerExited | None = None
        for producer in producers:
            subscription = self.subscribe_to(producer, max_demand=max_demand, cancel="temporary", manual=True)
            self.ask(subscription, max_demand)

    @call
    def take(self) -> Any:
        """The next events, at least one; None at the end of all producers.

        Raises:
            ServerExited: a producer ended abnormally; after the events it had sent.
        """
        if self.taken is not None:  # those are through: so many may come anew
            subscription, count = self.taken
            self.taken = None
            self.ask(subscription, count)
        self.taker = taker = self.defer()
        self._serve()
        return taker

    def handle_info(self, message: Any) -> None:
        """The reader has ended, perhaps in an orderly way, of which a link says nothing."""
        if isinstance(message, Down) and message.ref is self.reading:
            self.stop("shutdown")
        else:
            super().handle_info(message)

    def handle_events(self, events: list[Any], source: Subscription) -> None:
        """Keep them until they are taken."""
        self.ready.append((source, events))
        self._serve()

    def handle_cancel(self, subscription: Subscription, reason: object) -> None:
        """One producer less."""
        if not is_orderly(reason):
            self.failure = ServerExited(subscription.producer, reason)
        self._serve()

    def _serve(self) -> None:
        taker = self.taker
        if taker is None:
            return
        if self.ready:
            source, events = self.ready.popleft()
            self.taken = (source, len(events))
            taker.reply(events)
        elif self.failure is not None:
            taker.fail(self.failure)
        elif not self.flow_inlet:
            taker.reply(None)
        else:
            return
        self.taker = None


class Stream:
    """The events of producers as an async iterator; made by `events_of`. One reader at a time."""

    def __init__(self, producers: tuple[Server, ...], max_demand: int) -> None:
        self.producers = producers
        self.max_demand = max_demand
        self.tap: Process | None = None
        self.owner: Process | None = None  # who the tap is linked to
        self.closed = False
        self.events: deque[Any] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """The next event; none any more once it is closed.

        Raises:
            ServerExited: a producer ended abnormally.
        """
        if self.closed:
            raise StopAsyncIteration
        if not self.events:
            if self.tap is None:
                self.tap = await self._open()
            try:
                batch = await Tap.take(self.tap)
            except ServerExited:
                self.close()
                raise
            if batch is None:
                self.close()
                raise StopAsyncIteration
            self.events.extend(batch)
        return self.events.popleft()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the producers, and of what was not read. Also at the end of the events."""
        self.closed = True
        self.events.clear()
        if self.tap is not None:
            if self.owner is not None:
                unlink(self.owner, self.tap)  # whose end this is not
            signal(self.tap, None, "shutdown")

    async def _open(self) -> Process:
        self.owner = running.process
        if self.owner is not None:
            producers = [resolve(each) for each in self.producers]
            return await Tap.start_link(producers, self.max_demand, self.owner)
        pids = [each for each in self.producers if isinstance(each, Process)]
        if len(pids) != len(self.producers):
            raise NotAProcess("outside a process a name means nothing: use events_of(node[name])")
        return await pids[0].node.run(Tap.start, pids, self.max_demand)


def events_of(*producers: Server, max_demand: int = MAX_DEMAND) -> Stream:
    """Read events of producers: pulled, so a slow reader slows them.

    Ends when all producers have ended in an orderly way. In a process the stream's consumer is linked to it; leave
    an `async for` early only inside `async with`, which lets go of the producers.

    Args:
        producers: at least one; in code outside, pids.
        max_demand: most events of each that are under way or wait to be read.
    Raises:
        ServerExited: in the loop, when a producer ended abnormally; after the events it had sent.
    """
    if not producers:
        raise ValueError("events_of() needs at least one producer")
    return Stream(producers, max_demand)
