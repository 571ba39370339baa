"""A workflow's graph in pixels."""

from planaria.nerve.web.graph import draw
from planaria.workflows.views import EdgeView, NodeView

NODES = (
    NodeView("fetch", "step", "web.fetch", status="done", visits=1),
    NodeView("write", "step", "notes.write", status="running", visits=1),
    NodeView("end", "end"),
)


def test_the_path_taken_is_marked_and_drawn_last():
    edges = (
        EdgeView("fetch", "ok", "write", 1),
        EdgeView("fetch", "empty", "end"),
        EdgeView("write", "ok", "end"),
    )
    graph = draw(NODES, edges, "fetch")
    assert [arrow.label for arrow in graph.arrows if arrow.taken] == ["ok"]
    assert graph.arrows[-1].taken
    assert [(box.title, box.state) for box in graph.boxes][:2] == [("fetch", "done"), ("write", "running")]
    assert graph.summary == "Path taken: fetch, ok, write"


def test_everything_lies_inside_the_picture():
    graph = draw(NODES, (EdgeView("fetch", "ok", "write"), EdgeView("write", "again", "fetch")), "fetch")
    for box in graph.boxes:
        assert 0 <= box.x <= graph.width - graph.box_width
        assert 0 <= box.y <= graph.height - graph.box_height
