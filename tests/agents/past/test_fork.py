"""Branches: what was before the step is kept and not made again, what comes after it is made live."""

from typing import Any

import pytest

from planaria.agents.keeper import Agents
from planaria.agents.past.compare import Comparison, begin_at, compare_runs
from planaria.agents.past.forking import editable, edited, free_name
from planaria.agents.past.ledgers import known_ledger
from planaria.agents.past.replay import replay, run_of
from planaria.agents.past.replayed import ReplayView, Run
from planaria.agents.past.source import JournalSource
from planaria.agents.turn.events import SessionForked
from planaria.membrane.provider import ModelRequest, ModelResponse, ToolCall, Usage
from planaria.nerve.methods.method import Nothing
from planaria.nerve.methods.sessions import Forked, Forking, WhichBranch, fork, forks, remove_fork
from planaria.nerve.protocol import ControlError
from planaria.otp import Node
from planaria.rooms.room import Room
from planaria.testing.models import Call, Calls, ScriptedProvider
from tests.agents.support import SCOUT, SESSION, World

BRANCH = "session:scout@garden-fork-1"
ROOM = "room:garden-fork-1"
NO_USE: Any = None
"""Services and channel, which these methods do not use."""


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


@pytest.fixture
async def talked(world: World) -> World:
    """Steps: 1 message, 2 calls two tools, 3 calls one, 4 answers; 5 message, 6 answers."""
    script(
        world,
        Calls((Call("work.once", {"what": "this"}), Call("work.again", {"what": "that"}))),
        Call("work.once", {"what": "more"}),
        "All done.",
        "You are welcome.",
    )
    await world.start()
    await world.post("do it")
    await world.until_answered()
    await world.post("thank you")
    await world.until_answered(2)
    return world


async def branch(world: World, at: int, **given: Any) -> Forked:
    made = await world.run(fork, Forking("scout", at, **given), NO_USE, NO_USE)
    await world.node.advance(5.0)
    return made


async def replayed(world: World, session: str) -> ReplayView:
    return await world.run(replay, JournalSource(), session)


async def run(world: World, session: str) -> Run:
    async def read() -> Run:
        return await run_of(JournalSource(), session, await known_ledger(session))

    return await world.run(read)


async def compared(world: World, one: str, other: str) -> Comparison:
    runs = await run(world, one), await run(world, other)
    first, second = begin_at(*runs)
    return compare_runs(*runs, from_one=first, from_other=second)


def told(view: ReplayView) -> list[tuple[str, str, bool]]:
    return [
        (step.kind, step.text or ",".join(call.tool for call in step.calls), step.kept) for step in view.steps
    ]


# --- where it branches off -------------------------------------------------------------------------------------------


async def test_a_branch_at_an_answer_keeps_what_was_before_and_asks_for_it_anew(talked: World):
    provider = script(talked, "Only this one.")
    made = await branch(talked, 3)
    assert (made.session, made.room, made.running) == (BRANCH, "garden-fork-1", True)
    assert told(await replayed(talked, BRANCH)) == [
        ("message", "do it", False),
        ("answer", "work.once,work.again", True),
        ("answer", "Only this one.", False),
    ]
    assert talked.book.count("once") == 2 and talked.book.count("again") == 1  # none was made again
    assert [message.text for message in await talked.said(ROOM)][-2:] == ["do it", "Only this one."]
    # What it was sent is what the other was sent at this step.
    assert provider.requests[-1].messages == provider.requests[1].messages


async def test_a_branch_at_a_message_handles_it_anew(talked: World):
    script(talked, Call("work.again", {"what": "other"}), "Otherwise.")
    await branch(talked, 1)
    assert told(await replayed(talked, BRANCH)) == [
        ("message", "do it", False),
        ("answer", "work.again", False),
        ("answer", "Otherwise.", False),
    ]


async def test_a_branch_at_a_later_turn_has_the_talk_before_it_and_copies_nothing(talked: World):
    provider = script(talked, "Any time.")
    before = len(await talked.events(session=None))
    await branch(talked, 6)
    assert provider.requests[-1].messages == provider.requests[3].messages
    kinds = [event.kind for event in (await talked.events(session=None))[before:]]
    assert sorted(kinds) == sorted(
        [
            *("room.opened", "room.forked", "session.forked", "room.joined", "room.message"),
            *("turn.started", "model.requested", "model.responded", "room.message", "turn.finished"),
        ]
    )
    assert [message.text for message in await talked.said(ROOM) if message.author_kind != "notice"] == [
        *("do it", "All done.", "thank you", "Any time.")
    ]


async def test_another_model_answers_in_the_branch_alone(talked: World):
    talked.models.provider = ScriptedProvider(["From the other.", "Still me."], name="other")
    await branch(talked, 4, model="other/large")
    assert talked.models.asked[-1] == "other/large"
    talked.models.provider = ScriptedProvider(["The first."])
    await talked.post("and you?")
    await talked.until_answered(3)
    assert talked.models.asked[-1] is None
    # A change of the agent's file does not take the override away.
    await talked.save("agents/scout.md", SCOUT.replace("class: agent", "model: third"))
    talked.models.provider = ScriptedProvider(["Still me."])
    await talked.post("and you?", room=ROOM)
    await talked.node.advance(5.0)
    assert talked.models.asked[-1] == "other/large"


