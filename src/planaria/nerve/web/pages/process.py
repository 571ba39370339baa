"""One process: what it does, what waits for it, what it is tied to; and the buttons that end it.

The address is a name where there is one, so the page follows a process through its restarts.
"""

from collections import deque
from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.nerve.restart import NotSupervised, restart
from planaria.nerve.trace.doing import masked, session_row
from planaria.nerve.views import FrameView, NoSuchProcess, ProcessView, find_process, process_view
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.pages.journal import EventLine, event_line
from planaria.nerve.web.parts import Part
from planaria.nerve.web.site import Site
from planaria.otp import Pid, exit_signal, reason_text

EVENTS = 15
"""Journal events shown of a process."""
LOOK_BACK = 500
"""Newest events searched for those of the process; its own stream is read besides."""


class Tie(msgspec.Struct, frozen=True):
    """A process this one knows."""

    ref: str
    title: str


class Vitals(msgspec.Struct, frozen=True):
    """What the head of the page shows, of a living process or of one that has ended."""

    title: str
    action: str
    alive: bool
    pid: str
    kind: str
    status: str
    age: float
    queue_len: int
    reductions: int
    restarts: int
    trap_exit: bool
    current: str | None
    awaits: tuple[FrameView, ...]
    parent: Tie | None
    reason: str | None = None


def routes(site: Site) -> list[Route]:
    """`/processes/<name or number>`, its stream and its buttons."""

    async def show(request: Request) -> Response:
        feed = ProcessFeed(site, request.path_params["ref"], must_live=True)
        values = {key: value for part in await feed.parts() for key, value in part.values.items()}
        return await site.page(
            "process.html", "overview", "/live/processes/" + quote(feed.ref, safe=":@"), values
        )

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, ProcessFeed(site, request.path_params["ref"]))

    async def kill(request: Request) -> Response:
        ref, pid = _target(site, request)
        await site.node.run(_signal, pid, "kill")
        return site.told(
            request, f"{ref} was killed. What its supervisor made of it shows below.", _href(ref)
        )

    async def renew(request: Request) -> Response:
        ref, pid = _target(site, request)
        try:
            await site.node.run(restart, pid)
        except NotSupervised as error:
            mend = "Kill ends it; under a dynamic supervisor it may come back by itself."
            return site.told(request, f"{error}. {mend}", _href(ref), bad=True)
        return site.told(request, f"{ref} was started anew.", _href(ref))

    return [
        Route("/processes/{ref:path}/kill", kill, methods=["POST"]),
        Route("/processes/{ref:path}/restart", renew, methods=["POST"]),
        Route("/processes/{ref:path}", show),
        Route("/live/processes/{ref:path}", live),
    ]


class ProcessFeed:
    """One process as parts. Remembers it past its end, so that the page can say what became of it."""

    topics: Sequence[str] = ("journal",)

    def __init__(self, site: Site, ref: str, *, must_live: bool = False) -> None:
        self.site = site
        self.events: deque[EventLine] | None = None
        self.ref = ref
        self.pid: Pid | None = find_process(site.node, ref) if must_live else site.node.find(ref)
        self.last: ProcessView | None = None

    async def parts(self) -> list[Part]:
        """Everything on the page."""
        node = self.site.node
        found = node.find(self.ref)
        if found is not None:
            self.pid = found
        if found is not None or self.last is None:
            if self.pid is None:
                raise NoSuchProcess(self.ref, [])
            self.last = process_view(node, self.pid, self.site.services.redactor)
        view = self.last
        if self.events is None:
            self.events = deque(await self._read_events(view), maxlen=EVENTS)
        row = session_row(node, view.name) if view.name is not None else None
        row = None if row is None else masked(row, self.site.services.redactor)
        now = Part("session-now", "_session_now.html", {"row": row}, row)
        return [*_parts(_vitals(self.ref, view, found, self.pid), view, tuple(self.events)), now]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Events of this process are kept for the next look."""
        if self.events is not None and self.last is not None:
            for message in messages:
                if isinstance(message, Event) and _concerns(message, self.last):
                    self.events.appendleft(event_line(message))
        return []

    async def _read_events(self, view: ProcessView) -> list[EventLine]:
        journal = self.site.node.whereis("journal")
        if journal is None:
            return []
        newest = await Journal.read(journal, Query(limit=LOOK_BACK, newest_first=True))
        found = {event.seq: event for event in newest if _concerns(event, view)}
        if view.name is not None and ":" in view.name:
            own = await Journal.read(journal, Query(session=view.name, limit=EVENTS, newest_first=True))
            found |= {event.seq: event for event in own}
        return [event_line(found[seq]) for seq in sorted(found, reverse=True)[:EVENTS]]


def _concerns(event: Event, view: ProcessView) -> bool:
    """Whether the process wrote the event, or the event is of the stream the process is named for."""
    return event.process in (view.name, view.pid) or (event.session == view.name and view.name is not None)


def _parts(vitals: Vitals, view: ProcessView, events: tuple[EventLine, ...]) -> list[Part]:
    ties = (
        ("links", _ties(view.links)),
        ("monitors", _ties(view.monitors)),
        ("monitored by", _ties(view.monitored_by)),
    )
    state = tuple((field.name, field.value) for field in view.state)
    p: dict[str, object] = {"p": vitals}
    mail = {**p, "queued": view.queued, "consumed": view.consumed}
    # Ages move all the time: mail is compared by what it says.
    mail_key = (vitals.current, _letters(view.queued), _letters(view.consumed))
    return [
        Part("vitals", "_process_vitals.html", p, vitals),
        Part("mail", "_process_mail.html", mail, mail_key),
        Part("state", "_process_state.html", {"state": state}, state),
        Part("awaits", "_process_awaits.html", p, vitals.awaits),
        Part("ties", "_process_ties.html", {**p, "ties": ties}, (ties, vitals.trap_exit)),
        Part("process-events", "_process_events.html", {"events": events}, events),
    ]


def _vitals(ref: str, view: ProcessView, found: Pid | None, pid: Pid | None) -> Vitals:
    alive = found is not None
    return Vitals(
        title=view.title,
        action=_href(ref),
        alive=alive,
        pid=view.pid,
        kind=view.kind,
        status=view.status if alive else "dead",
        age=float(int(view.age)),
        queue_len=view.queue_len,
        reductions=view.reductions,
        restarts=view.restarts,
        trap_exit=view.trap_exit,
        current=view.current,
        awaits=view.awaits,
        parent=None if view.parent is None else _tie(view.parent),
        reason=None if found is not None or pid is None else reason_text(pid.reason),
    )


def _letters(lines: Sequence[object]) -> tuple[object, ...]:
    return tuple(
        (getattr(line, "kind", ""), getattr(line, "sender", ""), getattr(line, "text", "")) for line in lines
    )


def _ties(texts: tuple[str, ...]) -> tuple[Tie, ...]:
    return tuple(_tie(text) for text in texts)


def _tie(text: str) -> Tie:
    """`library <garden.7>` or `<garden.7>` as a link to that process."""
    name, _, pid = text.rpartition(" ")
    return Tie(name or pid.rpartition(".")[2].rstrip(">"), name or pid)


def _target(site: Site, request: Request) -> tuple[str, Pid]:
    ref = request.path_params["ref"]
    return ref, find_process(site.node, ref)


def _href(ref: str) -> str:
    return "/processes/" + quote(ref, safe=":@")


async def _signal(pid: Pid, reason: object) -> None:
    exit_signal(pid, reason)
