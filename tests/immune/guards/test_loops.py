"""Guards of thought: what is a loop, what is none, and how early it is told."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planaria.immune.guards.likeness import settled, settled_arguments, spins
from planaria.immune.guards.loops import CallSeen, Finding, StepSeen, Trace, fan_out
from planaria.immune.guards.thresholds import OFF, Thresholds
from tests.immune.corpus import Turn, bad, good, step

GOOD, BAD = list(good()), list(bad())


def first_finding(turn: Turn, thresholds: Thresholds | None = None) -> tuple[int, Finding] | None:
    """At which step, from 1, what is found."""
    trace = Trace(thresholds or Thresholds())
    for number, each in enumerate(turn.steps, 1):
        found = trace.add(each)
        if found is not None:
            return number, found
    return None


@pytest.mark.parametrize("turn", GOOD, ids=[turn.name for turn in GOOD])
def test_a_good_turn_is_left_alone(turn: Turn):
    assert first_finding(turn) is None


@pytest.mark.parametrize("turn", BAD, ids=[turn.name for turn in BAD])
def test_a_bad_turn_is_told_early(turn: Turn):
    found = first_finding(turn)
    assert found is not None
    assert found[0] <= turn.by


def test_the_corpus_is_large_enough_to_say_something():
    assert len(GOOD) >= 20
    assert len(BAD) >= 20
    assert len({turn.name for turn in (*GOOD, *BAD)}) == len(GOOD) + len(BAD)


@pytest.mark.parametrize("turn", BAD, ids=[turn.name for turn in BAD])
def test_guards_that_are_off_say_nothing(turn: Turn):
    assert first_finding(turn, OFF) is None


def test_what_was_seen_is_said_with_names_and_counts_and_without_contents():
    again = step("web.search", {"query": "my secret plan"}, "a private result")
    found = first_finding(Turn("", [again] * 3))
    assert found is not None
    number, finding = found
    assert (number, finding.cause, finding.kind) == (3, "loop", "repeat")
    assert finding.words == (
        "It called web.search 3 times in a row with the same arguments and the same result."
    )
    assert "secret" not in str(finding)
    assert "private" not in str(finding)


def test_a_good_step_between_two_repeats_ends_the_row():
    again = step("web.search", {"query": "a"}, "x y z")
    other = step("web.search", {"query": "b"}, "something else that is new")
    assert first_finding(Turn("", [again, again, other, again, again])) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("at 10:04:31 all was well", "at 11:05:00 all was well"),
        ("2026-03-01T10:00:00.123Z ok", "2027-12-31 23:59:59 ok"),
        ("error (request id: 8f3a21), retry in 3 s", "error (request id: 77bc01), retry in 12.5 seconds"),
        ("Attempt 3 failed", "attempt #14 failed"),
        ('{"state": "idle", "uptime_seconds": 12}', '{"state": "idle", "uptime_seconds": 99}'),
        ("550e8400-e29b-41d4-a716-446655440000", "123e4567-e89b-12d3-a456-426614174000"),
    ],
)
def test_what_changes_by_itself_is_masked(one: str, other: str):
    assert settled(one) == settled(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12 tests failed", "11 tests failed"),
        ("version 1.2.3", "version 1.2.4"),
        ("42 EUR", "43 EUR"),
        ("the door is open", "the door is shut"),
    ],
)
def test_what_is_said_is_not_masked(one: str, other: str):
    assert settled(one) != settled(other)


def test_the_next_page_and_the_day_before_are_other_questions():
    assert settled_arguments({"page": 1}) != settled_arguments({"page": 2})
    assert settled_arguments({"day": "2026-03-01"}) != settled_arguments({"day": "2026-02-28"})
    assert settled_arguments({"a": 1, "request_id": "x"}) == settled_arguments({"request_id": "y", "a": 1})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    st.lists,
    max_leaves=4,
)
STEPS = st.builds(
    StepSeen,
    st.text(max_size=200),
    st.lists(
        st.builds(
            CallSeen,
            st.text(max_size=10),
            st.dictionaries(st.text(), JSON),
            st.text(),
            st.booleans(),
            st.booleans(),
        ),
        max_size=3,
    ).map(tuple),
)


@given(st.lists(STEPS, max_size=12))
def test_no_step_whatever_it_holds_breaks_the_guard(steps: list[Any]):
    trace = Trace(Thresholds())
    for each in steps:
        trace.add(each)


@pytest.mark.parametrize(
    "text", ["attempt" + " " * 5900, "request\n" + "\n" * 5900, "1" * 6000, "id: " * 1500]
)
def test_a_result_made_to_be_slow_is_compared_at_once(text: str):
    began = time.process_time()
    settled(text)
    assert (
        time.process_time() - began < 0.25
    )  # of CPU: half a second while runs of spaces were left in, 2 ms since


@pytest.mark.parametrize(
    ("counts", "kind"),
    [((33, 40), "fan_out"), ((1, 251), "fan_out"), ((1, 1, 21), "children"), ((1, 1, 1, 5), "depth")],
)
def test_too_much_at_once_is_told(counts: tuple[int, ...], kind: str):
    found = fan_out(Thresholds(), *counts)
    assert found is not None
    assert (found.cause, found.kind) == ("fan_out", kind)
    assert fan_out(OFF, *counts) is None
    assert fan_out(Thresholds(), 32, 250, 20, 4) is None


def test_a_stream_that_spins_is_told_and_one_that_lists_is_not():
    assert spins("Well. " + "I will now do it. " * 60) == "I will now do it."
    assert spins("and " * 400) == "and"
    assert spins("".join(f"{n}. the {n}th line of a list\n" for n in range(200))) == ""
    assert spins("| --- | --- |\n" + "-" * 900) == ""
    assert spins("short") == ""