async def test_an_edited_message_is_answered_instead(talked: World):
    provider = script(talked, "Something else is done.")
    await branch(talked, 1, edit="do something else")
    assert provider.requests[-1].messages[-1].content == "do something else"
    (event,) = await talked.events(SessionForked.kind, session="forks")
    assert (event.payload["edit"], event.subject) == ("message", "person:ada")


async def test_an_edited_answer_stands_and_the_model_is_not_asked(talked: World):
    asked = len(script(talked).requests)
    await branch(talked, 4, edit="Nothing is done.")
    view = await replayed(talked, BRANCH)
    assert told(view)[-1] == ("answer", "Nothing is done.", True)
    assert view.steps[-1].model == "edited"
    assert (await talked.said(ROOM))[-1].text == "Nothing is done."
    assert len(script(talked).requests) == asked


async def test_edited_tool_calls_are_made_and_their_results_go_to_the_model(talked: World):
    def line(request: ModelRequest) -> str:
        return f"It says: {request.messages[-1].content}"

    script(talked, line)
    edit = '{"text": "Let me see.", "tool_calls": [{"name": "work.again", "arguments": {"what": "edited"}}]}'
    await branch(talked, 3, edit=edit)
    assert (await talked.said(ROOM))[-1].text == "It says: did edited again"
    assert [place.partition("/")[2] for name, place in talked.book.runs if name == "again"] == ["0/1", "1/0"]


async def test_a_branch_of_a_branch_goes_on_from_it(talked: World):
    script(talked, "First branch.", "Second branch.")
    await branch(talked, 3)
    made = await talked.run(fork, Forking(BRANCH, 3), NO_USE, NO_USE)
    await talked.node.advance(5.0)
    assert made.room == "garden-fork-2"
    assert told(await replayed(talked, made.session)) == [
        ("message", "do it", False),
        ("answer", "work.once,work.again", True),
        ("answer", "Second branch.", False),
    ]
    assert (await replayed(talked, made.session)).steps[-1].prompt == "exact"


async def test_prompts_of_a_branch_are_rebuilt_exactly(talked: World):
    script(talked, Call("work.again", {"what": "x"}), "Done.", "Yes.")
    await branch(talked, 3)
    await talked.post("really?", room=ROOM)
    await talked.node.advance(5.0)
    view = await replayed(talked, BRANCH)
    assert [step.prompt for step in view.steps if step.kind == "answer"] == ["", "exact", "exact", "exact"]
    assert [step.problems for step in view.steps] == [()] * len(view.steps)


# --- its life --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", [BRANCH, "agents", "agent_trees", "scout@garden-fork-1", ROOM, "journal"])
async def test_a_branch_survives_whatever_is_killed(talked: World, victim: str):
    script(talked, "From the branch.", "Still here.")
    await branch(talked, 3)
    await talked.kill(victim)
    await talked.node.advance(5.0)
    await talked.post("are you there?", room=ROOM)
    await talked.node.advance(5.0)
    assert (await talked.said(ROOM))[-1].text == "Still here."
    assert [message.text for message in await talked.said(ROOM)].count("do it") == 1


async def test_a_branch_survives_a_restart_of_the_node_in_the_middle_of_its_turn(talked: World):
    script(talked, Call("work.once", {"what": "x"}))
    talked.book.held = {"once"}
    await branch(talked, 3)
    await talked.node.stop()
    talked.book.held = set()
    async with Node("again") as node:
        talked.node = node  # type: ignore[assignment]
        talked.models.provider = ScriptedProvider([lambda request: request.messages[-1].content])
        async with node.open_port() as port:
            node.subscribe(ROOM, port.pid)
            await node.start(talked.tree())
            while getattr(message := await port.receive(10.0), "author", "") != "scout" or not hasattr(
                message, "seq"
            ):
                pass
        assert "nobody knows whether it took effect" in message.text
        assert [each.room for each in await Agents.forks(node["agents"])] == ["garden-fork-1"]


async def test_a_branch_is_seen_among_sessions_and_members(talked: World):
    script(talked, "From the branch.")
    await branch(talked, 3)
    views = await Agents.sessions(talked.node["agents"])
    assert [(view.agent, view.room) for view in views] == [("scout", "garden"), ("scout", "garden-fork-1")]
    assert await talked.run(Room.members, ROOM) == ["scout"]
    (known,) = await talked.run(forks, Nothing(), NO_USE, NO_USE)
    assert (known.room, known.session, known.step) == ("garden-fork-1", SESSION, 3)


