"""What a member that leaves had not answered becomes dead letters, one each, whatever is killed meanwhile."""

from planaria.cortex.durable.letters import SESSION
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.rooms.events import MemberLeft
from planaria.rooms.room import Room
from tests.rooms.support import GARDEN, World


async def letters(world: World) -> list[Event]:
    return await world.events(SESSION)


async def test_each_message_that_waited_becomes_a_letter_with_all_it_takes_to_replay_it(world: World):
    await world.member("scout")
    await world.post("answered")
    one = await world.post("one")
    two = await world.post("two", author="bob")
    first = (await world.run(Room.pending, GARDEN, "scout"))[0]
    await world.run(Room.say, GARDEN, "scout", "yes", cause_id=first.id)
    await world.run(Room.leave, GARDEN, "scout")
    await world.node.settle()
    found = await letters(world)
    about = [(each.payload["evidence"], each.payload["attempt"], each.subject) for each in found]
    assert about == [
        ({"room": "garden", "message": one.id, "agent": "scout", "author": "ada"}, 1, "person:ada"),
        ({"room": "garden", "message": two.id, "agent": "scout", "author": "bob"}, 1, "person:bob"),
    ]
    assert {each.payload["reason"] for each in found} == {"scout left the room before it had answered"}


async def test_a_message_accepted_while_the_member_leaves_is_given_up_too(world: World):
    await world.member("scout")
    await world.node.settle()
    world.store.held = True
    posting = world.node.spawn(world.post, "one")
    await world.node.settle()
    await world.run(Room.leave, GARDEN, "scout")
    world.store.release()
    await world.node.wait_exit(posting)
    await world.node.settle()
    (letter,) = await letters(world)
    (message,) = [event for event in await world.events(GARDEN, "room.message") if event.payload["to"]]
    assert letter.payload["evidence"]["message"] == message.id


async def test_letters_that_were_not_written_before_a_kill_are_written_after_it_once(world: World):
    await world.member("scout")
    message = await world.post("one")
    await world.run(Journal.append, "journal", [MemberLeft("scout").new(session=GARDEN)])
    for _ in range(3):
        await world.kill(GARDEN)
    (letter,) = await letters(world)
    assert letter.payload["evidence"]["message"] == message.id


async def test_one_that_was_delivered_again_and_answered_since_has_no_second_letter(world: World):
    await world.member("scout")
    message = await world.post("one")
    await world.run(Room.leave, GARDEN, "scout")
    await world.node.settle()
    await world.member("scout")
    assert await world.run(Room.redeliver, GARDEN, message.id, "scout") == 2
    await world.run(Room.say, GARDEN, "scout", "yes", cause_id=message.id, attempt=2)
    await world.run(Room.leave, GARDEN, "scout")
    await world.kill(GARDEN)
    assert len(await letters(world)) == 1


async def test_one_that_is_left_again_has_a_letter_for_each_attempt(world: World):
    await world.member("scout")
    message = await world.post("one")
    await world.run(Room.leave, GARDEN, "scout")
    await world.member("scout")
    await world.run(Room.redeliver, GARDEN, message.id, "scout")
    await world.run(Room.leave, GARDEN, "scout")
    await world.node.settle()
    assert [each.payload["attempt"] for each in await letters(world)] == [1, 2]
