"""What every request passes before the dashboard sees it: the right host, the right origin, safe headers.

A page on the internet can make a browser talk to 127.0.0.1. Three things keep it out: the `Host` header must
name this machine (DNS rebinding arrives with the attacker's name), an unsafe method must come from our own
pages (`Origin`), and the session cookie is `SameSite=Strict` (`auth.py`).

Pure ASGI, no body is buffered. Does badly: behind a reverse proxy the public host must be named in `hosts`.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# No inline script, no inline style, nothing from another host: what an agent writes can at most be read.
CONTENT_POLICY = (
    "default-src 'none'; "
    "script-src 'self'; "
    "style-src 'self'; "
    "img-src 'self'; "
    "connect-src 'self'; "
    "form-action 'self'; "
    "base-uri 'none'; "
    "frame-ancestors 'none'; "
)

SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware: refuses foreign hosts and origins with 403, adds the security headers to all answers.

    Args:
        app: what is guarded.
        hosts: host names, without port, under which the dashboard may be reached besides loopback names.
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = ()) -> None:
        self.app = app
        self.hosts = LOOPBACK | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # No WebSockets here, and lifespan is off.

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers[name] = value
                # Static files carry a version in their address; pages show what is true now.
                kept = scope["path"].startswith("/static/") and message["status"] == 200
                headers.setdefault("Cache-Control", "max-age=604800" if kept else "no-store")
            await send(message)

        refusal = refuse(scope["method"], Headers(scope=scope), self.hosts, _port(scope))
        if refusal is None:
            await self.app(scope, receive, send_safely)
        else:
            await PlainTextResponse(refusal + "\n", status_code=403)(scope, receive, send_safely)


def refuse(method: str, headers: Headers, hosts: frozenset[str], port: int | None) -> str | None:
    """Why this request is refused, or None. Pure.

    Args:
        method: upper case.
        headers: the request's.
        hosts: names we answer to, lower case, without port; IPv6 without brackets.
        port: the port we listen on, None if unknown (then any is taken).
    """
    host = headers.get("host", "").lower()
    name, given = _split_host(host)
    if name not in hosts or (port is not None and given not in (port, None if port == 80 else port)):
        return f"This dashboard does not answer to the host {host!r}. Open it at http://127.0.0.1:{port}/ instead."
    if method in SAFE_METHODS:
        return None
    origin = headers.get("origin", "null").lower()
    if origin in (f"http://{host}", f"https://{host}"):
        return None
    # Under `no-referrer` a browser hides the origin of its plain forms, but says whose they are in a header that
    # no page can set.
    if origin == "null" and headers.get("sec-fetch-site") == "same-origin":
        return None
    if origin == "null":
        return f"{method} must come from the dashboard's own pages. Browsers say so by themselves."
    return f"A page at {origin!r} tried to change something here. Only the dashboard's own pages may."


def _split_host(host: str) -> tuple[str, int | None]:
    """`[::1]:80` -> (`::1`, 80). A port that is no number gives a name that matches nothing."""
    name, separator, port = host.rpartition(":")
    if not separator or host.endswith("]"):
        return host.strip("[]"), None
    return (name.strip("[]"), int(port)) if port.isascii() and port.isdigit() else ("", None)


def _port(scope: Scope) -> int | None:
    server = scope.get("server")
    return None if server is None else server[1]
