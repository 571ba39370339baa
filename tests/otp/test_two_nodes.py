"""Two nodes in one test: a node is a value, nothing is global, and a pid says where it lives."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from planaria.otp import (
    Down,
    ExitSignal,
    Node,
    child,
    exit_signal,
    link,
    monitor,
    node_,
    receive,
    self_,
    send,
    sleep,
    spawn,
    supervisor,
    trap_exits,
    whereis,
)
from planaria.testing.clock import VirtualClock
from planaria.testing.node import TestNode, running_node

from .support import Counter, Journal, Scribe, collect, idle


@pytest_asyncio.fixture
async def two() -> AsyncIterator[tuple[TestNode, TestNode]]:
    clock = VirtualClock()
    async with (
        running_node("north", clock=clock, seed=1) as north,
        running_node("south", clock=clock, seed=2) as south,
    ):
        yield north, south


async def test_names_groups_and_topics_belong_to_their_node(two: tuple[TestNode, TestNode]) -> None:
    north, south = two

    async def start() -> None:
        await Counter.start(name="counter")

    await north.run(start)
    await south.run(start)
    assert north["counter"] != south["counter"]
    assert north["counter"].node is north

    async def who() -> object:
        return whereis("counter")

    assert await south.run(who) == south["counter"]
    south.subscribe("news", south["counter"])
    assert north.broadcast("news", "x") == 0


async def test_the_text_of_a_pid_names_its_node(two: tuple[TestNode, TestNode]) -> None:
    north, south = two
    assert str(north.spawn(idle)).startswith("<north.")
    assert str(south.spawn(idle)).startswith("<south.")


async def test_messages_and_calls_reach_a_pid_of_the_other_node(two: tuple[TestNode, TestNode]) -> None:
    north, south = two
    got: list[object] = []
    there = south.spawn(collect, got)
    counter = await south.run(Counter.start, 10)

    async def work() -> tuple[int, int]:
        assert node_() is north
        send(there, "hello")
        return await Counter.add(counter, 1), await Counter.add_slowly(counter, 1)

    assert await north.run(work) == (11, 12)
    await south.settle()
    assert got == ["hello"]


async def test_links_and_monitors_reach_across(two: tuple[TestNode, TestNode]) -> None:
    north, south = two
    there = south.spawn(idle)

    async def work() -> set[object]:
        trap_exits()
        link(there)
        monitor(there)
        exit_signal(there, "boom")
        return {type(await receive()), type(await receive())}

    assert await north.run(work) == {ExitSignal, Down}
    assert there.reason == "boom"


async def test_what_is_sent_to_the_other_node_is_handled_by_its_own_run_queue(
    two: tuple[TestNode, TestNode],
) -> None:
    north, south = two
    counter = await south.run(Counter.start)
    turns: list[bool] = []

    async def work() -> None:
        send(counter, "hello")
        turns.append(counter in south.scheduler.ready and counter not in north.scheduler.ready)

    await north.run(work)
    assert turns == [True]


async def test_a_call_to_the_other_node_times_out_on_the_callers_clock(
    two: tuple[TestNode, TestNode],
) -> None:
    north, south = two
    counter = await south.run(Counter.start)

    async def work() -> str:
        try:
            await Counter.later.within(1)(counter)
        except Exception as error:  # noqa: BLE001  the class is the point
            return type(error).__name__
        return "no"

    running = asyncio.ensure_future(north.run(work))
    await north.advance(2)
    assert await running == "CallTimeout"


async def test_a_stopped_node_takes_only_its_own_processes_along() -> None:
    async with Node("north") as north:
        async with Node("south") as south:
            here, there = north.spawn(idle), south.spawn(idle)
            await asyncio.sleep(0)
        assert here.alive and not there.alive


async def test_roots_stop_in_reverse_when_the_node_stops() -> None:
    journal = Journal()
    async with Node("north") as node:
        for name in ("a", "b"):
            await node.start(supervisor(child(Scribe, journal, name)))
        journal.take()
    assert journal.take() == ["b ends", "a ends"]


async def test_spawning_in_a_process_of_one_node_stays_in_that_node(two: tuple[TestNode, TestNode]) -> None:
    north, south = two

    async def work() -> bool:
        async def inner() -> bool:
            return self_().node is south

        there = await south.run(inner)
        return there and spawn(idle).node is north and self_().node is north

    assert await north.run(work)


async def test_one_clock_moves_both(two: tuple[TestNode, TestNode]) -> None:
    north, south = two
    sleeping = [asyncio.ensure_future(node.run(sleep, 5)) for node in (north, south)]
    await north.advance(5)
    assert all(one.done() for one in sleeping)
    await asyncio.gather(*sleeping)


async def test_a_closed_node_refuses_messages_quietly_and_starts_loudly() -> None:
    async with Node("gone") as node:
        pid = node.spawn(idle)
        await asyncio.sleep(0)
    node.send(pid, "hello")
    with pytest.raises(Exception, match="stopped"):
        node.spawn(idle)
