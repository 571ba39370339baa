"""Replay: from the journal alone every prompt as it was sent, every state as it was held, and nothing asked outside."""

from contextlib import suppress
from functools import partial

import msgspec
import pytest

from planaria.agents.past.compare import compare_runs
from planaria.agents.past.ledger import SNAPSHOT, SNAPSHOT_VERSION, Ledger
from planaria.agents.past.ledgers import known_ledger
from planaria.agents.past.replay import NoSuchStep, ledger_of, prompt_of, replay, run_of, step_of
from planaria.agents.past.replayed import ReplayView, StepDetail
from planaria.agents.past.seed import SeedLost, trace_of_turn
from planaria.agents.past.source import JournalSource, StoredSource
from planaria.agents.past.state import plain
from planaria.agents.prompt.request import canonical
from planaria.agents.turn.events import ModelRequested
from planaria.agents.turn.turn import Turn, take
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.membrane.errors import Overloaded
from planaria.membrane.provider import ModelRequest
from planaria.nerve.methods.trace import read_here
from planaria.testing.models import Call, Calls, Fail, Say, ScriptedProvider
from tests.agents.support import SCOUT, SECRET, SESSION, World

SOURCE = JournalSource()


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


async def replayed(world: World, to: int | None = None, limit: int = 100) -> ReplayView:
    return await world.run(replay, SOURCE, SESSION, to=to, limit=limit)


async def step(world: World, number: int) -> StepDetail:
    return await world.run(step_of, SOURCE, SESSION, number)


async def all_events(world: World) -> list[Event]:
    return await world.events(session=None)


async def rebuilt(world: World) -> list[ModelRequest]:
    """Every request of the session, in order, rebuilt from its events."""
    found: list[ModelRequest] = []
    source = StoredSource(await all_events(world))
    for row in (await ledger_of(source, SESSION)).rows:
        turn, events = await trace_of_turn(source, SESSION, row.turn)
        for event in events:
            turn = take(turn, event)
            if event.kind == ModelRequested.kind:
                request, problems = await prompt_of(source, SESSION, turn)
                assert request is not None and problems == []
                found.append(request)
    return found


@pytest.fixture
async def talked(world: World) -> World:
    """Three turns: two tools at once after a failure, an answer at once, two steps with tools."""
    (world.garden / "agents" / "keeper.md").write_text(
        SCOUT.replace("You are scout.", "You keep.").replace("work.*", "")
    )
    (world.garden / "SOUL.md").write_text("We are kind. " * 100)
    script(
        world,
        Fail(Overloaded("busy")),
        Calls(
            (Call("work.once", {"what": "this"}), Call("work.again", {"what": "that"})), text="Let me see."
        ),
        "Both are done.",
        "Good day.",
        Call("work.again", {"what": "x"}),
        Call("work.nothing"),
        Say("Done.", reasoning="It is enough."),
    )
    await world.start()
    for text in ("@scout do both", "@scout hello", "@scout go on"):
        before = len(await world.answers())
        await world.post(text)
        await world.until_answered(before + 1)
    return world


# --- prompts -------------------------------------------------------------------------------------------------------


async def test_every_request_is_rebuilt_as_it_was_sent(talked: World):
    assert isinstance(talked.provider, ScriptedProvider)
    sent = talked.provider.requests
    found = await rebuilt(talked)
    assert len(sent) == 7
    assert found == sent  # with idempotency key and all


async def test_each_try_of_a_call_has_its_own_key(talked: World):
    assert isinstance(talked.provider, ScriptedProvider)
    keys = [request.idempotency_key for request in talked.provider.requests]
    first = keys[0].removesuffix("/0/1")
    assert keys[:3] == [f"{first}/0/1", f"{first}/0/2", f"{first}/1/1"]
    assert len(set(keys)) == len(keys)


async def test_a_prompt_with_secrets_was_sent_without_them_and_is_rebuilt(world: World):
    (world.garden / "SOUL.md").write_text(f"Our key is {SECRET}.")
    provider = script(world, Call("work.once", {"what": SECRET}), f"It is {SECRET}.")
    await world.start({"SOME_API_KEY": SECRET})
    await world.post(f"my key is {SECRET}")
    await world.until_answered()
    assert await rebuilt(world) == provider.requests
    assert SECRET not in str(provider.requests)
    assert all(view.prompt in ("", "exact") for view in (await replayed(world)).steps)


async def test_a_prompt_that_would_be_built_otherwise_is_told(talked: World, monkeypatch: pytest.MonkeyPatch):
    def louder(*args: object) -> object:
        messages = compose(*args)  # type: ignore[arg-type]
        return (msgspec.structs.replace(messages[0], content="LOUD"), *messages[1:])

    from planaria.agents.prompt.prompt import compose

    monkeypatch.setattr("planaria.agents.prompt.request.compose", louder)
    views = (await replayed(talked)).steps
    assert {view.prompt for view in views if view.kind == "answer"} == {"changed"}
    assert "its digest is another" in views[1].problems[0]


