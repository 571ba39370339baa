"""A stage that gives events to those who ask for them.

```python
class Numbers(Producer):
    def init(self, start: int = 0) -> None:
        self.next = start

    def handle_demand(self, demand: int) -> range:
        first, self.next = self.next, self.next + demand
        return range(first, self.next)
```
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable
from types import CoroutineType
from typing import Any, ClassVar, Literal

from planaria.otp.flow.dispatcher import Dispatcher, DispatcherFactory, Refused
from planaria.otp.flow.dispatchers.demand import DemandDispatcher
from planaria.otp.flow.outlet import Keep, Outlet
from planaria.otp.flow.stage import Stage, Work, finished
from planaria.otp.flow.subscription import Subscription
from planaria.otp.kernel.event import EventsDropped
from planaria.otp.servers.handler import call, cast
from planaria.otp.servers.remote import Cast

type DemandMode = Literal["forward", "accumulate"]

log = logging.getLogger(__name__)

send_events: Cast[[Subscription, list[Any]]] = Cast(Stage.flow_lost, "flow_events", Stage)
send_cancelled: Cast[[Subscription, object]] = Cast(Stage.flow_lost, "flow_cancelled", Stage)


class Producer(Stage):
    """Implement `handle_demand`; it is asked for no more than consumers wait for.

    Class attributes:
        dispatcher: makes what shares events out: `DemandDispatcher` (default), `BroadcastDispatcher`, or
            `partial(PartitionDispatcher, 4)`. What depends on `init`'s arguments is set there with `dispatch_by`.
        buffer_size: events kept that nobody has asked for yet; default 10 000, None for any number.
        buffer_keep: whether the `last` (default) or the `first` of them stay when there are more.
        demand_mode: `forward` (default), or `accumulate`: demand waits for `set_demand("forward")`.
    Emits: `events.dropped` (`EventsDropped`) when the buffer was full.
    Source: GenStage's producer.
    """

    dispatcher: ClassVar[DispatcherFactory] = DemandDispatcher
    buffer_size: ClassVar[int | None] = 10_000
    buffer_keep: ClassVar[Keep] = "last"
    demand_mode: ClassVar[DemandMode] = "forward"

    def flow_set_up(self) -> None:
        """Called before `init`."""
        super().flow_set_up()
        make = type(self).dispatcher
        self.flow_outlet = Outlet(
            make(), self.buffer_size, self.buffer_keep, self.flow_give, self.flow_overflowed
        )
        self.flow_holding = self.demand_mode == "accumulate"
        self.flow_finishing: list[object] = []
        self.flow_woken = False

    # --- for subclasses ----------------------------------------------------------------------------------------

    def handle_demand(self, demand: int) -> Any:
        """Consumers wait for `demand` more events: return them, as any iterable, or fewer, or None.

        What is missing is remembered as asked for, to be given later with `emit`; it is not asked for again.
        Events beyond the demand go into the buffer. May be async; the stage does nothing else meanwhile.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no handle_demand: a producer needs one")

    def emit(self, events: Iterable[Any]) -> None:
        """Give events, from any handler; what nobody asked for is buffered."""
        self.flow_outlet.emit(list(events))
        if self.flow_outlet.wants() > 0:
            self.flow_look_again()  # some were dropped by partition or selection: their demand is still open

    def finish(self, reason: object = "normal") -> None:
        """There is no more: end with `reason` when everything given has been sent."""
        self.flow_finishing = [reason]
        self.flow_look_again()

    def dispatch_by(self, dispatcher: Dispatcher) -> None:
        """Share events out in this way; in `init`, before anybody has subscribed."""
        if self.flow_outlet.subscribers:
            raise RuntimeError("consumers have subscribed already: choose the dispatcher in init")
        self.flow_outlet.dispatcher = dispatcher

    @property
    def demand(self) -> int:
        """How many events consumers wait for now."""
        return self.flow_outlet.dispatcher.capacity()

    def cancel_consumer(self, subscription: Subscription, reason: object = "normal") -> None:
        """End the subscription of a consumer, which acts by its cancel mode."""
        type(self).flow_cancel(self.pid, subscription, reason)

    # --- for others --------------------------------------------------------------------------------------------

    @call
    async def set_demand(self, mode: DemandMode) -> None:
        """Let demand through (`forward`), or make it wait (`accumulate`). GenStage.demand/2."""
        self.flow_holding = mode == "accumulate"
        await finished(self.flow_forward())

    # --- the protocol ------------------------------------------------------------------------------------------

    @cast
    async def flow_subscribe(self, subscription: Subscription) -> None:
        """A consumer begins."""
        try:
            self.flow_outlet.dispatcher.subscribe(subscription)
        except Refused as refusal:
            send_cancelled(subscription.consumer, subscription, refusal.reason)
            return
        self.flow_outlet.subscribers.add(subscription)
        self.flow_watch_stage(subscription.consumer, subscription)
        await finished(self.handle_subscribe(subscription))

    @cast
    def flow_ask(self, subscription: Subscription, count: int) -> Work | None:
        """A consumer wants `count` more."""
        if subscription not in self.flow_outlet.subscribers:
            return None
        self.flow_outlet.dispatcher.ask(subscription, count)
        return self.flow_forward()

    @cast
    async def flow_cancel(self, subscription: Subscription, reason: object) -> None:
        """A consumer ends, or is ended; it acts when it hears of it."""
        if subscription in self.flow_outlet.subscribers:
            self.flow_unwatch_stage(subscription)
            send_cancelled(subscription.consumer, subscription, reason)
            await self.flow_lost_consumer(subscription, reason)

    @cast
    def flow_more(self) -> Work | None:
        """Look again whether anything is wanted, or all is done."""
        self.flow_woken = False
        return self.flow_forward()

    async def flow_lost(self, subscription: Subscription, reason: object) -> None:
        """A consumer is dead: nobody waits for it any more."""
        await self.flow_lost_consumer(subscription, reason)

    async def flow_lost_consumer(self, subscription: Subscription, reason: object) -> None:
        """Forget a consumer; what was made for it goes to others."""
        self.flow_outlet.subscribers.discard(subscription)
        self.flow_outlet.dispatcher.cancel(subscription)
        await finished(self.handle_cancel(subscription, reason))
        await finished(self.flow_forward())  # the others may have waited for it

    def flow_forward(self) -> Work | None:
        """Send what waits, then ask for what is missing; plain where `handle_demand` is, which halves the cost."""
        outlet = self.flow_outlet
        outlet.drain()
        wanted = 0 if self.flow_holding or self.flow_finishing or self.flow_ending else outlet.wants()
        if wanted:
            outlet.asked += wanted
            events = self.handle_demand(wanted)
            if type(events) is CoroutineType:
                return self.flow_forward_later(events)
            if events is not None:
                self.flow_give_on("handle_demand", events)
        self.flow_end_if_done()
        return None

    async def flow_forward_later(self, demanded: Coroutine[Any, Any, Any]) -> None:
        """The rest, where `handle_demand` is async."""
        events = await demanded
        if events is not None:
            self.flow_give_on("handle_demand", events)
        self.flow_end_if_done()

    def flow_give_on(self, callback: str, events: Any) -> None:
        """Emit what a callback has returned."""
        if not isinstance(events, Iterable):
            raise TypeError(
                f"{type(self).__qualname__}.{callback} answered {events!r}: it answers an iterable of events, or None"
            )
        self.emit(events)

    def flow_end_if_done(self) -> None:
        """Stop if `finish` was said and nothing is left."""
        if self.flow_finishing and not self.flow_ending and not self.flow_outlet.kept():
            self.stop(self.flow_finishing[0])

    def flow_look_again(self) -> None:
        if not self.flow_woken:
            self.flow_woken = True
            type(self).flow_more(self.pid)

    def flow_give(self, subscription: Subscription, events: list[Any]) -> None:
        send_events(subscription.consumer, subscription, events)

    def flow_overflowed(self, count: int) -> None:
        node = self.pid.node
        if node.listeners:
            node.emit(EventsDropped(self.pid, count, self.buffer_keep))
        total = self.flow_outlet.dropped
        if total.bit_length() > (total - count).bit_length():  # first, then at each doubling
            log.warning(
                "the buffer of %r is full (%s events, keeping the %s): %d dropped so far",
                self.pid, self.flow_outlet.size, self.flow_outlet.keep, total,
            )  # fmt: skip
