"""Questions asked in a room, and answered there."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from planaria.cortex.durable.job import Job, Retry
from planaria.cortex.durable.letters import letter
from planaria.cortex.durable.question import Question
from planaria.cortex.durable.questions import Questions
from planaria.cortex.durable.work import GiveUp
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.otp import GenServer, child, exit_signal, self_, supervisor, wait_down, whereis
from planaria.rooms.asking import Asking
from planaria.rooms.deferred import post, redeliver, say
from planaria.rooms.room import Room
from planaria.rooms.rooms import open_room, tree
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode


class Rig:
    def __init__(self, node: TestNode) -> None:
        self.node = node

    async def start(self) -> None:
        store = MemoryStore()
        await self.node.start(child(Journal, lambda: store, name="journal"))
        await self.node.start(child(Questions, name="questions"))
        await self.node.start(tree())
        await self.run(partial(open_room, "garden"))
        await self.run(partial(open_room, "shed"))
        await self.node.start(supervisor(child(Asking, name="asking"), max_restarts=99, within=1.0))

    async def run[T](self, what: Callable[[], Awaitable[T]]) -> T:
        return await self.node.run(what)

    async def ask(self, key: str = "k", **settings: Any) -> str:
        asking = {"options": ("yes", "no"), "room": "garden", **settings}
        question = await self.run(partial(Questions.ask, "Deploy?", key=key, by="agent:scout", **asking))
        await self.node.settle()
        return question

    async def post(self, text: str, room: str = "garden", author: str = "ada") -> None:
        await self.run(partial(Room.post, f"room:{room}", author, text))
        await self.node.settle()

    async def said(self, room: str = "garden") -> list[tuple[str, str]]:
        messages = await self.run(partial(Room.transcript, f"room:{room}"))
        return [(message.author, message.text) for message in messages]

    async def kill(self) -> None:
        async def kill() -> None:
            pid = whereis("asking")
            assert pid is not None
            exit_signal(pid, "kill")
            await wait_down(pid)

        await self.run(kill)


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    rig = Rig(node)
    await rig.start()
    return rig


ASKED = ("scout", "**#1** Deploy?\n\n1 yes, 2 no · answer with `#1 yes`")


async def test_a_question_is_put_into_its_room_and_answered_there(rig: Rig) -> None:
    question = await rig.ask()
    assert await rig.said() == [ASKED]
    await rig.post("#1 2: not on a Friday")
    closed = await rig.run(partial(Questions.wait, "questions", question))
    assert closed is not None
    assert (closed.option, closed.text, closed.by, closed.via) == ("no", "not on a Friday", "ada", "room")
    assert (await rig.said())[-1] == ("garden", "#1 answered by ada: no: not on a Friday")


async def test_an_answer_that_is_no_option_is_told_what_can_be_said(rig: Rig) -> None:
    await rig.ask()
    await rig.post("#1 perhaps")
    assert (await rig.said())[-1] == ("garden", "#1 takes: 1 yes, 2 no")
    assert len(await rig.run(partial(Questions.pending, "questions"))) == 1


async def test_one_answered_elsewhere_is_told_in_the_room(rig: Rig) -> None:
    await rig.ask()
    await rig.run(partial(Questions.answer, "questions", "1", "yes", by="bob", via="dashboard"))
    await rig.node.settle()
    assert (await rig.said())[-1] == ("garden", "#1 answered by bob in the dashboard: yes")


async def test_a_question_of_another_room_is_not_answered_here(rig: Rig) -> None:
    await rig.ask()
    await rig.ask("other", room="shed")
    await rig.post("#1 yes", room="shed")
    assert len(await rig.run(partial(Questions.pending, "questions"))) == 2


async def test_an_answer_written_while_nobody_listened_is_found(rig: Rig) -> None:
    question = await rig.ask()

    async def kill_then_answer() -> None:
        pid = whereis("asking")
        assert pid is not None
        exit_signal(pid, "kill")
        await wait_down(pid)
        await Room.post("room:garden", "ada", "#1 yes")

    await rig.run(kill_then_answer)
    await rig.node.advance(2.0)
    closed = await rig.run(partial(Questions.wait, "questions", question))
    assert closed is not None
    assert closed.option == "yes"


async def test_an_end_nobody_has_told_is_told_once(rig: Rig) -> None:
    await rig.ask()

    async def kill_then_answer() -> None:
        pid = whereis("asking")
        assert pid is not None
        exit_signal(pid, "kill")
        await wait_down(pid)
        await Questions.answer("questions", "1", "yes", by="bob", via="terminal")

    await rig.run(kill_then_answer)
    for _ in range(2):
        await rig.node.advance(2.0)
        await rig.kill()
    await rig.node.advance(2.0)
    assert await rig.said() == [ASKED, ("garden", "#1 answered by bob in the terminal: yes")]


async def test_a_question_is_put_once_however_often_this_is_killed(rig: Rig) -> None:
    await rig.ask()
    for _ in range(3):
        await rig.kill()
        await rig.node.settle()
    assert await rig.said() == [ASKED]


async def test_an_answer_is_for_the_question_and_no_agent(rig: Rig) -> None:
    class Member(GenServer):
        async def init(self) -> None:
            await Room.join("room:garden", "scout", self_())

    await rig.node.start(child(Member, name="member"))
    await rig.ask()
    await rig.post("#1 yes")
    assert await rig.run(partial(Room.pending, "room:garden", "scout")) == []


# --- what is said later, and delivered again -------------------------------------------------------------------------


def job(payload: dict[str, Any], id: str = "job-1") -> Job:
    return Job(id, "room.say", payload, 0.0, 0.0, Retry(), trace_id="t", subject="person:ada")


async def test_what_is_said_later_is_one_message_however_often_it_is_tried(rig: Rig) -> None:
    for _ in range(2):
        await rig.run(partial(say, job({"room": "garden", "author": "scout", "text": "tea"})))
    assert await rig.said() == [("scout", "tea")]
    (event,) = [
        event
        for event in await rig.run(partial(Journal.read, "journal", Query(session="room:garden")))
        if event.kind == "room.message"
    ]
    assert event.subject == "person:ada"


async def test_a_message_posted_later_is_for_who_it_is_for(rig: Rig) -> None:
    payload = {
        "room": "garden",
        "author": "timer",
        "text": "look",
        "author_kind": "workflow",
        "to": ["scout"],
    }
    with pytest.raises(GiveUp, match="scout sits in the room 'garden' no more"):
        await rig.run(partial(post, job(payload)))
    await rig.run(partial(Room.join, "room:garden", "scout", rig.node["room:garden"]))
    for _ in range(2):
        await rig.run(partial(post, job(payload)))
    assert await rig.said() == [("timer", "look")]


async def test_a_room_that_is_not_there_is_given_up_at_once(rig: Rig) -> None:
    with pytest.raises(GiveUp, match="no room 'barn'"):
        await rig.run(partial(say, job({"room": "barn", "author": "scout", "text": "tea"})))


async def test_a_dead_message_is_delivered_again_once_for_each_letter(rig: Rig) -> None:
    class Member(GenServer):
        async def init(self) -> None:
            await Room.join("room:garden", "scout", self_())

    await rig.node.start(child(Member, name="member"))
    await rig.post("@scout hello")
    (waiting,) = await rig.run(partial(Room.pending, "room:garden", "scout"))
    message = getattr(waiting, "message", waiting).id
    await rig.run(partial(Room.say, "room:garden", "scout", "I could not", cause_id=message))
    evidence = {"room": "garden", "message": message, "agent": "scout"}
    dead = letter("room.message", "no model", target="x", evidence=evidence)
    assert await rig.run(partial(redeliver, dead, job({}))) == {"attempt": 2}
    await rig.run(partial(Room.say, "room:garden", "scout", "Hello", cause_id=message, attempt=2))
    assert await rig.run(partial(redeliver, dead, job({}))) == {"attempt": 2}
    assert await rig.run(partial(Room.pending, "room:garden", "scout")) == []


def test_questions_are_shown_with_all_a_person_needs() -> None:
    from planaria.rooms.asking import question_words

    free = Question("Q", 3, "Which tea?", "agent:scout", (), "garden", 0.0, None)
    assert question_words(free) == "**#3** Which tea?\n\nanswer with `#3 ...`"
