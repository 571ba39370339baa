"""A stage in the middle: takes events, gives what it makes of them, and takes no more than is wanted of it.

```python
class Doubler(ProducerConsumer):
    def init(self, source: Server) -> None:
        self.subscribe_to(source)

    def handle_events(self, events: list[int], source: Subscription) -> list[int]:
        return [2 * event for event in events]
```
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar

from planaria.otp.flow.consumer import Consumer, batches
from planaria.otp.flow.producer import Producer
from planaria.otp.flow.stage import finished
from planaria.otp.flow.subscription import Subscription
from planaria.otp.kernel.reason import is_orderly
from planaria.otp.servers.handler import cast


class End:
    """Stands in the queue where a producer ended, so that its events are handled first."""

    __slots__ = ("reason",)

    def __init__(self, reason: object) -> None:
        self.reason = reason


class ProducerConsumer(Consumer, Producer):
    """Implement `handle_events`, returning the events to give on, any number, or None.

    Events that came wait until somebody downstream wants some; only what was handled is asked for again, so pressure
    travels upstream. The buffer of what was made has no limit by default (`buffer_size`), as in GenStage: it holds
    what one batch made beyond the demand.
    When a producer ends in an orderly way, what waits is handled and sent before this stage follows; when it
    crashes, this stage follows at once.
    Source: GenStage's producer_consumer.
    """

    buffer_size: ClassVar[int | None] = None

    def flow_set_up(self) -> None:
        """Called before `init`."""
        super().flow_set_up()
        self.flow_waiting: deque[tuple[Subscription, list[Any] | End]] = deque()

    def handle_demand(self, demand: int) -> Any:
        """Not called: what consumers want decides when `handle_events` is."""

    def flow_allowance(self) -> int:
        """How many events may be handled now; none while nobody wants any."""
        return 0 if self.flow_outlet.buffer else self.demand

    def flow_portion(self, events: list[Any]) -> int:
        """How many of these to handle at once, when some may be: all."""
        return len(events)

    @cast
    async def flow_events(self, subscription: Subscription, events: list[Any]) -> None:
        """Events of a producer: they wait for demand."""
        if subscription in self.flow_inlet:
            self.flow_waiting.extend((subscription, batch) for batch in batches(events, subscription))
            await self.flow_forward()

    async def flow_lost(self, subscription: Subscription, reason: object) -> None:
        """Either side is gone."""
        if subscription.consumer is not self.pid:
            await self.flow_lost_consumer(subscription, reason)
        elif self.flow_waiting and subscription in self.flow_inlet and is_orderly(reason):
            self.flow_waiting.append((subscription, End(reason)))
        else:
            await super().flow_lost(subscription, reason)

    def flow_give_up(self, reason: object) -> None:
        """End as the producer did, after the last event if it ended in order."""
        if is_orderly(reason):
            self.finish(reason)
        else:
            self.stop(reason)

    async def flow_forward(self) -> None:
        """Send what waits, then handle what has come, as far as anybody wants it."""
        self.flow_outlet.drain()
        while self.flow_waiting and not self.flow_ending:
            subscription, events = self.flow_waiting[0]
            if isinstance(events, End):
                self.flow_waiting.popleft()
                if self.flow_inlet.pop(subscription, None) is not None:
                    await self.flow_lost_producer(subscription, events.reason)
                continue
            if self.flow_allowance() <= 0:
                break
            count = self.flow_portion(events)
            if count < len(events):
                self.flow_waiting[0] = (subscription, events[count:])
                events = events[:count]
            else:
                self.flow_waiting.popleft()
            made = await finished(self.handle_events(events, subscription))
            if made is not None:
                self.flow_give_on("handle_events", made)
            self.flow_handled(subscription, len(events))
        self.flow_end_if_done()

    def flow_end_if_done(self) -> None:
        """Stop if `finish` was said and nothing is left."""
        if not self.flow_waiting:
            super().flow_end_if_done()
