"""Whatever is killed, whenever: one answer, nothing paid twice, nothing done twice."""

import pytest

from planaria.cortex.errors import StoreFailed
from planaria.membrane.provider import ModelRequest, TextDelta
from planaria.otp import Pid, exit_signal, whereis
from planaria.rooms.message import ReplyDelta, RoomMessage
from planaria.testing.models import Call, Calls, Say, ScriptedProvider
from tests.agents.support import SESSION, EndlessProvider, World

COMMITS = 7
"""Of a turn of two model calls and two tools at once: its message; its beginning with the first request; the answer
with the beginning of both calls; the end of one; the end of the other with the second request; the answer; what is
said with the end of the turn."""

VICTIMS = (
    SESSION,
    "tasks:scout@garden",
    "room:garden",
    "journal",
    "models",
    "agents",
    "agent_trees",
    "library",
)


@pytest.fixture
async def turn(world: World) -> World:
    """An agent whose model calls two tools and then answers with their results.

    The test fails if a model call is made, or a tool run, whose outcome is in the journal.
    """
    store, provider, faults = world.store, world.provider, world.faults
    assert isinstance(provider, ScriptedProvider)

    def line(request: ModelRequest) -> Calls | Say:
        results = [m.content for m in request.messages if m.role == "tool"]
        step = 1 if results else 0
        if store.has("model.responded", step=step):
            faults.append(f"step {step} was answered, and is asked again")
        if not results:
            return Calls((Call("work.once", {"what": "this"}), Call("work.again", {"what": "that"})))
        return Say(" | ".join(results))

    def not_finished(call_id: str) -> None:
        if store.has("tool.finished", call_id=call_id):
            faults.append(f"{call_id} is run again, though it finished")

    provider.add(*[line] * 9)
    world.book.check = not_finished
    await world.start()
    return world


def arm(world: World, victim: str, mode: str, at: int) -> list[str]:
    """Set the trap: kill `victim` at commit number `at`. Answers the kinds of events passed, to be read later."""
    store = world.store
    passed: list[str] = []

    def trap(when: str, number: int, kind: str) -> None:
        if when == "before":
            passed.append(kind)
        if number == at and when == ("after" if mode == "after" else "before"):
            pid = whereis(victim)
            assert pid is not None
            passed.append("KILLED")
            exit_signal(pid, "kill")
            if mode == "lost":
                raise StoreFailed("not written", "wait")

    store.trap = trap
    return passed


async def judge(world: World) -> None:
    """One answer, made of the results of both tools; each model call answered once; each tool finished once."""
    assert world.faults == []
    (answer,) = await world.answers()
    first, second = answer.split(" | ")
    assert first == "did this once" or "nobody knows whether it took effect" in first
    assert second == "did that again"
    assert world.book.count("once") <= 1
    assert first != "did this once" or world.book.count("once") == 1
    responded = await world.events("model.responded")
    assert [event.payload["step"] for event in responded] == [0, 1]
    finished = await world.events("tool.finished")
    assert len({event.payload["call_id"] for event in finished}) == len(finished) == 2
    assert len(await world.events("turn.started")) == 1
    assert len(await world.events("turn.finished")) == 1


async def test_undisturbed_a_turn_makes_each_call_once(turn: World):
    passed = arm(turn, SESSION, "after", 1000)
    await turn.post()
    await turn.until_answered()
    await judge(turn)
    assert turn.book.count("once") == 1
    assert turn.book.count("again") == 1
    assert passed[0] == "room.message"
    assert passed[-1] == "room.message"
    assert len(passed) == COMMITS


@pytest.mark.parametrize("at", range(1, COMMITS))
@pytest.mark.parametrize("mode", ["before", "after", "lost"])
@pytest.mark.parametrize("victim", VICTIMS)
async def test_a_kill_at_any_point_of_a_turn_repeats_and_loses_nothing(
    turn: World, victim: str, mode: str, at: int
):
    passed = arm(turn, victim, mode, at)
    await turn.post()
    await turn.until_answered()
    await judge(turn)
    assert "KILLED" in passed


async def running(world: World, what: str) -> Pid:
    """The task of this label, once it is there."""
    await world.node.settle()
    (pid,) = [pid for pid in world.node.processes() if world.node.info(pid).label == what]
    return pid


async def test_a_tool_that_may_not_be_repeated_is_not_when_it_is_cut_off_and_the_model_is_told(turn: World):
    turn.book.held = {"once"}
    await turn.post()
    await turn.node.settle()
    turn.book.held = set()
    await turn.kill(SESSION)
    await turn.until_answered()
    await judge(turn)
    (answer,) = await turn.answers()
    assert "nobody knows whether it took effect" in answer
    assert turn.book.count("once") == 1


async def test_a_tool_that_may_be_repeated_is_when_it_is_cut_off(turn: World):
    turn.book.held = {"again"}
    await turn.post()
    await turn.node.settle()
    turn.book.held = set()
    await turn.kill(SESSION)
    assert await turn.until_answered() == ["did this once | did that again"]
    await judge(turn)
    assert turn.book.count("again") == 2


async def test_a_killed_tool_call_is_not_repeated_while_the_other_goes_on(turn: World):
    turn.book.held = {"once", "again"}
    await turn.post()
    task = await running(turn, "scout work.once")
    await turn.node.run(kill, task)
    turn.book.release()
    await turn.until_answered()
    await judge(turn)
    assert turn.book.runs.count(turn.book.runs[0]) == 1
    assert turn.book.count("once") == 1


async def test_killed_again_and_again_a_turn_still_comes_to_its_answer(turn: World):
    await turn.post()
    for victim in (SESSION, "tasks:scout@garden", "room:garden", SESSION, "agent_trees"):
        await turn.node.advance(0.3)
        await turn.kill(victim)
    await turn.until_answered()
    await judge(turn)


async def test_a_journal_that_is_away_for_a_minute_delays_a_turn_and_costs_nothing(turn: World):
    turn.book.held = {"once"}
    await turn.post()
    await turn.node.settle()
    turn.store.fault = StoreFailed("the disk is away", "wait")
    turn.book.release()
    await turn.node.advance(60.0)
    assert (await turn.view()).status != "idle"
    turn.store.fault = None
    await turn.until_answered()
    await judge(turn)


async def kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_what_is_streamed_anew_after_a_kill_begins_a_new_paragraph(world: World):
    begun = EndlessProvider(TextDelta("half an "))
    world.models.provider = begun
    await world.start()
    async with world.node.open_port() as port:
        world.node.subscribe("room:garden", port.pid)
        await world.post()
        await world.node.settle()
        world.models.provider = ScriptedProvider(["A whole answer."])
        await world.kill(SESSION)
        assert await world.until_answered() == ["A whole answer."]
        heard = ""
        while not isinstance(piece := await port.receive(1.0), RoomMessage) or piece.author != "scout":
            heard += getattr(piece, "text", "") if isinstance(piece, ReplyDelta) else ""
    assert heard == "half an \n\nA whole answer."
