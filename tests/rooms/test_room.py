"""A room: accepted means durable, once, in order, and told to those who are to answer."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.cortex.telemetry.handlers import attach
from planaria.cortex.telemetry.signal import Signal, SpanFailed, SpanStopped
from planaria.otp import ChildSpec, Node, Task, child, supervisor
from planaria.rooms.admission import LONGEST_TEXT
from planaria.rooms.message import Accepted, ReplyDelta, RoomMessage, TurnState
from planaria.rooms.room import Room, RoomRefused, RoomUnavailable
from planaria.rooms.rooms import open_room
from planaria.rooms.rooms import tree as rooms_tree
from planaria.rooms.transcript import REMEMBERED
from planaria.testing.node import TestNode
from tests.rooms.support import GARDEN, Member, World

# --- durable -------------------------------------------------------------------------------------------------------


async def test_a_message_is_acknowledged_after_it_is_durable(world: World):
    world.store.held = True
    posting = asyncio.ensure_future(world.post("hello"))
    await world.node.settle()
    assert not posting.done()
    world.store.release()
    accepted = await posting
    assert [(e.id, e.seq) for e in await world.events(GARDEN, "room.message")] == [
        (accepted.id, accepted.seq)
    ]


async def test_a_store_that_fails_acknowledges_nothing_and_the_room_lives_on(world: World):
    world.store.fail()
    with pytest.raises(RoomUnavailable, match="no room left"):
        await world.post("lost")
    room = world.node[GARDEN]
    world.store.fault = None
    await world.post("kept")
    assert await world.texts() == ["kept"]
    assert world.node[GARDEN] is room


async def test_a_slow_store_blocks_nobody_else(world: World):
    world.store.held = True
    posting = asyncio.ensure_future(world.post("hello"))
    await world.node.settle()
    assert await world.texts() == []
    assert await world.run(Room.members, GARDEN) == []
    world.store.release()
    await posting


async def test_a_store_that_hangs_is_told_of_in_time_and_what_it_wrote_after_all_is_told_later(world: World):
    member = await world.member("scout")
    world.store.held = True
    posting = asyncio.ensure_future(world.post("late"))
    await world.node.advance(25.0)
    with pytest.raises(RoomUnavailable):
        await posting
    world.store.release()
    await world.node.settle()
    await world.post("after")
    assert await world.texts() == ["late", "after"]
    assert [m.text for m in await Member.all(member)] == ["late", "after"]


async def test_a_write_that_was_done_without_an_answer_is_told_once(world: World):
    member = await world.member("scout")
    world.store.silent = True
    with pytest.raises(RoomUnavailable):
        await world.post("hello", client_id="1")
    again = await world.post("hello", client_id="1")
    assert await world.texts() == ["hello"]
    assert [m.id for m in await Member.all(member)] == [again.id]


async def test_what_was_on_its_way_when_the_room_was_killed_is_told_after_it(world: World):
    member = await world.member("scout")
    world.store.held = True
    posting = asyncio.ensure_future(world.post("in flight"))
    await world.node.settle()
    await world.kill(GARDEN)
    with pytest.raises(Exception, match="ended before it answered"):
        await posting
    await world.run(Room.join, GARDEN, "scout", member)
    world.store.release()
    await world.node.settle()
    await world.post("after")
    assert await world.texts() == ["in flight", "after"]
    assert [m.text for m in await Member.all(member)] == ["in flight", "after"]


# --- once ----------------------------------------------------------------------------------------------------------


async def test_the_same_client_id_twice_is_one_message_and_one_answer(world: World):
    first = await world.post("hello", client_id="1")
    assert await world.post("hello", client_id="1") == first
    assert await world.texts() == ["hello"]


async def test_the_same_client_id_of_another_author_is_another_message(world: World):
    assert await world.post("hello", "ada", "1") != await world.post("hello", "bob", "1")


async def test_the_same_client_id_at_the_same_moment_is_one_message_and_one_answer(world: World):
    member = await world.member("scout")
    answers = await asyncio.gather(*(world.post("hello", client_id="1") for _ in range(5)))
    assert len(set(map(str, answers))) == 1
    assert await world.texts() == ["hello"]
    assert len(await Member.all(member)) == 1


async def test_the_same_client_id_after_a_restart_of_the_room_is_one_message(world: World):
    first = await world.post("hello", client_id="1")
    await world.kill(GARDEN)
    assert await world.post("hello", client_id="1") == first
    assert await world.texts() == ["hello"]


async def test_the_same_client_id_that_memory_has_forgotten_is_one_message(world: World):
    first = await world.post("hello", client_id="1")
    await world.post("other")
    world.node.state(world.node[GARDEN])["transcript_"].messages.clear()  # type: ignore[attr-defined]
    member = await world.member("scout")
    assert await world.post("hello", client_id="1") == first
    assert [e.payload["text"] for e in await world.events(GARDEN, "room.message")] == ["hello", "other"]
    assert await Member.all(member) == []


async def test_an_agent_answers_a_message_once_however_often_it_says_it(world: World):
    asked = await world.post("hello")
    first = await world.run(Room.say, GARDEN, "scout", "yes", asked.id)
    await world.kill(GARDEN)
    assert await world.run(Room.say, GARDEN, "scout", "no", asked.id) == first
    assert await world.texts() == ["hello", "yes"]


async def test_what_ends_with_an_answer_is_written_in_one_commit_with_it(world: World):
    asked = await world.post("hello")
    before = len(world.store.batches)
    await world.run(Room.say, GARDEN, "scout", "hi", cause_id=asked.id, ending=(_end("one"), _end("two")))
    assert len(world.store.batches) == before + 1
    assert [event.id for event in await world.events("elsewhere")] == ["one", "two"]
    assert await world.texts() == ["hello", "hi"]


async def test_what_ends_with_an_answer_is_written_once_whichever_was_there_before(world: World):
    asked = await world.post("hello")
    await world.run(Journal.append, "journal", [_end("two")])
    await world.run(Room.say, GARDEN, "scout", "hi", cause_id=asked.id, ending=(_end("one"), _end("two")))
    assert await world.texts() == ["hello", "hi"]
    assert [event.id for event in await world.events("elsewhere")] == ["two", "one"]
    await world.run(Room.say, GARDEN, "scout", "hi", cause_id=asked.id, ending=(_end("one"), _end("three")))
    assert await world.texts() == ["hello", "hi"]
    assert [event.id for event in await world.events("elsewhere")] == ["two", "one", "three"]


def _end(id: str) -> NewEvent:
    return NewEvent("thing.ended", {}, session="elsewhere", id=id)


async def test_a_remark_with_a_key_is_said_once(world: World):
    for _ in range(2):
        await world.run(Room.say, GARDEN, "digest", "news", author_kind="workflow", key="run/1")
    assert await world.texts() == ["news"]


async def test_each_message_is_a_trace_of_its_own_though_written_together(world: World):
    world.store.held = True
    first = asyncio.ensure_future(world.post("first"))
    await world.node.settle()
    rest = [asyncio.ensure_future(world.post(str(n))) for n in range(5)]
    await world.node.settle()
    world.store.release()
    await asyncio.gather(first, *rest)
    events = await world.events(GARDEN, "room.message")
    assert len({event.trace_id for event in events}) == 6
    assert world.store.batches[-1] == 1  # five posts, one append


# --- order ---------------------------------------------------------------------------------------------------------


async def test_the_transcript_is_in_order_of_acceptance(world: World):
    async def talk() -> list[Accepted]:
        tasks = [Task.start_link(Room.post, GARDEN, "ada", str(n)) for n in range(300)]
        return [await task.result() for task in tasks]

    answers = sorted(await world.node.run(talk), key=lambda a: a.seq)
    said = await world.run(Room.transcript, GARDEN, limit=1000)
    assert [m.id for m in said] == [a.id for a in answers]
    assert [m.seq for m in said] == sorted(m.seq for m in said)


async def test_what_one_sends_without_waiting_keeps_its_order(world: World):
    world.store.held = True
    posts = []
    for n in range(20):
        posts.append(asyncio.ensure_future(world.post(str(n))))
        await world.node.settle()
    world.store.release()
    await asyncio.gather(*posts)
    assert await world.texts() == [str(n) for n in range(20)]


async def test_memory_keeps_the_latest_messages(world: World):
    for n in range(REMEMBERED // 100 + 2):
        await asyncio.gather(*(world.post(f"{n}-{m}", client_id=f"{n}-{m}") for m in range(100)))
    state = world.node.state(world.node[GARDEN])["transcript_"]
    assert len(state.messages) == REMEMBERED  # type: ignore[attr-defined]


async def test_a_restarted_room_knows_what_was_said_and_who_is_there(world: World):
    await world.member("scout")
    await world.post("hello")
    before = await world.run(Room.transcript, GARDEN)
    await world.kill(GARDEN)
    assert await world.run(Room.transcript, GARDEN) == before
    assert await world.run(Room.members, GARDEN) == ["scout"]
    assert [m.text for m in await world.run(Room.pending, GARDEN, "scout")] == ["hello"]


# --- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("author", "text", "client_id"),
    [
        ("ada", " \n", ""),
        ("ada", "x" * (LONGEST_TEXT + 1), ""),
        ("ada", "half a \ud800 character", ""),
        ("ada\ud800", "hello", "1"),
        ("", "hello", ""),
        ("ada", "hello", "x" * 1000),
    ],
)
async def test_a_message_that_cannot_be_one_is_refused_and_the_room_lives_on(
    world: World, author: str, text: str, client_id: str
):
    room = world.node[GARDEN]
    with pytest.raises(RoomRefused):
        await world.post(text, author, client_id)
    await world.post("hello")
    assert world.node[GARDEN] is room


async def test_an_answer_that_cannot_be_written_hurts_nobody_else_s(world: World):
    world.store.held = True
    first = asyncio.ensure_future(world.post("first"))
    await world.node.settle()
    bad = asyncio.ensure_future(world.run(Room.say, GARDEN, "scout", "half \ud800", "cause"))
    await world.node.settle()
    good = asyncio.ensure_future(world.post("good"))
    await world.node.settle()
    world.store.release()
    await asyncio.gather(first, good)
    with pytest.raises(RoomRefused, match="UTF-8"):
        await bad
    assert await world.texts() == ["first", "good"]


# --- members -------------------------------------------------------------------------------------------------------


async def test_a_message_goes_to_the_members_it_names(world: World):
    scout, keeper = await world.member("scout", host=True), await world.member("keeper")
    await world.post("@keeper one")
    await world.post("two")
    await world.post("@all three")
    assert [m.text for m in await Member.all(scout)] == ["two", "@all three"]
    assert [m.text for m in await Member.all(keeper)] == ["@keeper one", "@all three"]


async def test_the_first_member_is_host_where_nobody_asked_to_be(world: World):
    await world.member("scout")
    keeper = await world.member("keeper")
    await world.post("one")
    assert await Member.all(keeper) == []
    await world.run(Room.join, GARDEN, "keeper", keeper, True)
    await world.post("two")
    assert [m.text for m in await Member.all(keeper)] == ["two"]


async def test_strangers_who_are_named_are_named_in_a_notice(world: World):
    scout = await world.member("scout")
    await world.post("@ghost hello", client_id="1")
    await world.post("@ghost hello", client_id="1")
    await world.post("@scout and @ghost")
    said = await world.run(Room.transcript, GARDEN)
    assert [(m.author_kind, m.text) for m in said] == [
        ("person", "@ghost hello"),
        ("notice", "@ghost is not in this room; here: @scout"),
        ("person", "@scout and @ghost"),
        ("notice", "@ghost is not in this room; here: @scout"),
    ]
    assert [m.text for m in await Member.all(scout)] == ["@scout and @ghost"]


async def test_an_answer_belongs_to_the_trace_of_what_it_answers(world: World):
    asked = await world.post("hello")
    said = await world.run(Room.say, GARDEN, "scout", "yes", asked.id)
    messages = {message.id: message for message in await world.run(Room.transcript, GARDEN)}
    assert messages[said.id].trace_id == messages[asked.id].trace_id


async def test_what_an_agent_says_is_delivered_to_nobody(world: World):
    scout = await world.member("scout")
    await world.run(Room.say, GARDEN, "keeper", "@scout hello", author_kind="agent")
    assert await Member.all(scout) == []


async def test_a_member_that_comes_back_gets_what_it_has_not_answered(world: World):
    await world.member("scout")
    first, second = await world.post("one"), await world.post("two")
    await world.run(Room.say, GARDEN, "scout", "answer", first.id)
    await world.run(Room.say, GARDEN, "scout", "a remark", second.id, final=False)
    again = await world.member("scout")
    assert [m.text for m in await Member.all(again)] == ["two"]


async def test_a_member_that_leaves_has_its_open_messages_told_and_gets_no_more(world: World):
    await world.member("scout")
    await world.post("one")
    world.store.held = True
    await world.run(Room.leave, GARDEN, "scout")
    posting = asyncio.ensure_future(world.post("two"))
    await world.node.settle()
    world.store.release()
    await posting
    assert await world.run(Room.pending, GARDEN, "scout") == []
    assert "scout has left; a message to it stays unanswered (`planaria dead list`)" in await world.texts()
    assert await world.run(Room.members, GARDEN) == []


@pytest.mark.parametrize("what", ["join", "leave"])
async def test_a_membership_that_could_not_be_written_is_written_later(world: World, what: str):
    if what == "leave":
        await world.member("scout")
        await world.node.settle()
    world.store.fail()
    if what == "leave":
        await world.run(Room.leave, GARDEN, "scout")
    else:
        await world.member("scout")
    await world.node.advance(5.0)
    world.store.fault = None
    await world.node.advance(1.5)
    await world.kill(GARDEN)
    assert await world.run(Room.members, GARDEN) == (["scout"] if what == "join" else [])


async def test_members_whose_process_is_gone_are_absent(world: World):
    scout = await world.member("scout")
    assert await world.run(Room.absent, GARDEN) == []
    world.node.send(scout, "a message it does not know, of which it dies")
    await world.node.settle()
    assert await world.run(Room.absent, GARDEN) == ["scout"]


async def test_a_member_that_has_been_gone_for_a_while_is_told_of_to_those_who_address_it(world: World):
    scout = await world.member("scout")
    world.node.send(scout, "a message it does not know, of which it dies")
    await world.node.advance(1.0)
    await world.post("it may be back in a moment")
    await world.node.advance(10.0)
    await world.post("are you there?")
    assert await world.texts() == [
        "it may be back in a moment",
        "are you there?",
        "@scout is not running now, but will answer when back",
    ]
    again = await world.member("scout")
    assert len(await Member.all(again)) == 2
    await world.post("fine")
    assert (await world.texts())[-1] == "fine"


async def test_listeners_hear_messages_pieces_and_states(world: World):
    async with world.node.open_port() as port:
        world.node.subscribe(GARDEN, port.pid)
        accepted = await world.post("hello")
        Room.delta(world.node[GARDEN], "scout", accepted.id, "y")
        Room.state(world.node[GARDEN], "scout", "thinking", accepted.id)
        heard = [await port.receive(1.0) for _ in range(3)]
    assert isinstance(heard[0], RoomMessage)
    assert heard[1:] == [
        ReplyDelta("garden", "scout", accepted.id, "y"),
        TurnState("garden", "scout", "thinking", accepted.id),
    ]


async def test_over_a_real_database_a_repeat_older_than_memory_is_one_message(node: TestNode, tmp_path: Path):
    def root() -> ChildSpec:
        store = partial(SqliteStore, tmp_path / "journal.db")
        return supervisor(child(Journal, store, name="journal"), rooms_tree(), name="root")

    await node.start(root())
    await node.run(open_room, "garden")
    first = await node.run(partial(Room.post, GARDEN, "ada", "hello", "1"))
    for n in range(REMEMBERED // 200 + 2):
        await asyncio.gather(*(node.run(partial(Room.post, GARDEN, "ada", f"{n}-{m}")) for m in range(200)))
    await node.stop()
    async with Node("again") as again:
        await again.start(root())
        room = again[GARDEN]
        state: Any = again.state(room)["transcript_"]
        assert first.id not in state.messages
        assert await Room.post(room, "ada", "hello", "1") == first
        said = await Room.transcript(room, limit=REMEMBERED)
    assert len(said) == REMEMBERED and "hello" not in [message.text for message in said]


# --- whose, and how long ---------------------------------------------------------------------------------------------


async def test_what_a_person_says_and_what_answers_it_is_that_person_s_and_a_notice_nobody_s(world: World):
    await world.member("scout")
    asked = await world.post("@scout and @ghost", "ada")
    await world.run(Room.say, GARDEN, "scout", "yes", asked.id)
    await world.run(Room.say, GARDEN, "digest", "news", author_kind="workflow")
    subjects = ["person:ada", "", "person:ada", ""]
    assert [e.subject for e in await world.events(GARDEN, "room.message")] == subjects
    assert [m.subject for m in await world.run(Room.transcript, GARDEN)] == subjects


async def test_a_post_and_an_answer_are_spans_until_they_are_durable(world: World):
    signals: list[Signal] = []
    attach(signals.append, node=world.node)
    asked = await world.post("hello")
    await world.run(Room.say, GARDEN, "scout", "yes", asked.id)
    post, say = [s for s in signals if isinstance(s, SpanStopped) and s.name.startswith("room.")]
    assert (post.name, post.key, post.trace_id) == ("room.post", f"message:{asked.id}", asked.id)
    assert say.name == "room.say"
    world.store.fail()
    with pytest.raises(RoomUnavailable):
        await world.post("lost")
    failed = [s for s in signals if isinstance(s, SpanFailed) and s.name == "room.post"]
    assert [(s.error_type, set(s.attributes)) for s in failed] == [("RoomUnavailable", {"planaria.room"})]
