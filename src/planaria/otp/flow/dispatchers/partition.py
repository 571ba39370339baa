"""Each event to the consumer of its partition."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from planaria.otp.flow.dispatcher import Refused, Send
from planaria.otp.flow.subscription import Subscription


class Partition:
    """One partition: its consumer, what that wants, and the events it has not asked for yet."""

    __slots__ = ("queue", "subscription", "wanted")

    def __init__(self) -> None:
        self.subscription: Subscription | None = None
        self.wanted = 0
        self.queue: deque[Any] = deque()


class PartitionDispatcher:
    """Events with the same key go to the same consumer, in order.

    Events of a partition without demand are kept for it, at most as many as the consumers together asked for; so a
    partition that does not keep up in the end slows all.

    Args:
        partitions: their names, or a number for 0, 1, …; consumers subscribe with `partition=name`.
        by: the partition of an event, None to drop it. Default: its hash modulo the number of partitions, which
            for texts differs from run to run.
    Source: GenStage.PartitionDispatcher.
    """

    def __init__(
        self, partitions: int | Iterable[Hashable], by: Callable[[Any], Hashable] | None = None
    ) -> None:
        names = list(range(partitions)) if isinstance(partitions, int) else list(partitions)
        if not names:
            raise ValueError("no partitions: give a number of at least 1, or their names")
        self.partitions: dict[Hashable, Partition] = {name: Partition() for name in names}
        self.by = by if by is not None else lambda event: names[hash(event) % len(names)]

    def subscribe(self, subscription: Subscription) -> None:
        """Take the consumer of a partition in; refused if there is no such partition, or it has one."""
        partition = self.partitions.get(subscription.partition)
        if partition is None:
            raise Refused(f"no partition {subscription.partition!r}; there are: {self._names()}")
        if partition.subscription is not None:
            raise Refused(f"partition {subscription.partition!r} has a consumer already")
        partition.subscription = subscription

    def ask(self, subscription: Subscription, count: int) -> None:
        """Note what it wants."""
        self.partitions[subscription.partition].wanted += count

    def cancel(self, subscription: Subscription) -> None:
        """Forget it; its events are kept for the next consumer of the partition."""
        partition = self.partitions[subscription.partition]
        partition.subscription = None
        partition.wanted = 0

    def capacity(self) -> int:
        """What all want, less what is kept for others."""
        return max(0, sum(each.wanted - len(each.queue) for each in self.partitions.values()))

    def held(self) -> int:
        """What is kept for partitions without demand."""
        return sum(len(each.queue) for each in self.partitions.values())

    def dispatch(self, events: list[Any], send: Send) -> None:
        """Sort the events into their partitions, and send what is wanted."""
        for event in events:
            name = self.by(event)
            if name is None:
                continue
            partition = self.partitions.get(name)
            if partition is None:
                raise LookupError(f"{event!r} belongs to partition {name!r}; there are: {self._names()}")
            partition.queue.append(event)
        for partition in self.partitions.values():
            count = min(partition.wanted, len(partition.queue))
            if count and partition.subscription is not None:
                partition.wanted -= count
                send(partition.subscription, [partition.queue.popleft() for _ in range(count)])

    def _names(self) -> str:
        return ", ".join(map(repr, self.partitions))
