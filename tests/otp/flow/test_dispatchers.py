"""Who gets which event: by demand, all, by partition."""

from functools import partial
from typing import Any

import pytest

from planaria.otp import BroadcastDispatcher, DemandDispatcher, PartitionDispatcher
from planaria.testing.node import TestNode

from .support import Collector, Hand, Numbers
from .test_stages import killed, started


class Radio(Numbers):
    dispatcher = BroadcastDispatcher


async def test_by_demand_the_one_who_wants_most_gets_the_batch(node: TestNode) -> None:
    hand = await started(node, Hand)
    small = await started(node, Collector, hand, max_demand=2, manual=True)
    large = await started(node, Collector, hand, max_demand=9, manual=True)
    await Collector.want(small, 2)
    await Collector.want(large, 4)
    await node.settle()
    await Hand.give(hand, *range(5))
    await node.settle()
    assert (await Collector.got(large), await Collector.got(small)) == ([0, 1, 4], [2, 3]) or (
        await Collector.got(large),
        await Collector.got(small),
    ) == ([0, 1, 2, 3], [4])


async def test_by_demand_nothing_is_lost_or_doubled_among_many(node: TestNode) -> None:
    producer = await started(node, Numbers, 0, 5000)
    consumers = [
        await started(node, Collector, producer, max_demand=10 * (n + 1), cancel="temporary")
        for n in range(5)
    ]
    await node.settle()
    got = [event for each in consumers for event in await Collector.got(each)]
    assert sorted(got) == list(range(5000))


async def test_broadcast_gives_all_to_all_at_the_pace_of_the_slowest(node: TestNode) -> None:
    class LateRadio(Radio):
        demand_mode = "accumulate"

    producer = await started(node, LateRadio, 0, 100)
    fast = await started(node, Collector, producer, max_demand=50, cancel="temporary")
    slow = await started(node, Collector, producer, 1.0, max_demand=2, cancel="temporary")
    await node.settle()
    await LateRadio.set_demand(producer, "forward")
    await node.settle()
    assert len(await Collector.got(fast)) <= 4
    await node.advance(200.0)
    assert await Collector.got(fast) == await Collector.got(slow) == list(range(100))


async def test_broadcast_no_longer_waits_for_one_that_died(node: TestNode) -> None:
    producer = await started(node, Radio, 0, 100)
    stuck = await started(node, Collector, producer, manual=True, cancel="temporary")
    await node.settle()
    other = await started(node, Collector, producer, cancel="temporary")
    await node.settle()
    assert await Collector.got(other) == []
    await killed(node, stuck)
    assert await Collector.got(other) == list(range(100))


async def test_broadcast_with_selection_does_not_stall_on_what_is_left_out(node: TestNode) -> None:
    producer = await started(node, Radio, 0, 1000)
    even = await started(
        node, Collector, producer, max_demand=4, cancel="temporary", select=lambda event: event % 100 == 0
    )
    await node.settle()
    assert await Collector.got(even) == list(range(0, 1000, 100))


async def test_broadcast_hands_nobody_the_others_list(node: TestNode) -> None:
    hand = await started(node, Hand, dispatcher=BroadcastDispatcher())
    one, other = await started(node, Collector, hand), await started(node, Collector, hand)
    await node.settle()
    await Hand.give(hand, 1, 2)
    await node.settle()
    first: Any = one.body
    second: Any = other.body
    assert first.batches == second.batches
    assert first.batches[0] is not second.batches[0]


async def test_partitions_keep_events_together_and_in_order(node: TestNode) -> None:
    class Sorter(Numbers):
        dispatcher = partial(PartitionDispatcher, 3, lambda event: event % 3)

    producer = await started(node, Sorter, 0, 300)
    consumers = [
        await started(node, Collector, producer, max_demand=5 + n, cancel="temporary", partition=n)
        for n in range(3)
    ]
    await node.settle()
    for n, each in enumerate(consumers):
        assert await Collector.got(each) == list(range(n, 300, 3))
    assert producer.reason == "normal"


async def test_a_partition_without_a_consumer_holds_what_is_bounded(node: TestNode) -> None:
    class Sorter(Numbers):
        dispatcher = partial(PartitionDispatcher, ["even", "odd"], lambda n: ("even", "odd")[n % 2])

    producer = await started(node, Sorter)
    even = await started(node, Collector, producer, max_demand=10, partition="even")
    await node.settle()
    made, _ = await Sorter.made(producer)
    assert made <= 2 * 10 + 10
    assert set(await Collector.got(even)) <= set(range(0, made, 2))
    odd = await started(node, Collector, producer, 1.0, max_demand=10, partition="odd")
    await node.advance(3.5)
    await killed(node, odd)
    again = await started(node, Collector, producer, 1.0, max_demand=10, partition="odd")
    await node.settle()
    assert again.alive


async def test_events_of_no_partition_are_dropped_without_stalling(node: TestNode) -> None:
    class Picky(Numbers):
        dispatcher = partial(PartitionDispatcher, 1, lambda event: 0 if event % 10 == 0 else None)

    producer = await started(node, Picky, 0, 200)
    consumer = await started(node, Collector, producer, max_demand=3, cancel="temporary", partition=0)
    await node.settle()
    assert await Collector.got(consumer) == list(range(0, 200, 10))


async def test_a_partition_takes_one_consumer_and_only_known_ones(node: TestNode) -> None:
    hand = await started(node, Hand, dispatcher=PartitionDispatcher(["a"]))
    first = await started(node, Collector, hand, partition="a")
    await node.settle()
    second = await started(node, Collector, hand, partition="a")
    third = await started(node, Collector, hand, partition="b")
    await node.settle()
    assert first.alive
    assert second.reason == "partition 'a' has a consumer already"
    assert third.reason == "no partition 'b'; there are: 'a'"


def test_partitions_must_be_some() -> None:
    with pytest.raises(ValueError, match="no partitions"):
        PartitionDispatcher(0)


def test_an_empty_dispatcher_has_no_capacity() -> None:
    for dispatcher in (DemandDispatcher(), BroadcastDispatcher(), PartitionDispatcher(2)):
        assert (dispatcher.capacity(), dispatcher.held()) == (0, 0)
