"""The journal's tail, filtered by stream, kind or cause; new events appear on top as they are committed."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.nerve.show import clip
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part
from planaria.nerve.web.render import partial
from planaria.nerve.web.site import Site

PAGE = 100
"""Events on one page."""
BRIEF = 160
"""Characters of a payload in one line."""
FULL = 20_000
NOISE = frozenset({"at", "id", "call_id", "client_id", "run", "event_id", "message_id"})
"""Payload keys left out of the line: they say the same as another column. The details have them."""
OUTCOMES = ("branch", "outcome", "status")
BAD_ENDINGS = ("failed", "crashed", "refused", "exceeded", "gave_up", "unavailable", "dead_lettered")


class EventLine(msgspec.Struct, frozen=True):
    """An event as the pages show it."""

    dom: str
    at: float
    kind: str
    bad: bool
    who: str
    brief: str
    full: str
    trace_id: str
    session: str
    gone: str = ""  # "erased" or "pruned"


class Filter(msgspec.Struct, frozen=True):
    """Which events are wanted; empty text is any."""

    session: str = ""
    kind: str = ""
    trace: str = ""

    def lets_in(self, event: Event) -> bool:
        """Whether the event is wanted."""
        return (
            self.session in ("", event.session)
            and self.kind in ("", event.kind)
            and self.trace in ("", event.trace_id)
        )

    def query(self, before: int | None = None) -> Query:
        """The same as the journal is asked."""
        return Query(
            session=self.session or None,
            kinds=(self.kind,) if self.kind else (),
            trace_id=self.trace or None,
            before_seq=before,
            limit=PAGE,
            newest_first=True,
        )

    def address(self, path: str, **more: str) -> str:
        """`path` with this filter in its query."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value}
        return path + ("?" + urlencode(given | more) if given or more else "")


def routes(site: Site) -> list[Route]:
    """`/journal` and its stream."""

    async def show(request: Request) -> Response:
        wanted = _filter(request)
        before = request.query_params.get("before", "")
        events = await Journal.read(
            site.pid("journal"), wanted.query(int(before) if before.isascii() and before.isdigit() else None)
        )
        older = wanted.address("/journal", before=str(events[-1].seq)) if len(events) == PAGE else None
        values: dict[str, object] = {
            "events": [event_line(event) for event in events],
            "filter": wanted,
            "older": older,
        }
        live_url = None if before else wanted.address("/live/journal")
        return await site.page("journal.html", "journal", live_url, values)

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, JournalFeed(site, _filter(request)))

    return [Route("/journal", show), Route("/live/journal", live)]


class JournalFeed:
    """The newest events: read once, then each new one is put on top."""

    def __init__(self, site: Site, wanted: Filter) -> None:
        self.site = site
        self.wanted = wanted
        self.topics: Sequence[str] = (f"journal:{wanted.session}" if wanted.session else "journal",)
        self.events: list[EventLine] | None = None
        self.last_seq = 0

    async def parts(self) -> list[Part]:
        """The list as it was at the start of the stream; what came later went through `take`."""
        if self.events is None:
            events = await Journal.read(self.site.pid("journal"), self.wanted.query())
            self.events = [event_line(event) for event in events]
            self.last_seq = max([self.last_seq, *(event.seq for event in events)])
        return [Part("events", "_events.html", {"events": self.events}, "once")]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Wanted events go on top, the newest last."""
        fresh = [message for message in messages if isinstance(message, Event) and self._wants(message)]
        if not fresh:
            return []
        self.last_seq = fresh[-1].seq
        lines = [
            self.site.renderer.text("_event.html", {"event": event_line(event)}) for event in reversed(fresh)
        ]
        return [partial("#no-events", "delete", ""), partial("#events", "afterbegin", "".join(lines))]

    def _wants(self, event: Event) -> bool:
        return event.seq > self.last_seq and self.wanted.lets_in(event)


def event_line(event: Event) -> EventLine:
    """An event as the pages show it."""
    return EventLine(
        dom=f"e-{event.seq}",
        at=event.at,
        kind=event.kind,
        bad=event.kind.endswith(BAD_ENDINGS) or "failed" in [event.payload.get(key) for key in OUTCOMES],
        # A task without a name says nothing; its stream does.
        who=event.session if event.process.startswith("<") and event.session else event.process,
        brief=clip(brief(event.payload), BRIEF),
        full=clip(msgspec.json.format(msgspec.json.encode(event.payload), indent=2).decode(), FULL),
        trace_id=event.trace_id,
        session=event.session,
        gone="" if event.state == "whole" else event.state,
    )


def brief(payload: Mapping[str, object]) -> str:
    """A payload in one line: `tool=web.fetch branch=ok ms=12`."""
    return " ".join(
        f"{name}={_short(value)}"
        for name, value in payload.items()
        if name not in NOISE and value not in (None, "", [], {})
    )


def journal_of(session: str) -> str:
    """The page of one stream."""
    return "/journal?session=" + quote(session, safe="")


def _filter(request: Request) -> Filter:
    get = request.query_params.get
    return Filter(get("session", "").strip(), get("kind", "").strip(), get("trace", "").strip())


def _short(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return clip(" ".join(text.split()), 60)
