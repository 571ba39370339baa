"""A fork is a room whose transcript begins with that of another."""

import pytest

from planaria.rooms.room import Room, RoomRefused
from planaria.rooms.rooms import fork_room, list_rooms
from tests.rooms.support import Member, World

FORK = "room:branch"
NOTICE = "This room goes on from garden, as it was at event {}."


async def said(world: World, room: str = FORK) -> list[str]:
    return [message.text for message in await world.run(Room.transcript, room)]


async def test_a_fork_begins_with_what_was_said_up_to_its_place_and_goes_its_own_way(world: World):
    await world.post("one")
    two = await world.post("two")
    await world.post("three")
    await world.run(fork_room, "branch", "garden", two.seq)
    await world.run(Room.post, FORK, "ada", "another three")
    assert await said(world) == ["one", "two", NOTICE.format(two.seq), "another three"]
    assert await world.texts() == ["one", "two", "three"]
    assert await world.run(list_rooms) == ["branch", "garden"]


async def test_nothing_is_copied(world: World):
    one = await world.post("one")
    await world.run(fork_room, "branch", "garden", one.seq)
    assert [e.kind for e in await world.events(FORK)] == ["room.forked"]


async def test_history_keeps_its_ids_and_the_room_it_was_said_in(world: World):
    one = await world.post("one")
    await world.run(fork_room, "branch", "garden", one.seq)
    first = (await world.run(Room.transcript, FORK))[0]
    assert (first.id, first.seq, first.room) == (one.id, one.seq, "garden")


async def test_a_fork_of_a_fork_has_the_history_of_both(world: World):
    one = await world.post("one")
    await world.post("not in it")
    await world.run(fork_room, "branch", "garden", one.seq)
    two = await world.run(Room.post, FORK, "ada", "two")
    await world.run(Room.post, FORK, "ada", "nor this")
    await world.run(fork_room, "twig", "branch", two.seq)
    texts = await said(world, "room:twig")
    assert [text for text in texts if "goes on from" not in text] == ["one", "two"]


async def test_a_restarted_fork_knows_its_history(world: World):
    one = await world.post("one")
    await world.run(fork_room, "branch", "garden", one.seq)
    before = await said(world)
    await world.kill(FORK)
    assert await said(world) == before


async def test_the_same_fork_twice_is_one(world: World):
    one = await world.post("one")
    await world.run(fork_room, "branch", "garden", one.seq)
    await world.run(fork_room, "branch", "garden", one.seq)
    assert len(await world.events(FORK)) == 1


async def test_members_and_open_questions_stay_where_they_are(world: World):
    await world.member("scout")
    one = await world.post("one")
    await world.run(fork_room, "branch", "garden", one.seq)
    assert await world.run(Room.members, FORK) == []
    assert await world.run(Room.pending, FORK, "scout") == []


async def test_a_message_of_the_history_can_be_delivered_in_the_fork_and_answered_there(world: World):
    one = await world.post("one")
    late = await world.post("late")
    await world.run(fork_room, "branch", "garden", one.seq)
    member = await world.node.run(_join, world)
    assert await world.run(Room.redeliver, FORK, one.id, "scout") == 2
    assert [m.text for m in await Member.all(member)] == ["one"]
    await world.run(Room.say, FORK, "scout", "answer", one.id, attempt=2)
    assert await world.run(Room.pending, FORK, "scout") == []
    assert (await said(world))[-1] == "answer"
    with pytest.raises(RoomRefused, match="there is no message"):
        await world.run(Room.redeliver, FORK, late.id, "scout")


async def _join(world: World):
    return await Member.start("scout", room=FORK)


async def test_what_cannot_be_forked_is_refused_in_words(world: World):
    one = await world.post("one")
    await world.run(fork_room, "branch", "garden", one.seq)
    for name, of, until, why in (
        ("twig", "nowhere", 1, "there is no room 'nowhere'"),
        ("twig", "garden", 10**6, "there is no event 1000000"),
        ("twig", "garden", 0, "there is no event 0"),
        ("garden", "branch", 1, "begins otherwise"),
        ("branch", "garden", one.seq - 1, "begins otherwise"),
    ):
        with pytest.raises(RoomRefused, match=why):
            await world.run(fork_room, name, of, until)
    with pytest.raises(ValueError, match="no name for a room"):
        await world.run(fork_room, "No Name", "garden", one.seq)
