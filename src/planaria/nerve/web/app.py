"""The dashboard as an ASGI application: every page, behind the session gate, behind the guard.

Built once by `dashboard.py`; `build_app` is also what tests call.
"""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from planaria.cortex.errors import JournalUnavailable
from planaria.nerve.views import NoSuchProcess
from planaria.nerve.web.auth import SessionGate
from planaria.nerve.web.guard import Guard
from planaria.nerve.web.live import FrameFeed, LiveResponse
from planaria.nerve.web.pages import (
    grants,
    journal,
    limits,
    login,
    metrics,
    models,
    notes,
    overview,
    problems,
    process,
    questions,
    rooms,
    stopping,
    trace,
    traces,
    workflows,
)
from planaria.nerve.web.render import STATIC
from planaria.nerve.web.site import FRAME_URL, Services, Site
from planaria.nerve.web.told import Told
from planaria.otp import CallError

PAGES = (
    *(
        overview,
        process,
        rooms,
        stopping,
        traces,
        trace,
        questions,
        workflows,
        notes,
        models,
        limits,
        grants,
        problems,
        journal,
    ),
    metrics,
)


def build_app(services: Services) -> ASGIApp:
    """The whole dashboard over one node."""
    site = Site(services)

    async def locked(scope: Scope, receive: Receive, send: Send) -> None:
        closed = metrics.refused if scope["path"] == metrics.PATH else login.locked(site)
        await closed(scope, receive, send)

    def may_scrape(request: Request) -> bool:
        return metrics.has_token(request, services.metrics_token)

    async def away(request: Request, error: Exception) -> Response:
        lines = [
            str(error),
            "The node tries again by itself, or starts it again; this page works as soon as it is back.",
        ]
        return await site.page("trouble.html", "", None, {"title": "Not reachable now", "lines": lines}, 503)

    async def lost(request: Request, error: Exception) -> Response:
        text = error.detail if isinstance(error, HTTPException) else str(error)
        status = error.status_code if isinstance(error, HTTPException) else 404
        title = "There is no such page" if status == 404 else "That did not work"
        return await site.page("trouble.html", "", None, {"title": title, "lines": [text]}, status)

    async def broken(request: Request, error: Exception) -> Response:
        lines = ["This page has an error of its own. The node goes on; the error is in its log."]
        values = {"title": "This page is broken", "lines": lines, "command": None, "onward": None}
        return site.renderer.response("door.html", values, 500)

    async def frame(request: Request) -> Response:
        return LiveResponse(site, request, FrameFeed())

    routes: list[Route | Mount] = [
        Route(FRAME_URL, frame),
        *login.routes(site),
        *(route for page in PAGES for route in page.routes(site)),
    ]
    return Starlette(
        routes=[*routes, Mount("/static", StaticFiles(directory=STATIC))],
        middleware=[
            Middleware(Told, node=services.node),
            Middleware(Guard, hosts=services.hosts),
            Middleware(SessionGate, door=services.door, locked=locked, pass_=may_scrape),
        ],
        exception_handlers={
            CallError: away,
            JournalUnavailable: away,
            NoSuchProcess: lost,
            HTTPException: lost,
            Exception: broken,
        },
    )
