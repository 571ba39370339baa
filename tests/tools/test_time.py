from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.durable.questions import Questions
from planaria.cortex.durable.work import Handler, Work
from planaria.cortex.journal import Journal
from planaria.membrane.gate.gate import Gate, load_tools
from planaria.membrane.tool import Context, Done, Failed
from planaria.otp import child, exit_signal, supervisor, wait_down, whereis
from planaria.rooms.deferred import POST, SAY, post, say
from planaria.rooms.room import Room
from planaria.rooms.rooms import open_room, tree
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode
from planaria.tools import people, time


class Rig:
    def __init__(self, node: TestNode) -> None:
        self.node = node
        self.gate = Gate(load_tools(people, time))
        self.context = Context("agent:scout", Path(), session="s", room="garden", subject="person:ada")
        self.calls = 0

    async def call(self, name: str, call_id: str = "", **arguments: Any) -> Any:
        self.calls += 1
        context = replace(self.context, call_id=call_id or f"call-{self.calls}")
        return await self.node.run(partial(self.gate.call, name, arguments, context, ["*"]))

    async def said(self) -> list[tuple[str, str, str]]:
        messages = await self.node.run(partial(Room.transcript, "room:garden"))
        return [(message.author, message.author_kind, message.text) for message in messages]

    async def kill(self, name: str) -> None:
        async def kill() -> None:
            pid = whereis(name)
            assert pid is not None
            exit_signal(pid, "kill")
            await wait_down(pid)

        await self.node.run(kill)


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    store = MemoryStore()
    await node.start(child(Journal, lambda: store, name="journal"))
    await node.start(
        supervisor(
            child(Questions, name="questions"),
            child(Work, {SAY: Handler(say), POST: Handler(post)}, name="work"),
            max_restarts=99,
            within=1.0,
        )
    )
    await node.start(tree())
    await node.run(partial(open_room, "garden"))
    return Rig(node)


async def test_something_is_said_later_also_when_everything_was_killed_meanwhile(rig: Rig) -> None:
    done = await rig.call("time.later", minutes=10, text="the tea is ready")
    assert isinstance(done, Done)
    assert "Planned for 2026-01-01" in (done.text or "")
    await rig.kill("work")
    await rig.node.advance(599)
    assert await rig.said() == []
    await rig.node.advance(2)
    assert await rig.said() == [("scout", "agent", "the tea is ready")]


async def test_a_call_made_again_plans_it_once(rig: Rig) -> None:
    for _ in range(2):
        await rig.call("time.later", "same", minutes=1, text="once")
    await rig.node.advance(61)
    assert len(await rig.said()) == 1


async def test_something_is_said_at_a_time_in_any_zone(rig: Rig) -> None:
    await rig.call("time.at", when="2026-01-01T02:00:00+01:00", text="one o'clock")
    await rig.node.advance(3601)
    assert await rig.said() == [("scout", "agent", "one o'clock")]


async def test_a_time_that_has_passed_or_is_none_is_refused(rig: Rig) -> None:
    assert "has passed" in (await rig.call("time.at", when="2020-01-01", text="x")).error
    assert "is no time" in (await rig.call("time.at", when="tomorrow", text="x")).error
    assert "minutes is from 0" in (await rig.call("time.later", minutes=-1, text="x")).error
    assert "empty" in (await rig.call("time.later", minutes=1, text=" ")).error


async def test_an_agent_can_plan_a_message_that_it_is_to_answer(rig: Rig) -> None:
    await rig.node.run(partial(_join, rig))
    await rig.call("time.later", minutes=1, text="look again", wake=True)
    await rig.node.advance(61)
    (waiting,) = await rig.node.run(partial(Room.pending, "room:garden", "scout"))
    assert getattr(waiting, "message", waiting).author == "timer"


async def _join(rig: Rig) -> None:
    pid = whereis("rooms")
    assert pid is not None
    await Room.join("room:garden", "scout", pid)


async def test_what_is_planned_is_listed_and_cancelled(rig: Rig) -> None:
    assert (await rig.call("time.planned")).branch == "none"
    planned = await rig.call("time.later", minutes=10, text="tea\nand more")
    listed = await rig.call("time.planned")
    assert [each["what"] for each in listed.value] == ["say: tea"]
    assert (await rig.call("time.cancel", id=planned.value["id"])).branch == "ok"
    assert (await rig.call("time.cancel", id=planned.value["id"])).branch == "none"
    await rig.node.advance(601)
    assert await rig.said() == []


async def test_people_are_asked_and_their_answer_is_the_result(rig: Rig) -> None:
    outcome = await _asked(rig, partial(Questions.answer, "questions", "1", "2: no milk", by="ada"))
    assert outcome == Done(
        {"question": outcome.value["question"], "option": "black", "text": "no milk", "by": "ada"},
        branch="answered",
        text="ada answered: black: no milk",
    )


async def test_a_question_nobody_answers_takes_the_branch_expired(rig: Rig) -> None:
    outcome = await _asked(rig, None)
    assert (outcome.branch, outcome.text) == ("expired", "Nobody answered within 5 minutes.")


async def test_a_call_taken_up_after_a_kill_waits_for_the_same_answer(rig: Rig) -> None:
    outcome = await _asked(rig, partial(Questions.answer, "questions", "1", "1", by="ada"), kills=8)
    assert outcome.value["option"] == "green"


async def test_what_nobody_could_answer_is_not_asked(rig: Rig) -> None:
    assert isinstance(await rig.call("people.ask", question=""), Failed)
    assert isinstance(await rig.call("people.ask", question="x", options=["a", "a"]), Failed)
    assert isinstance(await rig.call("people.ask", question="x", minutes=0), Failed)


async def _asked(rig: Rig, answer: Callable[..., Any] | None, kills: int = 0) -> Any:
    heard: list[Any] = []

    async def ask() -> None:
        arguments = {"question": "Tea?", "options": ["green", "black"], "minutes": 5}
        context = replace(rig.context, call_id="ask")
        heard.append(await rig.gate.call("people.ask", arguments, context, ["*"]))

    for _ in range(kills):
        pid = rig.node.spawn(ask)
        await rig.node.settle()
        exit_signal_to = partial(_end, pid)
        await rig.node.run(exit_signal_to)
    pid = rig.node.spawn(ask)
    await rig.node.settle()
    if answer is None:
        await rig.node.advance(301)
    else:
        await rig.node.run(answer)
    await rig.node.run(partial(wait_down, pid))
    return heard[0]


async def _end(pid: Any) -> None:
    exit_signal(pid, "kill")
    await wait_down(pid)
