"""The comparison can fail: it agrees with the published reference, and every kind of difference is seen."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .vector_adapter.comparison import canonical, disagreements, step_disagreement

VECTORS = Path(__file__).parent / "vectors"
AGREEMENT: dict[str, Any] = {
    "results": ["ok", {"ok": {"pid": "w#1"}}],
    "trace": [
        {
            "events": [{"p": "w#1", "ev": "init"}, {"p": "w#1", "ev": "note", "v": 1}],
            "exits": {"w#1": "normal"},
            "inbox": ["a", "b"],
        },
        {},
    ],
    "alive": ["a#1"],
}


# The reference, as the vectors' README gives it in section 8; kept apart from the code it checks.
def ref_canon(x: Any) -> str:
    return json.dumps(ref_norm(x), sort_keys=True)


def ref_norm(x: Any) -> Any:
    if isinstance(x, dict):
        return {k: ref_norm(v) for k, v in x.items()}
    if isinstance(x, list):
        items = [ref_norm(v) for v in x]
        if items and all(isinstance(v, dict) and "child" in v and "id" in v for v in items):
            items.sort(key=lambda v: json.dumps(v, sort_keys=True))
        return items
    return x


def ref_numbered(events: list[Any]) -> list[tuple[str, int]]:
    n: Counter[str] = Counter()
    out = []
    for e in map(ref_canon, events):
        n[e] += 1
        out.append((e, n[e]))
    return out


def ref_step_problem(want: dict[str, Any], got: dict[str, Any]) -> str | None:
    we, ge = ref_numbered(want.get("events", [])), ref_numbered(got.get("events", []))
    if "before" not in want:
        if we != ge:
            return "events"
    else:
        if sorted(we) != sorted(ge):
            return "events (as a set)"
        at = {e: i for i, e in enumerate(ge)}
        for i, j in want["before"]:
            if at[we[i]] > at[we[j]]:
                return f"order: {we[i]} after {we[j]}"
    if ref_canon(want.get("exits", {})) != ref_canon(got.get("exits", {})):
        return "exits"
    wi = [ref_canon(m) for m in want.get("inbox", [])]
    gi = [ref_canon(m) for m in got.get("inbox", [])]
    if want.get("inbox_any_order"):
        wi.sort()
        gi.sort()
    return None if wi == gi else "inbox"


small_values = st.sampled_from(
    ["a", "b", 1, {"child": "w#1", "id": "x"}, [{"child": "b", "id": "y"}, {"child": "a", "id": "x"}]]
)
small_lists = st.lists(small_values, max_size=4)


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    events = draw(small_lists)
    record: dict[str, Any] = {"events": events, "inbox": draw(small_lists)}
    record["exits"] = draw(st.dictionaries(st.sampled_from(["w#1", "w#2"]), small_values, max_size=2))
    partial: bool = draw(st.booleans())
    if events and partial:
        positions = st.integers(0, len(events) - 1)
        record["before"] = draw(st.lists(st.tuples(positions, positions), max_size=3))
    any_order: bool = draw(st.booleans())
    if any_order:
        record["inbox_any_order"] = True
    return record


@given(records(), records(), st.booleans(), st.randoms(use_true_random=False))
def test_the_comparison_of_a_step_agrees_with_the_published_reference(
    want: dict[str, Any], other: dict[str, Any], shuffle: bool, random: Any
) -> None:
    candidates = [want, other, {**want, "events": other["events"]}, {**want, "inbox": other["inbox"]}]
    if shuffle:
        events, inbox = list(want["events"]), list(want["inbox"])
        random.shuffle(events)
        random.shuffle(inbox)
        candidates.append({**want, "events": events, "inbox": inbox})
    for got in candidates:
        assert (step_disagreement(want, got) is None) == (ref_step_problem(want, got) is None)


@given(small_values, small_values)
def test_values_count_as_equal_exactly_when_the_reference_says_so(a: Any, b: Any) -> None:
    assert (canonical(a) == canonical(b)) == (ref_canon(a) == ref_canon(b))


def test_equal_executions_agree() -> None:
    assert disagreements(AGREEMENT, AGREEMENT["results"], AGREEMENT["trace"], ["a#1"]) == []


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("result", {"results": ["ok", "ok"]}),
        ("results", {"results": ["ok"]}),
        ("trace", {"trace": [AGREEMENT["trace"][0]]}),
        ("alive", {"alive": []}),
        ("events", {"trace": [{**AGREEMENT["trace"][0], "events": []}, {}]}),
        (
            "events",
            {"trace": [{**AGREEMENT["trace"][0], "events": AGREEMENT["trace"][0]["events"][::-1]}, {}]},
        ),
        ("exits", {"trace": [{**AGREEMENT["trace"][0], "exits": {"w#1": "boom"}}, {}]}),
        ("exits", {"trace": [AGREEMENT["trace"][0], {"exits": {"a#1": "boom"}}]}),
        ("inbox", {"trace": [{**AGREEMENT["trace"][0], "inbox": ["b", "a"]}, {}]}),
        ("inbox", {"trace": [AGREEMENT["trace"][0], {"inbox": ["x"]}]}),
    ],
)
def test_a_difference_in_any_part_is_reported(part: str, change: dict[str, Any]) -> None:
    got: dict[str, Any] = {**AGREEMENT, **change}
    found = disagreements(AGREEMENT, got["results"], got["trace"], got["alive"])
    assert found, f"a changed {part} went unnoticed"
    assert part in found[0]


def test_a_partial_order_is_kept_pair_by_pair() -> None:
    events = [{"n": 1}, {"n": 2}, {"n": 3}]
    want = {"events": events, "before": [[0, 2]]}
    assert step_disagreement(want, {"events": [events[1], events[0], events[2]]}) is None
    assert step_disagreement(want, {"events": [events[2], events[1], events[0]]}) is not None


def test_equal_events_are_counted_not_merged() -> None:
    want = {"events": [{"n": 1}, {"n": 1}], "before": []}
    assert step_disagreement(want, {"events": [{"n": 1}]}) is not None
    assert step_disagreement({**want, "before": [[0, 1]]}, {"events": [{"n": 1}, {"n": 1}]}) is None


def test_lists_of_children_have_no_order_but_other_lists_do() -> None:
    children = [{"id": "a", "child": "a#1"}, {"id": "b", "child": "b#1"}]
    assert canonical(children) == canonical(children[::-1])
    assert canonical([1, 2]) != canonical([2, 1])


def test_every_published_expectation_agrees_with_itself_and_fails_when_an_exit_is_added() -> None:
    lines = [line for path in VECTORS.glob("*.jsonl") for line in path.read_text().splitlines()]
    assert len(lines) == 233
    for line in lines:
        expect = json.loads(line)["expect"]
        assert disagreements(expect, expect["results"], expect["trace"], expect["alive"]) == []
        worse = [
            {**entry, "exits": {**entry.get("exits", {}), "stranger#1": "boom"}} for entry in expect["trace"]
        ]
        assert len(disagreements(expect, expect["results"], worse, expect["alive"])) == len(worse)
