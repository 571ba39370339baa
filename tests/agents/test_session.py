"""A session: messages in order, models that fail in every way, and a state that can always be read."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.query import Query
from planaria.cortex.store import Stored
from planaria.membrane.errors import AuthenticationFailed, Overloaded, RateLimited, StreamCut
from planaria.membrane.provider import MALFORMED, ModelRequest, ToolCall
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.otp import Node, Pid, exit_signal
from planaria.rooms.message import ReplyDelta
from planaria.testing.model_server import Answer, ModelServer
from planaria.testing.models import Call, Calls, Fail, Say, ScriptedProvider
from tests.agents.support import GARDEN, SCOUT, SECRET, SESSION, EndlessProvider, World


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


# --- messages ------------------------------------------------------------------------------------------------------


async def test_an_answer_names_its_message_its_model_and_its_trace(world: World):
    script(world, "Hello.")
    await world.start()
    asked = await world.post()
    await world.until_answered()
    question, answer = await world.said()
    assert (answer.author, answer.author_kind, answer.text) == ("scout", "agent", "Hello.")
    assert (answer.cause_id, answer.trace_id) == (asked.id, question.trace_id)
    assert answer.model == "scripted"


async def test_a_message_during_a_turn_waits_for_its_own(world: World):
    provider = script(world, Call("work.once", {"what": "x"}), "first", "second")
    world.book.held = {"once"}
    await world.start()
    await world.post("one")
    await world.node.settle()
    await world.post("two")
    await world.node.settle()
    view = await world.view()
    assert (view.status, view.doing, view.message, view.waiting) == ("acting", "work.once", "one", 1)
    world.book.release()
    assert await world.until_answered(2) == ["first", "second"]
    assert "two" not in [m.content for m in provider.requests[1].messages]
    assert [m.content for m in provider.requests[2].messages][-3:] == ["one", "first", "two"]


async def test_messages_to_several_agents_are_answered_by_each_once(world: World):
    (world.garden / "agents" / "keeper.md").write_text(SCOUT)
    script(world, "yes", "yes")
    await world.start()
    await world.post("@all hello")
    await world.until_answered(2)
    assert sorted(m.author for m in await world.said() if m.text == "yes") == ["keeper", "scout"]


async def test_the_same_message_sent_twice_is_answered_once(world: World):
    script(world, "yes")
    await world.start()
    await asyncio.gather(world.post("hello", "1"), world.post("hello", "1"))
    await world.until_answered()
    await world.kill(GARDEN)
    await world.post("hello", "1")
    assert await world.until_answered() == ["yes"]


async def test_the_answer_is_heard_while_it_is_written(world: World):
    script(world, Say("one two", pieces=("one ", "two")))
    await world.start()
    async with world.node.open_port() as port:
        world.node.subscribe(GARDEN, port.pid)
        await world.post()
        await world.until_answered()
        heard: list[Any] = []
        while not heard or getattr(heard[-1], "state", "") != "idle":
            heard.append(await port.receive(1.0))
    assert "".join(h.text for h in heard if isinstance(h, ReplyDelta)) == "one two"
    states = [h.state for h in heard if hasattr(h, "state")]
    assert (states[0], states[-1]) == ("thinking", "idle")


async def test_a_secret_is_masked_while_the_answer_is_written(world: World):
    key = "sk-abcdefghijklmnopqrstuvwxyz"
    script(
        world, Say(f"it is {key} indeed", pieces=("it is sk-abc", "defghijklmnopqrst", "uvwxyz in", "deed"))
    )
    await world.start()
    async with world.node.open_port() as port:
        world.node.subscribe(GARDEN, port.pid)
        await world.post()
        await world.until_answered()
        heard: list[Any] = []
        while not heard or getattr(heard[-1], "state", "") != "idle":
            heard.append(await port.receive(1.0))
    assert "".join(h.text for h in heard if isinstance(h, ReplyDelta)) == "it is [secret] indeed"


# --- models that fail ----------------------------------------------------------------------------------------------


async def test_a_failure_that_may_pass_is_tried_again_after_a_pause(world: World):
    provider = script(world, Fail(Overloaded("busy")), "Hello.")
    await world.start()
    await world.post()
    await world.node.settle()
    assert len(provider.requests) == 1
    assert (await world.view()).status == "waiting"
    assert await world.until_answered() == ["Hello."]
    (failure,) = await world.events("model.failed")
    assert (failure.payload["error"], failure.payload["retry"]) == ("busy", True)


async def test_a_provider_that_asks_for_time_gets_it(world: World):
    provider = script(world, Fail(RateLimited("slow down", retry_after=30.0)), "Hello.")
    await world.start()
    await world.post()
    await world.node.advance(29.0)
    assert len(provider.requests) == 1
    await world.node.advance(2.0)
    assert await world.until_answered() == ["Hello."]


async def test_a_failure_that_does_not_pass_is_said_after_three_tries(world: World):
    script(world, *[Fail(Overloaded("busy"))] * 3)
    await world.start()
    await world.post()
    assert await world.until_answered() == ["I could not answer: busy"]
    assert (await world.said())[-1].author_kind == "notice"
    (end,) = await world.events("turn.finished")
    assert end.payload["outcome"] == "failed"


@pytest.mark.parametrize(
    "error", [AuthenticationFailed("set OTHER_KEY"), RateLimited("come back tomorrow", retry_after=86_400.0)]
)
async def test_a_failure_that_cannot_pass_soon_is_said_at_once(world: World, error: Exception):
    provider = script(world, Fail(error))  # type: ignore[arg-type]
    await world.start()
    await world.post()
    assert await world.until_answered() == [f"I could not answer: {error}"]
    assert len(provider.requests) == 1


async def test_a_stream_that_breaks_is_asked_again_and_half_an_answer_is_no_answer(world: World):
    script(world, Fail(StreamCut("cut"), pieces=("half an ",)), "A whole answer.")
    await world.start()
    await world.post()
    assert await world.until_answered() == ["A whole answer."]


async def test_a_provider_that_crashes_is_given_up_aloud_and_the_next_message_is_answered(world: World):
    def crash(request: ModelRequest) -> str:
        raise ZeroDivisionError("a bug")

    script(world, crash, crash, crash, "Hello.")
    await world.start()
    session = world.node[SESSION]
    await world.post()
    assert await world.until_answered() == ["I could not finish this: scout thinks: ZeroDivisionError: a bug"]
    await world.post("again")
    assert (await world.until_answered(2))[-1] == "Hello."
    assert world.node[SESSION] is session


async def test_an_answer_that_cannot_be_written_down_is_not_paid_for_again(world: World):
    provider = script(world, "half \ud800 a character")
    await world.start()
    await world.post()
    (text,) = await world.until_answered()
    assert text.startswith("I could not answer: the model's answer cannot be written down")
    assert len(provider.requests) == 1


async def test_an_empty_answer_is_said_to_be_none(world: World):
    script(world, Say(" "))
    await world.start()
    await world.post()
    assert await world.until_answered() == ["(no answer)"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (Call("work.oncee", {"what": "x"}), "there is no tool 'work.oncee', did you mean 'work.once'?"),
        (Call("work.once", {"wat": "x"}), "wat"),
        (Call("work.once", {MALFORMED: '{"what": '}), "were not a JSON object"),
    ],
)
async def test_a_wrong_tool_call_is_told_to_the_model(world: World, call: Call, told: str):
    provider = script(world, call, "I see.")
    await world.start()
    await world.post()
    assert await world.until_answered() == ["I see."]
    assert provider.requests[1].messages[-1].role == "tool"
    assert told in provider.requests[1].messages[-1].content
    assert world.book.runs == []


async def test_endless_tool_calls_end_after_max_steps(world: World):
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("class: agent", "max_steps: 4"))
    provider = script(world, *[Call("work.again", {"what": "x"})] * 20)
    await world.start()
    await world.post()
    (text,) = await world.until_answered()
    assert text == "I stopped without an answer: it took 4 of 4 steps"
    assert [request.tool_choice for request in provider.requests] == [None] * 4 + ["none"]
    assert world.book.count("again") == 4


async def test_a_model_that_never_ends_can_be_looked_at_and_killed(world: World):
    world.models.provider = endless = EndlessProvider()
    await world.start()
    await world.post()
    await world.node.advance(500.0)
    view = await world.view()
    assert (view.status, view.message) == ("thinking", "hello")
    task = task_of(world)
    info = world.node.info(task)
    assert [(Path(frame.file).name, frame.function) for frame in info.awaits][:3] == [
        ("think.py", "think"),
        ("spans.py", "in_span"),
        ("streaming.py", "Streaming.run"),
    ]
    assert all(frame.line > 0 for frame in info.awaits)
    assert any(frame.function.endswith("stream") for frame in info.awaits)  # the provider, an async generator
    for _ in range(3):
        task = task_of(world)
        await world.node.run(_kill, task)
        await world.node.advance(2.0)
    assert await world.answers() == ["I could not finish this: scout thinks: killed"]
    assert endless.begun == endless.left == 3


def task_of(world: World) -> Pid:
    """The one task of the session."""
    tasks: Any = world.node.state(world.node[SESSION])["tasks"]
    (task,) = tasks
    pid: Pid = task.pid
    return pid


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_a_session_can_be_asked_while_its_room_does_not_answer(world: World):
    script(world, "Hello.")
    await world.start()
    before = world.store.read
    hold = asyncio.Event()

    async def slow(query: Query) -> list[Stored]:
        if query.session == GARDEN and not query.newest_first:
            await hold.wait()
        return await before(query)

    world.store.read = slow  # type: ignore[method-assign]
    await world.node.run(_kill, world.node[GARDEN])
    await world.node.advance(2.0)
    assert (await world.view()).status == "idle"
    hold.set()
    await world.node.advance(1.0)
    await world.post()
    assert await world.until_answered() == ["Hello."]


# --- the journal ---------------------------------------------------------------------------------------------------


async def test_tokens_cost_and_time_of_each_model_call_are_in_the_journal(world: World):
    script(world, Call("work.again", {"what": "x"}), "done")
    await world.start()
    await world.post()
    await world.until_answered()
    for step, event in enumerate(await world.events("model.responded")):
        payload = event.payload
        assert payload["step"] == step
        assert payload["usage"]["input_tokens"] == 10
        assert payload["usage"]["output_tokens"] == 5
        assert payload["cost_micro"] == 35
        assert payload["provider"] == "scripted"
        assert payload["duration_ms"] >= payload["first_ms"] >= 0
    kinds = [event.kind for event in await world.events()]
    assert kinds == [
        *("turn.started", "model.requested", "model.responded", "tool.started", "tool.finished"),
        *("model.requested", "model.responded", "turn.finished"),
    ]
    assert len({event.trace_id for event in await world.events()}) == 1


async def test_a_call_whose_note_got_no_answer_is_counted_once(world: World):
    script(world, "Hello.")
    await world.start()
    store = world.store

    def trap(when: str, number: int, kind: str) -> None:
        if when == "before" and kind == "model.responded" and not store.has(kind):
            store.silent = True

    store.trap = trap
    await world.post()
    assert await world.until_answered() == ["Hello."]
    assert len(await world.events("model.responded")) == 1


async def test_secrets_are_nowhere_in_the_journal(world: World):
    script(
        world,
        Fail(Overloaded(f"key {SECRET} is busy")),
        Call("work.once", {"what": SECRET}),
        f"Your key is {SECRET}.",
    )
    await world.start({"SOME_API_KEY": SECRET})
    await world.post(f"my key is {SECRET}")
    await world.until_answered()
    assert SECRET not in str(await world.events(session=None))
    assert "[secret SOME_API_KEY]" in str(await world.events())


async def test_the_start_of_a_turn_costs_the_same_however_long_the_session_has_lived(world: World):
    await world.start()
    reads = []
    for _ in range(2):
        for n in range(20):
            script(world, f"answer {n}")
            await world.post(str(n))
            await world.node.advance(1.0)
        before = len(world.store.given)
        script(world, "last")
        await world.post("last")
        await world.node.advance(1.0)
        reads.append(len(world.store.given) - before)
    assert reads == [0, 0]  # nothing was begun, so there is nothing to read


# --- over a real socket --------------------------------------------------------------------------------------------


async def test_a_turn_over_a_real_socket_with_parallel_tools(world: World):
    calls = Calls((Call("work.once", {"what": "a"}, id="1"), Call("work.again", {"what": "b"}, id="2")))
    tool_calls = tuple(ToolCall(call.id, call.name, call.arguments) for call in calls.calls)
    async with ModelServer(Answer(tool_calls=tool_calls), Answer("All done.")) as server:
        world.models.provider = OpenAICompatible("fake", server.url)
        async with Node("real") as node:
            world.node = node  # type: ignore[assignment]
            world.store = type(world.store)()
            await node.start(world.tree())
            async with node.open_port() as port:
                node.subscribe(GARDEN, port.pid)
                await world.post("do it")
                while getattr(await port.receive(10.0), "text", "") != "All done.":
                    pass
        sent = server.requests[1].body["messages"]
        assert [m["role"] for m in sent[-3:]] == ["assistant", "tool", "tool"]
        assert sent[-1]["content"] == "did b again"
        world.models.provider.close()


async def test_ending_a_session_ends_the_stream_of_its_model(world: World):
    async with ModelServer(Answer("never", hold_at=2)) as server:
        world.models.provider = OpenAICompatible("fake", server.url)
        async with Node("real") as node:
            world.node = node  # type: ignore[assignment]
            world.store = type(world.store)()
            await node.start(world.tree())
            await world.post("hello")
            await server.held()
            await node.stop(timeout=5.0)
            await asyncio.wait_for(server.left(), 5.0)
        world.models.provider.close()


async def test_so_many_tools_run_at_once_as_may_and_their_results_keep_the_order_of_the_calls(world: World):
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("class: agent", "parallel: 2"))
    names = ["again", "once", "again", "again", "again"]
    calls = [Call(f"work.{name}", {"what": str(n)}, id=str(n)) for n, name in enumerate(names)]
    provider = script(world, Calls(tuple(calls)), "done")
    world.book.held = {"once"}
    await world.start()
    await world.post()
    await world.node.settle()
    assert [run for run, _ in world.book.runs] == [
        "again",
        "once",
        "again",
        "again",
        "again",
    ]  # past the slow one
    begun = [event.payload["call_id"][-1] for event in await world.events("tool.started")]
    assert begun == ["0", "1", "2", "3", "4"]
    world.book.release()
    await world.until_answered()
    told = [m.content for m in provider.requests[1].messages if m.role == "tool"]
    assert told == [f"did {n} {name}" for n, name in enumerate(names)]


async def test_no_more_tools_run_at_once_than_may(world: World):
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("class: agent", "parallel: 2"))
    script(world, Calls(tuple(Call("work.once", {"what": str(n)}, id=str(n)) for n in range(5))), "done")
    world.book.held = {"once"}
    await world.start()
    await world.post()
    await world.node.settle()
    assert world.book.count("once") == 2
    await world.kill(SESSION)
    world.book.release()
    await world.until_answered()
    ran = [call for _, call in world.book.runs]
    assert sorted(set(ran)) == sorted(ran) and len(ran) == 5  # those that had not begun are no calls cut off
