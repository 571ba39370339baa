"""The contract of a dispatcher: it knows what each consumer of a producer still wants, and shares events out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from planaria.otp.flow.subscription import Subscription

type Send = Callable[[Subscription, list[Any]], None]


class Refused(Exception):
    """A dispatcher does not take a subscription; the consumer is told `reason` as the reason of its end."""

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        self.reason = reason


class DispatcherFactory(Protocol):
    """Makes the dispatcher of one producer: a class, or a `partial` of one."""

    def __call__(self) -> Dispatcher:
        """A new one."""
        ...


class Dispatcher(Protocol):
    """Lives in one producer, which alone calls it; see `dispatchers/`."""

    def subscribe(self, subscription: Subscription) -> None:
        """Take a consumer in, with no demand yet; raises `Refused`."""
        ...

    def ask(self, subscription: Subscription, count: int) -> None:
        """The consumer wants `count` more events."""
        ...

    def cancel(self, subscription: Subscription) -> None:
        """The consumer is gone, and what it still wanted with it."""
        ...

    def capacity(self) -> int:
        """How many events `dispatch` may be given now."""
        ...

    def held(self) -> int:
        """How many events it keeps for consumers that have no demand."""
        ...

    def dispatch(self, events: list[Any], send: Send) -> None:
        """Share out at most `capacity()` events, none of them twice to one consumer; also what it holds."""
        ...
