"""What every page has in common: the node, the door, the renderer, and the frame around the page."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from planaria.cortex.durable.dead import Dead
from planaria.cortex.durable.questions import Questions
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.membrane.models.router import ProviderUsage
from planaria.nerve.web.auth import Door, cookie_name
from planaria.nerve.web.drawn import Drawn
from planaria.nerve.web.parts import Part
from planaria.nerve.web.render import Renderer
from planaria.nerve.web.troubles import Happening, Trouble, find_troubles
from planaria.otp import CallError, Node, Pid

BEAT = 5.0
"""Seconds between two heartbeats of a live page; the style sheet calls the signal lost after 14."""
TROUBLES_EVERY = 1.0
FRAME_URL = "/live/frame"
"""The stream of pages that have none of their own."""


class ModelLine(msgspec.Struct, frozen=True):
    """One provider as people read it."""

    name: str
    text: str


class ModelsView(msgspec.Struct, frozen=True):
    """Which models answer here."""

    offline: bool
    text: str
    rows: tuple[ModelLine, ...] = ()


@dataclass(frozen=True)
class Services:
    """What the dashboard is built from. All of it is given by whoever starts the node."""

    node: Node
    garden: Path
    zone: str
    door: Door
    lately: Callable[[], Awaitable[tuple[Happening, ...]]]
    models: Callable[[], ModelsView]
    redactor: Redactor
    hosts: tuple[str, ...] = ()
    metrics_token: str = ""
    usage: Callable[[], Mapping[str, ProviderUsage]] | None = None


class Waiting(msgspec.Struct, frozen=True):
    """How much waits for a person: open questions, and letters nobody has looked at."""

    questions: int = 0
    letters: int = 0

    @property
    def total(self) -> int:
        """Both together."""
        return self.questions + self.letters

    @property
    def words(self) -> str:
        """`2 questions and 1 dead letter wait for you`."""
        counts = ((self.questions, "question"), (self.letters, "dead letter"))
        said = [f"{many} {what}{'' if many == 1 else 's'}" for many, what in counts if many]
        return f"{' and '.join(said)} {'waits' if self.total == 1 else 'wait'} for you"


class Site:
    """The dashboard's services with the frame they are shown in."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.node = services.node
        self.renderer = Renderer(services.zone, self.now)
        self.drawn = Drawn()
        self._troubles: tuple[Trouble, ...] = ()
        self._troubles_due = 0.0
        self._waiting = Waiting()
        self._waiting_due = 0.0

    def now(self) -> float:
        """Unix seconds by the node's clock."""
        return self.node.clock.wall()

    def pid(self, name: str) -> Pid:
        """The server of this name; raises `NoProcess` (a `CallError`) while it is down."""
        return self.node[name]

    async def read(self, query: Query) -> list[Event]:
        """Events of the journal; raises `CallError` while it is down, `JournalUnavailable` while it cannot read."""
        return await Journal.read(self.pid("journal"), query)

    async def find(self, id: str) -> Event | None:
        """One event of the journal; raises as `read`."""
        return await Journal.find(self.pid("journal"), id)

    async def troubles(self) -> tuple[Trouble, ...]:
        """What is wrong, worst first; looked up once a second however many pages are open."""
        if self.now() >= self._troubles_due:
            self._troubles_due = self.now() + TROUBLES_EVERY
            self._troubles = await find_troubles(self.node, await self.services.lately(), self.now())
        return self._troubles

    async def waiting(self) -> Waiting:
        """What waits for a person; looked up once a second. While a server is down its part counts as nothing."""
        if self.now() >= self._waiting_due:
            self._waiting_due = self.now() + TROUBLES_EVERY
            questions = letters = 0
            try:
                questions = len(await Questions.pending.within(1.0)(self.pid("questions")))
                letters = await Dead.count.within(1.0)(self.pid("dead"))
            except CallError:
                pass  # it is being restarted; the pages themselves say so
            self._waiting = Waiting(questions, letters)
        return self._waiting

    async def page(
        self,
        template: str,
        current: str,
        live_url: str | None,
        values: Mapping[str, object],
        status: int = 200,
    ) -> HTMLResponse:
        """A whole page: `values` inside the frame every page has."""
        troubles = await self.troubles()
        frame: dict[str, object] = {
            "node_name": self.node.name,
            "current": current,
            "live_url": live_url or FRAME_URL,
            "trouble_count": len(troubles),
            "waiting": await self.waiting(),
            "beat": 0,
            "told": None,
        }
        return self.renderer.response(template, frame | dict(values), status)

    def frame_parts(self, beat: int, troubles: tuple[Trouble, ...], waiting: Waiting) -> list[Part]:
        """The living parts of the frame: the heartbeat, the number of problems, and of what waits for a person."""
        count = len(troubles)
        return [
            Part("beat", "_beat.html", {"beat": beat}, beat),
            Part("trouble-count", "_trouble_count.html", {"trouble_count": count}, count),
            Part("waiting-count", "_waiting_count.html", {"waiting": waiting}, waiting.total),
        ]

    def told(self, request: Request, text: str, href: str, *, bad: bool = False) -> Response:
        """The answer to a button: a sentence in place, or for a browser without scripts the page again."""
        if request.headers.get("hx-request") == "true":
            values = {"told": text, "tone": "alarm" if bad else "well"}
            return self.renderer.response("_told.html", values)
        return RedirectResponse(href, status_code=303)

    async def is_allowed(self, request: Request) -> bool:
        """Whether the browser that sent this request is still logged in."""
        session = request.cookies.get(cookie_name(request.url.port or 80))
        return session is not None and await self.services.door.knows(session)
