"""What a turn needs next, decided from what happened."""

from typing import Any

import pytest

from planaria.agents.turn.events import (
    ModelFailed,
    ModelRequested,
    ModelResponded,
    Talk,
    TurnFinished,
    TurnStarted,
)
from planaria.agents.turn.turn import (
    Act,
    Say,
    Step,
    Think,
    Turn,
    message_of_turn,
    model_label,
    next_action,
    place_of,
    take,
    turn_id,
)
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventType
from planaria.membrane.calls.treatment import LONGEST_WAIT
from planaria.membrane.provider import ModelResponse, ToolCall, Usage
from planaria.rooms.message import RoomMessage

TURN = Turn(RoomMessage("m1", 1, 0.0, "garden", "ada", "person", "hello", trace_id="t"), begun=True)


def response(*tools: str, text: str = "") -> ModelResponse:
    calls = tuple(ToolCall(f"c{n}", name, {}) for n, name in enumerate(tools))
    return ModelResponse(text, calls, Usage(1, 2), "stop", "large", "fake")


def event(kind: str, *, cause: str = "m1", version: int = 1, state: Any = "whole", **payload: Any) -> Event:
    return Event(
        *(1, "e", 0.0, "t", cause, "n", "p", "session:scout@garden", kind, payload),
        version=version,
        state=state,
    )


def noted(payload: EventType, cause: str = "m1") -> Event:
    new = payload.new()
    return event(new.kind, cause=cause, version=new.version, **new.payload)


def answer(step: int, said: ModelResponse, turn: str = "m1") -> Event:
    return noted(
        ModelResponded(
            turn=turn,
            step=step,
            text=said.text,
            usage=said.usage,
            finish_reason=said.finish_reason,
            model=said.model,
            provider=said.provider,
            tool_calls=said.tool_calls,
        ),
        turn,
    )


def responded(turn: Turn, said: ModelResponse) -> Turn:
    return take(turn, answer(len(turn.steps), said))


def failed(turn: Turn, error: str, retry: bool, retry_after: float | None = None) -> Turn:
    return take(turn, noted(ModelFailed("m1", len(turn.steps), error, retry, retry_after)))


def test_a_turn_begins_with_thinking():
    assert next_action(TURN, 12) == Think(0)


def test_what_the_model_says_without_tools_is_said():
    assert next_action(responded(TURN, response(text=" Hello. ")), 12) == Say("Hello.", "fake/large")


def test_all_tools_of_an_answer_run_at_once():
    action = next_action(responded(TURN, response("a.b", "c.d")), 12)
    assert isinstance(action, Act)
    assert [(run.place, run.call.name, run.cut_off) for run in action.runs] == [
        ("m1/0/0", "a.b", False),
        ("m1/0/1", "c.d", False),
    ]


def test_only_tools_without_a_result_are_run_and_those_begun_are_cut_off():
    turn = responded(TURN, response("a.b", "c.d"))
    turn = take(turn, event("tool.started", call_id=place_of(turn, 0, 0)))
    turn = take(
        turn,
        event(
            "tool.finished",
            tool="a.b",
            branch="x",
            duration_ms=1.0,
            call_id="m1/0/0",
            outcome={"value": 1, "text": None},
            error=None,
        ),
    )
    turn = take(turn, event("tool.started", call_id="m1/0/1"))
    action = next_action(turn, 12)
    assert isinstance(action, Act)
    assert [(run.place, run.cut_off) for run in action.runs] == [("m1/0/1", True)]


def test_when_all_tools_have_answered_the_model_thinks_on():
    turn = responded(TURN, response("a.b"))
    turn = take(
        turn,
        event(
            "tool.finished",
            tool="a.b",
            branch="x",
            duration_ms=1.0,
            call_id="m1/0/0",
            outcome=None,
            error="no",
            retry=False,
        ),
    )
    assert turn.steps[0].results["m1/0/0"].text == "Failed: no"
    assert next_action(turn, 12) == Think(1)


def test_after_max_steps_one_last_call_may_say_what_was_found():
    turn = responded(TURN, response("a.b"))
    turn = take(
        turn,
        event(
            "tool.finished",
            tool="a.b",
            branch="x",
            duration_ms=1.0,
            call_id="m1/0/0",
            outcome={"value": "x"},
            error=None,
        ),
    )
    assert next_action(turn, 1) == Think(1)  # the closing call
    limited = take(turn, event("turn.limited", turn="m1", step=1, limit="steps", reached=1, allowed=1))
    found = next_action(responded(limited, response(text="This much.")), 1)
    assert found == Say("This much.", "fake/large")
    nothing = next_action(responded(limited, response("a.b")), 1)
    assert isinstance(nothing, Say) and nothing.failed and "1 of 1 steps" in nothing.text


def test_a_failure_is_waited_for_longer_each_time_and_then_said():
    waits = []
    turn = TURN
    while isinstance(action := next_action(turn, 12), Think):
        waits.append(action.wait)
        turn = failed(turn, "busy", retry=True)
    assert waits == [0.0, 1.0, 2.0]
    assert action == Say("I could not answer: busy", None, "failed")


def test_the_provider_s_own_wait_is_kept_and_one_too_long_is_none():
    assert next_action(failed(TURN, "busy", True, 20.0), 12) == Think(0, 20.0)
    assert isinstance(next_action(failed(TURN, "busy", True, LONGEST_WAIT + 1), 12), Say)


def test_an_answer_after_failures_begins_their_count_anew():
    turn = responded(failed(failed(TURN, "busy", True), "busy", True), response("a.b"))
    assert (turn.failures, turn.last_error, turn.retry_after) == (0, "", 0.0)


def test_an_answer_is_taken_from_the_journal_as_it_was():
    said = response("a.b", text="Let me see.")
    assert take(TURN, answer(0, said)).steps == (Step(said),)


