"""`/metrics`: the node's figures for Prometheus.

Open to a browser that is logged in, and to whoever has the token of `[web] metrics_token_env` as
`Authorization: Bearer …`; to nobody else.
"""

import hmac

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from planaria.nerve.metrics.process import Metrics
from planaria.nerve.web.site import Site

PATH = "/metrics"
SCRAPE_TIME = 5.0


def routes(site: Site) -> list[Route]:
    """The one route."""

    async def metrics(request: Request) -> Response:
        scraped = await Metrics.scrape.within(SCRAPE_TIME)(
            site.pid("metrics"), request.headers.get("accept", "")
        )
        return Response(scraped.body, media_type=None, headers={"Content-Type": scraped.content_type})

    return [Route(PATH, metrics, methods=["GET"])]


def has_token(request: Request, token: str) -> bool:
    """Whether a request for `/metrics` brings the token; never, if there is none."""
    if not token or request.url.path != PATH or request.method not in ("GET", "HEAD"):
        return False
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    # Latin-1 is what headers are; compare_digest takes only ASCII as text.
    return scheme.lower() == "bearer" and hmac.compare_digest(
        given.strip().encode("latin-1"), token.encode("utf-8")
    )


async def refused(scope: Scope, receive: Receive, send: Send) -> None:
    """To a scraper without login or token: no page, a word."""
    text = "Log in to the dashboard, or send the token that [web] metrics_token_env names.\n"
    await PlainTextResponse(text, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)
