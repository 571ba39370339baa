"""Traces: the latest questions and runs; and one of them as a tree beside a time axis, growing while it goes on."""

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote, urlencode

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.nerve.trace.detail import Detail
from planaria.nerve.trace.doing import doing_now
from planaria.nerve.trace.find import NoTrace, find_trace
from planaria.nerve.trace.opening import open_nodes
from planaria.nerve.trace.reading import Reading, beginnings, read_notes, read_trace, rebuilt, short
from planaria.nerve.trace.shape import Trace, TraceNode
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part
from planaria.nerve.web.render import in_url, process_url
from planaria.nerve.web.site import Site
from planaria.nerve.web.timeline import axis, panel_url, rows, trace_url

LIST = 40
"""Traces on one page."""
LOOK_EVERY = 1.0
"""Seconds between two looks at traces that are open, when nothing is written about them."""


class Link(msgspec.Struct, frozen=True):
    """Where a node leads to."""

    text: str
    href: str


def routes(site: Site) -> list[Route]:
    """`/traces`, `/traces/<id>`, the details of a node, and their streams."""

    async def show_all(request: Request) -> Response:
        failed, before = request.query_params.get("failed") == "1", _number(request, "before")
        feed = TracesFeed(site, failed, before)
        values = {key: value for part in await feed.parts() for key, value in part.values.items()}
        given = urlencode({"failed": "1"} if failed else {})
        older = (
            f"/traces?{urlencode(({'failed': '1'} if failed else {}) | {'before': feed.last})}"
            if feed.more
            else None
        )
        values |= {"failed": failed, "older": older}
        live_url = None if before else "/live/traces" + (f"?{given}" if given else "")
        return await site.page("traces.html", "traces", live_url, values)

    async def live_all(request: Request) -> Response:
        return LiveResponse(site, request, TracesFeed(site, request.query_params.get("failed") == "1", None))

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
        Route("/traces", show_all),
        Route("/live/traces", live_all),
        Route("/traces/{id:path}", show_one),
        Route("/trace-node/{id:path}", show_node),
        Route("/live/traces/{id:path}", live_one),
    ]


class TracesFeed:
    """The latest traces; one is read again when something is written about it, or while it is open."""

    topics: Sequence[str] = ("journal",)

    def __init__(self, site: Site, failed: bool, before: int | None) -> None:
        self.site = site
        self.failed = failed
        self.before = before
        self.traces: dict[str, Trace] = {}
        self.order: list[str] | None = None
        self.last = 0
        self.more = False
        self.changed: set[str] = set()
        self.due = 0.0

    async def parts(self) -> list[Part]:
        """The list."""
        if self.order is None:
            await self._begin()
        now = self.site.now()
        if now >= self.due:
            self.due = now + LOOK_EVERY
            self.changed |= {trace.id for trace in self.traces.values() if trace.open}
        for trace_id in tuple(self.changed):
            await self._look(trace_id)
        self.changed.clear()
        found = [self.traces[trace_id] for trace_id in self.order or () if trace_id in self.traces]
        shown = tuple(trace for trace in found if self._wants(trace))[:LIST]
        return [Part("traces", "_traces.html", {"traces": shown, "now": now}, shown)]

    def take(self, messages: Sequence[object]) -> list[str]:
        """What is written makes its trace worth another look."""
        for message in messages:
            if isinstance(message, Event) and self.order is not None:
                if message.trace_id not in self.traces and message.kind in (
                    "room.message",
                    "workflow.run.started",
                ):
                    self.order.insert(0, message.trace_id)
                    self.changed.add(message.trace_id)
                elif message.trace_id in self.traces:
                    self.changed.add(message.trace_id)
        return []

    async def _begin(self) -> None:
        self.order = []
        async for trace_id, seq in beginnings(partial(_read, self.site), self.before):
            await self._look(trace_id)
            self.order.append(trace_id)
            self.last = seq
            if sum(self._wants(trace) for trace in self.traces.values()) >= LIST:
                self.more = True
                break

    async def _look(self, trace_id: str) -> None:
        look = partial(doing_now, self.site.node)
        trace = await short(partial(_read, self.site), trace_id, now=self.site.now(), look=look)
        if trace is not None:
            self.traces[trace_id] = trace

    def _wants(self, trace: Trace) -> bool:
        return not self.failed or trace.state in ("failed", "cut_off")


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

    async def parts(self) -> list[Part]:
        """Everything that moves on the page."""
        now = self.site.now()
        if self.reading is None:
            first = await _reading(self.site, self.id)
            self.events |= {event.seq: event for event in first.events}
            self.notes = await read_notes(partial(_read, self.site), first.events)
        look = partial(doing_now, self.site.node)
        events = [self.events[seq] for seq in sorted(self.events)]
        self.reading = rebuilt(self.id, events, self.notes, now=now, look=look)
        return trace_parts(self.reading.trace, now, self.zoom)

    def take(self, messages: Sequence[object]) -> list[str]:
        """Events of the trace, and of the life of the node beside it."""
        for message in messages:
            if isinstance(message, Event):
                if message.trace_id == self.id:
                    self.events[message.seq] = message
                elif message.session == "node":
                    self.notes.append(message)
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
    details = await open_nodes(partial(_read, site), reading, (node.id,), site.services.redactor)
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
        return (await find_trace(partial(_read, site), what)).trace_id
    except NoTrace as error:
        near = f" Near: {', '.join(error.near)}." if error.near else ""
        raise HTTPException(
            404, f"{str(error).capitalize()}.{near} The latest are on the page of all traces."
        ) from error


async def _reading(site: Site, trace_id: str) -> Reading:
    look = partial(doing_now, site.node)
    reading = await read_trace(partial(_read, site), trace_id, now=site.now(), look=look)
    if reading is None:
        raise HTTPException(404, f"There is no trace {trace_id!r}. The latest are on the page of all traces.")
    return reading


async def _read(site: Site, query: Query) -> list[Event]:
    return await Journal.read(site.pid("journal"), query)


def _node_and_zoom(request: Request) -> tuple[str, str]:
    return request.query_params.get("node", ""), request.query_params.get("zoom", "")


def _number(request: Request, name: str) -> int | None:
    given = request.query_params.get(name, "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else None
