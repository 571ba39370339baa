"""Messages that arrive while an agent is at work: queued, taken in, collected, or interrupting."""

import pytest

from planaria.membrane.provider import TextDelta
from planaria.rooms.message import Arrivals
from planaria.rooms.room import Room
from planaria.testing.models import Call, Line, Say, ScriptedProvider
from tests.agents.support import GARDEN, SCOUT, SESSION, EndlessProvider, World


def policy(world: World, arrivals: str) -> None:
    text = SCOUT.replace("class: agent", f"class: agent\narrivals: {arrivals}")
    (world.garden / "agents" / "scout.md").write_text(text)


def script(world: World, *lines: Line) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)
    return world.provider


async def pending(world: World) -> list[str]:
    return [message.text for message in await world.run(Room.pending, GARDEN, "scout")]


async def at_work(world: World) -> None:
    """Start, post `one`, and hold its tool."""
    world.book.held = {"once"}
    await world.start()
    await world.post("one")
    await world.node.settle()
    assert world.book.count("once") == 1


async def test_a_steering_message_is_seen_before_the_next_step_and_answered_by_the_same_reply(world: World):
    policy(world, "steer")
    provider = script(world, Call("work.once", {}), "both", "third")
    await at_work(world)
    two = await world.post("two")
    world.book.release()
    assert await world.until_answered() == ["both"]
    assert await pending(world) == []
    last = provider.requests[1].messages
    assert (last[-2].role, last[-1].role) == ("tool", "user")
    assert last[-1].content.endswith("two")
    (steered,) = await world.events("turn.steered")
    assert (steered.payload["message"], steered.payload["step"]) == (two.id, 1)
    answer = (await world.said())[-1]
    assert answer.answers == {two.id: 1}
    await world.post("three")
    assert (await world.until_answered(2))[-1] == "third"


async def test_a_message_may_say_its_own_policy(world: World):
    provider = script(world, Call("work.once", {}), "both")
    await at_work(world)
    await world.post("/steer two")
    world.book.release()
    assert await world.until_answered() == ["both"]
    assert len(provider.requests) == 2


async def test_a_message_that_comes_too_late_to_steer_has_a_turn_of_its_own(world: World):
    policy(world, "steer")
    world.models.provider = endless = EndlessProvider(TextDelta("well"))
    await world.start()
    await world.post("one")
    await world.node.settle()
    await world.post("two")
    await world.node.settle()
    assert endless.begun == 1
    assert await pending(world) == ["one", "two"]
    assert await world.events("turn.steered") == []


async def test_what_waited_is_one_turn_with_one_reply(world: World):
    policy(world, "collect")
    provider = script(world, Call("work.once", {}), "first", "the rest")
    await at_work(world)
    ids = [(await world.post(text)).id for text in ("two", "three", "four")]
    world.book.release()
    assert await world.until_answered(2) == ["first", "the rest"]
    assert await pending(world) == []
    assert [m.content for m in provider.requests[2].messages[-3:]] == ["two", "three", "four"]
    assert (await world.said())[-1].answers == {ids[1]: 1, ids[2]: 1}
    assert len(await world.events("turn.started")) == 2


async def test_an_interrupt_stops_the_turn_keeps_what_it_said_and_comes_next(world: World):
    policy(world, "interrupt")
    world.models.provider = endless = EndlessProvider(TextDelta("I was just saying"))
    await world.start()
    await world.post("one")
    await world.node.settle()
    world.models.provider = provider = ScriptedProvider(["Yes?"])
    await world.post("stop, two")
    assert await world.until_answered(2) == [
        "I was just\n\n(stopped by ada: there is something new)",
        "Yes?",
    ]
    assert endless.left == 1
    assert [m.content for m in provider.requests[0].messages[1:]] == [
        "one",
        "I was just\n\n(stopped by ada: there is something new)",
        "stop, two",
    ]
    assert await pending(world) == []


@pytest.mark.parametrize("victim", [SESSION, GARDEN, "journal"])
@pytest.mark.parametrize("arrivals", ["steer", "collect", "interrupt"])
async def test_whatever_is_killed_each_message_is_answered_once(
    world: World, arrivals: Arrivals, victim: str
):
    policy(world, arrivals)
    script(world, Call("work.once", {}), *[Say(f"answer {n}") for n in range(4)])
    await at_work(world)
    for text in ("two", "three"):
        await world.post(text)
    await world.node.settle()
    world.book.release()
    await world.kill(victim)
    await world.until_answered()
    await world.node.advance(30.0)
    assert await pending(world) == []
    answered: list[str] = []
    for message in await world.said():
        if message.author == "scout":
            answered += [message.cause_id or "", *message.answers]
    asked = [message.id for message in await world.said() if message.author == "ada"]
    assert sorted(answered) == sorted(asked)


async def test_a_message_that_was_taken_in_is_replayed_where_the_model_saw_it(world: World):
    from planaria.agents.past.replay import replay
    from planaria.agents.past.source import StoredSource

    policy(world, "steer")
    script(world, Call("work.once", {}), "both")
    await at_work(world)
    await world.post("two")
    world.book.release()
    await world.until_answered()
    view = await replay(StoredSource(await world.events(session=None)), SESSION)
    assert [step.prompt for step in view.steps if step.kind == "answer"] == ["exact", "exact"]


async def test_one_that_interrupts_does_not_stop_after_a_restart_what_only_waits_behind_it(world: World):
    world.models.provider = EndlessProvider(TextDelta("I was just saying"))
    await world.start()
    for text in ("one", "two", "/interrupt three"):
        await world.post(text)
        await world.node.settle()
    await world.node.advance(3.0)
    world.models.provider = ScriptedProvider(["answer to three", "answer to two"])
    await world.kill(SESSION)
    assert (await world.until_answered(3))[1:] == ["answer to three", "answer to two"]
