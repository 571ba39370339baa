"""Each event to one consumer: the one who wants most."""

from __future__ import annotations

from typing import Any

from planaria.otp.flow.dispatcher import Send
from planaria.otp.flow.subscription import Subscription


class DemandDispatcher:
    """Batches go to the consumer with the largest demand, of equals to the one that subscribed first.

    The default. Consumers of one producer should have the same `max_demand`: a greedy one gets all.
    Source: GenStage.DemandDispatcher.
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
        """Forget it; others get what was made for it."""
        self.wanted.pop(subscription, None)

    def capacity(self) -> int:
        """What all want together."""
        return sum(self.wanted.values())

    def held(self) -> int:
        """None."""
        return 0

    def dispatch(self, events: list[Any], send: Send) -> None:
        """Share events out."""
        wanted = self.wanted
        start = 0
        while start < len(events):
            subscription = max(wanted, key=wanted.__getitem__)
            count = min(wanted[subscription], len(events) - start)
            wanted[subscription] -= count
            send(subscription, events[start : start + count])
            start += count
