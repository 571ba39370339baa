"""Each event to every consumer."""

from __future__ import annotations

from typing import Any

from planaria.otp.flow.dispatcher import Send
from planaria.otp.flow.subscription import Subscription


class BroadcastDispatcher:
    """All consumers get all events, or those their `select` lets through; the slowest sets the pace.

    Source: GenStage.BroadcastDispatcher. Differs: a consumer that joins holds the others until it has asked, and
    is never sent more than it asked for.
    """

    def __init__(self) -> None:
        self.wanted: dict[Subscription, int] = {}

    def subscribe(self, subscription: Subscription) -> None:
        """Take a consumer in."""
        self.wanted[subscription] = 0

    def ask(self, subscription: Subscription, count: int) -> None:
        """Note what it wants."""
        self.wanted[subscription] += count

    def cancel(self, subscription: Subscription) -> None:
        """Forget it; the others no longer wait for it."""
        self.wanted.pop(subscription, None)

    def capacity(self) -> int:
        """What the slowest wants."""
        return min(self.wanted.values(), default=0)

    def held(self) -> int:
        """None."""
        return 0

    def dispatch(self, events: list[Any], send: Send) -> None:
        """Send the events to all. What a consumer does not select does not count against its demand."""
        for subscription in self.wanted:
            select = subscription.select
            batch = list(events) if select is None else [event for event in events if select(event)]
            if batch:
                self.wanted[subscription] -= len(batch)
                send(subscription, batch)
