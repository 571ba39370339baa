"""What a model is sent."""

import msgspec
import pytest

from planaria.agents.definition import AgentDefinition
from planaria.agents.prompt.prompt import (
    BUDGETS,
    MOST_MESSAGES,
    Told,
    assemble,
    budgets_of,
    choose,
    compose,
    parts_of,
    system_text,
)
from planaria.agents.turn.turn import Aside, Step, ToolResult, Turn
from planaria.membrane.provider import Message, ModelResponse, ToolCall, Usage
from planaria.rooms.message import AuthorKind, RoomMessage

SCOUT = AgentDefinition("scout", "You look around.")
LIMIT = (
    "[You have reached a limit of this turn: 3 of 3 steps. "
    "Answer now with what you have found; no tool is called any more.]"
)


def said(id: str, text: str, author: str = "ada", kind: AuthorKind = "person") -> RoomMessage:
    return RoomMessage(id, int(id), 0.0, "garden", author, kind, text)


def shown(talk: list[RoomMessage], turn: Turn, pending: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    chosen = choose(talk, {turn.message.id, *pending})
    return [(m.role, m.content) for m in compose("scout", turn, chosen, "SYSTEM")]


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
    long = [said("1", "old"), said("2", "x" * BUDGETS["talk"] * 4)]
    assert [text[:3] for _, text in shown(long, turn)] == ["SYS", "xxx", "now"]


def test_tool_calls_of_the_turn_are_answered_each_in_its_place():
    calls = (ToolCall("a", "x.y", {}), ToolCall("b", "x.z", {}))
    results = {"1/0/1": ToolResult("b", "second"), "1/0/0": ToolResult("a", "first")}
    asked = ModelResponse("Let me see.", calls, Usage(), "tool_calls", "m", "p")
    turn = Turn(said("1", "go"), steps=(Step(asked, results),))
    assert compose("scout", turn, [], "S")[2:] == (
        Message("assistant", "Let me see.", calls),
        Message("tool", "first", tool_call_id="a"),
        Message("tool", "second", tool_call_id="b"),
    )


def test_the_system_message_has_its_parts_in_order_and_says_who_where_and_with_whom():
    files = {"memory": "It rained.", "soul": "We are kind.", "contract": "# House rules\nNo noise."}
    parts = assemble(
        Told(SCOUT, "garden", "ada", ("keeper",), files, ("Be brief.",), "1. [ ] look", "Half done.")
    )
    names = [
        "identity",
        "contract",
        "soul",
        "memory",
        "room",
        "instructions",
        "amendments",
        "plan",
        "handoff",
    ]
    assert [part.name for part in parts] == names
    text = system_text(parts)
    assert "You are scout, an agent in the room 'garden'. You answer ada." in text
    assert "@keeper" in text and "# Soul\n\nWe are kind." in text
    assert "# Contract" not in text  # it has a heading of its own
    assert "Other agents" not in system_text(assemble(Told(SCOUT, "garden", "ada")))


def test_a_part_that_outgrows_its_budget_is_cut_and_says_so():
    small = msgspec.structs.replace(SCOUT, prompt={"memory": 10})
    (part,) = [
        p for p in assemble(Told(small, "garden", "ada", files={"memory": "# M\n" + "x" * 100})) if p.cut
    ]
    assert (part.name, part.budget, part.cut) == ("memory", 10, 64)
    assert part.text == "# M\n" + "x" * 36 + (
        "\n[cut here: 64 more characters of memory do not fit its budget of 10 tokens]"
    )
    (wider,) = [
        p for p in assemble(Told(small, "garden", "ada", files={"memory": "# M\n" + "x" * 100}), 8.0) if p.cut
    ]
    assert wider.cut == 24


def test_a_secret_is_masked_before_it_is_cut():
    told = Told(SCOUT, "garden", "ada", files={"memory": "x" * 990 + "sk-very-secret-key"})
    parts = assemble(told, characters=0.25, mask=lambda text: text.replace("sk-very-secret-key", "[secret]"))
    (memory,) = [part for part in parts if part.name == "memory"]
    assert memory.cut and "sk-" not in memory.text


def test_budgets_shrink_to_the_window_of_a_small_model():
    budgets = budgets_of(SCOUT, 8000)
    assert sum(budgets.values()) <= 6000
    assert budgets["talk"] / budgets["memory"] == pytest.approx(BUDGETS["talk"] / BUDGETS["memory"], rel=0.01)


def test_parts_are_found_again_in_what_was_sent():
    parts = assemble(Told(SCOUT, "garden", "ada", ("keeper",), {"soul": "We are\n\nkind."}))
    assert parts_of(system_text(parts), [part.size for part in parts]) == list(parts)


def test_old_results_of_a_long_turn_give_way_and_those_of_the_last_step_stay():
    steps = tuple(
        Step(
            ModelResponse("", (ToolCall(str(n), "x.y", {}),), Usage(), "tool_calls", "m", "p"),
            {f"1/{n}/0": ToolResult(str(n), str(n) * 2000)},
        )
        for n in range(3)
    )
    turn = Turn(said("1", "go"), steps=steps)
    tools = [m.content for m in compose("scout", turn, [], "S", 2, 4500) if m.role == "tool"]
    assert tools[0] == "0" * 400 + "\n[cut here: 1600 more characters of the result 1/0/0]"
    assert tools[1:] == ["1" * 2000, "2" * 2000]
    least = [m.content for m in compose("scout", turn, [], "S", 2, 10) if m.role == "tool"]
    assert "[cut here" in least[1] and least[2] == "2" * 2000
    assert [len(m.content) for m in compose("scout", turn, [], "S", 1, 10) if m.role == "tool"] == [2000] * 3


def test_messages_that_were_taken_in_stand_where_the_model_saw_them():
    step = Step(
        ModelResponse("", (ToolCall("a", "x.y", {}),), Usage(), "tool_calls", "m", "p"),
        {"1/0/0": ToolResult("a", "found")},
    )
    asides = (
        Aside(0, "message", "and that", said("2", "and that"), collected=True),
        Aside(1, "message", "stop looking", said("3", "stop looking")),
        Aside(1, "limit", "3 of 3 steps"),
    )
    messages = compose("scout", Turn(said("1", "go"), steps=(step,), asides=asides), [], "S")
    assert [m.content for m in messages[1:]] == [
        "go",
        "and that",
        "",
        "found",
        "[said while you were working; take it into account] stop looking",
        LIMIT,
    ]
