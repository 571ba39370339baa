"""What a model is sent."""

from planaria.agents.definition import AgentDefinition
from planaria.agents.prompt import MOST_CHARACTERS, MOST_MESSAGES, build, system_text
from planaria.agents.turn import Step, ToolResult, Turn
from planaria.membrane.provider import Message, ModelResponse, ToolCall, Usage
from planaria.rooms.message import AuthorKind, RoomMessage

SCOUT = AgentDefinition("scout", "You look around.")


def said(id: str, text: str, author: str = "ada", kind: AuthorKind = "person") -> RoomMessage:
    return RoomMessage(id, int(id), 0.0, "garden", author, kind, text)


def shown(talk: list[RoomMessage], turn: Turn, pending: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in build(SCOUT, turn, talk, pending, "SYSTEM")]


def test_the_talk_of_the_room_comes_before_the_message_in_hand():
    turn = Turn(said("3", "and now?"))
    talk = [said("1", "hello"), said("2", "hi", "scout", "agent"), turn.message]
    assert shown(talk, turn) == [
        ("system", "SYSTEM"),
        ("user", "hello"),
        ("assistant", "hi"),
        ("user", "and now?"),
    ]


def test_messages_that_wait_behind_it_are_not_known_yet():
    turn = Turn(said("1", "first"))
    assert ("user", "second") not in shown([turn.message, said("2", "second")], turn, pending=("2",))


def test_several_people_are_told_apart_and_others_are_named_with_what_they_are():
    turn = Turn(said("4", "and now?"))
    talk = [
        said("1", "hello", "bob"),
        said("2", "news", "digest", "workflow"),
        said("3", "x", "scout", "notice"),
    ]
    assert shown(talk, turn)[1:] == [
        ("user", "bob: hello"),
        ("user", "[digest, workflow] news"),
        ("user", "[scout, notice] x"),
        ("user", "and now?"),
    ]


def test_the_oldest_give_way():
    turn = Turn(said("999", "now"))
    many = [said(str(n), f"m{n}") for n in range(1, 200)]
    assert [text for _, text in shown(many, turn)][1:] == [
        f"m{n}" for n in range(200 - MOST_MESSAGES, 200)
    ] + ["now"]
    long = [said("1", "old"), said("2", "x" * MOST_CHARACTERS)]
    assert [text[:3] for _, text in shown(long, turn)] == ["SYS", "xxx", "now"]


def test_tool_calls_of_the_turn_are_answered_each_in_its_place():
    calls = (ToolCall("a", "x.y", {}), ToolCall("b", "x.z", {}))
    results = {"1/0/1": ToolResult("b", "second"), "1/0/0": ToolResult("a", "first")}
    asked = ModelResponse("Let me see.", calls, Usage(), "tool_calls", "m", "p")
    turn = Turn(said("1", "go"), steps=(Step(asked, results),))
    assert build(SCOUT, turn, [], (), "S")[2:] == (
        Message("assistant", "Let me see.", calls),
        Message("tool", "first", tool_call_id="a"),
        Message("tool", "second", tool_call_id="b"),
    )


def test_the_system_message_says_who_it_is_where_and_with_whom():
    text = system_text(SCOUT, "garden", "ada", ["keeper"], ["We are kind."])
    assert "You are scout, an agent in the room 'garden'. You answer ada." in text
    assert "@keeper" in text and "We are kind." in text
    assert text.endswith("You look around.")
    assert "Other agents" not in system_text(SCOUT, "garden", "ada", [])
