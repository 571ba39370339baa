"""A message may be made to wait for an answer again."""

import asyncio

import pytest

from planaria.cortex.event import Event
from planaria.rooms.message import Accepted
from planaria.rooms.room import Room, RoomRefused, RoomUnavailable
from tests.rooms.support import GARDEN, Member, World


async def answered(world: World, text: str = "hello") -> Accepted:
    """A message that scout has answered."""
    asked = await world.post(text)
    await world.run(Room.say, GARDEN, "scout", "I give up", asked.id)
    return asked


async def redelivered(world: World) -> list[Event]:
    return await world.events(GARDEN, "room.redelivered")


async def test_an_answered_message_is_delivered_again_as_the_next_attempt(world: World):
    scout = await world.member("scout")
    asked = await answered(world)
    assert await world.run(Room.redeliver, GARDEN, asked.id, "scout") == 2
    assert [m.text for m in await Member.all(scout)] == ["hello", "hello"]
    assert await Member.counts(scout) == [1, 2]
    (event,) = await redelivered(world)
    assert event.payload == {"message": asked.id, "agent": "scout", "attempt": 2}


async def test_each_attempt_is_answered_for_itself(world: World):
    await world.member("scout")
    asked = await answered(world)
    await world.run(Room.redeliver, GARDEN, asked.id, "scout")
    await world.run(Room.say, GARDEN, "scout", "too late", asked.id)  # of the first attempt: said already
    assert len(await world.run(Room.pending, GARDEN, "scout")) == 1
    await world.run(Room.say, GARDEN, "scout", "here it is", asked.id, attempt=2)
    await world.run(Room.say, GARDEN, "scout", "said again", asked.id, attempt=2)
    assert await world.texts() == ["hello", "I give up", "here it is"]
    assert await world.run(Room.pending, GARDEN, "scout") == []
    assert await world.run(Room.redeliver, GARDEN, asked.id, "scout") == 3


async def test_an_attempt_survives_a_restart_of_the_room_and_of_the_member(world: World):
    await world.member("scout")
    asked = await answered(world)
    await world.run(Room.redeliver, GARDEN, asked.id, "scout")
    await world.kill(GARDEN)
    again = await world.member("scout")
    assert await Member.counts(again) == [2]


async def test_twice_at_once_is_one_attempt(world: World):
    scout = await world.member("scout")
    asked = await answered(world)
    both = (world.run(Room.redeliver, GARDEN, asked.id, "scout") for _ in range(2))
    assert await asyncio.gather(*both) == [2, 2]
    assert len(await redelivered(world)) == 1
    assert await Member.counts(scout) == [1, 2]


async def test_what_an_agent_left_behind_can_be_given_to_it_when_it_is_back(world: World):
    await world.member("scout")
    asked = await world.post("hello")
    await world.run(Room.leave, GARDEN, "scout")
    back = await world.member("scout")
    assert await Member.all(back) == []
    await world.run(Room.redeliver, GARDEN, asked.id, "scout")
    assert [m.text for m in await Member.all(back)] == ["hello"]


async def test_a_message_that_memory_has_forgotten_can_be_delivered_again(world: World):
    scout = await world.member("scout")
    asked = await answered(world)
    world.node.state(world.node[GARDEN])["transcript_"].messages.clear()  # type: ignore[attr-defined]
    assert await world.run(Room.redeliver, GARDEN, asked.id, "scout") == 2
    assert [m.text for m in await Member.all(scout)] == ["hello", "hello"]


async def test_a_message_that_waits_is_refused(world: World):
    await world.member("scout")
    asked = await world.post("hello")
    with pytest.raises(RoomRefused, match="waits for scout already"):
        await world.run(Room.redeliver, GARDEN, asked.id, "scout")


async def test_what_is_no_message_of_this_room_is_refused(world: World):
    await world.member("scout")
    with pytest.raises(RoomRefused, match="there is no message 'nonsense'"):
        await world.run(Room.redeliver, GARDEN, "nonsense", "scout")
    (opened, *_) = await world.events("rooms")
    with pytest.raises(RoomRefused, match="there is no message"):
        await world.run(Room.redeliver, GARDEN, opened.id, "scout")


async def test_who_is_no_member_is_refused(world: World):
    asked = await world.post("hello")
    with pytest.raises(RoomRefused, match="'scout' is no member"):
        await world.run(Room.redeliver, GARDEN, asked.id, "scout")


async def test_while_the_journal_cannot_be_written_nothing_is_delivered(world: World):
    scout = await world.member("scout")
    asked = await answered(world)
    world.store.fail()
    with pytest.raises(RoomUnavailable):
        await world.run(Room.redeliver, GARDEN, asked.id, "scout")
    world.store.fault = None
    assert await Member.counts(scout) == [1]
    assert await world.run(Room.redeliver, GARDEN, asked.id, "scout") == 2
