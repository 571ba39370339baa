"""Nodes that share a PostgreSQL journal: each is told all events once, in order of their places."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from planaria.cortex.event import Event, NewEvent
from planaria.cortex.follower import PAGE
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.query import Query
from planaria.cortex.stores.postgres.store import PostgresStore
from planaria.otp import Node, Pid, child
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import running_node
from tests.postgres import Postgres


class Listener:
    """All that a node broadcasts on `journal`."""

    def __init__(self, node: Node, journal: Pid, stack: AsyncExitStack) -> None:
        self.node, self.journal, self._stack = node, journal, stack

    async def begin(self) -> None:
        self.port = await self._stack.enter_async_context(self.node.open_port())
        self.node.subscribe("journal", self.port.pid)

    async def next(self, count: int) -> list[Event]:
        async with asyncio.timeout(20):
            return [await self.port.receive() for _ in range(count)]

    async def say(self, *texts: str) -> None:
        await Journal.append(
            self.journal, [NewEvent("said", {"text": text}, session="room:x") for text in texts]
        )


@pytest.fixture
async def pair(postgres: Postgres) -> AsyncIterator[tuple[Listener, Listener]]:
    async with AsyncExitStack() as stack:
        listeners = []
        for name in ("one", "two"):
            node = await stack.enter_async_context(running_node(name))
            journal = await node.start(child(Journal, lambda: PostgresStore(postgres.url()), name="journal"))
            listener = Listener(node, journal, stack)
            await listener.begin()
            listeners.append(listener)
        yield listeners[0], listeners[1]


async def test_what_one_node_commits_is_broadcast_on_the_other(pair: tuple[Listener, Listener]) -> None:
    one, two = pair
    await one.say("hello", "there")
    await two.say("good day")
    for listener in pair:
        events = await listener.next(3)
        assert [event.payload["text"] for event in events] == ["hello", "there", "good day"]
        assert [event.seq for event in events] == [1, 2, 3]
        assert [event.node for event in events] == ["one", "one", "two"]


async def test_however_they_write_at_once_each_hears_all_once_and_in_order(
    pair: tuple[Listener, Listener],
) -> None:
    async def talk(listener: Listener) -> None:
        for number in range(50):
            await listener.say(*(f"{number}" for _ in range(1 + number % 3)))

    await asyncio.gather(*(talk(listener) for listener in pair))
    total = 2 * sum(1 + number % 3 for number in range(50))
    heard = [await listener.next(total) for listener in pair]
    assert [event.seq for event in heard[0]] == list(range(1, total + 1))
    assert heard[0] == heard[1] == await Journal.read(pair[0].journal, Query())


async def test_nothing_is_lost_or_doubled_over_a_lost_connection(
    postgres: Postgres, pair: tuple[Listener, Listener]
) -> None:
    one, two = pair
    await one.say("before")
    assert len(await two.next(1)) == 1
    # The listening connection of node two breaks off; what is committed meanwhile has no one to be told to.
    cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()"
    postgres.sql(f"{cut} AND pid <> pg_backend_pid()")
    await one.node.run(retried, one)
    await one.say("last")
    assert [event.payload["text"] for event in await one.next(4)] == ["before", "a", "b", "last"]
    assert [event.payload["text"] for event in await two.next(3)] == ["a", "b", "last"]


async def retried(listener: Listener) -> None:
    """The first try meets the connection that was ended, if this node has not noticed yet."""
    from planaria.cortex.errors import JournalUnavailable

    events = [NewEvent("said", {"text": text}, session="room:x", id=text) for text in ("a", "b")]
    try:
        await Journal.append("journal", events)
    except JournalUnavailable:
        await Journal.append("journal", events)


async def test_after_an_outage_a_node_that_writes_nothing_still_hears_the_others(
    postgres: Postgres, pair: tuple[Listener, Listener]
) -> None:
    one, two = pair
    await one.say("before")
    await two.next(1)
    async with two.node.open_port() as port:
        two.node.subscribe("journal.health", port.pid)
        postgres.server.stop()
        health = await asyncio.wait_for(port.receive(), 20)
        assert health.trouble is not None
        postgres.server.start()
        await two.node.clock.advance(2.0)  # type: ignore[attr-defined]
        health = await asyncio.wait_for(port.receive(), 20)
        assert health.trouble is None
    await one.node.clock.advance(2.0)  # type: ignore[attr-defined]
    await one.say("after")
    assert [event.payload["text"] for event in await two.next(1)] == ["after"]


async def test_a_journal_that_is_started_anew_goes_on_after_what_is_there(
    postgres: Postgres, pair: tuple[Listener, Listener]
) -> None:
    one, two = pair
    await one.say("old")
    await two.next(1)
    async with running_node("three") as node:
        journal = await node.start(child(Journal, lambda: PostgresStore(postgres.url()), name="journal"))
        async with AsyncExitStack() as stack:
            three = Listener(node, journal, stack)
            await three.begin()
            await one.say("new")
            assert [event.payload["text"] for event in await three.next(1)] == ["new"]


class SharedStore(MemoryStore):
    """A store in which others write, too: what they do is not seen until `tell`."""

    def listen(self, notice: Callable[[], None]) -> None:
        self.tell = notice


@pytest.fixture
async def shared() -> AsyncIterator[tuple[SharedStore, Listener, Listener]]:
    store = SharedStore()
    async with AsyncExitStack() as stack:
        listeners = []
        for name in ("writer", "follower"):
            node = await stack.enter_async_context(running_node(name))
            journal = await node.start(
                child(Journal, lambda: store, JournalOptions(max_batch=5 * PAGE), name="journal")
            )
            listeners.append(Listener(node, journal, stack))
        await listeners[1].begin()
        yield store, listeners[0], listeners[1]


async def test_what_others_wrote_before_an_own_event_is_broadcast_before_it(
    shared: tuple[SharedStore, Listener, Listener],
) -> None:
    _, writer, follower = shared
    await writer.say("one", "two")
    await follower.say("three")
    assert [event.payload["text"] for event in await follower.next(3)] == ["one", "two", "three"]


async def test_more_than_a_page_of_others_events_is_broadcast_to_its_end(
    shared: tuple[SharedStore, Listener, Listener],
) -> None:
    store, writer, follower = shared
    await writer.say(*(str(number) for number in range(2 * PAGE + 1)))
    store.tell()
    heard = await follower.next(2 * PAGE + 1)
    assert [event.seq for event in heard] == list(range(1, 2 * PAGE + 2))
