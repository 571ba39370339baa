"""Where the boxes and arrows of a workflow go: a layered drawing in unit coordinates, and a tree for terminals.

Pure; no browser, no script. A box is 1 wide and 1 high, the gaps are `GAP_X` and `GAP_Y`, so the caller scales
x and y as it likes. Layers go downwards from the start. An arrow is a list of points; one that leads back up
(a cycle) runs along the right side. Layering by longest path, order by barycentre, as in Sugiyama's method.
Does badly: it does not find the fewest crossings of a graph with dozens of steps.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from planaria.workflows.views import EdgeView, NodeView

GAP_X = 0.4
GAP_Y = 0.8
SWEEPS = 8

type Point = tuple[float, float]


class Box(msgspec.Struct, frozen=True):
    """A node's place: its left upper corner and size."""

    node: NodeView
    x: float
    y: float
    width: float = 1.0
    height: float = 1.0


class Arrow(msgspec.Struct, frozen=True):
    """The way of an edge from the box it leaves to the one it enters; `label` is where its branch is written."""

    edge: EdgeView
    points: tuple[Point, ...]
    label: Point
    back: bool = False


class Drawing(msgspec.Struct, frozen=True):
    """A whole graph; everything lies between (0, 0) and (width, height)."""

    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    width: float
    height: float


def layout(nodes: Sequence[NodeView], edges: Sequence[EdgeView], start: str) -> Drawing:
    """Place a graph.

    Args:
        nodes: as in `RunView.nodes` or `WorkflowView.nodes`.
        edges: between these nodes; several may join the same two, and then share one line in parallel.
        start: the node at the top.
    """
    known = {node.id for node in nodes}
    edges = [edge for edge in edges if edge.source in known and edge.target in known]
    back = _back_edges(nodes, edges, start)
    forward = [(edge.source, edge.target) for edge in edges if (edge.source, edge.target) not in back]
    layers = _layers([node.id for node in nodes], forward)
    rows, chains = _rows(layers, sorted(set(forward)))
    columns = _columns(rows, chains)
    width = max((columns[name] for name in columns), default=0.0) + 1.0
    boxes = tuple(Box(node, columns[node.id], layers[node.id] * (1 + GAP_Y)) for node in nodes)
    at = {box.node.id: box for box in boxes}
    arrows: list[Arrow] = []
    lane = 0
    between: dict[tuple[str, str], int] = {}
    for edge in edges:
        pair = (edge.source, edge.target)
        nth = between[pair] = between.get(pair, -1) + 1
        count = sum((other.source, other.target) == pair for other in edges)
        offset = (nth - (count - 1) / 2) * 0.9 / max(count, 1)
        if pair in back:
            lane += 1
            arrows.append(_arrow_back(edge, at, width + 0.2 * lane))
        else:
            arrows.append(_arrow_down(edge, at, chains.get(pair, ()), columns, layers, offset))
    height = max((box.y for box in boxes), default=0.0) + 1.0
    return Drawing(boxes, tuple(arrows), width + (0.2 * lane + 0.2 if lane else 0.0), height)


def text_tree(nodes: Sequence[NodeView], edges: Sequence[EdgeView], start: str) -> str:
    """The graph as an indented text, for terminals: each step once, later mentions as `(above)`.

    The mark before a name is its status; the line to a route that was taken is double.
    """
    by_id = {node.id: node for node in nodes}
    out = {node: [edge for edge in edges if edge.source == node] for node in by_id}
    lines: list[str] = []
    seen: set[str] = set()

    def show(name: str, lead: str, label: str) -> None:
        node = by_id.get(name)
        if node is None:
            return
        title = f"{MARKS[node.status]} {name}" + (f"  {node.tool}" if node.tool else "")
        title += "  (each)" if node.each else ""
        title += f"  x{node.visits}" if node.visits > 1 else ""
        again = name in seen and bool(out[name])
        lines.append(f"{label}{title}{'  (above)' if again else ''}")
        if again:
            return
        seen.add(name)
        for number, edge in enumerate(out[name], 1):
            last = number == len(out[name])
            line = "═" if edge.taken else "─"
            branch = f"{lead}{'└' if last else '├'}{line} {edge.branch} → "
            show(edge.target, lead + ("    " if last else "│   "), branch)

    show(start, "", "")
    return "\n".join(lines)


MARKS: Mapping[str, str] = {
    "pending": "·",
    "running": "▶",
    "retrying": "↻",
    "done": "✓",
    "failed": "✗",
    "cancelled": "■",
    "skipped": "-",
}


