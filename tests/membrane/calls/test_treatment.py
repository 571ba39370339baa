"""What a failed model call leads to: whom to ask next, when, or nobody."""

import inspect

import pytest

from planaria.membrane import errors
from planaria.membrane.calls.treatment import (
    LONGEST_WAIT,
    MOST_ATTEMPTS,
    MOST_TRIES,
    TREATMENTS,
    Place,
    Tried,
    Verdict,
    places,
    verdict,
)

A, B, A2 = ("a", "one"), ("b", "one"), ("a", "two")


def tried(ref: tuple[str, str], kind: str = "overloaded", retry: bool = True, until: float = 0.0) -> Tried:
    return Tried(*ref, kind, 1, retry, until)


def order(candidates: list[tuple[str, str]], *failed: Tried) -> list[tuple[str, str]]:
    return [candidates[place.number] for place in places(candidates, failed)]


def test_every_error_of_the_edge_has_its_treatment():
    classes = [each for _, each in inspect.getmembers(errors, inspect.isclass)]
    kinds = {each.kind for each in classes if issubclass(each, errors.ProviderError)}
    assert kinds <= TREATMENTS.keys()
    assert all(each.why for each in TREATMENTS.values())


def test_candidates_that_have_not_failed_come_first():
    assert places([A, B], []) == [Place(0), Place(1)]
    assert order([A, B], tried(A)) == [B, A]
    assert order([A, B], tried(A), tried(B)) == [A, B]


@pytest.mark.parametrize(
    ("kind", "left"),
    [
        ("authentication_failed", [B]),  # the key is bad for all of a
        ("out_of_credit", [B]),
        ("model_not_found", [A2, B]),  # only this model
        ("context_too_long", [A2, B]),
        ("request_refused", [A2, B]),
        ("overloaded", [B, A, A2]),  # all of a is behind b, and may be asked once more
        ("rate_limited", [B, A, A2]),
        ("timed_out", [B, A, A2]),
        ("unreachable", [B, A, A2]),
        ("stream_cut", [A2, B, A]),
        ("bad_answer", [A2, B, A]),
        ("budget_exhausted", []),
        ("unwritable", []),
        ("a kind of a later program", [A2, B, A]),
    ],
)
def test_a_failure_speaks_of_a_model_or_of_its_provider(kind: str, left: list[tuple[str, str]]):
    retry = TREATMENTS.get(kind, TREATMENTS["failed"]).again
    assert order([A, A2, B], tried(A, kind, retry)) == left


def test_an_error_that_says_no_is_not_tried_again_there():
    assert order([A, B], tried(A, "unreachable", retry=False)) == [B]
    assert order([A], tried(A, "rate_limited", retry=False)) == []


def test_no_candidate_is_asked_too_often_and_all_together_neither():
    assert order([A, B], *[tried(A)] * MOST_TRIES) == [B]
    many = [("p" + str(n), "m") for n in range(MOST_ATTEMPTS + 1)]
    failed = [tried(ref) for ref in many[:MOST_ATTEMPTS]]
    assert order(many, *failed[:-1]) and order(many, *failed) == []


def test_the_next_model_is_asked_at_once_and_the_same_one_after_a_longer_rest_each_time():
    assert verdict([A, B], [tried(A)], 0.0) == Verdict("other")
    assert verdict([A, B], [tried(A), tried(B)], 0.0) == Verdict("again", 1.0)
    assert verdict([A], [tried(A), tried(A)], 0.0) == Verdict("again", 2.0)
    assert verdict([A], [tried(A)] * MOST_TRIES, 0.0) == Verdict("stop")


def test_a_provider_is_left_alone_as_long_as_it_asked_and_given_up_if_that_is_too_long():
    assert verdict([A], [tried(A, until=130.0)], 100.0) == Verdict("again", 30.0)
    assert verdict([A], [tried(A, until=101.0 + LONGEST_WAIT)], 100.0) == Verdict("stop")
    asked = [tried(A, until=1000.0), tried(B, until=110.0)]
    assert verdict([A, B], asked, 100.0) == Verdict("again", 10.0)