async def test_a_prompt_of_an_older_program_is_said_to_be_unknown(talked: World):
    old = []
    for event in await all_events(talked):
        if event.kind == ModelRequested.kind:
            names = ("turn", "step", "provider", "model")
            payload = {name: event.payload[name] for name in names} | {"messages": 2, "tools": ["work.once"]}
            event = msgspec.structs.replace(event, payload=payload, version=1)
        old.append(event)
    view = await replay(StoredSource(old), SESSION)
    assert {each.prompt for each in view.steps if each.kind == "answer"} == {"unknown"}
    assert "an older program" in view.steps[1].problems[0]
    assert view.steps[2].text == "Both are done."


# --- steps and states ----------------------------------------------------------------------------------------------


async def test_steps_are_told_in_order_with_what_was_decided_and_spent(talked: World):
    view = await replayed(talked)
    assert (view.agent, view.room, view.total) == ("scout", "garden", 9)
    assert [each.number for each in view.steps] == list(range(1, 10))
    told = [(each.kind, each.decided, each.text) for each in view.steps]
    assert told == [
        ("message", "", "@scout do both"),
        ("answer", "calls", "Let me see."),
        ("answer", "says", "Both are done."),
        ("message", "", "@scout hello"),
        ("answer", "says", "Good day."),
        ("message", "", "@scout go on"),
        ("answer", "calls", ""),
        ("answer", "calls", ""),
        ("answer", "says", "Done."),
    ]
    second = view.steps[1]
    assert [(call.tool, call.result, call.failed) for call in second.calls] == [
        ("work.once", "did this once", False),
        ("work.again", "did that again", False),
    ]
    assert second.failures == ("scripted/scripted: busy",)
    assert (second.input_tokens, second.output_tokens, second.cost_micro) == (10, 5, 35)
    assert view.steps[7].calls[0].failed and "there is no tool" in (view.steps[7].calls[0].result or "")
    assert view.steps[8].reasoning == "It is enough."
    assert (view.totals.turns, view.totals.input_tokens, view.totals.cost_micro, view.totals.failures) == (
        3,
        60,
        210,
        1,
    )
    assert view.state is not None and view.state.next == "rest"


async def test_a_replay_may_end_early_and_shows_the_state_there(talked: World):
    view = await replayed(talked, to=2)
    assert [each.number for each in view.steps] == [1, 2]
    assert view.state is not None and view.state.next == "think"
    assert [step["response"]["text"] for step in view.state.value["steps"]] == ["Let me see."]
    assert (await replayed(talked, to=1)).state.next == "think"  # type: ignore[union-attr]
    assert [each.number for each in (await replayed(talked, limit=3)).steps] == [7, 8, 9]


