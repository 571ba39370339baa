"""Which way a session begins again: the ladder of a rule, its limit, and how it is declared."""

import pytest

from planaria.immune.guards.restart import (
    CAUSES,
    MOST_RESTARTS,
    Past,
    RestartPolicy,
    Rule,
    choose,
    read_policy,
)
from planaria.immune.guards.thresholds import OFF, Thresholds, read_thresholds

NOW = 1000.0


def modes(policy: RestartPolicy, cause: str, rounds: int) -> list[str]:
    """What is chosen, if the same happens again and again."""
    history: list[Past] = []
    for _ in range(rounds):
        choice = choose(policy, cause, history, NOW)  # type: ignore[arg-type]
        history.append(Past(cause, choice.mode, NOW))  # type: ignore[arg-type]
    return [past.mode for past in history]


def test_a_rule_is_taken_rung_by_rung_until_its_limit():
    assert modes(RestartPolicy(), "loop", 4) == ["amend", "fresh", "ask", "give_up"]
    assert modes(RestartPolicy(), "context", 6) == ["fresh"] * 5 + ["give_up"]


def test_every_cause_has_a_rule_by_default():
    assert all(choose(RestartPolicy(), cause, (), NOW).mode for cause in CAUSES)


def test_each_cause_counts_for_itself():
    history = [Past("stall", "amend", NOW), Past("context", "fresh", NOW)]
    assert choose(RestartPolicy(), "loop", history, NOW).mode == "amend"


def test_what_is_long_past_is_not_counted():
    history = [Past("loop", "amend", NOW - 3601)]
    assert choose(RestartPolicy(), "loop", history, NOW).mode == "amend"


def test_no_turn_begins_again_without_end_whatever_its_causes():
    history = [Past("context", "fresh", NOW)] * 4 + [Past("loop", "amend", NOW)] * (MOST_RESTARTS - 4)
    assert choose(RestartPolicy(), "stall", history, NOW).mode == "give_up"


def test_a_policy_reads_like_a_sentence_and_like_a_record():
    said = (
        RestartPolicy()
        .on("loop")
        .amend("Answer now.")
        .then("fresh", "ask")
        .limit(5)
        .on("provider")
        .do("reroute")
    )
    written = read_policy(
        [
            {"on": "loop", "do": "amend", "say": "Answer now.", "then": ["fresh", "ask"], "limit": 5},
            {"on": "provider", "do": "reroute"},
        ]
    )
    assert said == written
    assert choose(said, "loop", (), NOW).say == "Answer now."
    assert said.rule("stall").do == "amend"


def test_yaml_reads_on_as_true_and_it_is_understood():
    assert read_policy([{True: "loop", "do": "ask"}]) == RestartPolicy((Rule("loop", "ask"),))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("amend", "must be a list"),
        (["amend"], "a rule is a mapping"),
        ([{"on": "loop", "do": "pray"}], "modes: resume, fresh, amend, reroute, ask, give_up"),
        ([{"on": "luck", "do": "ask"}], "causes: loop, stall"),
        ([{"on": "loop", "do": "ask", "limits": 3}], "further keys: say, then, limit, within"),
        ([{"on": "loop", "do": "ask", "within": 0}], "more than 0 seconds"),
    ],
)
def test_a_wrong_rule_is_told_with_what_to_write(value: object, told: str):
    with pytest.raises(ValueError, match=told):
        read_policy(value)


def test_thresholds_are_declared_in_part_or_turned_off():
    assert read_thresholds({"repeats": 5, "context": 0.5}) == Thresholds(repeats=5, context=0.5)
    assert read_thresholds({"no_news": False}) == Thresholds(no_news=0)
    assert read_thresholds("off") == read_thresholds(False) == OFF


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (["repeats"], "must be a mapping"),
        ({"repeat": 3}, "known: repeats"),
        ({"repeats": "many"}, "known: repeats"),
        ({"repeats": 1}, "at least 2"),
        ({"context": 1.5}, "shares from 0 to 1"),
        ({"children": -1}, r"0 \(off\) or more"),
    ],
)
def test_a_wrong_threshold_is_told(value: object, told: str):
    with pytest.raises(ValueError, match=told):
        read_thresholds(value)
