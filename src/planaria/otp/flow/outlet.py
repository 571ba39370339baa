"""The downstream side of a stage: who wants how much, what was asked of the producer, what waits in the buffer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Literal

from planaria.otp.flow.dispatcher import Dispatcher, Send
from planaria.otp.flow.subscription import Subscription

type Keep = Literal["last", "first"]


class Outlet:
    """Sends no more than was asked for and keeps the rest.

    Args:
        dispatcher: shares events out.
        size: most events kept while nobody wants them; None: any number.
        keep: which stay when there are more: the `last` or the `first`.
        send: gives events to a consumer.
        overflow: told how many events were dropped.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        size: int | None,
        keep: Keep,
        send: Send,
        overflow: Callable[[int], None],
    ) -> None:
        self.dispatcher = dispatcher
        self.size = size
        self.keep: Keep = keep
        self.send = send
        self.overflow = overflow
        self.buffer: deque[Any] = deque()
        self.subscribers: set[Subscription] = set()
        self.asked = 0  # events the producer was asked for and has not given
        self.dropped = 0

    def __repr__(self) -> str:
        return (
            f"<outlet: {len(self.subscribers)} consumers want {self.dispatcher.capacity()}, "
            f"{self.asked} asked for, {len(self.buffer)} buffered, {self.dropped} dropped>"
        )

    def wants(self) -> int:
        """How many events more the producer should be asked for."""
        return max(0, self.dispatcher.capacity() - self.asked)

    def kept(self) -> int:
        """How many events wait for demand."""
        return len(self.buffer) + self.dispatcher.held()

    def drain(self) -> None:
        """Send what waits, as far as it is wanted."""
        count = min(len(self.buffer), self.dispatcher.capacity())
        self.dispatcher.dispatch([self.buffer.popleft() for _ in range(count)], self.send)

    def emit(self, events: list[Any]) -> None:
        """Send events, or keep them."""
        self.asked = max(0, self.asked - len(events))
        if not self.buffer:
            room = self.dispatcher.capacity()
            if room >= len(events):
                self.dispatcher.dispatch(events, self.send)
                return
            if room:
                self.dispatcher.dispatch(events[:room], self.send)
                events = events[room:]
            self._keep(events)
        else:
            self._keep(events)
            self.drain()

    def _keep(self, events: list[Any]) -> None:
        self.buffer.extend(events)
        if self.size is None or len(self.buffer) <= self.size:
            return
        excess = len(self.buffer) - self.size
        if self.keep == "last":
            for _ in range(excess):
                self.buffer.popleft()
        else:
            self.buffer = deque(islice(self.buffer, self.size))
        self.dropped += excess
        self.overflow(excess)