@pytest.mark.parametrize("step", [1, 2])
def test_an_answer_to_another_step_or_turn_changes_nothing(step: int):
    assert take(TURN, answer(step, response(text="x"))) == TURN
    assert take(TURN, answer(0, response(text="x"), turn="m2")) == TURN
    assert take(TURN, answer(0, response(text="x"), turn="m1~2")) == TURN


def test_a_failure_and_the_end_are_taken_from_the_journal():
    turn = failed(TURN, "busy", True, 3.0)
    assert (turn.failures, turn.last_error, turn.may_retry, turn.retry_after) == (1, "busy", True, 3.0)
    assert take(TURN, noted(TurnFinished("m1", "answered"))).finished == "answered"
    assert not take(TURN, noted(TurnFinished("m2", "answered"))).finished


def test_events_that_older_programs_wrote_are_read():
    """Payloads as they were before events had types and versions."""
    turn = Turn(TURN.message)
    old: list[tuple[str, dict[str, Any]]] = [
        ("turn.started", {"message": "m1", "author": "ada"}),
        (
            "model.requested",
            {"turn": "m1", "step": 0, "provider": "fake", "model": "large", "messages": 2, "tools": ["a.b"]},
        ),
        ("model.failed", {"turn": "m1", "step": 0, "error": "busy", "retry": True, "retry_after": None}),
        (
            "model.requested",
            {"turn": "m1", "step": 0, "provider": "fake", "model": "large", "messages": 2, "tools": ["a.b"]},
        ),
        (
            "model.responded",
            {
                "turn": "m1",
                "step": 0,
                "text": "",
                "reasoning": "",
                "tool_calls": [{"id": "c0", "name": "a.b", "arguments": {}, "vendor": None}],
                "usage": {"input_tokens": 1, "output_tokens": 2, "cached_tokens": 0, "cache_write_tokens": 0},
                "finish_reason": "tool_calls",
                "model": "large",
                "provider": "fake",
                "cost_micro": 35,
                "first_ms": 1.0,
                "duration_ms": 2.0,
            },
        ),
        ("tool.started", {"call_id": "m1/0/0", "tool": "a.b", "arguments": {}, "caller": "agent:scout"}),
        (
            "tool.finished",
            {
                "call_id": "m1/0/0",
                "tool": "a.b",
                "arguments": {},
                "caller": "agent:scout",
                "branch": "ok",
                "duration_ms": 1.0,
                "outcome": {"value": "seen", "text": None},
                "error": None,
                "retry": False,
            },
        ),
        ("turn.finished", {"turn": "m1", "outcome": "answered"}),
    ]
    for kind, payload in old:
        turn = take(turn, event(kind, **payload))
    assert turn.begun and turn.finished == "answered"
    assert turn.steps[0].results["m1/0/0"].text == "seen"
    assert turn.asked is not None and (turn.asked.digest, turn.asked.tools) == ("", None)


def test_a_later_program_s_event_is_not_guessed_at():
    turn = take(TURN, event("model.responded", version=99))
    assert (turn.gone, turn.steps) == ("unreadable", ())
    action = next_action(turn, 12)
    assert isinstance(action, Say) and action.outcome == "failed" and "has version 99" in action.text


def test_what_is_the_same_as_in_the_request_before_is_carried_on():
    first = ModelRequested(
        "m1", 0, "fake", "large", digest="d", system="Be brief.", tools="[]", talk=Talk(1, 2)
    )
    turn = responded(take(TURN, noted(first)), response("a.b"))
    assert not turn.open
    turn = take(turn, noted(ModelRequested("m1", 1, "fake", "large", digest="e")))
    assert turn.asked is not None and turn.open
    assert (turn.asked.system, turn.asked.tools, turn.asked.talk) == ("Be brief.", "[]", Talk(1, 2))


def test_a_call_whose_end_nobody_knows_is_made_again_as_the_same_try():
    asked = ModelRequested("m1", 0, "fake", "large", digest="d")
    turn = take(TURN, noted(asked))
    assert turn.open and asked.key == "m1/0/1"
    unsure = take(turn, noted(ModelFailed("m1", 0, "cut", True, unknown=True)))
    assert unsure.open and unsure.failures == 1
    sure = take(turn, noted(ModelFailed("m1", 0, "busy", True)))
    assert not sure.open and sure.tries == 1


@pytest.mark.parametrize("state", ["erased", "pruned"])
@pytest.mark.parametrize(
    "kind", ["turn.started", "model.requested", "model.responded", "tool.finished", "turn.finished"]
)
def test_a_turn_whose_trace_is_gone_is_over(kind: str, state: str):
    turn = take(TURN, event(kind, state=state))
    action = next_action(turn, 12)
    assert isinstance(action, Say) and action.outcome == "erased"
    assert state in action.text
    assert take(TURN, event(kind, state=state, cause="m2")) == TURN


def test_a_turn_is_named_after_its_message_and_its_attempt():
    assert (turn_id("m1", 1), turn_id("m1", 2)) == ("m1", "m1~2")
    assert (message_of_turn("m1"), message_of_turn("m1~12")) == (("m1", 1), ("m1", 12))
    again = Turn(TURN.message, attempt=2)
    assert place_of(again, 0, 1) == "m1~2/0/1"
    assert not take(again, noted(TurnStarted("m1", "ada"))).begun
    assert take(again, noted(TurnStarted("m1", "ada", attempt=2), "m1~2")).begun


def test_a_model_is_called_by_its_provider_and_name_or_by_one_of_them():
    assert model_label(response()) == "fake/large"
    assert model_label(ModelResponse("", (), Usage(), "stop", "offline", "offline")) == "offline"