async def test_a_branch_that_is_removed_ends_and_its_room_stays(talked: World):
    script(talked, "From the branch.")
    await branch(talked, 3)
    await talked.run(remove_fork, WhichBranch("scout@garden-fork-1"), NO_USE, NO_USE)
    assert talked.node.whereis(BRANCH) is None
    assert await talked.run(Room.members, ROOM) == []
    assert await talked.run(forks, Nothing(), NO_USE, NO_USE) == []
    await talked.kill("agents")
    await talked.node.advance(3.0)
    assert talked.node.whereis(BRANCH) is None
    assert (await replayed(talked, BRANCH)).total == 3


async def test_a_branch_ends_with_its_agent(talked: World):
    script(talked, "From the branch.")
    await branch(talked, 3)
    await talked.save("agents/scout.md", None)
    assert talked.node.whereis(BRANCH) is None
    assert await talked.run(Room.members, ROOM) == []


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"at": 7}, "has the steps 1 to 6, not 7"),
        ({"at": 4, "edit": '{"text": 3}'}, "no answer with tool calls"),
        ({"at": 4, "edit": "  "}, "the edited answer is empty"),
    ],
)
async def test_a_branch_that_cannot_be_is_refused_and_leaves_nothing(talked: World, given: Any, problem: str):
    with pytest.raises(ControlError, match=problem):
        await branch(talked, **given)
    assert await talked.events(session="forks") == []
    assert talked.node.whereis(ROOM) is None


async def test_a_session_that_is_not_there_is_an_error_with_those_that_are(talked: World):
    with pytest.raises(ControlError, match="no session 'nobody'") as error:
        await talked.run(fork, Forking("nobody", 1), NO_USE, NO_USE)
    assert error.value.fault.mend == "sessions: scout@garden"


# --- comparing -------------------------------------------------------------------------------------------------------


async def test_a_branch_is_compared_from_where_it_branched_off(talked: World):
    script(talked, Call("work.again", {"what": "else"}), "Otherwise.")
    await branch(talked, 3)
    found = await compared(talked, SESSION, BRANCH)
    assert found.first == 2
    assert found.divergence == (
        "they part at step 3 of session:scout@garden, step 3 of session:scout@garden-fork-1: decision"
    )
    (difference,) = found.pairs[2].differences
    assert (difference.one, difference.other) == ("calls work.once", "calls work.again")
    assert [each.what for each in found.pairs[3].differences] == ["prompt", "answer"]
    assert found.pairs[4].other is None
    assert (found.one.input_tokens, found.other.input_tokens) == (40, 20)


async def test_a_run_is_equal_to_itself(talked: World):
    found = await compared(talked, SESSION, SESSION)
    assert (found.first, found.divergence) == (None, "the two are equal")
    assert all(pair.differences == () for pair in found.pairs)


async def test_other_arguments_and_results_are_told_apart(talked: World):
    script(talked, Call("work.once", {"what": "less"}), "All done.")
    await branch(talked, 3)
    found = await compared(talked, SESSION, BRANCH)
    arguments, result = found.pairs[2].differences
    assert (arguments.what, result.what) == ("arguments", "result")
    assert '-  "what": "more"' in arguments.lines and '+  "what": "less"' in arguments.lines
    assert (result.one, result.other) == ("did more once", "did less once")


# --- names and edits -------------------------------------------------------------------------------------------------


def test_the_room_of_a_branch_gets_the_first_free_name():
    assert free_name("garden", {"garden"}) == "garden-fork-1"
    assert free_name("garden-fork-1", {"garden", "garden-fork-1"}) == "garden-fork-2"
    long = free_name("x" * 64, ())
    assert len(long) == 64 and long.endswith("-fork-1")


def test_an_answer_is_edited_as_text_or_with_its_calls_as_json():
    before = ModelResponse(
        "Hm.", (ToolCall("7", "a.b", {"x": 1}),), Usage(1, 2), "tool_calls", "large", "fake"
    )
    assert editable("Hello.", []) == "Hello."
    text = editable("Hm.", [("a.b", {"x": 1})])
    again = edited(text, before)
    assert (again.text, again.tool_calls) == (before.text, before.tool_calls)
    assert edited("{not json} but text", before).text == "{not json} but text"


async def test_a_branch_answers_no_message_that_was_answered_where_it_left(world: World):
    (world.garden / "agents" / "scout.md").write_text(
        SCOUT.replace("class: agent", "class: agent\narrivals: steer")
    )
    provider = script(world, Call("work.once", {}), "both", "otherwise")
    world.book.held = {"once"}
    await world.start()
    await world.post("one")
    await world.node.settle()
    await world.post("two")
    world.book.release()
    await world.until_answered()
    await branch(world, 3)
    assert provider.requests[-1].messages == provider.requests[1].messages
    answer = (await world.said(ROOM))[-1]
    assert answer.text == "otherwise"
    assert answer.answers == {}
    assert await world.run(Room.pending, ROOM, "scout") == []
    view = await replayed(world, BRANCH)
    assert [step.prompt for step in view.steps if step.kind == "answer"][-1] == "exact"
