"""The pure engine: where a run goes next, and that a run cut anywhere goes the same way."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.workflows.advance import (
    MAX_INTERRUPTIONS,
    Answer,
    Begin,
    Call,
    Cancel,
    Due,
    Event,
    Over,
    Wait,
    advance,
    outcome_of_all,
)
from planaria.workflows.events import (
    Fact,
    ItemFinished,
    RunFinished,
    RunResumed,
    RunStarted,
    StepFinished,
    StepRetried,
    StepStarted,
    read_fact,
)
from planaria.workflows.state import Result, begin, fold
from tests.workflows.graphs import random_outcome, random_workflow
from tests.workflows.support import graph, started, stored

LINE = {"a": {"ok": "b", "*": "fail"}, "b": {"ok": "end", "*": "fail"}}


def told(branch="ok", value=None, at=1.0, retry=False, error=None):
    return Answer(at=at, result=Result(branch, value, error=error), retry=retry)


def play(workflow, answers, at=0.0, **arguments):
    """Carry a run through with these answers; gives the final state, all facts and all calls."""
    state = begin(started(workflow, **arguments))
    facts: list[Fact] = []
    calls: list[Call] = []
    decision = advance(workflow, state, Begin(at=at))
    answers = iter(answers)
    while True:
        facts += decision.facts
        match decision.effect:
            case Over():
                return decision.state, facts, calls
            case Wait(until=until):
                at, event = until, Due(at=until)
            case wanted:
                calls.append(wanted)
                event = next(answers)
        decision = advance(workflow, decision.state, event)


def test_a_run_follows_the_branches_to_the_end():
    state, facts, calls = play(graph(LINE), [told(), told()])
    assert (state.status, state.path) == ("done", ("a", "b"))
    assert [type(fact) for fact in facts] == [
        StepStarted,
        StepFinished,
        StepStarted,
        StepFinished,
        RunFinished,
    ]
    assert [wanted.arguments for wanted in calls] == [{"step": "a"}, {"step": "b"}]


def test_the_end_of_a_step_and_the_start_of_the_next_are_decided_together():
    workflow = graph(LINE)
    first = advance(workflow, begin(started(workflow)), Begin(at=0.0))
    second = advance(workflow, first.state, told())
    assert [type(fact) for fact in second.facts] == [StepFinished, StepStarted]


def test_a_route_to_fail_ends_the_run_as_failed_with_the_error():
    state, _, _ = play(graph(LINE), [told("failed", error="no such thing")])
    assert (state.status, state.error, state.path) == ("failed", "no such thing", ("a",))


def test_the_star_takes_branches_without_a_route():
    state, _, _ = play(graph({"a": {"ok": "fail", "*": "b"}, "b": {"*": "end"}}), [told("other"), told()])
    assert state.path == ("a", "b")


def test_a_branch_that_leads_nowhere_fails_the_run_and_names_it():
    state, _, _ = play(graph({"a": {"ok": "end"}}), [told("surprise")])
    assert state.status == "failed"
    assert state.error == "step 'a' took the branch 'surprise', which leads nowhere"


def test_later_steps_read_the_values_of_earlier_ones_and_the_trigger():
    workflow = graph(
        LINE, b={"arguments": {"x": "{{ steps.a.value.n + trigger.k }}", "y": "{{ run.trigger }}"}}
    )
    workflow = msgspec.structs.replace(workflow, inputs={"k": 2})
    _, _, calls = play(workflow, [told(value={"n": 40}), told()])
    assert calls[1].arguments == {"x": 42, "y": "hand"}


def test_now_is_the_time_the_step_started_in_the_zone_of_the_workflow():
    workflow = graph({"a": {"*": "end"}}, a={"arguments": {"x": "{{ now | date('%H:%M') }}"}})
    workflow = msgspec.structs.replace(workflow, zone="Europe/Berlin")
    _, _, calls = play(workflow, [told()], at=0.0)
    assert calls[0].arguments == {"x": "01:00"}


def test_an_argument_that_cannot_be_filled_in_is_the_branch_failed_and_no_call():
    workflow = graph(
        {"a": {"failed": "b", "*": "end"}, "b": {"*": "end"}}, a={"arguments": {"x": "{{ trigger.no }}"}}
    )
    state, _, calls = play(workflow, [told()])
    assert state.path == ("a", "b")
    assert "argument 'x'" in (state.results["a"].error or "")
    assert len(calls) == 1


EACH = {"a": {"ok": "end", "failed": "fail", "none": "end", "mixed": "end", "other": "end"}}


def each(items, **step):
    return graph(
        EACH, a={"each": f"{{{{ {items} }}}}", "arguments": {"x": "{{ item }}", "n": "{{ index }}"}, **step}
    )


def test_each_calls_once_per_element_in_order():
    state, facts, calls = play(each("['p', 'q']"), [told(value=1), told(value=2)])
    assert [wanted.arguments for wanted in calls] == [{"x": "p", "n": 0}, {"x": "q", "n": 1}]
    assert state.results["a"].value == [1, 2]
    assert state.results["a"].branch == "ok"
    assert sum(isinstance(fact, StepFinished) for fact in facts) == 1


def test_each_over_nothing_takes_the_branch_none_without_a_call():
    state, _, calls = play(each("[]"), [])
    assert (state.results["a"].branch, state.results["a"].value, calls) == ("none", [], [])


def test_each_goes_on_past_a_failing_element_and_then_takes_failed():
    answers = [told(value=1), told("failed", error="broken"), told(value=3)]
    state, _, calls = play(each("[1, 2, 3]"), answers)
    assert len(calls) == 3
    result = state.results["a"]
    assert (result.branch, result.value) == ("failed", [1, None, 3])
    assert result.error == "1 of 3 failed, first element 1: broken"


def test_each_with_different_branches_takes_mixed():
    state, _, _ = play(each("[1, 2]"), [told("ok"), told("other")])
    assert state.results["a"].branch == "mixed"
    assert state.results["a"].branches == ("ok", "other")


def test_each_over_something_that_is_no_list_fails():
    state, _, _ = play(each("'text'"), [])
    assert state.status == "failed"
    assert state.error == "each: it gives str, not a list"


def test_the_outcome_of_many_is_theirs_if_they_agree():
    assert outcome_of_all((Result("other"), Result("other"))).branch == "other"


def test_a_failure_that_may_pass_is_tried_again_with_growing_pauses():
    workflow = graph(LINE, a={"retry": 2, "backoff": 10.0})
    state, facts, calls = play(
        workflow,
        [
            told("failed", at=1.0, retry=True, error="x"),
            told("failed", at=20.0, retry=True, error="y"),
            told(at=60.0),
            told(),
        ],
    )
    assert state.status == "done"
    assert [fact.due - fact.at for fact in facts if isinstance(fact, StepRetried)] == [10.0, 20.0]
    assert [wanted.id for wanted in calls] == ["R1/a/1/1", "R1/a/1/2", "R1/a/1/3", "R1/b/1/1"]
    assert state.results["a"].attempts == 3


def test_a_failure_that_will_not_pass_is_not_tried_again():
    _, _, calls = play(graph(LINE, a={"retry": 5}), [told("failed", retry=False)])
    assert len(calls) == 1


def test_attempts_are_bounded():
    answers = [told("failed", at=float(n * 1000), retry=True) for n in range(10)]
    state, _, calls = play(graph(LINE, a={"retry": 3}), answers)
    assert (len(calls), state.status) == (4, "failed")


def test_a_bounded_step_is_entered_so_often_and_then_the_run_fails():
    workflow = graph({"a": {"ok": "a", "*": "end"}}, a={"max_visits": 3})
    state, _, calls = play(workflow, [told()] * 9)
    assert [wanted.id for wanted in calls] == ["R1/a/1/1", "R1/a/2/1", "R1/a/3/1"]
    assert (state.status, state.error) == ("failed", "step 'a' was entered 3 times, which is its bound")


def test_cancelling_ends_the_run_at_once():
    workflow = graph(LINE)
    first = advance(workflow, begin(started(workflow)), Begin(at=0.0))
    cancelled = advance(workflow, first.state, Cancel(at=5.0, reason="enough"))
    assert isinstance(cancelled.effect, Over)
    assert (cancelled.state.status, cancelled.state.error, cancelled.state.ended) == (
        "cancelled",
        "enough",
        5.0,
    )
    assert advance(workflow, cancelled.state, told()).facts == ()


def test_a_resumed_run_makes_the_call_that_was_cut_off_with_the_same_id():
    workflow = graph(LINE)
    first = advance(workflow, begin(started(workflow)), Begin(at=0.0))
    again = advance(workflow, first.state, Begin(at=9.0))
    assert [type(fact) for fact in again.facts] == [RunResumed]
    assert isinstance(first.effect, Call) and isinstance(again.effect, Call)
    assert again.effect == first.effect


def test_a_call_that_keeps_killing_its_run_counts_as_failed():
    workflow = graph(LINE)
    state = advance(workflow, begin(started(workflow)), Begin(at=0.0)).state
    for _ in range(MAX_INTERRUPTIONS):
        state = advance(workflow, state, Begin(at=1.0)).state
    over = advance(workflow, state, Begin(at=2.0)).state
    assert over.status == "failed"
    assert over.error == "the run was interrupted 5 times during this call"


def test_a_run_resumed_during_a_pause_waits_for_the_rest_of_it():
    workflow = graph(LINE, a={"retry": 1, "backoff": 60.0})
    state = advance(workflow, begin(started(workflow)), Begin(at=0.0)).state
    state = advance(workflow, state, told("failed", at=10.0, retry=True)).state
    decision = advance(workflow, state, Begin(at=30.0))
    assert decision.effect == Wait(70.0)
    late = advance(workflow, state, Begin(at=500.0))
    assert isinstance(late.effect, Call)
    assert late.effect.id == "R1/a/1/2"


def run_with_cuts(workflow, seed, cuts):
    """Carry a run through; at the calls numbered in `cuts` the process dies and is rebuilt from the facts."""
    start = started(workflow)
    journal: list[Fact] = [start]
    at, number = 0.0, 0

    def rebuilt():
        read = [fact for each in journal if (fact := read_fact(stored(each))) is not None]
        assert isinstance(read[0], RunStarted)
        return fold(begin(read[0]), read[1:])

    state = rebuilt()
    event: Event = Begin(at=at)
    while True:
        decision = advance(workflow, state, event)
        journal += decision.facts
        state, at = decision.state, at + 1.0
        assert state == rebuilt()
        if isinstance(decision.effect, Over):
            return state, journal
        number += 1
        if number in cuts:
            state, event = rebuilt(), Begin(at=at)
        elif isinstance(decision.effect, Wait):
            at = max(at, decision.effect.until)
            event = Due(at=at)
        else:
            branch, retry = random_outcome(seed, decision.effect.id)
            event = told(branch, value=decision.effect.id, at=at, retry=retry, error=branch)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10_000), cuts=st.sets(st.integers(1, 60), max_size=4))
def test_a_run_cut_anywhere_finishes_every_step_once_and_goes_the_same_way(seed, cuts):
    workflow = random_workflow(seed)
    whole, facts_whole = run_with_cuts(workflow, seed, set())
    cut, facts_cut = run_with_cuts(workflow, seed, cuts)

    def finished(facts, kind):
        return [
            (fact.step, fact.visit, getattr(fact, "index", None), fact.branch)
            for fact in facts
            if isinstance(fact, kind)
        ]

    assert (cut.status, cut.path, cut.error) == (whole.status, whole.path, whole.error)
    for kind in (StepFinished, ItemFinished):
        assert finished(facts_cut, kind) == finished(facts_whole, kind)
        assert len(set(finished(facts_cut, kind))) == len(finished(facts_cut, kind))
    assert {step: result.value for step, result in cut.results.items()} == {
        step: result.value for step, result in whole.results.items()
    }
