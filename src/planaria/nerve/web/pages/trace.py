"""One trace: a tree beside a time axis, its parts opened beside it, growing while it goes on."""

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote, urlencode

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planaria.cortex.chronicle_events import SESSION as NODE
from planaria.cortex.event import Event
from planaria.nerve.trace.detail import Detail
from planaria.nerve.trace.doing import doing_now
from planaria.nerve.trace.find import NoTrace, find_trace
from planaria.nerve.trace.opening import open_nodes
from planaria.nerve.trace.reading import MOST_NOTES, Reading, read_notes, read_trace, rebuilt
from planaria.nerve.trace.shape import Trace, TraceNode
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part
from planaria.nerve.web.render import in_url, process_url
from planaria.nerve.web.site import Site
from planaria.nerve.web.timeline import axis, panel_url, rows, trace_url


class Link(msgspec.Struct, frozen=True):
    """Where a node leads to."""

    text: str
    href: str


def routes(site: Site) -> list[Route]:
    """`/traces/<id>`, the details of a node, and its stream."""

    async def show_one(request: Request) -> Response:
        what, node, zoom = request.path_params["id"], *_node_and_zoom(request)
        found = await _find(site, what)
        if found != what:
            return RedirectResponse(trace_url(found, node, zoom), status_code=303)
        feed = TraceFeed(site, found, zoom)
        values = {key: value for part in await feed.parts() for key, value in part.values.items()}
        values |= await _panel(site, feed.reading, node, zoom)
        live_url = trace_url(found, "", zoom).replace("/traces/", "/live/traces/", 1)
        return await site.page("trace.html", "traces", live_url, values)

    async def live_one(request: Request) -> Response:
        return LiveResponse(
            site, request, TraceFeed(site, request.path_params["id"], _node_and_zoom(request)[1])
        )

    async def show_node(request: Request) -> Response:
        node, zoom = _node_and_zoom(request)
        reading = await _reading(site, request.path_params["id"])
        return site.renderer.response("_trace_node.html", await _panel(site, reading, node, zoom))

    return [
        Route("/traces/{id:path}", show_one),
        Route("/trace-node/{id:path}", show_node),
        Route("/live/traces/{id:path}", live_one),
    ]


class TraceFeed:
    """One trace. Its events are read once; what is written later comes through the journal's topic."""

    topics: Sequence[str] = ("journal",)

    def __init__(self, site: Site, trace_id: str, zoom: str) -> None:
        self.site = site
        self.id = trace_id
        self.zoom = zoom
        self.reading: Reading | None = None
        self.notes: list[Event] = []
        self.events: dict[int, Event] = {}
        self.moved = True
        self.shown: list[Part] | None = None

    async def parts(self) -> list[Part]:
        """Everything that moves on the page."""
        now = self.site.now()
        if not self.moved and self.shown is not None:
            return self.shown
        if self.reading is None:
            first = await _reading(self.site, self.id)
            self.events |= {event.seq: event for event in first.events}
            self.notes = await read_notes(self.site.read, first.events)
        look = partial(doing_now, self.site.node)
        events = [self.events[seq] for seq in sorted(self.events)]
        self.reading = rebuilt(self.id, events, self.notes, now=now, look=look)
        # A turn is taken up again without a word in the journal, so what was cut off is looked at like what runs.
        self.moved = self.reading.trace.open or self.reading.trace.state == "cut_off"
        self.shown = trace_parts(self.reading.trace, now, self.zoom)
        return self.shown

    def take(self, messages: Sequence[object]) -> list[str]:
        """Events of the trace, and of the life of the node beside it."""
        for message in messages:
            if isinstance(message, Event):
                if message.trace_id == self.id:
                    self.events[message.seq] = message
                    self.moved = True
                elif message.session == NODE:
                    self.notes = [*self.notes[-MOST_NOTES:], message]
                    self.moved = True
        return []


