"""The steps of a turn in the journal: few commits, a key for each model call, every message handled or dead."""

import asyncio

import pytest

from planaria.agents.past.replay import replay
from planaria.agents.past.source import JournalSource
from planaria.agents.turn.events import ModelFailed, ModelRequested, TurnFinished, TurnStarted
from planaria.cortex.durable.letters import DeadLettered
from planaria.membrane.errors import Overloaded, StreamCut
from planaria.membrane.provider import ToolCall, Usage
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.otp import Node
from planaria.rooms.room import Room
from planaria.testing.model_server import Answer, ModelServer
from planaria.testing.models import Call, Calls, Fail, ScriptedProvider
from tests.agents.support import GARDEN, SCOUT, SESSION, EndlessProvider, World


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


def commits(world: World) -> list[list[str]]:
    """The kinds of events of each commit from here on."""
    found: list[list[str]] = []
    append = world.store.append

    async def noting(batch: object, fences: object = ()) -> object:
        found.append([draft.kind for drafts in batch for draft in drafts])  # type: ignore[attr-defined]
        return await append(batch, fences)  # type: ignore[arg-type]

    world.store.append = noting  # type: ignore[method-assign, assignment]
    return found


# --- commits ---------------------------------------------------------------------------------------------------------


async def test_what_can_be_written_together_is(world: World):
    script(world, Call("work.once", {"what": "x"}), "Done.")
    await world.start()
    found = commits(world)
    await world.post()
    await world.until_answered()
    assert found == [
        ["room.message"],
        ["turn.started", "model.requested"],
        ["model.responded", "tool.started"],
        ["tool.finished", "model.requested"],
        ["model.responded"],
        ["room.message", "turn.finished"],
    ]


async def test_the_end_of_a_turn_is_written_with_its_answer_though_the_next_waits(world: World):
    script(world, "one", "two")
    await world.start()
    found = commits(world)
    await asyncio.gather(world.post("first"), world.post("second"))
    await world.until_answered(2)
    assert sum(kinds == ["room.message", "turn.finished"] for kinds in found) == 2
    assert sum("turn.finished" in kinds for kinds in found) == 2


async def test_calls_refused_by_the_gate_are_written_with_the_answer_that_asked_for_them(world: World):
    script(world, Call("work.nothing"), "I see.")
    await world.start()
    found = commits(world)
    await world.post()
    await world.until_answered()
    assert ["model.responded", "tool.finished"] in found


async def test_the_events_of_a_turn_are_the_data_of_who_asked(world: World):
    script(world, Calls((Call("work.once", {"what": "x"}), Call("work.again", {"what": "y"}))), "Done.")
    await world.start()
    await world.post()
    await world.until_answered()
    assert {event.subject for event in await world.events()} == {"person:ada"}
    assert {message.subject for message in await world.said()} == {"person:ada"}


# --- attempts and dead letters ---------------------------------------------------------------------------------------


async def letters(world: World) -> list[DeadLettered]:
    return [DeadLettered.of(event) for event in await world.events(DeadLettered.kind, session=None)]


async def test_a_message_that_is_given_up_becomes_a_dead_letter(world: World):
    script(world, *[Fail(Overloaded("busy"))] * 3)
    await world.start()
    posted = await world.post()
    await world.until_answered()
    (letter,) = await letters(world)
    assert (letter.letter, letter.reason) == ("room.message", "I could not answer: busy")
    assert letter.target == f"room:garden/{posted.id}/scout"
    assert (letter.evidence["session"], letter.evidence["turn"]) == (SESSION, posted.id)
    (end,) = await world.events(TurnFinished.kind)
    (event,) = await world.events(DeadLettered.kind, session=None)
    assert (end.seq + 1, event.trace_id) == (event.seq, end.trace_id)


async def test_an_answered_message_is_no_dead_letter(world: World):
    script(world, "Hello.")
    await world.start()
    await world.post()
    await world.until_answered()
    assert await letters(world) == []


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_message_given_up_at_the_moment_of_a_kill_becomes_one_dead_letter(world: World, when: str):
    script(world, *[Fail(Overloaded("busy"))] * 3)
    await world.start()
    store = world.store

    def trap(moment: str, number: int, kind: str) -> None:
        if moment == when and kind == "room.message" and store.trap is not None:
            store.trap = None
            raise SystemError("the node is gone")

    posted = await world.post()
    store.trap = trap
    await world.until_answered()
    await world.kill("journal")
    await world.node.advance(5.0)
    assert store.trap is None
    (letter,) = await letters(world)
    assert letter.evidence["message"] == posted.id
    assert len(await world.events(TurnFinished.kind)) == 1


