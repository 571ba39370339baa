"""A stage that asks for events and handles them in batches.

```python
class Printer(Consumer):
    def init(self, source: Server) -> None:
        self.subscribe_to(source, max_demand=100)

    def handle_events(self, events: list[int], source: Subscription) -> None:
        print(events)
```
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from types import CoroutineType
from typing import Any

from planaria.otp.flow.producer import Producer
from planaria.otp.flow.stage import Stage, Work, finished
from planaria.otp.flow.subscription import MAX_DEMAND, MODES, CancelMode, Subscription, demand_range
from planaria.otp.kernel.ambient import Server, resolve
from planaria.otp.kernel.process import DEAD
from planaria.otp.kernel.reason import NoProcess, is_orderly
from planaria.otp.servers.handler import Deferred, call, cast
from planaria.otp.servers.remote import Cast
from planaria.otp.servers.wrapper import server_of

send_subscribe: Cast[[Subscription]] = Cast(Stage.flow_lost, "flow_subscribe", Stage)
send_ask: Cast[[Subscription, int]] = Cast(Stage.flow_lost, "flow_ask", Stage)
send_cancel: Cast[[Subscription, object]] = Cast(Stage.flow_lost, "flow_cancel", Stage)


class Consumer(Stage):
    """Implement `handle_events`; subscribe in `init`, so that a restart subscribes anew.

    Source: GenStage's consumer.
    """

    def flow_set_up(self) -> None:
        """Called before `init`."""
        super().flow_set_up()
        self.flow_inlet: dict[Subscription, int] = {}  # events asked for and not yet handled

    # --- for subclasses ----------------------------------------------------------------------------------------

    def handle_events(self, events: list[Any], source: Subscription) -> Any:
        """Events have come: at least one, at most `max_demand - min_demand` of that subscription.

        When it returns they count as handled, and more is asked for when it is time. May be async: the stage
        handles nothing else meanwhile, and the producer feels it.
        """
        raise NotImplementedError(f"{type(self).__qualname__} has no handle_events: a consumer needs one")

    def subscribe_to(
        self,
        producer: Server,
        *,
        max_demand: int = MAX_DEMAND,
        min_demand: int | None = None,
        cancel: CancelMode = "permanent",
        manual: bool = False,
        partition: Hashable = None,
        select: Callable[[Any], bool] | None = None,
    ) -> Subscription:
        """Subscribe this stage, from `init` or any handler. A dead producer ends the subscription at once.

        Args:
            max_demand: most events asked for and not yet handled; default 1 000.
            min_demand: when no more than these are outstanding, ask again; default half of `max_demand`.
            cancel: what the end of the subscription means, see `Subscription`.
            manual: nothing is asked for by itself; call `ask`.
            partition, select: see `Subscription`.
        Raises:
            NoProcess: nobody has that name.
            ValueError: limits that make no sense; a plain function or a mere consumer instead of a producer.
        """
        target = resolve(producer)
        if target is self.pid:
            raise ValueError("a stage cannot subscribe to itself")
        body = server_of(target)
        if target.status != DEAD and (
            body is None or (isinstance(body, Stage) and not isinstance(body, Producer))
        ):
            raise ValueError(f"{target!r} ({target.label}) is no producer: it would never give an event")
        if cancel not in MODES:
            raise ValueError(f"unknown cancel mode {cancel!r}; there are: {', '.join(MODES)}")
        high, low = demand_range(max_demand, min_demand)
        subscription = Subscription(target, self.pid, high, low, cancel, manual, partition, select)
        self.flow_inlet[subscription] = 0
        self.flow_watch_stage(target, subscription)
        send_subscribe(target, subscription)
        type(self).flow_begin(self.pid, subscription)
        return subscription

    def ask(self, subscription: Subscription, count: int) -> None:
        """Ask for `count` more events of a `manual` subscription; nothing if that has ended."""
        if count < 1:
            raise ValueError(f"ask for at least 1 event, not {count}")
        if subscription in self.flow_inlet:
            self.flow_inlet[subscription] += count
            send_ask(subscription.producer, subscription, count)

    def cancel(self, subscription: Subscription, reason: object = "normal") -> None:
        """End a subscription; once the producer has confirmed it, the stage acts by its cancel mode."""
        send_cancel(subscription.producer, subscription, reason)

    # --- for others --------------------------------------------------------------------------------------------

    @call
    def subscribe(
        self,
        producer: Server,
        *,
        max_demand: int = MAX_DEMAND,
        min_demand: int | None = None,
        cancel: CancelMode = "permanent",
        manual: bool = False,
        partition: Hashable = None,
        select: Callable[[Any], bool] | None = None,
    ) -> Subscription | Deferred[Subscription]:
        """Like `subscribe_to`, of the stage called: `await Printer.subscribe(pid, producer)`."""
        try:
            return self.subscribe_to(
                producer,
                max_demand=max_demand,
                min_demand=min_demand,
                cancel=cancel,
                manual=manual,
                partition=partition,
                select=select,
            )
        except (NoProcess, ValueError) as error:
            return self.refuse(error)

    # --- the protocol ------------------------------------------------------------------------------------------

    @cast
    async def flow_begin(self, subscription: Subscription) -> None:
        """After `init`: the stage is ready, so the first demand may go."""
        if subscription in self.flow_inlet:
            await finished(self.handle_subscribe(subscription))
            if not subscription.manual:
                self.ask(subscription, subscription.max_demand)

    @cast
    def flow_events(self, subscription: Subscription, events: list[Any]) -> Work | None:
        """Events of a producer; plain where `handle_events` is and they are one batch, as most are."""
        if subscription not in self.flow_inlet or self.flow_ending:
            return None  # cancelled meanwhile
        if len(events) > subscription.max_demand - subscription.min_demand:
            return self.flow_batches(subscription, events)
        handling = self.handle_events(events, subscription)
        if type(handling) is CoroutineType:
            return self.flow_handled_later(handling, subscription, len(events))
        self.flow_handled(subscription, len(events))
        return None

    async def flow_handled_later(
        self, handling: Coroutine[Any, Any, Any], subscription: Subscription, count: int
    ) -> None:
        """The rest, where `handle_events` is async."""
        await handling
        self.flow_handled(subscription, count)

    async def flow_batches(self, subscription: Subscription, events: list[Any]) -> None:
        """More events than `handle_events` is given at once."""
        for batch in batches(events, subscription):
            if self.flow_ending:
                return
            await finished(self.handle_events(batch, subscription))
            self.flow_handled(subscription, len(batch))

    @cast
    async def flow_cancelled(self, subscription: Subscription, reason: object) -> None:
        """The producer has ended the subscription."""
        self.flow_unwatch_stage(subscription)
        await self.flow_lost(subscription, reason)

    async def flow_lost(self, subscription: Subscription, reason: object) -> None:
        """A producer is gone."""
        if self.flow_inlet.pop(subscription, None) is not None:
            await self.flow_lost_producer(subscription, reason)

    async def flow_lost_producer(self, subscription: Subscription, reason: object) -> None:
        """Tell the stage, then act by the cancel mode."""
        await finished(self.handle_cancel(subscription, reason))
        mode = subscription.cancel
        if mode == "permanent" or (mode == "transient" and not is_orderly(reason)):
            self.flow_give_up(reason)

    def flow_give_up(self, reason: object) -> None:
        """End as the producer did."""
        self.stop(reason)

    def flow_handled(self, subscription: Subscription, count: int) -> None:
        """Count events as handled, and ask for more when it is time."""
        outstanding = self.flow_inlet.get(subscription)
        if outstanding is None:
            return
        outstanding = self.flow_inlet[subscription] = max(0, outstanding - count)
        if not subscription.manual and outstanding <= subscription.min_demand:
            self.ask(subscription, subscription.max_demand - outstanding)


def batches(events: list[Any], subscription: Subscription) -> list[list[Any]]:
    """Events in the portions `handle_events` is given. Pure."""
    size = subscription.max_demand - subscription.min_demand
    if len(events) <= size:
        return [events]
    return [events[start : start + size] for start in range(0, len(events), size)]