async def test_a_step_is_shown_with_its_prompt_and_the_state_after_it(talked: World):
    detail = await step(talked, 3)
    assert detail.prompt is not None and detail.prompt.exact
    assert [message.role for message in detail.prompt.messages] == [
        "system",
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    assert detail.prompt.tools == ("work.again", "work.once")
    assert detail.state.value["steps"][1]["response"]["text"] == "Both are done."
    assert (await step(talked, 1)).prompt is None


@pytest.mark.parametrize("number", [0, 10, -1])
async def test_a_step_that_is_not_there_is_an_error_with_those_that_are(talked: World, number: int):
    with pytest.raises(NoSuchStep, match="1 to 9"):
        await step(talked, number)
    with pytest.raises(NoSuchStep, match="1 to 9"):
        await replayed(talked, to=number)
    with pytest.raises(NoSuchStep, match="there is no session"):
        await talked.run(replay, SOURCE, "session:nobody@garden")


async def test_the_state_at_each_step_is_the_one_that_was_held(world: World):
    """What the session says of itself while it stands at a step, and what a replay says later."""
    held: list[object] = []

    def look(request: ModelRequest) -> Call | str:
        session = world.node[SESSION]
        held.append(world.node.state(session)["turn"])
        return Call("work.again", {"what": "x"}) if len(held) < 4 else "Done."

    script(world, *[look] * 4)
    await world.start()
    await world.post()
    await world.until_answered()
    source = StoredSource(await all_events(world))
    for number, turn in enumerate(held):
        detail = await step_of(source, SESSION, number + 1)
        assert isinstance(turn, Turn)
        told = [each["response"] for each in detail.state.value["steps"]]
        assert len(told) == number
        assert told == [each["response"] for each in plain(turn)["steps"]]


async def test_what_was_erased_or_pruned_is_said_and_nothing_crashes(talked: World):
    events = await all_events(talked)
    for gone in range(len(events)):
        if events[gone].kind in ("room.joined", "room.opened"):
            continue
        left = list(events)
        left[gone] = msgspec.structs.replace(events[gone], payload={}, state="erased")
        source = StoredSource(left)
        view = await replay(source, SESSION)
        assert view.total == 9  # nobody's step has another number now
        for each in view.steps:
            with suppress(SeedLost):
                await step_of(source, SESSION, each.number)
        touched = [each for each in view.steps if each.problems or each.prompt == "unknown"]
        assert touched or events[gone].kind in ("turn.finished", "room.message"), events[gone].kind


async def test_turns_are_counted_from_where_a_count_ended(talked: World):
    source = StoredSource(await all_events(talked))
    whole = await ledger_of(source, SESSION)
    for event in await talked.events():
        half = Ledger()
        for each in await talked.events():
            if each.seq <= event.seq:
                half.take(each)
        stored = msgspec.msgpack.decode(msgspec.msgpack.encode(half), type=Ledger)
        assert await ledger_of(source, SESSION, stored) == whole


async def test_a_late_step_of_a_long_session_is_found_without_reading_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("planaria.agents.session.KEEP_EVERY", 20)
    monkeypatch.setattr("planaria.agents.past.ledgers.KEEP_AFTER", 20)
    script(world, *["Good day."] * 60)
    await world.start()
    given = []
    for number in range(1, 60):
        await world.post(str(number))
        await world.node.settle()
        if number in (25, 55):
            before = len(world.store.given)
            ledger = await world.run(known_ledger, SESSION)
            detail = await world.run(partial(step_of, SOURCE, SESSION, 2 * number, ledger=ledger))
            assert detail.prompt is not None and detail.prompt.exact
            assert len(ledger.rows) == number
            given.append(sum(world.store.given[before:]))
    assert given[0] < 120 and given[1] < 120  # of 5 x 55 events and the room's talk
    assert await world.run(Journal.load_snapshot, "journal", SESSION, SNAPSHOT, SNAPSHOT_VERSION) is not None


async def test_looking_at_a_run_asks_nobody_outside(talked: World, monkeypatch: pytest.MonkeyPatch):
    assert isinstance(talked.provider, ScriptedProvider)
    asked, made = len(talked.provider.requests), len(talked.book.runs)
    before = len(await all_events(talked))
    talked.models.asked.clear()

    def forbidden(*args: object, **given: object) -> None:
        raise AssertionError("somebody outside is called")

    for name in ("socket.connect", "socket.connect_ex", "getaddrinfo", "create_connection"):
        monkeypatch.setattr(f"socket.{name}", forbidden)
    view = await replayed(talked)
    for number in range(1, view.total + 1):
        await step(talked, number)
        await replayed(talked, to=number)
    run = await talked.run(run_of, SOURCE, SESSION, await talked.run(ledger_of, SOURCE, SESSION))
    assert compare_runs(run, run).first is None
    for message in (each for each in await talked.said() if each.author_kind == "person"):
        assert await talked.run(read_here, message.trace_id) is not None
    assert (len(talked.provider.requests), len(talked.book.runs)) == (asked, made)
    assert talked.models.asked == [] and len(await all_events(talked)) == before


# --- size ------------------------------------------------------------------------------------------------------------


async def test_a_turn_takes_the_same_room_however_long_the_conversation_is(world: World):
    """Bytes kept, payloads and contents, per turn of a message, a tool call and an answer; long texts on both sides."""
    (world.garden / "SOUL.md").write_text("We are kind. " * 200)
    store = world.store

    def size() -> int:
        return sum(len(event.payload) for event in store._events) + sum(map(len, store._contents.values()))

    def line(request: ModelRequest) -> Call | str:
        last = request.messages[-1]
        return (
            Call("work.again", {"what": "x"})
            if last.role == "user"
            else f"Answer {len(provider.requests)}. " * 20
        )

    await world.start()
    provider = script(world, *[line] * 700)
    sizes: dict[int, int] = {}
    for number in range(1, 311):
        if number - 1 in (0, 10, 100, 110, 300):
            sizes[number - 1] = size()
        await world.post(f"message {number} " * 20)
        await world.node.settle()
    sizes[310] = size()
    early, middle, late = ((sizes[n + 10] - sizes[n]) / 10 for n in (0, 100, 300))
    assert len(provider.requests) == 620
    # The first turns also have the texts that are kept once.
    assert early < 2500
    assert middle < 1200 and late < middle * 1.05
    assert max(len(request.messages) for request in provider.requests) > 40
    assert len(canonical(provider.requests[-1])) > 10_000
