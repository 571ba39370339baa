from functools import partial
from typing import Any

import pytest

from planaria.membrane.tool import Context, Done, Failed
from planaria.rooms.room import Room
from planaria.rooms.rooms import open_room, tree

from .conftest import Garden


@pytest.fixture
async def rooms(garden: Garden) -> Garden:
    await garden.node.start(tree())
    await garden.node.run(open_room, "garden")
    return garden


async def say(
    garden: Garden, caller: str = "agent:scout", call_id: str = "", **arguments: Any
) -> Done | Failed:
    context = Context(caller, garden.folder, session="s", room="garden", call_id=call_id)
    answer = await garden.node.run(partial(garden.gate.call, "room.say", arguments, context, ["room.*"]))
    assert isinstance(answer, Done | Failed)
    return answer


async def said(garden: Garden) -> list[tuple[str, str, str]]:
    messages = await Room.transcript(garden.node["room:garden"])
    return [(message.author, message.author_kind, message.text) for message in messages]


async def test_an_agent_and_a_workflow_speak_under_their_names(rooms: Garden) -> None:
    await say(rooms, text="Hello.")
    await say(rooms, caller="workflow:digest", text="News.", room="garden")
    assert await said(rooms) == [("scout", "agent", "Hello."), ("digest", "workflow", "News.")]


async def test_a_call_made_again_is_one_message(rooms: Garden) -> None:
    for _ in range(2):
        await say(rooms, call_id="call-1", text="Once.")
    assert await said(rooms) == [("scout", "agent", "Once.")]


async def test_a_room_that_is_not_there_is_refused_and_not_opened(rooms: Garden) -> None:
    assert await say(rooms, text="x", room="garten") == Failed("there is no room 'garten'; there are: garden")
    assert rooms.node.whereis("room:garten") is None


async def test_nothing_is_not_said(rooms: Garden) -> None:
    assert isinstance(await say(rooms, text="  \n"), Failed)
    assert await said(rooms) == []
