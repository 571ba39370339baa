"""The state a session holds is the one its events make; if it is not, nothing is said from it."""

import asyncio
import tempfile
from functools import reduce
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planaria.agents.session as sessions
from planaria.agents.past.replay import ledger_of, prompt_of, replay, step_of
from planaria.agents.past.seed import trace_of_turn
from planaria.agents.past.source import StoredSource
from planaria.agents.past.state import compare, first_difference, state_digest
from planaria.agents.prompt.request import canonical, digest_of
from planaria.agents.turn.events import ModelRequested, ModelResponded, SessionDiverged, TurnFinished
from planaria.agents.turn.turn import KINDS, Turn, take
from planaria.cortex.durable.letters import DeadLettered
from planaria.cortex.errors import StoreFailed
from planaria.cortex.event import Event
from planaria.membrane.errors import AuthenticationFailed, Overloaded, StreamCut
from planaria.membrane.provider import ModelRequest
from planaria.otp import CallError, exit_signal, sys, whereis
from planaria.rooms.room import Room
from planaria.testing.models import Call, Calls, Fail, Say, ScriptedProvider
from planaria.testing.node import running_node
from tests.agents.support import GARDEN, SCOUT, SESSION, TrapStore, World


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


async def spoil(world: World) -> None:
    """Let the session forget that its tool was begun: another state than its events make."""

    def change(state: dict[str, Any]) -> dict[str, Any]:
        turn = state["turn"]
        steps = (msgspec.structs.replace(turn.steps[0], begun=frozenset()),)
        return state | {"turn": msgspec.structs.replace(turn, steps=steps)}

    await world.run(sys.replace_state, world.node[SESSION], change)


async def held_in_a_tool(world: World, text: str = "hello") -> None:
    world.book.held = {"once"}
    await world.start()
    await world.post(text)
    await world.node.settle()


# --- a state that is not what the journal says -----------------------------------------------------------------------


async def test_nothing_is_said_from_a_state_that_is_not_what_its_events_make(world: World):
    script(world, Call("work.once", {"what": "x"}), "From a wrong state.", "From a right one.")
    await held_in_a_tool(world)
    before = world.node[SESSION]
    await spoil(world)
    world.book.release()
    (said,) = await world.until_answered()
    assert said.startswith(
        "I stopped before answering this: what I remembered of it was not what the journal says"
    )
    assert "From a wrong state." not in str(await world.said())
    (event,) = await world.events(SessionDiverged.kind)
    found = SessionDiverged.of(event)
    assert found.held != found.folded
    (end,) = await world.events(TurnFinished.kind)
    assert end.payload["outcome"] == "failed"
    (letter,) = await world.events(DeadLettered.kind, session=None)
    assert letter.trace_id == event.trace_id
    # A new process has folded anew, and answers.
    assert world.node[SESSION] is not before
    await world.post("again")
    assert (await world.until_answered(2))[-1] == "From a right one."


async def test_what_differs_is_named(world: World):
    script(world, Call("work.once", {"what": "x"}), "Hello.")
    await held_in_a_tool(world)
    await spoil(world)
    world.book.release()
    await world.until_answered()
    (event,) = await world.events(SessionDiverged.kind)
    assert event.payload["difference"].startswith("steps[0].begun: 0 against 1")


async def test_a_message_that_was_not_answered_so_can_be_delivered_again(world: World):
    script(world, Call("work.once", {"what": "x"}), "wrong", "right")
    await held_in_a_tool(world)
    await spoil(world)
    world.book.release()
    await world.until_answered()
    posted = (await world.said())[0].id
    await world.run(Room.redeliver, GARDEN, posted, "scout")
    answers = await world.until_answered(2)
    assert answers[0].startswith("I stopped before answering this")
    assert answers[1:] == ["right"]


