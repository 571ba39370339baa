"""The keeper: files become agents, change them, end them; nothing that runs is disturbed without need."""

import asyncio

import pytest

from planaria.agents.keeper import Agents
from planaria.agents.turn.events import TurnStarted
from planaria.cortex.errors import StoreFull
from planaria.cortex.query import Query
from planaria.cortex.store import Stored
from planaria.membrane.provider import ModelRequest
from planaria.otp import Node
from planaria.rooms.room import Room
from planaria.testing.models import Call, ScriptedProvider
from tests.agents.support import GARDEN, SCOUT, SESSION, TrapStore, World


def echo(request: ModelRequest) -> str:
    """Answers with the instructions, the model's name and the tools it was offered."""
    tools = ",".join(tool.name for tool in request.tools)
    return f"{request.messages[0].content.splitlines()[-1]} / {request.model} / {tools}"


@pytest.fixture
async def echoing(world: World) -> World:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*[echo] * 20)
    await world.start()
    return world


async def ask(world: World, room: str = GARDEN) -> str:
    before = len(await world.answers(room))
    await world.post("hello", room=room)
    await world.node.advance(3.0)
    answers = await world.answers(room)
    assert len(answers) == before + 1
    return answers[-1]


async def members(world: World, room: str = GARDEN) -> list[str]:
    return await world.run(Room.members, room)


# --- changes -------------------------------------------------------------------------------------------------------


async def test_the_next_message_meets_the_new_instructions_model_and_tools(echoing: World):
    session = echoing.node[SESSION]
    assert await ask(echoing) == "You are scout. / scripted / work.again,work.once"
    await echoing.save("agents/scout.md", "---\nmodel: fake/large\ntools: [work.once]\n---\nBe brief.\n")
    assert await ask(echoing) == "Be brief. / fake/large / work.once"
    assert echoing.node[SESSION] is session


async def test_a_new_version_survives_a_kill_of_its_session(echoing: World):
    await echoing.save("agents/scout.md", SCOUT.replace("You are scout.", "Be brief."))
    await echoing.kill(SESSION)
    assert (await ask(echoing)).startswith("Be brief.")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("---\nclass: [\n---\nBroken.\n", "agents/scout.md:2"),
        ("---\nmodle: x\n---\nBroken.\n", "agents/scout.md:2: unknown key 'modle'. Did you mean 'model'?"),
        ("---\nclass: agent\n---\n", "the agent has no instructions"),
    ],
)
@pytest.mark.parametrize("victim", [None, SESSION, "agent:scout", "agents"])
async def test_a_broken_file_leaves_the_last_good_version_running_and_is_a_problem(
    echoing: World, text: str, problem: str, victim: str | None
):
    await echoing.save("agents/scout.md", SCOUT.replace("You are scout.", "Second version."))
    await echoing.save("agents/scout.md", text)
    assert any(problem in each for each in await echoing.problems())
    if victim is not None:
        await echoing.kill(victim)
        await echoing.node.advance(3.0)
    assert (await ask(echoing)).startswith("Second version.")
    await echoing.save("agents/scout.md", SCOUT.replace("You are scout.", "Mended."))
    assert await echoing.problems() == []
    assert (await ask(echoing)).startswith("Mended.")


async def test_a_tool_that_does_not_exist_is_a_problem_with_the_nearest_name(echoing: World):
    await echoing.save("agents/scout.md", "---\ntools: [work.onse]\n---\nHello.\n")
    assert await echoing.problems() == [
        "agents/scout.md:2: no tool is named 'work.onse'. Did you mean 'work.once'?"
    ]


async def test_an_agent_appears_with_its_file_and_leaves_with_it(echoing: World):
    await echoing.save("agents/keeper.md", SCOUT.replace("scout", "keeper"))
    assert await members(echoing) == ["scout", "keeper"]
    await echoing.save("agents/keeper.md", None)
    assert await members(echoing) == ["scout"]
    assert echoing.node.whereis("agent:keeper") is None
    assert [agent.name for agent in await Agents.definitions(echoing.node["agents"])] == ["scout"]


async def test_a_deleted_agent_leaves_in_the_middle_of_a_turn_and_the_room_says_so(world: World):
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(Call("work.once", {"what": "x"}))
    world.book.held = {"once"}
    await world.start()
    await world.post()
    await world.node.settle()
    await world.save("agents/scout.md", None)
    assert await world.answers() == [
        "scout has left; a message to it stays unanswered (`planaria dead list`)"
    ]
    assert world.node.whereis(SESSION) is None


async def test_one_that_comes_back_ends_the_turn_it_left_and_there_is_one_letter(world: World):
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(Call("work.once", {"what": "x"}))
    world.book.held = {"once"}
    await world.start()
    await world.post()
    await world.node.settle()
    await world.save("agents/scout.md", None)
    await world.save("agents/scout.md", SCOUT)
    (ended,) = await world.events("turn.finished")
    assert ended.payload["outcome"] == "failed"
    (letter,) = await world.events(session="dead")
    assert letter.payload["reason"] == "scout left the room before it had answered"


