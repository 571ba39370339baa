"""uvicorn inside a process: one listening socket, no signal handlers, no access log, an end that comes quickly.

`dashboard.py` starts `WebServer.run` as its linked task. The socket is bound before, so that a taken port refuses
the start with a sentence, not with a log line.
"""

import contextlib
import errno
import socket
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from planaria.otp import sleep

GRACE = 1
"""Whole seconds for answers under way when the server stops."""


class PortTaken(Exception):
    """The dashboard's address cannot be had."""


class WebServer:
    """One ASGI application on one bound socket.

    Args:
        app: what answers.
        sock: bound, not yet listening.
    """

    def __init__(self, app: ASGIApp, sock: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=GRACE,
        )
        self._sock = sock
        self._server = _Uvicorn(config)
        self._over = False

    async def run(self) -> None:
        """Serve until `stop`."""
        try:
            await self._server.serve(sockets=[self._sock])
        finally:
            self._over = True
            # Killed or cancelled, uvicorn has not closed what it holds. Servers first: closing the socket under
            # them would leave its number in the event loop's table, where the next socket finds it taken.
            for server in getattr(self._server, "servers", ()):
                server.close()
            self._sock.close()

    def stop(self) -> None:
        """Ask the server to end; takes no new connections from its next tick on."""
        self._server.should_exit = True

    async def closed(self) -> None:
        """Return when `run` is over."""
        while not self._over:
            await sleep(0.02)


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers: the node has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to the address.

    Raises:
        PortTaken: with what to do about it.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    # A restart must not wait for the old connections' TIME_WAIT; a second listener is still refused.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        raise PortTaken(_mend(host, port, error)) from error
    sock.setblocking(False)
    return sock


def _mend(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {host} is taken, perhaps by another Planaria node: stop that one, "
            "or set another [web] port in planaria.toml"
        )
    if error.errno == errno.EACCES:
        return f"port {port} on {host} is not allowed for this user: set a [web] port above 1023 in planaria.toml"
    mend = "set [web] host in planaria.toml to an address of this machine"
    return f"cannot listen on {host}:{port} ({error.strerror}): {mend}"


def url_of(sock: socket.socket, host: str) -> str:
    """The address of the dashboard as a browser takes it, with the real port."""
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 - compared, not bound
    return f"http://{f'[{name}]' if ':' in name else name}:{sock.getsockname()[1]}/"
