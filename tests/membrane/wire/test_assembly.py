import pytest

from planaria.membrane.provider import MALFORMED
from planaria.membrane.wire.assembly import (
    MOST_NESTED,
    PartialCall,
    PartialCalls,
    finished_call,
    finished_calls,
)
from planaria.membrane.wire.wire_names import WireNames


def calls(*fragments):
    partial = PartialCalls()
    for fragment in fragments:
        partial.add(*fragment)
    return [(call.id, call.name, "".join(call.arguments)) for call in partial.calls]


def test_fragments_are_told_apart_by_index():
    assert calls(
        (0, "a", "f", ""),
        (1, "b", "g", ""),
        (0, None, None, '{"x"'),
        (1, None, None, "{}"),
        (0, None, None, ":1}"),
    ) == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]


def test_without_index_a_new_id_begins_a_new_call():
    assert calls((None, "a", "f", "{}"), (None, "b", "f", "{}"), (None, "b", None, " ")) == [
        ("a", "f", "{}"),
        ("b", "f", "{} "),
    ]


def test_without_index_and_id_fragments_continue_the_last_call():
    assert calls((None, None, "f", '{"x"'), (None, None, None, ":1}")) == [("", "f", '{"x":1}')]


def test_without_index_and_id_a_name_begins_a_new_call_once_the_last_has_arguments():
    assert calls((None, None, "f", "{}"), (None, None, "g", "{}")) == [("", "f", "{}"), ("", "g", "{}")]


def test_whole_calls_that_all_have_index_zero_stay_apart():
    assert calls((0, "a", "f", "{}"), (0, "b", "g", "{}")) == [("a", "f", "{}"), ("b", "g", "{}")]


def test_an_id_that_changes_with_every_fragment_does_not_begin_a_call():
    assert calls((0, "a", "f", ""), (0, "b", None, "{"), (0, "c", None, "}")) == [("a", "f", "{}")]


def test_names_may_come_in_pieces_or_again_and_again():
    assert calls((0, "a", "web_", ""), (0, None, "fetch", "")) == [("a", "web_fetch", "")]
    assert calls((0, "a", "f", "{"), (0, "a", "f", "}")) == [("a", "f", "{}")]


def test_arguments_may_come_as_an_object():
    assert calls((0, "a", "f", {"x": 1})) == [("a", "f", '{"x":1}')]


@pytest.mark.parametrize("raw", ["", "  ", "null", "{}"])
def test_no_arguments_are_an_empty_object(raw):
    call = PartialCall("a", "f")
    call.arguments = [raw]
    assert finished_call(call, "f", 0).arguments == {}


@pytest.mark.parametrize("raw", ['{"x": 1', "[1]", "1", '"x"', '{"x": "\\ud800'])
def test_arguments_that_are_no_object_are_handed_on_so_that_the_gate_refuses_them(raw):
    call = PartialCall("a", "f")
    call.arguments = [raw]
    assert finished_call(call, "f", 0).arguments == {MALFORMED: raw}


def test_a_missing_id_is_made_up_and_always_the_same():
    one, two = finished_call(PartialCall("", "f"), "f", 0), finished_call(PartialCall("", "f"), "f", 0)
    assert one.id == two.id != finished_call(PartialCall("", "f"), "f", 1).id


def test_calls_that_share_an_id_are_told_apart_so_that_each_result_has_its_call():
    parts = PartialCalls()
    for index, name in enumerate(["a", "a", "a_1", ""]):
        parts.add(index, name, "f", "{}")
    ids = [call.id for call in finished_calls(parts.calls, WireNames([]))]
    assert ids[:3] == ["a", "a_1", "a_1_2"]
    assert len(set(ids)) == 4


@pytest.mark.parametrize("depth", [MOST_NESTED + 1, 200_000])
def test_arguments_too_deep_to_be_written_down_are_refused_by_the_gate_and_not_lost(depth):
    raw = '{"x":' + "[" * depth + "]" * depth + "}"
    call = PartialCall("a", "f")
    call.arguments = [raw]
    assert finished_call(call, "f", 0).arguments == {MALFORMED: raw}
    call.arguments = ['{"x":"' + "[{" * 200 + '"}']
    assert MALFORMED not in finished_call(call, "f", 0).arguments