async def test_a_message_delivered_again_is_a_turn_of_its_own(world: World):
    provider = script(
        world, *[Fail(Overloaded("busy"))] * 3, Call("work.once", {"what": "x"}), "Now it works."
    )
    await world.start()
    posted = await world.post()
    await world.until_answered()
    assert await world.run(Room.redeliver, GARDEN, posted.id, "scout") == 2
    assert await world.until_answered(2) == ["I could not answer: busy", "Now it works."]
    again = f"{posted.id}~2"
    started = [TurnStarted.of(event) for event in await world.events(TurnStarted.kind)]
    assert [(each.message, each.attempt) for each in started] == [(posted.id, 1), (posted.id, 2)]
    assert [TurnFinished.of(event).turn for event in await world.events(TurnFinished.kind)] == [
        posted.id,
        again,
    ]
    assert world.book.runs == [("once", f"{again}/0/0")]
    assert provider.requests[-1].idempotency_key == f"{SESSION}/{again}/1/1"
    view = await world.run(replay, JournalSource(), SESSION)
    assert [step.turn for step in view.steps] == [posted.id, again, again, again]
    assert [(step.attempt, step.outcome) for step in view.steps] == [
        *((1, "failed"), (2, ""), (2, ""), (2, "answered")),
    ]
    assert len(await letters(world)) == 1


# --- keys ------------------------------------------------------------------------------------------------------------


async def test_a_call_cut_off_by_a_kill_is_made_again_as_it_was_under_its_key(world: World):
    world.models.provider = endless = EndlessProvider()
    await world.start()
    await world.post()
    await world.node.settle()
    world.models.provider = provider = ScriptedProvider(["Hello."], name=endless.name)
    await world.kill(SESSION)
    # The talk has gone on, and the files have changed: what was asked has not.
    await world.run(Room.post, GARDEN, "bob", "@nobody hear this", "")
    (world.garden / "SOUL.md").write_text("We are kind.")
    assert "Hello." in await world.until_answered(2)
    (asked,) = [ModelRequested.of(event) for event in await world.events(ModelRequested.kind)]
    (request,) = provider.requests
    assert request.idempotency_key == f"{SESSION}/{asked.key}"
    assert [message.content for message in request.messages][1:] == ["hello"]
    view = await world.run(replay, JournalSource(), SESSION)
    assert view.steps[1].prompt == "exact"


async def test_agents_that_answer_the_same_message_have_keys_of_their_own(world: World):
    provider = script(world, "I am here.", "So am I.")
    await world.start()
    await world.save("agents/moss.md", SCOUT.replace("scout", "moss"))
    await world.post("@all hello")
    await world.until_answered(2)
    assert len({request.idempotency_key for request in provider.requests}) == 2


async def test_a_call_cut_off_is_not_repeated_to_another_model(world: World):
    world.models.provider = EndlessProvider()
    await world.start()
    await world.post()
    await world.node.settle()
    await world.save("agents/scout.md", SCOUT.replace("class: agent", "model: other"))
    world.models.provider = ScriptedProvider(["Hello."], name="other")
    await world.kill(SESSION)
    await world.until_answered()
    asked = [ModelRequested.of(event) for event in await world.events(ModelRequested.kind)]
    assert [(each.provider, each.attempt) for each in asked] == [("endless", 1), ("other", 2)]


@pytest.mark.parametrize(("error", "keys"), [(StreamCut("cut"), 1), (Overloaded("busy"), 2)])
async def test_a_failure_that_may_have_been_an_answer_is_tried_again_under_the_same_key(
    world: World, error: Exception, keys: int
):
    provider = script(world, Fail(error), "Hello.")  # type: ignore[arg-type]
    await world.start()
    await world.post()
    await world.until_answered()
    assert len({request.idempotency_key for request in provider.requests}) == keys
    assert len(await world.events(ModelRequested.kind)) == keys
    assert len(await world.events(ModelFailed.kind)) == 1


async def test_a_call_cut_off_by_a_kill_is_charged_once_by_a_provider_that_honours_keys(world: World):
    call = Answer(tool_calls=(ToolCall("1", "work.once", {"what": "x"}),), usage=Usage(100, 10))
    async with ModelServer(call, Answer("All done.", hold_at=2, usage=Usage(200, 20))) as server:
        world.models.provider = OpenAICompatible("fake", server.url)
        async with Node("real") as node:
            world.node = node  # type: ignore[assignment]
            world.store = type(world.store)()
            await node.start(world.tree())
            async with node.open_port() as port:
                node.subscribe(GARDEN, port.pid)
                await world.post("do it")
                await server.held()
                await world.kill(SESSION)
                server.release()
                while getattr(await port.receive(10.0), "text", "") != "All done.":
                    pass
            said = await world.events("model.responded")
        spent = [event.payload["usage"] for event in said]
        assert len(server.keys) == 2
        assert sum(server.keys.values()) == 3  # one was made twice
        assert sum(each["input_tokens"] for each in spent) == server.charged.input_tokens == 300
        assert sum(each["output_tokens"] for each in spent) == server.charged.output_tokens == 30
        world.models.provider.close()


async def test_a_model_is_told_what_was_known_when_its_turn_began(world: World):
    """What others say meanwhile belongs to the next turn: each step's request is the one before and more."""
    provider = script(world, Call("work.once", {"what": "x"}), "Done.")
    world.book.held = {"once"}
    await world.start()
    await world.post()
    await world.node.settle()
    await world.run(Room.say, GARDEN, "digest", "news", author_kind="workflow")
    world.book.release()
    await world.until_answered(2)
    first, second = (request.messages for request in provider.requests)
    assert second[: len(first)] == first
    assert len(second) == len(first) + 2