def trace_parts(trace: Trace, now: float, zoom: str) -> list[Part]:
    """A trace as the parts of its page."""
    near = trace.node(zoom) if zoom else None
    shown = axis(trace, now, near)
    lines = rows(trace, shown, now, zoom if near else "")
    left = len(trace.nodes) - len(lines)
    whole = {
        "trace": trace,
        "now": now,
        "near": near,
        "whole_url": trace_url(trace.id),
        "journal_url": "/journal?" + urlencode({"trace": trace.id}),
        "links": _links(trace.where),
    }
    inner = tuple(Part(row.dom, "_trace_row.html", {"row": row}, row) for row in lines)
    spent = trace.spent
    without = tuple(
        name
        for name, there in (
            ("no-cost", spent.cost_micro),
            ("no-tokens", spent.tokens_in + spent.tokens_out),
        )
        if not there
    )
    tree: dict[str, object] = {"rows": lines, "axis": shown, "left": left, "without": without}
    key = (trace.state, trace.spent, trace.ended, trace.answered_by, int(now) if trace.open else 0)
    shape = (tuple(row.dom for row in lines), left, shown.ticks, without)
    return [
        Part("trace-head", "_trace_head.html", whole, key),
        Part("trace-tree", "_trace_tree.html", tree, shape, inner),
    ]


async def _panel(site: Site, reading: Reading | None, node_id: str, zoom: str) -> dict[str, object]:
    """What the details of a node are drawn from; without a node, an invitation."""
    trace = None if reading is None else reading.trace
    node = None if trace is None or not node_id else trace.node(node_id)
    if reading is None or trace is None or node is None:
        return {"detail": None, "gone": bool(node_id), "links": (), "here": None}
    details = await open_nodes(site.read, reading, (node.id,), site.services.redactor)
    detail: Detail = details[0]
    return {
        "detail": detail,
        "gone": False,
        "links": node_links(node, trace),
        "here": {
            "zoom": trace_url(trace.id, node.id, "" if zoom == node.id else node.id),
            "zoomed": zoom == node.id,
            "close": trace_url(trace.id, "", zoom),
            "close_panel": panel_url(trace.id, "", zoom),
            "panel": panel_url(trace.id, node.id, zoom),
            "trace": trace.id,
        },
        "now": site.now(),
    }


def node_links(node: TraceNode, trace: Trace) -> tuple[Link, ...]:
    """Pages about what a node is about."""
    if node.kind == "turn":
        return _links(node.id.removeprefix("turn:").partition("|")[0])
    if node.kind == "run":
        return _links(node.id)
    if node.kind == "message":
        return _links(trace.where)
    if node.kind == "question":
        return (Link("questions", "/questions"),)
    return (Link("dead letters", "/dead"),) if node.kind == "dead" else ()


def _links(session: str) -> tuple[Link, ...]:
    kind, _, name = session.partition(":")
    if kind == "room" and name:
        return (Link(f"room {name}", f"/rooms/{in_url(name)}"),)
    if kind == "run" and name:
        return (Link("its run", f"/runs/{quote(name, safe='', errors='backslashreplace')}"),)
    return (Link(f"{name}, now", process_url(session)),) if kind == "session" and name else ()


async def _find(site: Site, what: str) -> str:
    try:
        return (await find_trace(site.read, site.find, what)).trace_id
    except NoTrace as error:
        near = f" Near: {', '.join(error.near)}." if error.near else ""
        said = str(error)
        text = f"{said[:1].upper()}{said[1:]}.{near} The latest are on the page of all traces."
        raise HTTPException(404, text) from error


async def _reading(site: Site, trace_id: str) -> Reading:
    look = partial(doing_now, site.node)
    reading = await read_trace(site.read, trace_id, now=site.now(), look=look)
    if reading is None:
        raise HTTPException(404, f"There is no trace {trace_id!r}. The latest are on the page of all traces.")
    return reading


def _node_and_zoom(request: Request) -> tuple[str, str]:
    return request.query_params.get("node", ""), request.query_params.get("zoom", "")
