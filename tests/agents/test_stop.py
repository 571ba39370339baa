"""A stop ends the spending at once; what was said stays, and what was stopped is over."""

import asyncio
from typing import Any

import pytest

from planaria.agents.guard.halting import Halted, Target
from planaria.agents.past.source import StoredSource
from planaria.agents.stop import stop
from planaria.agents.turn.guard_events import TurnStopped
from planaria.cortex.durable.letters import DeadLettered
from planaria.cortex.durable.questions import Questions
from planaria.cortex.errors import StoreFailed
from planaria.membrane.provider import TextDelta
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import child, self_
from planaria.otp.sys import resume, suspend
from planaria.rooms.message import RoomMessage
from planaria.rooms.room import Room
from planaria.testing.models import Call, ScriptedProvider
from planaria.tools.people import ask
from tests.agents.support import SCOUT, SESSION, EndlessProvider, World, again, once
from tests.agents.test_divergence import assert_replayed_as_it_was, killer

SCOUT_HERE = Target("session", "scout@garden")


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


async def streaming(world: World, *pieces: str) -> EndlessProvider:
    """An agent in the middle of its answer."""
    world.models.provider = endless = EndlessProvider(*map(TextDelta, pieces))
    await world.start()
    await world.post()
    await world.node.settle()
    return endless


async def halt(world: World, target: Target = SCOUT_HERE, **how: str) -> tuple[Halted, ...]:
    return await world.run(stop, target, by="ada", **how)


async def the_answer(world: World, number: int = 1) -> RoomMessage:
    await world.until_answered(number)
    return (await world.said())[-1]


@pytest.mark.parametrize("mode", ["cancel", "kill"])
async def test_a_streaming_answer_ends_at_once_and_what_was_said_stays(world: World, mode: str):
    endless = await streaming(world, "The moss grows on the north", " side, since the su")
    (halted,) = await halt(world, mode=mode)
    assert (halted.session, len(halted.turns), halted.problem) == (SESSION, 1, "")
    assert endless.left == endless.begun == 1  # the stream was closed
    answer = await the_answer(world)
    assert answer.text == "The moss grows on the north side, since the\n\n(stopped by ada)"
    assert (answer.author_kind, answer.model) == ("agent", "endless/scripted")
    (event,) = await world.events(TurnStopped.kind)
    assert TurnStopped.of(event).partial == "The moss grows on the north side, since the "
    (end,) = await world.events("turn.finished")
    assert end.payload["outcome"] == "stopped"
    assert await world.events(DeadLettered.kind, session=None) == []


async def test_a_stopped_message_is_not_handled_again(world: World):
    endless = await streaming(world)
    await halt(world, why="too slow")
    assert (await the_answer(world)).text == "(stopped by ada: too slow)"
    assert (await the_answer(world)).author_kind == "notice"
    for victim in (SESSION, "room:garden", "journal"):
        await world.kill(victim)
        await world.node.advance(5.0)
    assert endless.begun == 1
    assert len(await world.answers()) == 1


async def test_what_waits_is_stopped_too_and_what_comes_later_is_not(world: World):
    endless = await streaming(world, "I ")
    await world.post("two")
    await world.post("three")
    await world.node.settle()
    (halted,) = await halt(world)
    assert len(halted.turns) == 3
    assert await world.until_answered(3) == [
        "I \n\n(stopped by ada)".replace(" \n", "\n"),
        *["(stopped by ada)"] * 2,
    ]
    assert endless.begun == 1
    world.models.provider = world.provider
    script(world, "Here.")
    await world.post("four")
    assert (await world.until_answered(4))[-1] == "Here."


async def test_an_idle_session_has_nothing_to_stop(world: World):
    await world.start()
    assert await halt(world) == (Halted(SESSION),)
    assert await world.events(TurnStopped.kind) == []


