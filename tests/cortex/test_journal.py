"""The journal: acknowledged means durable, many share one commit, and faults of the store are answers."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.errors import EventRefused, JournalUnavailable, StoreFull, StoreTooNew
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal, JournalHealth, JournalOptions
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.cortex.store import Draft, Fence, Outcome
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.otp import (
    Crash,
    Node,
    NoProcess,
    Pid,
    ServerExited,
    StartFailed,
    child,
    exit_signal,
    stop,
    supervisor,
)
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

FULL = StoreFull("no room left to write journal.db", "free some disk space")


class GatedStore(MemoryStore):
    """A store whose commits wait at a gate."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.closed = False

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Outcome]:
        self.arrived.set()
        await self.gate.wait()
        return await super().append(batch, fences)

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
async def journal(node: Node, store: GatedStore) -> AsyncIterator[Pid]:
    pid = await node.start(child(Journal, lambda: store, name="journal"))
    yield pid
    store.gate.set()


async def start(node: Node, make_store: Callable[[], Any], *arguments: Any) -> Pid:
    return await node.start(child(Journal, make_store, *arguments, name="journal"))


def said(text: str, **fields: Any) -> NewEvent:
    return NewEvent("room.post", {"text": text}, session="room:garden", **fields)


async def three_behind_a_commit(journal: Pid, store: GatedStore) -> list[asyncio.Task[list[Event]]]:
    """One append whose commit stands at the gate, and three that wait behind it."""
    store.gate.clear()
    store.arrived.clear()
    tasks = [asyncio.create_task(Journal.append(journal, [said("first")]))]
    await store.arrived.wait()
    tasks += [asyncio.create_task(Journal.append(journal, [said(text)])) for text in ("a", "b", "c")]
    while (await Journal.status(journal)).waiting < 3:
        pass
    return tasks


# --- appending -----------------------------------------------------------------------------------------------------


async def test_an_append_answers_with_the_events_as_they_stand_in_the_journal(journal: Pid) -> None:
    events = await Journal.append(journal, [said("one", trace_id="T", cause_id="C"), said("two")])
    assert [event.seq for event in events] == [1, 2]
    assert (events[0].trace_id, events[0].cause_id, events[0].node) == ("T", "C", "test")
    assert events[0].id < events[1].id
    assert events == await Journal.read(journal, Query())


async def test_an_event_bears_the_name_or_pid_of_the_process_that_appended_it(
    node: Node, journal: Pid
) -> None:
    async def append() -> str:
        return (await Journal.append("journal", [said("x")]))[0].process

    assert (await node.run(append)).startswith("<")
    assert (await Journal.append(journal, [said("x")]))[0].process == "outside"
    assert (await Journal.append(journal, [said("x", process="me")]))[0].process == "me"


async def test_its_time_is_the_nodes(node: Node, journal: Pid) -> None:
    (event,) = await Journal.append(journal, [said("x")])
    assert abs(event.at - node.clock.wall()) < 5


async def test_an_append_is_not_answered_before_its_commit(journal: Pid, store: GatedStore) -> None:
    store.gate.clear()
    task = asyncio.create_task(Journal.append(journal, [said("x")]))
    await store.arrived.wait()
    assert (await Journal.status(journal)).appends == 0
    assert not task.done()
    store.gate.set()
    assert len(await task) == 1


async def test_appends_that_arrive_during_a_commit_share_the_next_one(
    journal: Pid, store: GatedStore
) -> None:
    tasks = await three_behind_a_commit(journal, store)
    store.gate.set()
    answers = await asyncio.gather(*tasks)
    assert [events[0].seq for events in answers] == [1, 2, 3, 4]
    assert store.batches == [1, 3]


async def test_a_commit_takes_no_more_than_its_batch_and_splits_no_append(
    node: Node, store: GatedStore
) -> None:
    journal = await start(node, lambda: store, JournalOptions(max_batch=4))
    store.gate.clear()
    tasks = [asyncio.create_task(Journal.append(journal, [said("x")]))]
    await store.arrived.wait()
    tasks += [asyncio.create_task(Journal.append(journal, [said("x")] * 3)) for _ in range(3)]
    while (await Journal.status(journal)).waiting < 9:
        pass
    store.gate.set()
    await asyncio.gather(*tasks)
    assert store.batches == [1, 1, 1, 1]


async def test_an_empty_append_is_answered_at_once(journal: Pid, store: GatedStore) -> None:
    assert await Journal.append(journal, []) == []
    assert store.batches == []


