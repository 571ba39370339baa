"""Tells telemetry of each request: a span from its arrival until its answer begins.

The outermost middleware. Requests run outside of any process, so the span is given the node. Its route is the pattern
(`/rooms/{name}`), never the address, which has names of people in it.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from planaria.cortex.telemetry.span import begin_span
from planaria.otp import Node

UNKNOWN = "(none)"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Told:
    """ASGI middleware: one span a request."""

    def __init__(self, app: ASGIApp, node: Node) -> None:
        self.app = app
        self.node = node

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        # Anything can stand there; the conventions call what nobody knows `_OTHER`.
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = begin_span("http.server.request", {"http.request.method": method}, node=self.node)

        async def send_and_tell(message: Message) -> None:
            if message["type"] == "http.response.start" and not span.over:
                status = message["status"]
                span.update({"http.route": _route(scope), "http.response.status_code": status})
                if status >= 500:
                    span.fail(str(status))
                else:
                    span.stop()
            await send(message)

        try:
            await self.app(scope, receive, send_and_tell)
        finally:
            if not span.over:
                span.set("http.route", _route(scope))
                span.fail("no_answer")


def _route(scope: Scope) -> str:
    route = scope.get("route")
    path = getattr(route, "path", None)
    return path if isinstance(path, str) else UNKNOWN
