"""Traces: the latest questions and runs, the newest on top; those that run are looked at again every second."""

from collections.abc import Sequence
from functools import partial
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.cortex.event import Event
from planaria.nerve.trace.doing import doing_now
from planaria.nerve.trace.reading import beginnings, begins, short
from planaria.nerve.trace.shape import Trace
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part
from planaria.nerve.web.site import Site

LIST = 40
"""Traces on one page."""
LOOK_EVERY = 1.0
"""Seconds between two looks at traces that run, when nothing is written about them."""


def routes(site: Site) -> list[Route]:
    """`/traces` and its stream."""

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

    return [Route("/traces", show_all), Route("/live/traces", live_all)]


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
            self.changed |= {trace.id for trace in self.traces.values() if trace.state == "running"}
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
                if message.trace_id not in self.traces and begins(message):
                    self.order.insert(0, message.trace_id)
                    self.changed.add(message.trace_id)
                elif message.trace_id in self.traces:
                    self.changed.add(message.trace_id)
        return []

    async def _begin(self) -> None:
        self.order = []
        async for trace_id, seq in beginnings(self.site.read, self.before):
            await self._look(trace_id)
            self.order.append(trace_id)
            self.last = seq
            if sum(self._wants(trace) for trace in self.traces.values()) >= LIST:
                self.more = True
                break

    async def _look(self, trace_id: str) -> None:
        look = partial(doing_now, self.site.node)
        trace = await short(self.site.read, trace_id, now=self.site.now(), look=look)
        if trace is not None:
            self.traces[trace_id] = trace

    def _wants(self, trace: Trace) -> bool:
        return not self.failed or trace.state in ("failed", "cut_off")


def _number(request: Request, name: str) -> int | None:
    given = request.query_params.get(name, "")
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 19 else None
