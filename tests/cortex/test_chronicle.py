"""The chronicle: crashes and restarts are in the journal, whatever happens to the journal meanwhile."""

from functools import partial

from planaria.cortex.chronicle import MOST_WAITING, Chronicle, event_of
from planaria.cortex.chronicle_events import SESSION
from planaria.cortex.errors import StoreFull
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.tallies import MOST_KEYS
from planaria.otp import (
    ChildRestarted,
    EventsDropped,
    GenServer,
    MessageChanged,
    MessageShed,
    Pid,
    ProcessExited,
    ProcessStalled,
    cast,
    child,
    exit_signal,
    supervisor,
)
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode


class Fragile(GenServer):
    @cast
    def touch(self, what: str) -> None:
        raise ValueError(what)


class Grumpy(GenServer):
    trap_exit = True

    def terminate(self, reason: object) -> None:
        raise ValueError("let me be")


class World:
    def __init__(self, node: TestNode) -> None:
        self.node = node
        self.store = MemoryStore()

    async def start(self) -> "World":
        await self.node.start(
            supervisor(
                child(Chronicle, name="chronicle"),
                child(Journal, lambda: self.store, name="journal"),
                supervisor(child(Fragile, name="fragile"), name="inner", max_restarts=2, within=5.0),
                name="root",
                strategy="rest_for_one",
                max_restarts=50,
            )
        )
        return self

    async def events(self, *kinds: str) -> list[Event]:
        await self.node.settle()
        return await self.node.run(partial(Journal.read, "journal", Query(session=SESSION, kinds=kinds)))

    async def crash(self, what: str = "a wrong turn") -> None:
        Fragile.touch(self.node["fragile"], what)
        await self.node.settle()

    async def kill(self, name: str) -> None:
        pid = self.node[name]

        async def kill(pid: Pid) -> None:
            exit_signal(pid, "kill")

        await self.node.run(kill, pid)
        await self.node.settle()


async def test_a_crash_is_written_with_its_error_and_its_line(node: TestNode):
    world = await World(node).start()
    await world.crash()
    (event,) = await world.events("process.crashed")
    assert event.process == "fragile"
    assert event.payload["error"] == "ValueError"
    assert event.payload["reason"] == "ValueError: a wrong turn"
    file, _, line = event.payload["where"].rpartition(":")
    assert file == __file__ and int(line) > 0


async def test_a_restart_is_written_with_supervisor_child_and_reason(node: TestNode):
    world = await World(node).start()
    await world.crash()
    (event,) = await world.events("child.restarted")
    assert event.process == "inner"
    assert event.payload["child"] == "fragile"
    assert event.payload["pid"] == str(node["fragile"])


async def test_a_kill_and_a_supervisor_that_gives_up_are_written(node: TestNode):
    world = await World(node).start()
    await world.kill("fragile")
    assert [e.process for e in await world.events("process.killed")] == ["fragile"]
    await world.crash()
    await world.crash()
    assert [e.payload["child"] for e in await world.events("supervisor.gave_up")] == ["fragile"]


async def test_a_stall_is_written_with_its_place_and_what_became_of_it(node: TestNode):
    world = await World(node).start()
    fragile = node["fragile"]
    node.emit(ProcessStalled(fragile, "fragile", "fragile", "moss.py:7", "touch('stone')", 2.0456, "broken"))
    (event,) = await world.events("process.stalled")
    assert event.process == "fragile"
    assert event.payload == {
        "label": "fragile",
        "where": "moss.py:7",
        "message": "touch('stone')",
        "seconds": 2.05,
        "outcome": "broken",
    }


def shed(node: TestNode, message: object = ("touch", ("my secret",), {})) -> None:
    node.emit(MessageShed(node["fragile"], "cast", message, None, "dropped", "drop_oldest"))


async def test_a_flood_of_shed_messages_is_its_first_and_one_sum_a_minute(node: TestNode):
    world = await World(node).start()
    for _ in range(1000):
        shed(node)
    (first,) = await world.events("message.shed")
    assert first.process == "fragile"
    assert first.payload == {
        "message_kind": "cast",
        "message": "touch",
        "what": "dropped",
        "policy": "drop_oldest",
        "count": 1,
    }
    await node.advance(61.0)
    shed(node)
    await node.advance(61.0)
    assert [e.payload["count"] for e in await world.events("message.shed")] == [1, 999, 1]
    await node.advance(600.0)
    shed(node)
    assert [e.payload["count"] for e in await world.events("message.shed")] == [1, 999, 1, 1]


async def test_events_a_producer_lost_are_counted(node: TestNode):
    world = await World(node).start()
    for _ in range(3):
        node.emit(EventsDropped(node["fragile"], 100, "last"))
    await node.advance(61.0)
    assert [e.payload["count"] for e in await world.events("events.dropped")] == [100, 200]


