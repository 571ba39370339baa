"""What a turn needs next, decided from what happened."""

from typing import Any

import pytest

from planaria.agents.turn import (
    FAILED,
    FINISHED,
    LONGEST_WAIT,
    RESPONDED,
    Act,
    Say,
    Think,
    Turn,
    failed,
    model_label,
    next_action,
    place_of,
    responded,
    response_payload,
    take,
)
from planaria.cortex.event import Event
from planaria.membrane.provider import ModelResponse, ToolCall, Usage
from planaria.rooms.message import RoomMessage

TURN = Turn(RoomMessage("m1", 1, 0.0, "garden", "ada", "person", "hello", trace_id="t"), begun=True)


def response(*tools: str, text: str = "") -> ModelResponse:
    calls = tuple(ToolCall(f"c{n}", name, {}) for n, name in enumerate(tools))
    return ModelResponse(text, calls, Usage(1, 2), "stop", "large", "fake")


def event(kind: str, **payload: Any) -> Event:
    return Event(1, "e", 0.0, "t", None, "n", "p", "session:scout@garden", kind, payload)


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
        turn, event("tool.finished", call_id="m1/0/0", outcome={"value": 1, "text": None}, error=None)
    )
    turn = take(turn, event("tool.started", call_id="m1/0/1"))
    action = next_action(turn, 12)
    assert isinstance(action, Act)
    assert [(run.place, run.cut_off) for run in action.runs] == [("m1/0/1", True)]


def test_when_all_tools_have_answered_the_model_thinks_on():
    turn = responded(TURN, response("a.b"))
    turn = take(turn, event("tool.finished", call_id="m1/0/0", outcome=None, error="no", retry=False))
    assert turn.steps[0].results["m1/0/0"].text == "Failed: no"
    assert next_action(turn, 12) == Think(1)


def test_after_max_steps_it_gives_up_aloud():
    turn = responded(TURN, response("a.b"))
    turn = take(turn, event("tool.finished", call_id="m1/0/0", outcome={"value": "x"}, error=None))
    action = next_action(turn, 1)
    assert isinstance(action, Say) and action.failed


def test_a_failure_is_waited_for_longer_each_time_and_then_said():
    waits = []
    turn = TURN
    while isinstance(action := next_action(turn, 12), Think):
        waits.append(action.wait)
        turn = failed(turn, "busy", retry=True)
    assert waits == [0.0, 1.0, 2.0]
    assert action == Say("I could not answer: busy", None, failed=True)


def test_the_provider_s_own_wait_is_kept_and_one_too_long_is_none():
    assert next_action(failed(TURN, "busy", True, 20.0), 12) == Think(0, 20.0)
    assert isinstance(next_action(failed(TURN, "busy", True, LONGEST_WAIT + 1), 12), Say)


def test_an_answer_after_failures_begins_their_count_anew():
    turn = responded(failed(failed(TURN, "busy", True), "busy", True), response("a.b"))
    assert (turn.failures, turn.last_error, turn.retry_after) == (0, "", 0.0)


def test_an_answer_is_taken_from_the_journal_as_it_was():
    said = response("a.b", text="Let me see.")
    assert take(TURN, event(RESPONDED, **response_payload(TURN, 0, said))) == responded(TURN, said)


@pytest.mark.parametrize("step", [1, 2])
def test_an_answer_to_another_step_or_turn_changes_nothing(step: int):
    payload = response_payload(TURN, step, response(text="x"))
    assert take(TURN, event(RESPONDED, **payload)) == TURN
    assert take(TURN, event(RESPONDED, **{**payload, "step": 0, "turn": "m2"})) == TURN


def test_a_failure_and_the_end_are_taken_from_the_journal():
    turn = take(TURN, event(FAILED, turn="m1", step=0, error="busy", retry=True, retry_after=3.0))
    assert turn == failed(TURN, "busy", True, 3.0)
    assert take(TURN, event(FINISHED, turn="m1", outcome="answered")).finished
    assert not take(TURN, event(FINISHED, turn="m2", outcome="answered")).finished


def test_a_model_is_called_by_its_provider_and_name_or_by_one_of_them():
    assert model_label(response()) == "fake/large"
    assert model_label(ModelResponse("", (), Usage(), "stop", "offline", "offline")) == "offline"