async def test_a_changed_list_of_rooms_moves_an_agent(echoing: World):
    await echoing.save("agents/scout.md", SCOUT.replace("class: agent", "rooms: [pond]"))
    assert await members(echoing) == []
    assert await members(echoing, "room:pond") == ["scout"]
    assert (await ask(echoing, "room:pond")).startswith("You are scout.")
    await echoing.save("agents/scout.md", SCOUT.replace("class: agent", "rooms: [pond, garden]"))
    assert await members(echoing) == ["scout"]


async def test_becoming_host_is_told_to_the_room(echoing: World):
    await echoing.save("agents/keeper.md", SCOUT.replace("You are scout", "I am keeper"))
    assert (await ask(echoing)).startswith("You are scout.")
    await echoing.save(
        "agents/keeper.md",
        SCOUT.replace("class: agent", "host: true").replace("You are scout", "I am keeper"),
    )
    assert (await ask(echoing)).startswith("I am keeper.")


class NobodyJoins(TrapStore):
    """Whoever looks whether a turn of its was begun, as an agent does before it joins, waits for ever."""

    async def read(self, query: Query) -> list[Stored]:
        if TurnStarted.kind in query.kinds:
            await asyncio.Event().wait()
        return await super().read(query)


async def test_who_speaks_before_the_agents_have_come_reaches_them_all_the_same(world: World):
    world.store = NobodyJoins()
    (world.garden / "agents" / "mole.md").write_text(SCOUT)
    await world.node.start(world.tree())
    await world.post("@scout @mole hello")
    for agent in ("scout", "mole"):
        waiting = await world.run(Room.pending, GARDEN, agent)
        assert [message.text for message in waiting] == ["@scout @mole hello"]
    assert await world.answers() == []  # nobody was a stranger


# --- restarts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("victim", ["agents", "agent:scout", "agent_trees", "scout@garden", "room_floor"])
async def test_whatever_of_the_floor_is_killed_the_agent_answers_again(echoing: World, victim: str):
    await echoing.kill(victim)
    await echoing.node.advance(3.0)
    assert (await ask(echoing)).startswith("You are scout.")
    await echoing.save("agents/scout.md", None)
    assert echoing.node.whereis("agent:scout") is None
    assert await members(echoing) == []


async def test_a_restarted_keeper_disturbs_nobody_and_keeps_them_on(echoing: World):
    session = echoing.node[SESSION]
    await echoing.kill("agents")
    await echoing.node.advance(3.0)
    assert echoing.node[SESSION] is session
    assert [agent.name for agent in await Agents.definitions(echoing.node["agents"])] == ["scout"]
    await echoing.save("agents/scout.md", SCOUT.replace("You are scout.", "Be brief."))
    assert (await ask(echoing)).startswith("Be brief.")


async def test_what_changed_while_no_node_ran_is_made_good_at_the_start(echoing: World):
    await echoing.save("agents/keeper.md", SCOUT)
    await echoing.save("agents/mole.md", SCOUT)
    assert await members(echoing) == ["scout", "keeper", "mole"]
    await echoing.node.stop()
    (echoing.garden / "agents" / "keeper.md").unlink()
    (echoing.garden / "agents" / "mole.md").write_text("---\nclass: [\n---\n")
    (echoing.garden / "agents" / "scout.md").write_text(SCOUT.replace("class: agent", "rooms: [pond]"))
    async with Node("again") as node:
        await node.start(echoing.tree())
        await node.settle()
        # The mole's file is broken, not gone: it stays a member and answers when it is mended.
        assert await Room.members(node[GARDEN]) == ["mole"]
        assert await Room.members(node["room:pond"]) == ["scout"]


async def test_an_agent_whose_room_cannot_be_opened_is_tried_again(world: World):
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(echo)
    await world.start()
    world.store.fault = StoreFull("no room left", "make room")
    await world.save("agents/mole.md", SCOUT.replace("class: agent", "rooms: [cave]"))
    assert any("could not be started" in problem for problem in await world.problems())
    world.store.fault = None
    await world.node.advance(3.0)
    assert await world.problems() == []
    assert (await ask(world, "room:cave")).startswith("You are scout.")


async def test_what_every_session_does_can_be_asked(echoing: World):
    (view,) = await Agents.sessions(echoing.node["agents"])
    assert (view.agent, view.room, view.status) == ("scout", "garden", "idle")


async def test_a_restarted_keeper_knows_the_last_good_version_of_a_file_that_is_broken(echoing: World):
    await echoing.save("agents/scout.md", SCOUT.replace("You are scout.", "Second version."))
    await echoing.save("agents/scout.md", "---\nmodle: x\n---\nBroken.\n")
    await echoing.kill("agents")
    await echoing.node.advance(2.0)
    await echoing.kill(SESSION)
    assert (await ask(echoing)).startswith("Second version.")
    await echoing.save("agents/scout.md", None)
    assert echoing.node.whereis("agent:scout") is None