async def test_one_unwritable_append_is_refused_and_those_beside_it_are_written(
    journal: Pid, store: GatedStore
) -> None:
    store.gate.clear()
    first = asyncio.create_task(Journal.append(journal, [said("x")]))
    await store.arrived.wait()
    with pytest.raises(
        EventRefused, match=r"event 2 of 2 \(bad\): payload\.x is a object; put only what JSON"
    ):
        await Journal.append(journal, [said("lost"), NewEvent("bad", {"x": object()})])
    second = asyncio.create_task(Journal.append(journal, [said("y")]))
    store.gate.set()
    await asyncio.gather(first, second)
    assert [event.payload["text"] for event in await Journal.read(journal)] == ["x", "y"]


async def test_an_id_that_is_there_already_is_refused_and_named(journal: Pid) -> None:
    await Journal.append(journal, [said("x", id="A")])
    with pytest.raises(EventRefused, match="'A' is in the journal already") as caught:
        await Journal.append(journal, [said("lost"), said("x", id="A")])
    assert caught.value.duplicate_of == "A"
    assert len(await Journal.read(journal)) == 1


async def test_an_append_beyond_the_batch_limit_is_refused(node: Node, store: GatedStore) -> None:
    journal = await start(node, lambda: store, JournalOptions(max_batch=2))
    with pytest.raises(EventRefused, match="append at most 2 at once"):
        await Journal.append(journal, [said("x")] * 3)


async def test_when_too_much_waits_an_append_is_turned_away_at_once(node: Node, store: GatedStore) -> None:
    journal = await start(node, lambda: store, JournalOptions(max_waiting=3))
    tasks = await three_behind_a_commit(journal, store)
    with pytest.raises(JournalUnavailable, match="3 events wait for the disk; try again later") as caught:
        await Journal.append(journal, [said("x")])
    assert caught.value.retry
    store.gate.set()
    await asyncio.gather(*tasks)
    await Journal.append(journal, [said("x")])


async def test_with_an_interval_appends_are_collected_for_one_commit(
    node: TestNode, store: GatedStore
) -> None:
    journal = await start(node, lambda: store, JournalOptions(commit_interval=0.5))
    tasks = [asyncio.create_task(Journal.append(journal, [said(text)])) for text in "abc"]
    await node.settle()
    assert store.batches == []
    await node.advance(0.5)
    await asyncio.gather(*tasks)
    assert store.batches == [3]


async def test_a_full_batch_does_not_wait_for_the_interval(node: TestNode, store: GatedStore) -> None:
    journal = await start(node, lambda: store, JournalOptions(commit_interval=0.5, max_batch=2))
    tasks = [asyncio.create_task(Journal.append(journal, [said(text)])) for text in "ab"]
    await asyncio.gather(*tasks)
    assert store.batches == [2]


async def test_secrets_reach_neither_store_nor_subscribers(node: Node, store: GatedStore) -> None:
    journal = await start(node, lambda: store, JournalOptions(), Redactor({"MY_TOKEN": "hunter2hunter2"}))
    async with node.open_port() as port:
        node.subscribe("journal", port.pid)
        (event,) = await Journal.append(journal, [said("it is hunter2hunter2")])
        heard = await port.receive()
    (stored,) = await Journal.read(journal)
    assert event.payload == heard.payload == stored.payload == {"text": "it is [secret MY_TOKEN]"}


# --- telling the world ---------------------------------------------------------------------------------------------


async def test_after_the_commit_each_event_is_told_on_both_topics_in_order(node: Node, journal: Pid) -> None:
    async with node.open_port() as everything, node.open_port() as one_stream:
        node.subscribe("journal", everything.pid)
        node.subscribe("journal:run:7", one_stream.pid)
        events = await Journal.append(journal, [said("x"), NewEvent("run.started", {}, session="run:7")])
        assert [await everything.receive(), await everything.receive()] == events
        assert await one_stream.receive() == events[1]


async def test_nothing_is_told_of_events_that_were_not_written(
    node: Node, journal: Pid, store: GatedStore
) -> None:
    async with node.open_port() as port:
        node.subscribe("journal", port.pid)
        store.fault = FULL
        with pytest.raises(JournalUnavailable):
            await Journal.append(journal, [said("lost")])
        store.fault = None
        await Journal.append(journal, [said("kept")])
        assert (await port.receive()).payload == {"text": "kept"}


# --- faults of the store -------------------------------------------------------------------------------------------


async def test_a_failing_commit_is_told_to_each_of_its_appenders_and_the_journal_goes_on(
    journal: Pid, store: GatedStore
) -> None:
    tasks = await three_behind_a_commit(journal, store)
    store.fault = FULL
    store.gate.set()
    for answer in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(answer, JournalUnavailable)
        assert (answer.cause, answer.mend, answer.retry) == (FULL.problem, FULL.mend, True)
    store.fault = None
    assert [event.seq for event in await Journal.append(journal, [said("x")])] == [1]


