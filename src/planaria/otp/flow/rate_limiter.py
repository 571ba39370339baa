"""A stage that lets so many events through in a span of time, and makes those before it wait."""

from __future__ import annotations

from typing import Any

from planaria.otp.flow.producer_consumer import ProducerConsumer
from planaria.otp.flow.subscription import Subscription
from planaria.otp.kernel.ambient import Server, now, self_, send_after


class Tick:
    """Time for the next event."""

    __slots__ = ()


class RateLimiter(ProducerConsumer):
    """A token bucket. Put it between a producer and its consumers: `RateLimiter.start_link(source, 10)`.

    Args of `init`:
        source: the producer; None to subscribe later.
        rate: events in each span of `per` seconds, above 0.
        per: seconds; default 1.
        burst: most events at once after a pause; default `rate`, at least 1.
        max_demand: events kept here while they wait; default the larger of `burst` and 1.
    """

    def init(
        self,
        source: Server | None,
        rate: float,
        per: float = 1.0,
        burst: int | None = None,
        max_demand: int | None = None,
    ) -> None:
        """Subscribe, with a full bucket."""
        if rate <= 0 or per <= 0:
            raise ValueError(f"rate={rate}, per={per}: both must be above 0")
        self.rate = rate / per
        self.burst = max(1, int(rate) if burst is None else burst)
        self.tokens = float(self.burst)
        self.filled_at = now()
        self.ticking = False
        if source is not None:
            self.subscribe_to(source, max_demand=self.burst if max_demand is None else max_demand)

    def flow_allowance(self) -> int:
        """As many as there are tokens for; if none, a timer is set for the next."""
        wanted = super().flow_allowance()
        moment = now()
        self.tokens = min(float(self.burst), self.tokens + (moment - self.filled_at) * self.rate)
        self.filled_at = moment
        # A timer may come a rounding error early.
        allowed = min(wanted, int(self.tokens + 1e-9))
        if wanted and not allowed and not self.ticking:
            self.ticking = True
            send_after((1 - self.tokens) / self.rate, self_(), Tick())
        return allowed

    def flow_portion(self, events: list[Any]) -> int:
        """No more than are allowed."""
        return min(len(events), self.flow_allowance())

    def handle_events(self, events: list[Any], source: Subscription) -> list[Any]:
        """Give them on."""
        self.tokens -= len(events)
        return events

    async def handle_info(self, message: Any) -> None:
        """Time has passed."""
        if isinstance(message, Tick):
            self.ticking = False
            await self.flow_forward()
        else:
            super().handle_info(message)
