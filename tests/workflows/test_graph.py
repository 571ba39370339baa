"""The drawing of a workflow: boxes apart, arrows from box to box, the same every time."""

from hypothesis import given, settings
from hypothesis import strategies as st

from planaria.workflows.advance import Answer, Begin, advance
from planaria.workflows.graph import layout, text_tree
from planaria.workflows.state import Result, begin
from planaria.workflows.views import edges_of, nodes_of, run_view
from tests.workflows.graphs import random_workflow
from tests.workflows.support import graph, started

WAYS = {
    "fetch": {"new": "keep", "unchanged": "end", "failed": "tell"},
    "keep": {"*": "tell"},
    "tell": {"ok": "end", "failed": "fail"},
}


def drawn(workflow):
    return layout(nodes_of(workflow), edges_of(workflow), workflow.start)


def test_the_start_is_on_top_and_each_step_below_those_that_lead_to_it():
    y = {box.node.id: box.y for box in drawn(graph(WAYS)).boxes}
    assert y["fetch"] == 0 < y["keep"] < y["tell"] < y["end"]


def test_every_route_has_an_arrow_with_its_branch():
    arrows = drawn(graph(WAYS)).arrows
    assert {(arrow.edge.source, arrow.edge.branch, arrow.edge.target) for arrow in arrows} == {
        ("fetch", "new", "keep"),
        ("fetch", "unchanged", "end"),
        ("fetch", "failed", "tell"),
        ("keep", "*", "tell"),
        ("tell", "ok", "end"),
        ("tell", "failed", "fail"),
    }


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_two_boxes_touch_and_all_lies_within_the_drawing(seed):
    drawing = drawn(random_workflow(seed, 9))
    boxes = drawing.boxes
    for number, one in enumerate(boxes):
        assert one.x >= 0 and one.x + 1 <= drawing.width + 1e-9 and one.y + 1 <= drawing.height + 1e-9
        for other in boxes[number + 1 :]:
            assert abs(one.x - other.x) > 1 or abs(one.y - other.y) > 1
    for arrow in drawing.arrows:
        assert all(-1e-9 <= x <= drawing.width + 1e-9 and 0 <= y <= drawing.height for x, y in arrow.points)
    assert drawn(random_workflow(seed, 9)) == drawing


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_an_arrow_down_passes_through_no_box(seed):
    drawing = drawn(random_workflow(seed, 7))
    for arrow in drawing.arrows:
        if arrow.back:
            continue
        for x, y in arrow.points[1:-1]:
            assert not any(box.x < x < box.x + 1 and box.y < y < box.y + 1 for box in drawing.boxes)


def test_a_cycle_is_drawn_back_up_along_the_side():
    drawing = drawn(graph({"a": {"*": "b"}, "b": {"ok": "a", "*": "end"}}, a={"max_visits": 3}))
    (back,) = [arrow for arrow in drawing.arrows if arrow.back]
    assert (back.edge.source, back.edge.target) == ("b", "a")


def test_parallel_routes_do_not_lie_on_each_other():
    arrows = drawn(graph({"a": {"ok": "end", "failed": "end"}})).arrows
    assert arrows[0].points != arrows[1].points


def test_the_text_tree_shows_each_step_once():
    workflow = graph(WAYS)
    assert text_tree(nodes_of(workflow), edges_of(workflow), workflow.start) == (
        "· fetch  test.step\n"
        "├─ new → · keep  test.step\n"
        "│   └─ * → · tell  test.step\n"
        "│       ├─ ok → · end\n"
        "│       └─ failed → · fail\n"
        "├─ unchanged → · end\n"
        "└─ failed → · tell  test.step  (above)"
    )


def test_a_run_marks_the_path_it_took():
    workflow = graph(WAYS)
    state = begin(started(workflow))
    decision = advance(workflow, state, Begin(at=0.0))
    decision = advance(workflow, decision.state, Answer(at=1.0, result=Result("failed", error="no feed")))
    view = run_view(workflow, decision.state)
    assert {node.id: node.status for node in view.nodes} == {
        "fetch": "failed",
        "keep": "pending",
        "tell": "running",
        "end": "pending",
        "fail": "pending",
    }
    decision = advance(workflow, decision.state, Answer(at=2.0, result=Result("ok")))
    view = run_view(workflow, decision.state)
    assert {(edge.source, edge.branch) for edge in view.edges if edge.taken} == {
        ("fetch", "failed"),
        ("tell", "ok"),
    }
    assert {step.id: step.status for step in view.steps} == {
        "fetch": "failed",
        "keep": "skipped",
        "tell": "done",
    }
    assert {node.id: node.status for node in view.nodes}["end"] == "done"
    assert view.path == ("fetch", "tell")
    assert "└═ failed → ✓ tell" in text_tree(view.nodes, view.edges, view.start)
