"""The directory of rooms."""

import asyncio

import pytest

from planaria.rooms.room import Room, RoomUnavailable
from planaria.rooms.rooms import list_rooms, open_room
from tests.rooms.support import GARDEN, World


async def test_a_room_is_opened_once_however_many_ask(world: World):
    await asyncio.gather(*(world.run(open_room, "pond") for _ in range(5)))
    assert await world.run(list_rooms) == ["garden", "pond"]
    assert [e.payload for e in await world.events("rooms")] == [{"room": "garden"}, {"room": "pond"}]


@pytest.mark.parametrize("name", ["", "Pond", "a b", "-pond", "x" * 65, "../pond"])
async def test_a_name_that_is_none_is_refused(world: World, name: str):
    with pytest.raises(ValueError, match="is no name for a room"):
        await world.run(open_room, name)


async def test_a_room_that_cannot_be_written_down_is_not_opened_and_can_be_later(world: World):
    world.store.fail()
    with pytest.raises(RoomUnavailable, match="no room left"):
        await world.run(open_room, "pond")
    world.store.fault = None
    rooms = world.node["rooms"]
    await world.run(open_room, "pond")
    assert world.node["rooms"] is rooms
    assert await world.run(Room.transcript, "room:pond") == []


async def test_a_room_that_was_noted_without_an_answer_can_be_opened(world: World):
    world.store.silent = True
    with pytest.raises(RoomUnavailable):
        await world.run(open_room, "pond")
    await world.run(open_room, "pond")
    assert len(await world.events("rooms")) == 2


async def test_while_a_room_is_opened_the_directory_answers(world: World):
    world.store.held = True
    opening = asyncio.ensure_future(world.run(open_room, "pond"))
    await world.node.settle()
    assert await world.run(list_rooms) == ["garden"]
    world.store.release()
    await opening
    assert await world.run(list_rooms) == ["garden", "pond"]


async def test_a_restarted_directory_finds_the_rooms_that_run(world: World):
    await world.post("hello")
    room = world.node[GARDEN]
    await world.kill("rooms")
    assert await world.run(list_rooms) == ["garden"]
    assert world.node[GARDEN] is room


async def test_when_the_supervisor_of_the_rooms_is_lost_they_are_opened_again(world: World):
    await world.post("hello")
    await world.kill("room_processes")
    assert await world.texts() == ["hello"]