async def test_a_tool_that_runs_is_killed_and_its_end_is_not_waited_for(world: World):
    ended: list[str] = []

    @tool(name="work.hang")
    async def hang(context: Context) -> Done | Failed:
        """Take for ever."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")
        return Done()

    world.tools = (once, again, hang)
    script(world, Call("work.hang"))
    await world.start()
    await world.post()
    await world.node.settle()
    await halt(world)
    assert ended == ["cleaned up"]
    assert (await the_answer(world)).text == "(stopped by ada)"


@pytest.mark.parametrize(("mode", "until"), [("cancel", 1.0), ("kill", 0.0)])
async def test_work_that_traps_its_exit_has_a_second_and_no_more(world: World, mode: str, until: float):
    alive: list[float] = []

    @tool(name="work.stubborn")
    async def stubborn(context: Context) -> Done | Failed:
        """Do not want to end."""
        self_().trap_exit = True
        try:
            await asyncio.Event().wait()
        finally:
            alive.append(world.node.clock.now())
        return Done()

    world.tools = (once, again, stubborn)
    script(world, Call("work.stubborn"))
    await world.start()
    await world.post()
    await world.node.settle()
    begun = world.node.clock.now()
    await halt(world, mode=mode)
    await world.node.advance(3.0)
    assert [round(at - begun, 1) for at in alive] == [until]


async def test_a_room_an_agent_and_all_are_stopped_together(world: World):
    (world.garden / "agents" / "keeper.md").write_text(
        SCOUT.replace("class: agent", "class: agent\nrooms: [garden, den]")
    )
    world.models.provider = EndlessProvider()
    await world.start()
    await world.post("@all hello")
    await world.post("@keeper hello", room="room:den")
    await world.node.settle()

    def stopped(found: tuple[Halted, ...]) -> list[str]:
        return sorted(each.session for each in found if each.turns)

    assert stopped(await halt(world, Target("room", "den"))) == ["session:keeper@den"]
    assert stopped(await halt(world, Target("agent", "keeper"))) == ["session:keeper@garden"]
    assert stopped(await halt(world, Target("all"))) == [SESSION]


async def test_children_are_told(world: World):
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("[work.*]", "[agents.*]"))
    assert Target("session", "scout@garden").includes("session:scout@garden/1a2b")
    assert not Target("session", "scout@garden").includes("session:scout@garden2")
    assert Target("room", "garden").includes("session:scout@garden/1a2b")
    assert Target("agent", "scout").includes("session:scout@garden/1a2b")


# --- from the room ---------------------------------------------------------------------------------------------------


async def test_a_person_stops_with_a_word_in_the_room(world: World):
    endless = await streaming(world, "Well, ")
    await world.post("/stop that is enough")
    answer = await the_answer(world)
    assert answer.text == "Well,\n\n(stopped by ada: that is enough)"
    assert (endless.begun, endless.left) == (1, 1)
    said = await world.said()
    assert [message.text for message in said][:2] == ["hello", "/stop that is enough"]
    assert said[1].to == ()  # nobody is to answer it


async def test_a_stop_does_not_wait_for_the_disk(world: World):
    endless = await streaming(world)

    def full(when: str, number: int, kind: str) -> None:
        raise StoreFailed("the disk is full", "make room")

    world.store.trap = full
    posting = asyncio.ensure_future(world.post("/stop"))
    await world.node.settle()
    assert endless.left == 1
    world.store.trap = None
    await world.node.advance(5.0)
    posting.cancel()
    assert (await the_answer(world)).text == "(stopped by ada)"


async def test_only_who_is_named_is_stopped(world: World):
    (world.garden / "agents" / "keeper.md").write_text(SCOUT)
    world.models.provider = EndlessProvider()
    await world.start()
    await world.post("@all hello")
    await world.node.settle()
    await world.post("/stop @keeper")
    await world.node.advance(1.0)
    assert [(m.author, m.text) for m in (await world.said())[2:]] == [("keeper", "(stopped by ada)")]


async def test_what_was_said_right_before_the_stop_is_stopped_with_it(world: World):
    world.models.provider = endless = EndlessProvider()
    await world.start()
    await asyncio.gather(world.post("hello"), world.post("/stop"))
    assert (await the_answer(world)).text == "(stopped by ada)"
    assert endless.begun == endless.left


async def test_what_a_stopped_turn_has_asked_people_is_asked_no_longer(world: World):
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("[work.*]", "[people.ask]"))
    world.tools = (ask,)
    script(world, Call("people.ask", {"question": "Shall I?", "options": ["yes", "no"]}))
    await world.start()
    await world.node.start(child(Questions, name="questions"))
    await world.post()
    await world.node.advance(1.0)
    assert len(await world.run(Questions.pending, "questions")) == 1
    await halt(world)
    assert await world.run(Questions.pending, "questions") == ()
    (withdrawn,) = await world.events("question.withdrawn", session=None)
    assert (withdrawn.payload["by"], withdrawn.payload["why"]) == ("ada", "the turn was stopped")
    assert (await the_answer(world)).text == "(stopped by ada)"


# --- while it is being restarted -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["/stop", "/stop @scout", "planaria stop"])
@pytest.mark.parametrize("absent", [True, False], ids=["gone", "joining"])
async def test_a_stop_reaches_a_session_that_is_being_restarted(world: World, how: str, absent: bool):
    endless = await streaming(world, "half")
    await world.post("two")
    await world.node.settle()
    held = "agents" if absent else "library"
    await world.run(suspend, held)
    await world.kill(SESSION)
    word = how != "planaria stop"
    asked: Any = world.post(how) if word else halt(world)
    stopping = asyncio.ensure_future(asked)
    await world.node.settle()
    if word:
        await world.post("three")
    await world.run(resume, held)
    await world.node.advance(3.0)
    stopped: Any = await stopping
    assert word or [(len(each.turns), each.problem) for each in stopped] == [(2, "")]
    assert await world.answers() == ["(stopped by ada)"] * 2
    # What was said after the word is not stopped: it is being answered.
    assert endless.begun == (2 if word else 1)


async def test_a_word_in_the_room_holds_though_all_is_killed_before_it_takes_hold(world: World):
    endless = await streaming(world, "half")
    await world.post("two")
    await world.node.settle()
    await world.run(suspend, SESSION)  # it has no time to write anything
    await world.post("/stop enough")
    world.models.provider = world.provider
    script(world, "Here.")
    await world.post("three")
    await world.kill("journal")
    assert sorted(await world.until_answered(3)) == ["(stopped by ada: enough)"] * 2 + ["Here."]
    assert endless.begun == endless.left == 1
    # It has taken hold: what is asked for once more is answered.
    message = (await world.said())[0]
    script(world, "Once more.")
    await world.run(Room.redeliver, "room:garden", message.id, "scout")
    await world.kill("journal")
    assert "Once more." in await world.until_answered(4)


# --- any kill --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["before", "after"])
@pytest.mark.parametrize("number", range(6))
async def test_a_stop_that_was_answered_holds_whatever_is_killed(world: World, number: int, mode: str):
    endless = await streaming(world, "half")
    await world.post("two")
    await world.node.settle()
    world.store.count = 0
    world.store.trap = killer([(number, SESSION, mode)])
    # Killed over it, its next process is told again: whoever stops it need not ask twice.
    stopping = asyncio.ensure_future(halt(world))
    await world.until_answered(2)
    (halted,) = await stopping
    assert halted.problem == ""
    world.store.trap = None
    assert [text.rpartition("\n")[2] for text in await world.answers()] == ["(stopped by ada)"] * 2
    assert endless.begun == endless.left
    ends = [event.payload["outcome"] for event in await world.events("turn.finished")]
    assert ends == ["stopped", "stopped"]
    assert len(await world.events(TurnStopped.kind)) == 2
    await assert_replayed_as_it_was(StoredSource(await world.events(session=None)), [])
