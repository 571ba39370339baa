"""In and out: the one-time link, the locked door, log out."""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from planaria.nerve.web.auth import SESSION_LIFE, cookie_name
from planaria.nerve.web.site import Site

HOW = "Ask the node for a fresh login link, in the folder of your garden:"
COMMAND = "planaria status"


def routes(site: Site) -> list[Route]:
    """`/login` and `/logout`."""

    async def log_in(request: Request) -> Response:
        # A browser that loads pages ahead must not use the link up before its owner clicks it.
        if request.headers.get("sec-purpose", "").startswith("prefetch"):
            return Response(status_code=503)
        token = request.query_params.get("token", "")
        session = await site.services.door.redeem(token) if token else None
        if session is None:
            lines = [
                "A login link works once, for a day. This one was used, is too old, or was cut short.",
                HOW,
            ]
            return _door(site, "This link does not open the door", lines, status=401)
        response: Response = RedirectResponse("/", status_code=303)
        if request.headers.get("sec-fetch-site") == "cross-site":
            # Strict cookies do not follow a redirect that began on another site; a page of our own may go on.
            response = _door(site, "You are logged in", [], onward="/", command=None)
        response.set_cookie(
            cookie_name(request.url.port or 80),
            session,
            max_age=int(SESSION_LIFE),
            httponly=True,
            samesite="strict",
        )
        return response

    async def log_out(request: Request) -> Response:
        name = cookie_name(request.url.port or 80)
        await site.services.door.forget(request.cookies.get(name, ""))
        response = _door(site, "You are logged out", [HOW])
        response.delete_cookie(name, httponly=True, samesite="strict")
        return response

    return [Route("/login", log_in), Route("/logout", log_out, methods=["POST"])]


def locked(site: Site) -> Response:
    """The answer to whoever has no session."""
    lines = ["It shows a private garden, so it wants to know that you are its owner.", HOW]
    return _door(site, "This dashboard is locked", lines, status=401)


def _door(
    site: Site,
    title: str,
    lines: list[str],
    status: int = 200,
    onward: str | None = None,
    command: str | None = COMMAND,
) -> Response:
    values = {"title": title, "lines": lines, "command": command, "onward": onward}
    return site.renderer.response("door.html", values, status)
