"""The live store with a projection of its own: what comes in, who follows, restarts."""

from typing import Any, ClassVar

import pytest

from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.live.follow import follow
from planaria.cortex.live.projection import Projection
from planaria.cortex.live.store import Live, TableChanged, joined
from planaria.cortex.live.table import ALL, LiveError, Row, Select, Table
from planaria.cortex.live.tables import tables_of
from planaria.cortex.live.watcher import MOST_PENDING, RowsChanged, Watching
from planaria.cortex.telemetry.signal import Signal
from planaria.cortex.telemetry.span import span
from planaria.otp import (
    Node,
    NoProcess,
    Pid,
    ProcessExited,
    child,
    exit_signal,
    receive,
    register,
    self_,
    subscribe,
    supervisor,
)
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode


class Count(Row, frozen=True):
    labels: ClassVar[tuple[str, ...]] = ("kind",)
    kind: str
    number: int


class Counts:
    """Counts what it is given."""

    kinds = frozenset({"bird.seen", "bird.broken"})
    hears = (str,)
    spans = frozenset({"bird.flight"})
    kernel = (ProcessExited,)

    def __init__(self) -> None:
        self.topics = {"birds"}
        self.lookings_back = 0
        self.table: Table[Count] = Table("counts", Count, 3000, "how often")

    def _add(self, key: str, kind: str) -> None:
        row = self.table.get(key)
        self.table.put(Count(key, kind, 1 if row is None else row.number + 1))

    def event(self, event: Event) -> None:
        self._add(event.payload["name"], "event")

    def looked_back(self) -> None:
        self.lookings_back += 1

    def heard(self, message: Any) -> None:
        self._add(message, "heard")

    def signal(self, signal: Signal) -> None:
        self._add(signal.name, "span")

    def kernel_event(self, event: Any) -> None:
        self._add(event.name, "kernel")


made: list[Counts] = []


def make(node: Node) -> list[Projection]:
    made[:] = [Counts()]
    return list(made)


async def start(node: TestNode, store: MemoryStore | None = None, look_back: int = 2000) -> Pid:
    kept = store or MemoryStore()
    root = await node.start(
        supervisor(
            child(Journal, lambda: kept, name="journal"),
            child(Live, make, "journal", look_back, name="live"),
            name="root",
        )
    )
    await node.settle()
    return root


async def see(node: TestNode, *names: str, kind: str = "bird.seen") -> None:
    events = [NewEvent(kind, {"name": name}) for name in names]
    await node.run(Journal.append, "journal", events)


def numbers(node: TestNode) -> dict[str, int]:
    return {row.key: row.number for row in tables_of(node)["counts"].select(ALL)}


async def test_events_broadcasts_spans_and_kernel_events_reach_the_projection(node: TestNode):
    await start(node)

    async def work() -> None:
        register("hawk", self_())
        with span("bird.flight"):
            pass
        with span("bird.nest"):
            pass

    await see(node, "wren", "wren")
    node.broadcast("birds", "song")
    await node.run(work)
    await node.settle()
    assert numbers(node) == {"hawk": 1, "bird.flight": 1, "song": 1, "wren": 2}


async def test_a_process_without_a_name_is_nobodys_row(node: TestNode):
    await start(node)
    await node.run(_nothing)
    await node.settle()
    assert numbers(node) == {}


async def _nothing() -> None:
    pass


async def test_after_a_restart_the_tables_are_made_anew_from_the_latest_events(node: TestNode):
    await start(node, look_back=3)
    await see(node, "wren")
    await see(node, "robin", "robin", "crow")
    exit_ = node["live"]
    await node.run(_kill, exit_)
    await node.settle()
    await see(node, "crow")
    await node.settle()
    assert numbers(node) == {"robin": 2, "crow": 2}


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_an_event_that_comes_during_the_look_back_counts_once(node: TestNode):
    store = MemoryStore()
    await start(node, store)
    await see(node, "wren")

    async def both() -> None:
        exit_signal(node["live"], "kill")
        await Journal.append("journal", [NewEvent("bird.seen", {"name": "wren"})])

    await node.run(both)
    await node.settle()
    assert numbers(node) == {"wren": 2}


