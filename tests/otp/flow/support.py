"""Stages the tests of flow share."""

from typing import Any

from planaria.otp import Consumer, Pid, Producer, ProducerConsumer, Subscription, call, cast, sleep


class Numbers(Producer):
    """Counts up; remembers what it was asked for."""

    def init(self, start: int = 0, end: float = float("inf")) -> None:
        self.next, self.end = start, end
        self.asked: list[int] = []
        self.heard: list[tuple[str, object]] = []

    def handle_demand(self, demand: int) -> list[int]:
        self.asked.append(demand)
        count = int(min(demand, self.end - self.next))
        first, self.next = self.next, self.next + count
        if self.next >= self.end:
            self.finish()
        return list(range(first, self.next))

    def handle_subscribe(self, subscription: Subscription) -> None:
        self.heard.append(("subscribed", subscription.consumer))

    def handle_cancel(self, subscription: Subscription, reason: object) -> None:
        self.heard.append(("cancelled", reason))

    @call
    def made(self) -> tuple[int, list[int]]:
        return self.next, list(self.asked)

    @call
    def news(self) -> list[tuple[str, object]]:
        return list(self.heard)

    @cast
    def end_with(self, reason: object) -> None:
        self.stop(reason)


class Hand(Producer):
    """Gives what it is handed, when it is handed it."""

    def init(self, **settings: Any) -> None:
        self.asked: list[int] = []
        if "dispatcher" in settings:
            self.dispatch_by(settings["dispatcher"])

    def handle_demand(self, demand: int) -> None:
        self.asked.append(demand)

    @call
    def give(self, *events: object) -> int:
        self.emit(events)
        return len(self.flow_outlet.buffer)

    @call
    def asked_for(self) -> list[int]:
        return list(self.asked)

    @call
    def throw_out(self, reason: object) -> None:
        for subscription in tuple(self.flow_outlet.subscribers):
            self.cancel_consumer(subscription, reason)

    @cast
    def close(self) -> None:
        self.finish()


class Collector(Consumer):
    """Keeps every batch; takes `pause` seconds for each."""

    def init(self, source: Pid | str | None = None, pause: float = 0.0, **options: Any) -> None:
        self.batches: list[list[Any]] = []
        self.heard: list[object] = []
        self.pause = pause
        self.sources: list[Subscription] = []
        if source is not None:
            self.sources.append(self.subscribe_to(source, **options))

    async def handle_events(self, events: list[Any], source: Subscription) -> None:
        if self.pause:
            await sleep(self.pause)
        self.batches.append(events)

    def handle_cancel(self, subscription: Subscription, reason: object) -> None:
        self.heard.append(reason)

    @call
    def got(self) -> list[Any]:
        return [event for batch in self.batches for event in batch]

    @call
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]

    @call
    def news(self) -> list[object]:
        return list(self.heard)

    @call
    def want(self, count: int) -> None:
        self.ask(self.sources[0], count)

    @call
    def leave(self, reason: object = "normal") -> None:
        self.cancel(self.sources[0], reason)


class Times(ProducerConsumer):
    """Multiplies; gives each result `copies` times."""

    def init(self, source: Pid | str, by: int = 2, copies: int = 1, **options: Any) -> None:
        self.by, self.copies = by, copies
        self.handled_so_far = 0
        self.subscribe_to(source, **options)

    def handle_events(self, events: list[int], source: Subscription) -> list[int]:
        self.handled_so_far += len(events)
        return [event * self.by for event in events for _ in range(self.copies)]

    @call
    def seen(self) -> int:
        return self.handled_so_far
