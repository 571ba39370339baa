"""What a request's digest is made of: it holds for journals of every age."""

import msgspec
import pytest

from planaria.agents.prompt.request import Kept, canonical, rebuilt
from planaria.agents.turn.events import ModelRequested
from planaria.agents.turn.turn import Aside, Step, Turn
from planaria.membrane.provider import (
    FilePart,
    ImagePart,
    Message,
    ModelRequest,
    ModelResponse,
    Patience,
    ToolCall,
    ToolSpec,
    Usage,
)
from planaria.rooms.message import RoomMessage

PLAIN = ModelRequest(
    "m",
    (
        Message("user", "hi"),
        Message("assistant", "", (ToolCall("a", "f", {"n": 1}),)),
        Message("tool", "r", (), "a"),
    ),
    (ToolSpec("f", "F.", {"type": "object"}),),
    max_tokens=9,
)


def test_a_request_that_says_nothing_new_has_the_form_it_always_had():
    assert canonical(PLAIN) == (
        b'{"max_tokens":9,"messages":['
        b'{"content":"hi","role":"user","tool_call_id":null,"tool_calls":[]},'
        b'{"content":"","role":"assistant","tool_call_id":null,"tool_calls":['
        b'{"arguments":{"n":1},"id":"a","name":"f","vendor":null}]},'
        b'{"content":"r","role":"tool","tool_call_id":"a","tool_calls":[]}],"model":"m","temperature":null,'
        b'"tools":[{"description":"F.","name":"f","parameters":{"type":"object"}}]}'
    )


@pytest.mark.parametrize(
    "more",
    [
        {"response_schema": {"type": "object"}},
        {"reasoning_effort": "low"},
        {"tool_choice": "none"},
        {"stop": ("END",)},
        {"cache": False},
        {"messages": (Message("user", "hi", parts=(ImagePart("image/png", b"1"),)),)},
        {"messages": (Message("user", "hi", parts=(FilePart("a", data=b"1"),)),)},
        {"messages": (Message("assistant", "hi", reasoning="hm"),)},
        {"messages": (Message("assistant", "hi", vendor={"x": 1}),)},
    ],
)
def test_whatever_is_asked_otherwise_makes_another_form(more):
    assert canonical(msgspec.structs.replace(PLAIN, **more)) != canonical(PLAIN)


def test_what_is_not_asked_makes_no_other_form():
    for more in ({"idempotency_key": "k"}, {"patience": Patience(first_byte=1.0)}):
        assert canonical(msgspec.structs.replace(PLAIN, **more)) == canonical(PLAIN)


def test_what_is_kept_from_step_to_step_changes_no_request():
    def said(number: int, author: str, text: str) -> RoomMessage:
        return RoomMessage(f"m{number}", number, 0.0, "garden", author, "person", text)

    shown = [said(1, "ada", "one"), said(2, "ada", "two")]
    asked = ModelRequested("m9", 0, "p", "m", system="S")
    first = Turn(said(9, "ada", "go"))
    answered = ModelResponse("then?", (), Usage(1, 1), "stop", "m", "p")
    later = msgspec.structs.replace(first, steps=(Step(answered),))
    # Somebody else speaks during the turn: from then on every message has its author's name.
    joined = msgspec.structs.replace(
        later, asides=(Aside(1, "message", "me too", said(10, "bob", "me too")),)
    )
    kept = Kept()
    for turn, talk in (
        *((first, shown), (later, shown), (joined, shown), (first, shown)),
        *((first, shown[:1]), (later, [said(1, "ada", "one, changed"), shown[1]])),
    ):
        known, anew = (
            rebuilt("session:scout@r", asked, turn, talk, kept),
            rebuilt("session:scout@r", asked, turn, talk),
        )
        assert known == anew
        assert canonical(known, kept) == canonical(anew)