def _back_edges(nodes: Sequence[NodeView], edges: Sequence[EdgeView], start: str) -> set[tuple[str, str]]:
    """The edges that close a cycle when the graph is walked depth first from the start."""
    out: dict[str, list[str]] = {node.id: [] for node in nodes}
    for edge in edges:
        out[edge.source].append(edge.target)
    back: set[tuple[str, str]] = set()
    done: set[str] = set()

    def walk(node: str, above: frozenset[str]) -> None:
        above |= {node}
        for target in out[node]:
            if target in above:
                back.add((node, target))
            elif target not in done:
                walk(target, above)
        done.add(node)

    for root in sorted(out, key=lambda name: name != start):
        if root not in done:
            walk(root, frozenset())
    return back


def _layers(nodes: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way from a root to each node; the edges are free of cycles."""
    layers = dict.fromkeys(nodes, 0)
    for _ in nodes:
        moved = False
        for source, target in edges:
            if layers[target] <= layers[source]:
                layers[target] = layers[source] + 1
                moved = True
        if not moved:
            break
    return layers


def _rows(
    layers: Mapping[str, int], edges: Sequence[tuple[str, str]]
) -> tuple[list[list[str]], dict[tuple[str, str], tuple[str, ...]]]:
    """The names in each layer; an edge over several layers gets a stand-in in each, so that it bends around boxes."""
    rows: list[list[str]] = [[] for _ in range(max(layers.values(), default=-1) + 1)]
    for name, layer in layers.items():
        rows[layer].append(name)
    chains: dict[tuple[str, str], tuple[str, ...]] = {}
    for source, target in edges:
        stand_ins = []
        for layer in range(layers[source] + 1, layers[target]):
            name = f"{source}>{target}@{layer}"
            rows[layer].append(name)
            stand_ins.append(name)
        chains[source, target] = tuple(stand_ins)
    return rows, chains


def _columns(rows: list[list[str]], chains: Mapping[tuple[str, str], tuple[str, ...]]) -> dict[str, float]:
    """The left edge of every name. Rows are ordered by the mean place of their neighbours, then centred."""
    up: dict[str, list[str]] = {}
    down: dict[str, list[str]] = {}
    for (source, target), stand_ins in chains.items():
        way = (source, *stand_ins, target)
        for above, below in pairwise(way):
            up.setdefault(below, []).append(above)
            down.setdefault(above, []).append(below)
    for sweep in range(SWEEPS):
        neighbours, order = (up, rows) if sweep % 2 == 0 else (down, rows[::-1])
        place = {name: index - len(row) / 2 for row in rows for index, name in enumerate(row)}
        for row in order:
            centre = {
                name: sum(place[other] for other in neighbours[name]) / len(neighbours[name])
                if neighbours.get(name)
                else place[name]
                for name in row
            }
            row.sort(key=lambda name: centre[name])
            place.update({name: index - len(row) / 2 for index, name in enumerate(row)})
    widest = max((len(row) for row in rows), default=0)
    columns: dict[str, float] = {}
    for row in rows:
        margin = (widest - len(row)) * (1 + GAP_X) / 2
        columns.update({name: margin + index * (1 + GAP_X) for index, name in enumerate(row)})
    return columns


def _arrow_down(
    edge: EdgeView,
    at: Mapping[str, Box],
    stand_ins: Sequence[str],
    columns: Mapping[str, float],
    layers: Mapping[str, int],
    offset: float,
) -> Arrow:
    source, target = at[edge.source], at[edge.target]
    points: list[Point] = [(source.x + 0.5 + offset, source.y + 1)]
    for number, name in enumerate(stand_ins, 1):
        x, y = columns[name] + 0.5 + offset, (layers[edge.source] + number) * (1 + GAP_Y)
        points += [(x, y), (x, y + 1)]
    points.append((target.x + 0.5 + offset, target.y))
    (x1, y1), (x2, y2) = points[0], points[1]
    return Arrow(edge, tuple(points), ((x1 + x2) / 2, (y1 + y2) / 2))


def _arrow_back(edge: EdgeView, at: Mapping[str, Box], lane: float) -> Arrow:
    source, target = at[edge.source], at[edge.target]
    low, high = source.y + 0.5, target.y + 0.5
    points = ((source.x + 1, low), (lane, low), (lane, high), (target.x + 1, high))
    return Arrow(edge, points, (lane, (low + high) / 2), back=True)