async def test_a_failing_read_is_told_to_the_reader(journal: Pid, store: GatedStore) -> None:
    store.fault = FULL
    with pytest.raises(JournalUnavailable, match="no room left"):
        await Journal.read(journal)
    store.fault = None
    assert await Journal.read(journal) == []


async def test_health_is_told_when_it_changes(node: Node, journal: Pid, store: GatedStore) -> None:
    async with node.open_port() as port:
        node.subscribe("journal.health", port.pid)
        store.fault = FULL
        for _ in range(2):
            with pytest.raises(JournalUnavailable):
                await Journal.append(journal, [said("lost")])
        store.fault = None
        await Journal.append(journal, [said("x")])
        assert await port.receive() == JournalHealth(FULL.problem, FULL.mend)
        assert await port.receive() == JournalHealth(None, "")


async def test_status_counts(journal: Pid, store: GatedStore) -> None:
    await Journal.append(journal, [said("a"), said("b")])
    store.fault = FULL
    with pytest.raises(JournalUnavailable):
        await Journal.append(journal, [said("lost")])
    with pytest.raises(EventRefused):
        await Journal.append(journal, [NewEvent("", {})])
    status = await Journal.status(journal)
    assert (status.appends, status.events, status.commits, status.failures) == (1, 2, 1, 1)
    assert (status.refused, status.waiting, status.last_seq) == (1, 0, 2)
    assert status.health.trouble == FULL.problem


# --- start, stop, kill ---------------------------------------------------------------------------------------------


async def test_an_orderly_stop_writes_what_waits_and_answers(
    node: Node, journal: Pid, store: GatedStore
) -> None:
    tasks = await three_behind_a_commit(journal, store)
    stopping = asyncio.create_task(node.run(stop, journal))
    await node.settle()
    assert not stopping.done()
    store.gate.set()
    await stopping
    answers = await asyncio.gather(*tasks)
    assert [events[0].seq for events in answers] == [1, 2, 3, 4]
    assert store.closed


async def test_a_stop_with_a_failing_store_answers_those_who_wait(
    node: Node, journal: Pid, store: GatedStore
) -> None:
    tasks = await three_behind_a_commit(journal, store)
    store.fault = FULL
    store.gate.set()
    await node.run(stop, journal)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(answer) for answer in answers} == {JournalUnavailable}


async def test_a_kill_acknowledges_nothing_that_was_not_written(
    node: Node, journal: Pid, store: GatedStore
) -> None:
    tasks = await three_behind_a_commit(journal, store)
    await node.run(kill, journal)
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(answer) for answer in answers} == {ServerExited}


async def kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_a_restarted_journal_goes_on_in_the_same_file(node: Node, tmp_path: Path) -> None:
    tree = supervisor(
        child(Journal, partial(SqliteStore, tmp_path / "journal.db"), name="journal"), name="top"
    )
    await node.start(tree)
    await Journal.append(node["journal"], [said("before")])

    async def kill_and_append() -> list[Event]:
        exit_signal(node["journal"], "kill")
        while True:
            try:
                return await Journal.append("journal", [said("after")])
            except NoProcess:
                await asyncio.sleep(0)

    (event,) = await node.run(kill_and_append)
    assert event.seq == 2
    assert (await Journal.status(node["journal"])).last_seq == 2


async def test_a_store_that_cannot_be_used_refuses_the_start(node: Node, store: GatedStore) -> None:
    class TooNew(GatedStore):
        async def open(self) -> None:
            raise StoreTooNew("journal.db has schema 9", "start the newer planaria")

    with pytest.raises(StartFailed, match="schema 9; start the newer planaria") as caught:
        await start(node, TooNew)
    assert isinstance(caught.value.reason, Crash)


async def test_a_fault_no_store_reports_ends_the_journal(node: Node, store: GatedStore) -> None:
    class Broken(GatedStore):
        async def append(
            self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
        ) -> list[Outcome]:
            raise ZeroDivisionError

    journal = await start(node, Broken)
    with pytest.raises(ServerExited):
        await Journal.append(journal, [said("x")])


# --- with a real file ----------------------------------------------------------------------------------------------


async def test_many_appenders_at_once_get_their_own_places(node: Node, tmp_path: Path) -> None:
    journal = await start(node, partial(SqliteStore, tmp_path / "journal.db"))

    async def appender(name: str) -> list[int]:
        places: list[int] = []
        for number in range(10):
            events = await Journal.append("journal", [said(f"{name} {number}a"), said(f"{name} {number}b")])
            assert events[1].seq == events[0].seq + 1
            places += [event.seq for event in events]
        assert places == sorted(places)
        return places

    found = await asyncio.gather(*(node.run(appender, f"appender{n}") for n in range(20)))
    assert sorted(place for places in found for place in places) == list(range(1, 401))
    status = await Journal.status(journal)
    assert status.commits < status.appends / 4
