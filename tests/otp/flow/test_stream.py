"""Iterables in, async iterators out."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from planaria.otp import IterableProducer, NotAProcess, Pid, ServerExited, events_of, sleep
from planaria.testing.node import TestNode

from .support import Collector, Hand, Numbers, Times
from .test_stages import killed, started


async def test_code_outside_reads_a_producer_to_its_end(node: TestNode) -> None:
    producer = await started(node, Numbers, 0, 2500)
    assert [event async for event in events_of(producer)] == list(range(2500))
    await node.settle()
    assert node.processes() == []


async def test_a_process_reads_a_producer_by_name(node: TestNode) -> None:
    async def work() -> list[int]:
        await Numbers.start(0, 10, name="numbers")
        return [event async for event in events_of("numbers", max_demand=3)]

    assert await node.run(work) == list(range(10))


async def test_a_reader_that_pauses_makes_the_producer_wait(node: TestNode) -> None:
    producer = await started(node, Numbers)
    async with events_of(producer, max_demand=8) as events:
        for expected in range(20):
            assert await anext(events) == expected
            await node.settle()
            made, _ = await Numbers.made(producer)
            assert made - expected <= 8 + 1
    await node.settle()
    assert node.processes() == [producer]  # leaving the block lets go


async def test_several_producers_are_read_until_the_last_ends(node: TestNode) -> None:
    one, other = await started(node, Numbers, 0, 5), await started(node, Numbers, 10, 15)
    assert sorted([event async for event in events_of(one, other)]) == [*range(5), *range(10, 15)]


async def test_a_crash_of_the_producer_is_raised_after_its_events(node: TestNode) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("torn")

    got: list[int] = []

    async def feed() -> AsyncIterator[int]:
        for event in broken():
            yield event

    producer = await started(node, IterableProducer, feed)
    events = events_of(producer)
    got.append(await anext(events))
    with pytest.raises(ServerExited, match="torn"):
        await anext(events)
    assert got == [1]


async def test_a_waiting_reader_is_told_when_the_producer_is_killed(node: TestNode) -> None:
    hand = await started(node, Hand)
    reading = asyncio.ensure_future(anext(events_of(hand)))
    await node.settle()
    await killed(node, hand)
    with pytest.raises(ServerExited):
        await reading


async def test_outside_a_process_names_mean_nothing() -> None:
    with pytest.raises(NotAProcess):
        await anext(events_of("numbers"))
    with pytest.raises(ValueError, match="at least one"):
        events_of()


async def test_an_iterable_becomes_a_producer(node: TestNode) -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    producer = await started(node, IterableProducer, numbers)
    consumer = await started(node, Collector, producer, 1.0, max_demand=10, cancel="temporary")
    await node.settle()
    assert len(taken) <= 20  # read as it is wanted
    await node.advance(1000.0)
    assert await Collector.got(consumer) == list(range(1000))


async def test_an_async_iterable_is_read_only_as_far_as_it_is_wanted(node: TestNode) -> None:
    read: list[int] = []
    closed: list[str] = []

    async def feed() -> AsyncIterator[int]:
        try:
            for number in range(10_000):
                read.append(number)
                yield number
        finally:
            closed.append("closed")

    producer = await started(node, IterableProducer, feed)
    middle = await started(node, Times, producer, max_demand=4)
    await node.settle()
    assert len(read) <= 4
    async with events_of(middle, max_demand=4) as events:
        got = [await anext(events) for _ in range(10)]
    assert got == [2 * n for n in range(10)]
    await node.settle()
    assert len(read) <= 30
    await killed(node, producer)
    await node.settle()


async def test_a_list_is_an_iterable_too(node: TestNode) -> None:
    async def work() -> list[str]:
        pid: Pid = await IterableProducer.start_link(["a", "b"])
        return [event async for event in events_of(pid)]

    assert await node.run(work) == ["a", "b"]


async def test_a_process_outlives_the_streams_it_has_read_or_left(node: TestNode) -> None:
    async def work() -> list[list[int]]:
        producer = await Numbers.start(0, 10)
        whole = events_of(producer)
        read = [[event async for event in whole]]
        await sleep(0)
        read.append([event async for event in whole])  # it has ended, and stays so
        async with events_of(await Numbers.start(), max_demand=4) as some:
            read.append([await anext(some)])
        await sleep(0)
        read.append([event async for event in some])
        return read

    assert await node.run(work) == [list(range(10)), [], [0], []]


async def test_the_reader_ends_with_its_stream_and_the_stream_with_its_reader(node: TestNode) -> None:
    async def work() -> None:
        await anext(events_of(await Numbers.start(name="numbers"), max_demand=4))

    await node.run(work)
    await node.settle()
    assert node.processes() == [node["numbers"]]