async def test_now_and_then_a_turn_is_read_once_more_before_it_is_answered(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    """Both the state and the events it was made of are wrong: only the journal knows."""
    monkeypatch.setattr(sessions, "LOOK_EVERY", 1)
    script(world, Call("work.once", {"what": "x"}), "From a wrong state.")
    await held_in_a_tool(world)

    def change(state: dict[str, Any]) -> dict[str, Any]:
        base, events = state["base"], []
        for event in state["events"]:
            if event.kind == ModelResponded.kind:
                event = msgspec.structs.replace(event, payload={**event.payload, "text": "forged"})
            events.append(event)
        return state | {"events": events, "turn": reduce(take, events, base)}

    await world.run(sys.replace_state, world.node[SESSION], change)
    world.book.release()
    (said,) = await world.until_answered()
    assert said.startswith("I stopped before answering this") and '"forged" against ""' in said


def test_a_first_difference_is_told_by_its_place():
    assert first_difference({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}) == "a[1].b: 2 against 3"
    assert first_difference({"a": [1]}, {"a": [1, 2]}) == "a: 1 against 2"
    assert first_difference({"a": 1}, {"a": 1, "c": 2}) == "c: null against 2"
    assert first_difference([1], [1]) == ""
    assert len(first_difference("x" * 1000, "y" * 1000)) < 200


# --- any turn, any kill ----------------------------------------------------------------------------------------------

WORDS = st.text("abc \n\u00e4\u6f22", max_size=40)
CALL = st.builds(
    Call,
    st.sampled_from(["work.once", "work.again", "work.nothing"]),
    st.fixed_dictionaries({"what": WORDS}) | st.just({"wat": 1}),
)
FAILURE = st.sampled_from([Overloaded("busy"), StreamCut("cut"), AuthenticationFailed("no key")])
LINE = st.one_of(
    st.builds(Say, WORDS),
    CALL,
    st.builds(lambda calls: Calls(tuple(calls)), st.lists(CALL, min_size=1, max_size=3)),
    st.builds(Fail, FAILURE),
)
KILL = st.tuples(
    st.integers(0, 30),
    st.sampled_from([SESSION, "tasks:scout@garden", GARDEN, "journal", "models"]),
    st.sampled_from(["before", "after", "lost"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINE, max_size=8), st.integers(1, 3), st.lists(KILL, max_size=3))
def test_whatever_a_turn_comes_to_and_whatever_is_killed_its_events_make_the_state_held(
    lines: list[Any], messages: int, kills: list[tuple[int, str, str]]
):
    asyncio.run(live(lines, messages, kills))


async def live(lines: list[Any], messages: int, kills: list[tuple[int, str, str]]) -> None:
    answered: list[Turn] = []

    class Watched(sessions.AgentProcess):
        def _answer(self, turn: Turn, words: Any) -> None:
            answered.append(turn)
            super()._answer(turn, words)

    def line(request: ModelRequest) -> Any:
        return lines.pop(0) if lines else Say("the end")

    with tempfile.TemporaryDirectory() as folder:
        garden = Path(folder)
        (garden / "agents").mkdir()
        (garden / "agents" / "scout.md").write_text(SCOUT)
        async with running_node(seed=1) as node:
            store = TrapStore()
            world = World(node, garden, ScriptedProvider([line] * 200), store)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("planaria.agents.trees.AgentProcess", Watched)
                await world.start()
                store.trap = killer(kills)
                for number in range(messages):
                    await post_until_accepted(world, str(number))
                await world.until_answered(messages)
                store.trap = None
                await world.node.advance(5.0)
                await judge(world, answered, messages)


async def post_until_accepted(world: World, number: str) -> None:
    """As people do: again, with the same client id, while the room is away."""
    for _ in range(20):
        try:
            await world.post(f"message {number}", number)
            return
        except CallError:
            await world.node.advance(1.0)
    raise AssertionError("the room does not come back")


def killer(kills: list[tuple[int, str, str]]) -> Any:
    left = list(kills)

    def trap(when: str, number: int, kind: str) -> None:
        for kill in list(left):
            at, victim, mode = kill
            if number >= at and when == ("after" if mode == "after" else "before"):
                left.remove(kill)
                pid = whereis(victim)
                if pid is not None:
                    exit_signal(pid, "kill")
                if mode == "lost":
                    raise StoreFailed("not written", "wait")

    return trap


async def judge(world: World, answered: list[Turn], messages: int) -> None:
    assert await world.events(SessionDiverged.kind) == []
    events = await world.events(session=None)
    source = StoredSource(events)
    assert isinstance(world.provider, ScriptedProvider)
    await assert_replayed_as_it_was(source, world.provider.requests)
    people = [event for event in events if event.payload.get("author_kind") == "person"]
    ended = [TurnFinished.of(event) for event in await world.events(TurnFinished.kind)]
    assert sorted(each.turn for each in ended) == sorted(event.id for event in people)
    for message in people:
        base, trace = await trace_of_turn(source, SESSION, message.id)
        folded = reduce(take, trace, base)
        assert folded.finished and folded.begun
        # The last state held before the answer is the one that its events make, but for the end itself.
        held = [turn for turn in answered if turn.id == message.id][-1:]
        whole = msgspec.structs.replace(folded, finished="", open=held[0].open if held else False)
        if held and folded.finished == "answered":
            assert compare(held[0], whole) is None
            assert state_digest(held[0]) == state_digest(whole)
        assert_paid_once(trace)


async def assert_replayed_as_it_was(source: StoredSource, sent: list[ModelRequest]) -> None:
    """What was sent is rebuilt byte for byte, whoever was killed meanwhile; and each step from what came before it."""
    ledger = await ledger_of(source, SESSION)
    rebuilt: dict[str, ModelRequest] = {}
    for row in ledger.rows:
        turn, events = await trace_of_turn(source, SESSION, row.turn)
        for event in events:
            turn = take(turn, event)
            if event.kind == ModelRequested.kind:
                request, problems = await prompt_of(source, SESSION, turn)
                assert request is not None and problems == []
                rebuilt[request.idempotency_key] = request
    for request in sent:  # a call that was cut off is sent again: under its key, and the same
        assert rebuilt[request.idempotency_key] == request
        assert canonical(rebuilt[request.idempotency_key]) == canonical(request)
    digests = {digest_of(canonical(request)) for request in rebuilt.values()}
    whole = await replay(source, SESSION)
    assert all(step.prompt in ("", "exact") and not step.problems for step in whole.steps)
    for number in range(1, whole.total + 1):
        view = await replay(source, SESSION, to=number)
        assert view.steps == whole.steps[:number]
        assert view.totals.cost_micro == sum(step.cost_micro or 0 for step in view.steps)
        assert view.totals.failures == sum(len(step.failures) for step in view.steps)
        detail = await step_of(source, SESSION, number)
        assert (detail.step, detail.state) == (view.steps[-1], view.state)
        assert detail.prompt is None or detail.prompt.digest in digests
    assert (await replay(source, SESSION, to=whole.total)).totals == whole.totals


def assert_paid_once(trace: list[Event]) -> None:
    """Each model call was answered once, each tool call ended once."""
    said = [(event.payload["step"]) for event in trace if event.kind == ModelResponded.kind]
    assert said == sorted(set(said))
    ends = [event.payload["call_id"] for event in trace if event.kind == "tool.finished"]
    assert len(ends) == len(set(ends))
    assert all(event.kind in KINDS for event in trace)
