"""Circles of whole turns: what is one, and what only looks like it."""

import pytest

from planaria.immune.guards.circles import Exchange, circling, echoes
from planaria.immune.guards.thresholds import OFF, Thresholds, read_thresholds

GUARDS = Thresholds()
NEW = Exchange("timer", "look at the build, attempt 9", "", 1000.0)


def before(number: int, answer: str = "it runs, it is 12:01:{:02d}", gap: float = 30.0) -> list[Exchange]:
    """So many turns like it, newest first, each so long after the one before."""
    found, at = [], 1000.0
    for n in range(number):
        at -= gap
        found.append(Exchange("timer", f"look at the  build, attempt {n}", answer.format(n), at))
    return found


def test_the_same_again_and_again_is_an_echo_whatever_changes_by_itself():
    assert [echoes(NEW, before(n)) for n in (0, 1, 4)] == [0, 1, 4]
    assert circling(GUARDS, NEW, 1, before(3), True) is None
    found = circling(GUARDS, NEW, 1, before(4), True)
    assert found is not None and (found.cause, found.kind) == ("circle", "echo")
    assert found.evidence == {"times": 4, "author": "timer"}
    # Who was told to go on is asked again after as many again.
    assert circling(GUARDS, NEW, 1, before(5), True) is None
    assert circling(GUARDS, NEW, 1, before(8), True) is not None


def test_another_message_another_answer_another_author_or_a_long_pause_is_no_echo():
    assert echoes(NEW, before(4, "{:02d} of 9 are green")) == 1
    assert echoes(Exchange("timer", "look at the roof", "", 1000.0), before(4)) == 0
    assert echoes(Exchange("helper", NEW.message, "", 1000.0), before(4)) == 0
    assert echoes(NEW, before(4, gap=600.0)) == 0


def test_the_name_of_a_sub_agent_is_another_one_each_time():
    text = "session:scout@garden/{}, which you asked to 'look', has finished: nothing"
    done = [Exchange("helper", text.format(f"{n}be01c72"), "I look again.", 990.0 - n) for n in range(3)]
    assert echoes(Exchange("helper", text.format("ffffffff"), "", 1000.0), done) == 3


def test_turns_that_lead_to_one_another_without_a_person_are_a_circle():
    assert circling(GUARDS, NEW, 11, [], True) is None
    found = circling(GUARDS, NEW, 12, [], True)
    assert found is not None and found.kind == "rounds" and found.evidence["hops"] == 12
    assert circling(GUARDS, NEW, 12, [], False) is None  # a person is there
    assert circling(GUARDS, NEW, 13, [], True) is None
    assert circling(GUARDS, NEW, 24, [], True) is not None


def test_what_is_declared_as_polling_and_what_is_switched_off_is_let_be():
    polling = read_thresholds({"polling": ["timer"]})
    assert circling(polling, NEW, 12, before(4), True) is None
    assert circling(OFF, NEW, 12, before(4), True) is None


@pytest.mark.parametrize("wrong", [{"echoes": 1}, {"rounds": 1}, {"echoes": -4}, {"polling": 7}])
def test_what_cannot_be_is_refused(wrong: dict[str, object]):
    with pytest.raises(ValueError, match=r"echoes|polling"):
        read_thresholds(wrong)
