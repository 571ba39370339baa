"""A workflow's graph in pixels: what the SVG template needs, from the layout in unit coordinates.

Pure. The layout itself is `workflows/graph.py`; here are sizes, curves, and which classes mark the path taken.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from planaria.workflows.graph import Arrow, Box, Point, layout
from planaria.workflows.views import EdgeView, NodeView

WIDTH, HEIGHT, MARGIN = 168.0, 54.0, 14.0
"""Pixels of a box, and around the whole."""


class BoxView(msgspec.Struct, frozen=True):
    """A step's box: its left upper corner, two lines of text, and its state as a class."""

    x: float
    y: float
    title: str
    tool: str
    state: str
    is_end: bool


class ArrowView(msgspec.Struct, frozen=True):
    """A route: the SVG path, where its branch is written, and whether the run went this way."""

    path: str
    label: str
    label_x: float
    label_y: float
    taken: bool


class GraphView(msgspec.Struct, frozen=True):
    """A drawing `width` by `height` pixels."""

    width: float
    height: float
    box_width: float
    box_height: float
    boxes: tuple[BoxView, ...]
    arrows: tuple[ArrowView, ...]
    summary: str


def draw(nodes: Sequence[NodeView], edges: Sequence[EdgeView], start: str) -> GraphView:
    """The graph with the path taken. Arrows that were taken come last, so that they lie on top."""
    drawing = layout(nodes, edges, start)
    arrows = sorted((_arrow(arrow) for arrow in drawing.arrows), key=lambda arrow: arrow.taken)
    taken = [f"{edge.source}, {edge.branch}, {edge.target}" for edge in edges if edge.taken]
    return GraphView(
        width=drawing.width * WIDTH + 2 * MARGIN,
        height=drawing.height * HEIGHT + 2 * MARGIN,
        box_width=WIDTH,
        box_height=HEIGHT,
        boxes=tuple(_box(box) for box in drawing.boxes),
        arrows=tuple(arrows),
        summary="Path taken: " + ("; ".join(taken) or "none yet"),
    )


def _box(box: Box) -> BoxView:
    x, y = _pixel((box.x, box.y))
    visits = f" ×{box.node.visits}" if box.node.visits > 1 else ""
    tool = box.node.tool + (" · each" if box.node.each else "")
    return BoxView(
        x, y, _cut(box.node.id + visits, 21), _cut(tool, 24), box.node.status, box.node.kind != "step"
    )


def _arrow(arrow: Arrow) -> ArrowView:
    points = [_pixel(point) for point in arrow.points]
    x, y = _pixel(arrow.label)
    times = f" ×{arrow.edge.taken}" if arrow.edge.taken > 1 else ""
    path = _straight(points) if arrow.back else _curve(points)
    return ArrowView(path, arrow.edge.branch + times, x, y + 4, arrow.edge.taken > 0)


def _curve(points: Sequence[Point]) -> str:
    """Smooth downward curves from point to point, leaving and arriving upright."""
    parts = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for (x1, y1), (x2, y2) in pairwise(points):
        middle = (y1 + y2) / 2
        parts.append(f"C{x1:.1f} {middle:.1f} {x2:.1f} {middle:.1f} {x2:.1f} {y2:.1f}")
    return "".join(parts)


def _straight(points: Sequence[Point]) -> str:
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _pixel(point: Point) -> Point:
    return point[0] * WIDTH + MARGIN, point[1] * HEIGHT + MARGIN


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
