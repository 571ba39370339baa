"""A room starts from a snapshot: how much it reads does not grow with its age."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from planaria.cortex.journal import Journal
from planaria.cortex.store import Snapshot
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.otp import ChildSpec, child, supervisor
from planaria.rooms import room as room_module
from planaria.rooms.events import MessageSaid
from planaria.rooms.message import RoomMessage
from planaria.rooms.room import Room
from planaria.rooms.rooms import open_room
from planaria.rooms.rooms import tree as rooms_tree
from planaria.rooms.transcript import REMEMBERED, SNAPSHOT, SNAPSHOT_VERSION
from planaria.testing.node import TestNode, running_node
from tests.rooms.support import GARDEN, Member, World

AGED = 20_000


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_module, "SNAPSHOT_EVERY", 20)


async def talk(world: World, number: int) -> None:
    for n in range(number):
        await world.post(str(n))
    await world.node.settle()


async def kept(world: World) -> Snapshot | None:
    return await world.run(Journal.load_snapshot, "journal", GARDEN, SNAPSHOT, SNAPSHOT_VERSION)


async def test_a_snapshot_is_made_every_so_many_events(world: World):
    await talk(world, 19)
    assert await kept(world) is None
    await talk(world, 1)
    snapshot = await kept(world)
    assert snapshot is not None
    assert snapshot.seq == (await world.events(GARDEN))[19].seq


async def test_a_start_reads_what_came_after_the_snapshot_and_what_waits(world: World):
    await world.member("scout")
    asked = await world.post("answer me")
    for n in range(60):
        await world.run(Room.say, GARDEN, "digest", str(n), author_kind="workflow")
    await world.node.settle()
    world.store.given.clear()
    await world.kill(GARDEN)
    assert sum(world.store.given) < 30
    assert [m.id for m in await world.run(Room.pending, GARDEN, "scout")] == [asked.id]
    assert await world.run(Room.members, GARDEN) == ["scout"]


async def test_earlier_messages_are_read_when_they_are_asked_for(world: World):
    await talk(world, 50)
    before = await world.run(Room.transcript, GARDEN)
    await world.kill(GARDEN)
    assert await world.run(Room.transcript, GARDEN) == before
    assert await world.run(Room.transcript, GARDEN, limit=3) == before[-3:]
    assert await world.run(Room.transcript, GARDEN, after_seq=before[10].seq) == before[11:]


async def test_what_is_said_while_earlier_messages_are_read_stands_behind_them(world: World):
    await talk(world, 50)
    await world.kill(GARDEN)
    await world.post("new")
    assert await world.texts() == [*map(str, range(50)), "new"]


async def test_while_the_journal_cannot_be_read_earlier_messages_are_not_said_to_be_missing(world: World):
    await talk(world, 50)
    await world.kill(GARDEN)
    world.store.fail()
    with pytest.raises(room_module.RoomUnavailable, match="no room left"):
        await world.run(Room.transcript, GARDEN)
    world.store.fault = None
    assert len(await world.run(Room.transcript, GARDEN)) == 50


async def test_a_room_that_stops_in_order_keeps_how_it_stands(world: World):
    await talk(world, 5)
    await world.node.stop()
    await world.store.open()
    snapshot = await world.store.load_snapshot(GARDEN, SNAPSHOT, SNAPSHOT_VERSION)
    assert snapshot is not None


@pytest.mark.parametrize("spoil", ["nonsense", "another version", "another place"])
async def test_a_snapshot_that_does_not_fit_is_passed_over(world: World, spoil: str):
    await world.member("scout")
    await talk(world, 30)
    before = await world.run(Room.transcript, GARDEN)
    version = SNAPSHOT_VERSION + 1 if spoil == "another version" else SNAPSHOT_VERSION
    seq = 1 if spoil == "another place" else before[-1].seq
    await world.run(
        Journal.save_snapshot, "journal", Snapshot(GARDEN, SNAPSHOT, version, seq, b'{"members": 1}')
    )
    await world.kill(GARDEN)
    assert await world.run(Room.transcript, GARDEN) == before
    assert await world.run(Room.members, GARDEN) == ["scout"]


async def test_who_joins_while_the_journal_fails_is_in_no_snapshot_yet(world: World):
    await talk(world, 19)
    world.store.held = True
    twentieth = asyncio.ensure_future(world.post("one more, so that a snapshot is due"))
    await world.node.settle()
    member = await world.member("scout")
    world.store.release()
    await twentieth
    await world.node.settle()
    snapshot = await kept(world)
    assert snapshot is not None
    assert (b"scout" in snapshot.data) == (snapshot.seq >= (await world.events(GARDEN, "room.joined"))[0].seq)
    assert await Member.all(member) == []


async def test_over_a_real_database_an_old_room_starts_by_reading_a_few_events(tmp_path: Path):
    stores: list[SqliteStore] = []

    def make_store() -> SqliteStore:
        stores.append(SqliteStore(tmp_path / "journal.db"))
        return stores[-1]

    def root() -> ChildSpec:
        return supervisor(child(Journal, make_store, name="journal"), rooms_tree(), name="root")

    async def age() -> None:
        one = MessageSaid("ada", "person", "x" * 400)
        for _ in range(AGED // 1000):
            await Journal.append("journal", [one.new(session=GARDEN) for _ in range(1000)])

    async with running_node() as node:
        await node.start(root())
        await node.run(open_room, "garden")
        await node.run(age)
        await node.run(partial(Room.post, GARDEN, "ada", "last"))
        await node.settle()
    async with running_node() as node:
        await node.start(root())  # the one that folds it all, and keeps that
        await node.settle()
    async with running_node() as node:
        read = _counted(stores, node)
        await node.start(root())
        assert read() < 100
        said: list[RoomMessage] = await node.run(partial(Room.transcript, GARDEN, limit=REMEMBERED))
    assert len(said) == REMEMBERED and said[-1].text == "last"


def _counted(stores: list[SqliteStore], node: TestNode):
    """How many events the newest store has given."""
    count = 0
    original = SqliteStore.read

    async def reading(self: SqliteStore, query):
        nonlocal count
        events = await original(self, query)
        count += len(events)
        return events

    SqliteStore.read = reading  # type: ignore[method-assign]
    return lambda: count