@pytest.mark.parametrize(
    ("read", "missed", "made_of"),
    [
        ([1, 2], [2, 3], [1, 2, 3]),
        ([1, 2, 3], [4], [2, 3, 4]),
        ([1, 2], [6, 7, 8], [6, 7, 8]),  # 3, 4 and 5 were too many
        ([], [1], [1]),
        ([], [], []),
    ],
)
def test_the_tables_are_made_of_the_latest_events_without_a_gap(
    read: list[int], missed: list[int], made_of: list[int]
):
    def seen(seq: int) -> Event:
        return Event(seq, f"E{seq}", 0.0, "T", None, "n", "p", "birds", "bird.seen", {})

    latest = joined([*map(seen, read)], [*map(seen, missed)], 3)
    assert [event.seq for event in latest] == made_of


async def test_topics_that_are_wanted_no_more_are_heard_no_more(node: TestNode):
    await start(node)
    (counts,) = made
    assert counts.lookings_back == 1
    for number in range(50):
        counts.topics = {f"birds {number}"}
        await see(node, "wren")
        await node.settle()
        numbers(node)
    node.broadcast("birds 3", "song")
    node.broadcast("birds 49", "song")
    await node.settle()
    assert numbers(node) == {"wren": 50, "song": 1}
    assert [topic for topic in node.taps if topic.startswith("birds")] == ["birds 49"]
    assert len(node["live"].on_death or ()) < 10


async def test_while_the_journal_cannot_be_read_the_look_back_waits(node: TestNode):
    store = MemoryStore()
    await start(node, store)
    await see(node, "wren")
    from planaria.cortex.errors import StoreBusy

    store.fault = StoreBusy("locked", "wait")
    await node.run(_kill, node["live"])
    await node.settle()
    assert not (await node.run(Live.status, "live")).ready
    store.fault = None
    await node.advance(1.1)
    assert numbers(node) == {"wren": 1} and (await node.run(Live.status, "live")).ready


async def test_an_event_no_row_can_be_made_of_is_counted_and_said_once(
    node: TestNode, caplog: pytest.LogCaptureFixture
):
    await start(node)
    for _ in range(3):
        await node.run(Journal.append, "journal", [NewEvent("bird.broken", {})])
    await see(node, "wren")
    await node.settle()
    assert numbers(node) == {"wren": 1}
    assert (await node.run(Live.status, "live")).faults == 3
    assert caplog.text.count("cannot take in bird.broken") == 1


async def test_a_subscription_gives_a_snapshot_then_changes(node: TestNode):
    await start(node)
    await see(node, "wren", "crow")
    told: list[Any] = []

    async def listener() -> None:
        watching = await Live.subscribe("live", "counts", Select(match="w*"))
        told.append(watching)
        while True:
            changes = await receive(RowsChanged)
            told.append(changes)
            Live.ready("live", changes.ref)

    node.spawn(listener)
    await node.settle()
    await see(node, "wren", "crow")
    await node.advance(0.2)
    await see(node, "warbler")
    await node.advance(0.2)
    first, second, third = told
    assert isinstance(first, Watching) and first.rows == [Count("wren", "event", 1)]
    assert (second.rows, second.gone, second.whole) == ([Count("wren", "event", 2)], [], False)
    assert third.rows == [Count("warbler", "event", 1)]


async def test_a_slow_subscriber_has_one_message_and_the_rest_melts_together(node: TestNode):
    await start(node)
    told: list[RowsChanged] = []

    async def listener() -> None:
        await Live.subscribe("live", "counts")
        while True:
            assert await receive(str) == "take"
            changes = await receive(RowsChanged)
            told.append(changes)
            Live.ready("live", changes.ref)

    slow = node.spawn(listener)
    await node.settle()
    for _ in range(5):
        await see(node, "wren")
        await node.advance(0.2)
    assert node.info(slow).queue_len == 1
    node.send(slow, "take")
    await node.advance(0.2)
    node.send(slow, "take")
    await node.advance(0.2)
    assert [change.rows[0].number for change in told] == [1, 5]
    assert told[-1].coalesced == 3