async def test_a_message_that_was_changed_is_written_with_its_path_and_without_its_values(node: TestNode):
    world = await World(node).start()
    fragile = node["fragile"]
    node.emit(MessageChanged(fragile, None, "touch", "args[0]", "a secret", "another", "handled", fragile))
    (event,) = await world.events("message.changed")
    assert event.payload == {
        "what": "touch",
        "path": "args[0]",
        "when": "handled",
        "by": "fragile",
        "count": 1,
    }


async def test_more_kinds_of_trouble_than_are_told_apart_are_counted_together(node: TestNode):
    world = await World(node).start()
    for n in range(MOST_KEYS + 50):
        shed(node, (f"handler-{n}", (), {}))
    await node.advance(61.0)
    assert len(await world.events("message.shed")) == MOST_KEYS
    assert [e.payload["events"] for e in await world.events("chronicle.dropped")] == [50]


async def test_each_is_a_trace_of_its_own(node: TestNode):
    world = await World(node).start()
    await world.crash()
    events = await world.events()
    assert len({event.trace_id for event in events}) == len(events) == 2


async def test_an_orderly_end_is_not_worth_a_word(node: TestNode):
    world = await World(node).start()

    async def work() -> None:
        return None

    await node.run(work)
    assert await world.events() == []


async def test_while_the_journal_is_away_events_wait_and_are_written_once_each(node: TestNode):
    world = await World(node).start()
    world.store.fault = StoreFull("full", "make room")
    await world.crash()
    await node.advance(3.5)
    world.store.fault = None
    await node.advance(1.5)
    kinds = [e.kind for e in await world.events()]
    assert kinds == ["process.crashed", "child.restarted", "journal.failed", "journal.recovered"]


async def test_beyond_the_limit_the_oldest_are_dropped_and_counted(node: TestNode):
    world = await World(node).start()
    world.store.fault = StoreFull("full", "make room")
    for n in range(MOST_WAITING + 500):
        Chronicle.note(node["chronicle"], NewEvent("test.noted", {"n": n}, session=SESSION, id=f"id-{n}"))
    await node.advance(5.0)
    world.store.fault = None
    await node.advance(2.0)
    noted = [e.payload["n"] for e in await world.events("test.noted")]
    assert noted == list(range(501, MOST_WAITING + 500))  # one place has the word about the journal itself
    assert sum(e.payload["events"] for e in await world.events("chronicle.dropped")) == 501


async def test_an_event_that_cannot_be_written_hurts_no_other(node: TestNode):
    world = await World(node).start()
    bad = NewEvent("test.noted", {"what": "half \ud800"}, session=SESSION)
    for event in (NewEvent("test.noted", {"what": "first"}, session=SESSION), bad):
        Chronicle.note(node["chronicle"], event)
    await world.crash()
    assert [e.payload.get("what") for e in await world.events("test.noted")] == ["first"]
    assert len(await world.events("process.crashed")) == 1
    assert [e.payload["events"] for e in await world.events("chronicle.dropped")] == [1]


async def test_when_the_journal_is_killed_its_end_is_in_it(node: TestNode):
    world = await World(node).start()
    await world.kill("journal")
    await node.advance(2.0)
    assert [e.process for e in await world.events("process.killed")] == ["journal"]
    assert [e.payload["child"] for e in await world.events("child.restarted")] == ["journal"]


async def test_what_crashes_while_the_others_stop_is_written(node: TestNode):
    world = await World(node).start()
    await node.start(child(Grumpy, name="grumpy"))
    await node.stop()
    await world.store.open()
    assert [e.process for e in await world.store.read(Query())] == ["grumpy"]


async def test_a_stop_does_not_wait_for_a_journal_that_is_away(node: TestNode):
    world = await World(node).start()
    world.store.fault = StoreFull("full", "make room")
    await world.crash()
    await node.stop(timeout=5.0)


async def test_what_a_listener_gets_decides_what_is_kept(node: TestNode):
    async def work() -> None:
        return None

    pid = node.spawn(work)
    assert event_of(ProcessExited(pid, None, "work", "normal")) is None
    killed = event_of(ProcessExited(pid, None, "work", "killed"))
    assert killed is not None and killed.kind == "process.killed" and killed.process == str(pid)
    assert event_of(ChildRestarted(pid, "x", None, "killed")) is not None


async def test_an_outage_of_the_journal_is_written_when_it_is_over_and_ends_by_itself(node: TestNode):
    world = await World(node).start()
    world.store.fault = StoreFull("no room left", "free some")
    await world.crash()
    await node.advance(30.0)
    assert (await node.run(partial(Journal.status, "journal"))).health.trouble == "no room left"
    world.store.fault = None
    await node.advance(1.0)
    assert (await node.run(partial(Journal.status, "journal"))).health.trouble is None
    failed, recovered = await world.events("journal.failed", "journal.recovered")
    assert failed.payload["trouble"] == "no room left"
    assert 29.0 < recovered.payload["seconds"] < 32.0
    assert len(await world.events("process.crashed")) == 1
