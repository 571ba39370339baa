"""Byte streams over TCP and TLS: the one place where the membrane meets sockets.

Used by whoever runs (no process of its own); a stream belongs to the event loop it was opened on.
The socket writes into one buffer for all streams of an event loop, since asyncio would take a quarter of a megabyte
for every read, which may cost more than all else a small piece needs. No timer is armed while bytes keep coming, so a
stream of many small pieces costs a few microseconds each, and `pump` also saves waking anybody for each of them.
Does badly: half-closed connections (the other side's end of file closes both directions).
"""

from __future__ import annotations

import asyncio
import ssl as tls
from collections import deque
from collections.abc import Callable
from weakref import WeakKeyDictionary

from planaria.otp.kernel.process import Process, running

__all__ = ["Stream", "open_tcp"]

HIGH_WATER = 256 * 1024
"""Bytes waiting to be read before the socket is asked to wait."""
ONE_READ = 256 * 1024
"""Bytes taken from the socket at once, at most."""

_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()


class Stream(asyncio.BufferedProtocol):
    """An open connection. One reader and one writer at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._buffer = _buffer_of(self._loop)
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._reading_paused = False
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._writing_paused = False
        self._deadline: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resting = False
        self._feed: Callable[[bytes], bool] | None = None
        self._within: float | None = None
        self._owner: Process | None = None

    # --- for users ------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, or its event loop no longer runs."""
        transport = self._transport
        return self._ended or transport is None or transport.is_closing() or not self._loop.is_running()

    async def read(self, n: int = 65536, within: float | None = None) -> bytes:
        """The next bytes, at most `n`; empty at the end.

        Raises:
            TimeoutError: nothing came for `within` seconds.
            OSError: the connection broke (a reset, a TLS failure).
        """
        while not self._chunks:
            if self._ended:
                if self._error is not None:
                    raise self._error
                return b""
            await self._wait_for_bytes(within)
        chunk = self._chunks.popleft()
        if len(chunk) > n:
            self._chunks.appendleft(chunk[n:])
            chunk = chunk[:n]
        self._held -= len(chunk)
        if self._reading_paused and self._held < HIGH_WATER // 2 and self._transport is not None:
            self._reading_paused = False
            self._transport.resume_reading()
        return chunk

    async def read_line(self, limit: int = 65536, within: float | None = None) -> bytes:
        """The next line with its newline; what is left at the end; empty after it.

        Raises:
            ValueError: no newline within `limit` bytes.
            TimeoutError, OSError: as in `read`.
        """
        parts: list[bytes] = []
        size = 0
        while True:
            chunk = await self.read(within=within)
            line, newline, rest = chunk.partition(b"\n")
            if rest:
                self._chunks.appendleft(rest)
                self._held += len(rest)
            parts.append(line + newline)
            size += len(parts[-1])
            if size > limit:
                raise ValueError(f"a line is longer than {limit} bytes")
            if newline or not chunk:
                return b"".join(parts)

    async def pump(self, feed: Callable[[bytes], bool], within: float | None = None) -> bool:
        """Give `feed` the bytes as they come, until it answers True; False if the end came first.

        It is called right when bytes arrive, in the name of the process that waits here: it must be quick, and what it
        raises is raised here. Bytes that come after it is done wait for the next read.

        Raises:
            TimeoutError, OSError: as in `read`.
        """
        while self._chunks:
            if feed(await self.read()):
                return True
        if self._ended:
            if self._error is not None:
                raise self._error
            return False
        self._feed, self._within, self._owner = feed, within, running.process
        try:
            await self._wait_for_bytes(within)
        finally:
            done = self._feed is None
            self._feed = self._owner = None
        if not done and self._error is not None:
            raise self._error
        return done

    def write(self, data: bytes) -> None:
        """Hand bytes to the socket; they are sent in the background. After the end they are dropped."""
        transport = self._transport
        if transport is not None and not self._ended and not transport.is_closing():
            transport.write(data)

    async def drain(self, within: float | None = None) -> None:
        """Wait until the socket has taken enough of what was written.

        Raises:
            TimeoutError: it took longer than `within` seconds.
            OSError: the connection broke.
        """
        if self._ended:
            raise self._error or ConnectionResetError("the connection is closed")
        if self._writing_paused:
            self._writer = self._loop.create_future()
            try:
                async with asyncio.timeout(within):
                    await self._writer
            finally:
                self._writer = None

    def rest(self, seconds: float) -> None:
        """Keep the connection for later use, but close it if nobody reads it again within `seconds`."""
        self._resting = True
        self._arm(self._loop.time() + seconds)

    def close(self) -> None:
        """End the connection after what was written is sent. May be called twice."""
        self._disarm()
        if self._transport is not None and not self._loop.is_closed():
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once; what was not sent yet is lost."""
        self._disarm()
        if self._transport is not None and not self._loop.is_closed():
            self._transport.abort()

    # --- called by the event loop -----------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._feed is not None:
            self._pumped(self._feed, data)
            return
        self._chunks.append(data)
        self._held += len(data)
        if self._held > HIGH_WATER and not self._reading_paused and self._transport is not None:
            self._reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._disarm()
        self._wake()
        if self._writer is not None and not self._writer.done():
            self._writer.set_exception(exc or ConnectionResetError("the connection was closed"))

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    # --- inside -------------------------------------------------------------------------

    def _pumped(self, feed: Callable[[bytes], bool], data: bytes) -> None:
        if self._within is not None:
            self._deadline = self._loop.time() + self._within
        before = running.process
        running.process = self._owner
        try:
            done = feed(data)
        except BaseException as error:  # noqa: BLE001  handed to whoever waits in `pump`
            self._feed = None
            if self._reader is not None and not self._reader.done():
                self._reader.set_exception(error)
            return
        finally:
            running.process = before
        if done:
            self._feed = None
            self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def _wait_for_bytes(self, within: float | None) -> None:
        if self._reader is not None:
            raise RuntimeError("another reader already waits on this stream")
        self._resting = False
        self._reader = self._loop.create_future()
        if within is None:
            self._deadline = None
        else:
            self._arm(self._loop.time() + within)
        try:
            await self._reader
        finally:
            self._reader = None
            self._deadline = None

    def _arm(self, deadline: float) -> None:
        """One timer serves many reads: it looks at the deadline when it fires, and moves on."""
        self._deadline = deadline
        if self._timer is not None and self._timer.when() > deadline:
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._look_at_deadline)

    def _disarm(self) -> None:
        self._resting = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._look_at_deadline)
        elif self._reader is not None and not self._reader.done():
            self._reader.set_exception(TimeoutError("nothing came in time"))
        elif self._resting:
            self.close()


def _buffer_of(loop: asyncio.AbstractEventLoop) -> memoryview:
    """Where a stream's bytes are read into."""
    if not isinstance(loop, asyncio.SelectorEventLoop):
        return memoryview(bytearray(ONE_READ))  # other loops may write into it while another stream reads
    buffer = _buffers.get(loop)
    if buffer is None:
        buffer = _buffers[loop] = memoryview(bytearray(ONE_READ))
    return buffer


async def open_tcp(
    host: str, port: int, ssl: tls.SSLContext | None = None, within: float | None = None
) -> Stream:
    """Connect; with `ssl`, after a handshake that checked the certificate against `host`.

    Args:
        within: seconds for name lookup, connection and handshake together.
    Raises:
        TimeoutError: it took longer.
        OSError: refused, unreachable, no such host (`socket.gaierror`), or TLS (`ssl.SSLError`).
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(within):
        _, stream = await loop.create_connection(
            Stream, host, port, ssl=ssl, server_hostname=host if ssl is not None else None
        )
    return stream