async def test_a_subscriber_too_far_behind_gets_all_rows_anew(node: TestNode):
    await start(node)
    told: list[RowsChanged] = []

    async def listener() -> None:
        await Live.subscribe("live", "counts")
        while True:
            assert await receive(str) == "take"
            changes = await receive(RowsChanged)
            told.append(changes)
            Live.ready("live", changes.ref)

    slow = node.spawn(listener)
    await node.settle()
    await see(node, "wren")
    await node.advance(0.2)
    for start_ in range(0, MOST_PENDING + 200, 600):
        await see(node, *(f"bird {number}" for number in range(start_, start_ + 600)))
        await node.advance(0.2)
    for _ in range(2):
        node.send(slow, "take")
        await node.advance(0.2)
    assert told[1].whole and len(told[1].rows) == 1201 and told[1].coalesced >= 1200


async def test_a_row_that_no_longer_matches_is_gone(node: TestNode):
    await start(node)
    await see(node, "wren")
    told: list[RowsChanged] = []

    async def listener() -> None:
        await Live.subscribe("live", "counts", Select(where={"kind": "event"}))
        changes = await receive(RowsChanged)
        told.append(changes)

    node.spawn(listener)
    await node.settle()
    node.broadcast("birds", "wren")  # the same key, another kind
    await node.advance(0.2)
    assert told[0].gone == ["wren"]


async def test_a_subscriber_that_ends_is_forgotten(node: TestNode):
    await start(node)

    async def listener() -> None:
        await Live.subscribe("live", "counts")

    await node.run(listener)
    await node.settle()
    assert (await node.run(Live.status, "live")).subscribers == 0


async def test_follow_goes_on_after_a_restart_of_the_store(node: TestNode):
    await start(node)
    await see(node, "wren")
    told: list[RowsChanged] = []

    async def listener() -> None:
        async for changes in follow("counts"):
            told.append(changes)

    node.spawn(listener)
    await node.settle()
    await node.run(_kill, node["live"])
    await node.advance(1.5)
    await see(node, "crow")
    await node.advance(0.2)
    assert told[0].whole and told[-1].rows == [Count("crow", "event", 1)]
    assert any(change.whole for change in told[1:])


async def test_the_topic_says_that_a_table_changed_at_most_ten_times_a_second(node: TestNode):
    await start(node)
    told: list[TableChanged] = []

    async def listener() -> None:
        subscribe("live:counts")
        while True:
            told.append(await receive(TableChanged))

    node.spawn(listener)
    await node.settle()
    for _ in range(20):
        await see(node, "wren")
    await node.advance(0.2)
    assert len(told) == 1


async def test_a_topic_heard_late_tells_of_the_next_change_too(node: TestNode):
    await start(node)
    await see(node, "wren")
    await node.advance(0.2)
    told: list[TableChanged] = []

    async def listener() -> None:
        subscribe("live:counts")
        while True:
            told.append(await receive(TableChanged))

    node.spawn(listener)
    await node.settle()
    await see(node, "wren")
    await node.advance(0.2)
    assert len(told) == 1


async def test_rows_nobody_follows_are_made_when_somebody_looks(node: TestNode):
    await start(node)
    (counts,) = made
    built: list[str] = []

    def build(key: str) -> Count:
        built.append(key)
        return Count(key, "built", len(built))

    counts.table.build = build
    counts.event = lambda event: counts.table.touch(event.payload["name"])  # type: ignore[method-assign]
    for _ in range(3):
        await see(node, "wren")
        await node.advance(0.2)
    assert built == []
    assert await node.run(Live.query, "live", "counts", ALL) == [Count("wren", "built", 1)]


async def test_a_bad_question_is_an_answer_not_a_crash(node: TestNode):
    await start(node)
    before = node["live"]
    with pytest.raises(LiveError, match="tables: counts"):
        await node.run(Live.query, "live", "birds")
    with pytest.raises(LiveError, match="labels: kind"):
        await node.run(Live.query, "live", "counts", Select(where={"colour": "red"}))
    assert node["live"] is before


async def test_without_the_store_there_are_no_tables(node: TestNode):
    with pytest.raises(NoProcess):
        tables_of(node)
