"""One append is checked, masked and encoded before it meets others."""

import datetime
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from planaria.cortex.codec.prepare import MAX_PAYLOAD, Prepared, Refused, prepare
from planaria.cortex.event import NewEvent
from planaria.cortex.redact import Redactor


def prepared(*events: Any) -> Prepared | Refused:
    numbers: Iterator[str] = (f"ID{n}" for n in range(100))
    return prepare(
        events, at=5.0, node="garden", process="<1>", redactor=Redactor(), new_id=lambda: next(numbers)
    )


def accepted(*events: NewEvent) -> Prepared:
    result = prepared(*events)
    assert isinstance(result, Prepared), result
    return result


def refusal(payload: Any) -> str:
    result = prepared(NewEvent("fine", {}), NewEvent("test.it", payload))
    assert isinstance(result, Refused)
    return result.reason


def test_what_is_missing_is_added() -> None:
    (draft,) = accepted(NewEvent("a.b", {"x": 1})).events
    assert (draft.id, draft.trace_id, draft.cause_id) == ("ID1", "ID0", None)
    assert (draft.at, draft.node, draft.process, draft.session) == (5.0, "garden", "<1>", "")


def test_what_is_given_is_kept() -> None:
    (draft,) = accepted(NewEvent("a.b", {}, "room:x", "worker", "T", "C", "I")).events
    assert (draft.session, draft.process, draft.trace_id, draft.cause_id, draft.id) == (
        "room:x",
        "worker",
        "T",
        "C",
        "I",
    )


def test_events_of_one_append_share_a_new_trace() -> None:
    first, second, third = accepted(
        NewEvent("a", {}), NewEvent("b", {}, trace_id="T"), NewEvent("c", {})
    ).events
    assert (second.trace_id, third.trace_id) == ("T", first.trace_id)


def test_events_get_consecutive_places_and_the_payload_readers_will_get() -> None:
    class Point(msgspec.Struct):
        x: int

    payload = {"at": datetime.date(2025, 1, 2), "points": (Point(1), Point(2)), "none": None}
    events = accepted(NewEvent("a", payload), NewEvent("b", {})).place(7)
    assert [event.seq for event in events] == [7, 8]
    assert events[0].payload == {"at": "2025-01-02", "points": [{"x": 1}, {"x": 2}], "none": None}


def test_a_payload_changed_after_the_append_changes_nothing() -> None:
    payload = {"list": [1]}
    result = accepted(NewEvent("a", payload))
    payload["list"].append(2)
    assert result.place(1)[0].payload == {"list": [1]}


def test_secrets_are_masked() -> None:
    result = accepted(NewEvent("a", {"text": "sk-abcdefghijklmnop1234"}))
    assert result.encoded == (b'{"text":"[secret]"}',)
    assert result.events[0].payload == {"text": "[secret]"}


@pytest.mark.parametrize(
    ("payload", "place"),
    [
        ({"a": [1, object()]}, "payload.a[1] is a object"),
        ({"a": {"b": float("nan")}}, "payload.a.b is nan"),
        ({"a": (1, float("-inf"))}, "payload.a[1] is -inf"),
        ({"a": "\ud800"}, "payload.a is text that has no UTF-8 form"),
        ({("x", "y"): 1}, "payload key ('x', 'y')"),
        (["no", "dict"], "has a list as payload"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_place(payload: Any, place: str) -> None:
    assert refusal(payload).startswith("event 2 of 2 (test.it)")
    assert place in refusal(payload)


def test_a_payload_that_contains_itself_is_refused() -> None:
    payload: dict[str, Any] = {}
    payload["me"] = payload
    assert "nested too deep" in refusal(payload)


@pytest.mark.parametrize("levels", [101, 900, 100_000])
@pytest.mark.parametrize("leaf", ["x" * 2000, "sk-proj-AbCdEf0123456789AbCdEf", {"$content": 1}])
def test_a_payload_that_is_nested_too_deep_is_refused(levels: int, leaf: Any) -> None:
    for wrap in (lambda value: [value], lambda value: {"a": value}):
        payload = leaf
        for _ in range(levels - 1 - isinstance(leaf, dict)):
            payload = wrap(payload)
        assert "nested too deep" in refusal({"p": payload})


def test_many_brackets_are_not_taken_for_a_deep_payload() -> None:
    noise = {"n": [{"text": "[[{"}] * 200, "t": '{\\"[' * 200}
    assert isinstance(prepared(NewEvent("a.b", noise)), Prepared)


def test_an_integer_of_any_size_may_stand_beside_nothing() -> None:
    assert isinstance(prepared(NewEvent("a.b", {"n": 2**70, "nothing": None})), Prepared)
    assert "payload.f is inf" in refusal({"n": 2**70, "f": float("inf")})


def test_a_huge_payload_is_refused() -> None:
    assert "bytes, at most" in refusal({"text": "x" * MAX_PAYLOAD})


@pytest.mark.parametrize("kind", ["", " a", None, 3, "\ud800"])
def test_a_kind_is_a_word(kind: Any) -> None:
    assert isinstance(prepared(NewEvent(kind, {})), Refused)


@pytest.mark.parametrize("field", ["session", "process", "trace_id", "cause_id", "id", "version", "subject"])
def test_ids_and_names_are_text(field: str) -> None:
    wrong: dict[str, Any] = {field: 3 if field != "version" else 0}
    result = prepared(NewEvent("a", {}, **wrong))
    assert isinstance(result, Refused) and field in result.reason


def test_anything_else_than_an_event_is_refused() -> None:
    assert prepared({"kind": "a"}) == Refused("event 1 of 1 is a dict", "append NewEvent values")
