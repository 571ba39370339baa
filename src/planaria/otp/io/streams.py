"""Byte streams for processes: local (unix) sockets served and opened; TCP comes from `planaria.otp.io.tcp`.

`serve_unix` is the body of a supervised process:

    task_child(serve_unix, "/run/garden.sock", talk, id="control")

It accepts, and each connection is a linked process of its own that runs `talk(stream)`: one that crashes hurts neither
the server nor its neighbours, and when the server ends, for whatever reason, all of them end with it.
Does badly: a client that never sends holds its process for ever; `talk` sets its own deadlines (`within=`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Awaitable, Callable

from planaria.otp.io.tcp import Stream, open_tcp
from planaria.otp.kernel.ambient import node_, receive, self_, spawn_link, trap_exits
from planaria.otp.kernel.message import ExitSignal
from planaria.otp.kernel.process import Process
from planaria.otp.kernel.reason import Exit

__all__ = ["LONGEST_UNIX_PATH", "Stream", "open_tcp", "open_unix", "serve_unix"]

LONGEST_UNIX_PATH = 103
"""Bytes of a socket's path that every system takes (Linux: 107, macOS: 103)."""


class _Accepted:
    """The message a server finds for each new connection."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class _Incoming(Stream):
    """A stream that tells the server of its beginning."""

    def __init__(self, tell: Callable[[Stream], None]) -> None:
        super().__init__()
        self._tell = tell

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._tell(self)


async def serve_unix(
    path: str | os.PathLike[str],
    handler: Callable[[Stream], Awaitable[object]],
    *,
    most: int = 64,
    listening: Callable[[], object] | None = None,
) -> None:
    """Serve a local socket until told to exit. Runs in a process of its own.

    A socket left at `path` by a server that died is replaced; anything else there is not. The socket has mode 0600.

    Args:
        handler: run for each connection in a linked process; the stream is closed when it returns or raises.
        most: connections at a time; one more is closed at once.
        listening: called when connections are taken.
    Raises:
        OSError: the path cannot be bound (too long, no such folder, something else is there).
    """
    me = self_()
    node = node_()
    trap_exits(True)
    listens = _bind(os.fspath(path))
    identity = _identity(os.fspath(path))
    talking: dict[Process, Stream] = {}
    accepted: set[Stream] = set()  # those whose message may still be in the mailbox included

    def accept(stream: Stream) -> None:
        if not me.alive:  # the event loop took the connection before the server ended, and tells of it after
            stream.abort()
            return
        accepted.add(stream)
        node.send(me, _Accepted(stream))

    loop = asyncio.get_running_loop()
    server = await loop.create_unix_server(lambda: _Incoming(accept), sock=listens)
    try:
        if listening is not None:
            listening()
        while True:
            message = await receive((_Accepted, ExitSignal))
            if isinstance(message, ExitSignal):
                ended = talking.pop(message.sender, None)
                if ended is None:
                    raise Exit(message.reason)
                accepted.discard(ended)
            elif len(talking) >= most:
                accepted.discard(message.stream)
                message.stream.abort()
            else:
                talking[spawn_link(_talk, handler, message.stream, label="connection")] = message.stream
    finally:
        # The loop takes connections one turn before it tells of them, and a closed server would lose those it has
        # taken: their clients would wait for ever. So it takes no more, tells, and closes after that.
        loop.remove_reader(listens)
        loop.call_soon(server.close)
        for stream in accepted:
            stream.close()
        if _identity(os.fspath(path)) == identity:
            os.unlink(path)


async def open_unix(path: str | os.PathLike[str], within: float | None = None) -> Stream:
    """Connect to a local socket.

    Raises:
        TimeoutError: it took longer than `within` seconds.
        OSError: nobody listens there, no such socket, not allowed.
    """
    async with asyncio.timeout(within):
        _, stream = await asyncio.get_running_loop().create_unix_connection(Stream, os.fspath(path))
    return stream


async def _talk(handler: Callable[[Stream], Awaitable[object]], stream: Stream) -> None:
    try:
        await handler(stream)
    finally:
        stream.close()


def _bind(path: str) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _identity(path) is not None:
            os.unlink(path)
        listening.bind(path)
        # Between bind and chmod only the folder guards the socket: keep it in a private one.
        os.chmod(path, 0o600)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{error.strerror or error}: {path}") from error
    return listening


def _identity(path: str) -> tuple[int, int] | None:
    """Which socket is at `path`; None if none is."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None
