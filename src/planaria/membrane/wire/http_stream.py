"""HTTP/1.1 close to the socket: one request, and its body as it arrives.

Made for model calls, where thousands of small pieces arrive paced: httptools parses, the stream arms no timers, and
`pump` hands pieces on right where they arrive, without a task being woken for each.
A plain client object without process; whoever calls it does the waiting. Connections are kept for the next call.
Does badly on purpose: HTTP/2, redirects, cookies, compression, proxies, uploads that stream. It never sends a
request twice by itself.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import httptools
import msgspec

from planaria.membrane.errors import BadAnswer, StreamCut, TimedOut, Unreachable
from planaria.membrane.wire.address import Address
from planaria.otp.io.tcp import Stream, open_tcp

REST = 20.0
"""Seconds an unused connection is kept; below what servers keep theirs."""
MAX_RESTING = 8
FINISH = 0.1
"""Seconds an answer's last bytes are waited for after its last event."""


class Limits(msgspec.Struct, frozen=True):
    """Seconds and bytes one call may take.

    Args:
        connect: for name lookup, connection and TLS together.
        first_byte: from the request until the head of the answer.
        between_bytes: between two pieces of the body.
        between_words: between two pieces of the answer itself: a server may give signs of life for ever.
        head: bytes of status line and headers.
        body: bytes of the whole answer as it travels.
    """

    connect: float = 10.0
    first_byte: float = 300.0
    between_bytes: float = 120.0
    between_words: float = 600.0
    head: int = 64 * 1024
    body: int = 64 * 1024 * 1024


DEFAULT_LIMITS = Limits()


class HttpClient:
    """Calls to one origin."""

    def __init__(
        self, address: Address, limits: Limits = DEFAULT_LIMITS, tls: ssl.SSLContext | None = None
    ) -> None:
        self.address = address
        self.limits = limits
        self._tls = tls
        self._resting: list[Stream] = []

    def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        limits: Limits | None = None,
    ) -> HttpCall:
        """One call: `async with client.request(...) as response:`. Leaving the block early drops the connection.

        Args:
            limits: of this call; None takes the client's.
        """
        head = [f"{method} {self.address.path}{path} HTTP/1.1", f"host: {self.address.authority}"]
        for name, value in headers.items():
            if any(c in value or c in name for c in "\r\n\0"):
                raise ValueError(f"header {name!r} has a line break in it")
            head.append(f"{name}: {value}")
        if body or method != "GET":
            head.append(f"content-length: {len(body)}")
        head.append("accept-encoding: identity\r\n\r\n")
        return HttpCall(self, "\r\n".join(head).encode("latin-1") + body, limits or self.limits)

    def close(self) -> None:
        """Close the connections that wait for a next call."""
        for stream in self._resting:
            stream.close()
        self._resting.clear()

    async def connect(self, within: float) -> Stream:
        """A connection that waited, or a new one, made in so many seconds."""
        while self._resting:
            stream = self._resting.pop()
            if not stream.closed:
                return stream
        address = self.address
        if address.secure and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            return await open_tcp(address.host, address.port, self._tls if address.secure else None, within)
        except TimeoutError as error:
            raise Unreachable(f"no connection to {address} within {within:g} s") from error
        except OSError as error:
            raise unreachable(address, error) from error

    def keep(self, stream: Stream) -> None:
        """Take a connection back after a complete answer."""
        if stream.closed or len(self._resting) >= MAX_RESTING:
            stream.close()
        else:
            stream.rest(REST)
            self._resting.append(stream)


class HttpCall:
    """An open call; see `HttpClient.request`. Also receives what httptools parses."""

    def __init__(self, client: HttpClient, request: bytes, limits: Limits) -> None:
        self.limits = limits
        self.status = 0
        self.headers: dict[str, str] = {}
        self._client = client
        self._request = request
        self._stream: Stream | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._head_done = False
        self._complete = False
        self._surplus = False
        self._reusable = False
        self._received = 0
        self._head_size = 0

    async def __aenter__(self) -> Self:
        """Send the request and read the head of the answer.

        Raises:
            Unreachable, TimedOut, StreamCut, BadAnswer: see `errors.py`.
        """
        client, limits = self._client, self.limits
        self._stream = stream = await client.connect(limits.connect)
        try:
            stream.write(self._request)
            try:
                await stream.drain(limits.first_byte)
                while not self._head_done:
                    data = await stream.read(within=limits.first_byte)
                    if not data:
                        raise StreamCut(f"{client.address} closed the connection without an answer")
                    self._feed(data)
                    if self._head_size > limits.head or (
                        not self._head_done and self._received > limits.head
                    ):
                        raise BadAnswer(f"{client.address} sent headers longer than {limits.head} bytes")
            except TimeoutError as error:
                raise TimedOut(f"{client.address} did not answer within {limits.first_byte:g} s") from error
            except OSError as error:
                raise StreamCut(f"{client.address} broke the connection: {reason(error)}") from error
            if self.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
                raise BadAnswer(f"{client.address} answered compressed although it was asked not to")
        except BaseException:
            stream.abort()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Nothing is awaited here: a killed process must let go of its connection at once.
        if self._stream is None:
            return
        if self._complete and self._reusable and not self._surplus and kind is None:
            self._client.keep(self._stream)
        else:
            self._stream.abort()

    async def read_some(self) -> bytes:
        """The next piece of the body, as it came; empty after the last.

        Raises:
            TimedOut: silence for `limits.between_bytes` seconds.
            StreamCut: the connection ended before the answer did.
            BadAnswer: not HTTP, or more than `limits.body` bytes.
        """
        stream = self._stream
        assert stream is not None, "read_some is for inside the async with block"
        while not self._body:
            if self._complete:
                return b""
            try:
                data = await stream.read(within=self.limits.between_bytes)
            except OSError as error:
                raise self._broken(error) from error
            if data:
                self._feed(data)
            else:
                self._end()
        return self._taken()

    async def pump(self, take: Callable[[bytes], bool]) -> bool:
        """Give `take` the pieces of the body right as they arrive, until it answers True; False after the last.

        `take` is called from the event loop, in the name of the process that waits here, so it must be quick; what it
        raises is raised here.

        Raises:
            TimedOut, StreamCut, BadAnswer: as in `read_some`.
        """
        stream = self._stream
        assert stream is not None, "pump is for inside the async with block"
        done = False

        def feed(data: bytes) -> bool:
            nonlocal done
            self._feed(data)
            body = self._body
            if body:
                done = take(body.pop() if len(body) == 1 else self._taken())
            return done or self._complete

        if self._body and take(self._taken()):
            return True
        try:
            if not self._complete and not await stream.pump(feed, self.limits.between_bytes):
                self._end()
        except OSError as error:
            raise self._broken(error) from error
        return done

    def _taken(self) -> bytes:
        """The body that has come so far."""
        if len(self._body) == 1:
            return self._body.pop()
        data = b"".join(self._body)
        self._body.clear()
        return data

    def _broken(self, error: OSError) -> TimedOut | StreamCut:
        """What a connection that fails in the middle means."""
        address = self._client.address
        if isinstance(error, TimeoutError):
            idle = self.limits.between_bytes
            return TimedOut(f"{address} fell silent for {idle:g} s in the middle of its answer")
        return StreamCut(f"{address} broke off in the middle: {reason(error)}")

    def _end(self) -> None:
        """The connection has ended."""
        if self._delimited():
            raise StreamCut(f"{self._client.address} closed the connection in the middle of its answer")
        self._complete = self._surplus = True  # The answer ends with the connection.

    async def read_all(self, limit: int) -> bytes:
        """The whole body, cut after `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        while size < limit and (part := await self.read_some()):
            parts.append(part)
            size += len(part)
        return b"".join(parts)[:limit]

    async def finish(self) -> None:
        """Read what little is left after the last event, so that the connection can be kept; give up soon."""
        if not self._complete and self._stream is not None:
            try:
                data = await self._stream.read(within=FINISH)
            except (TimeoutError, OSError):
                return  # The answer is whole all the same; the connection is dropped.
            if data:
                self._feed(data)
        self._body.clear()

    def _delimited(self) -> bool:
        """Whether the answer said where it ends."""
        return (
            "content-length" in self.headers or "chunked" in self.headers.get("transfer-encoding", "").lower()
        )

    def _feed(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > self.limits.body:
            raise BadAnswer(f"{self._client.address} sent more than {self.limits.body} bytes")
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if self._complete:  # The answer is whole; what follows it is not ours.
                self._surplus = True
                return
            raise BadAnswer(f"{self._client.address} does not answer in HTTP/1.1: {error}") from error

    # --- called by httptools --------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:
            self._head_size += len(name) + len(value) + 4
            self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:  # 100 Continue, 103 Early Hints: the answer is still to come.
            self.headers.clear()
            return
        self.status = status
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._head_done and not self._complete:
            self._complete = True
            self._reusable = self._parser.should_keep_alive()  # Only true to ask here, says llhttp.


def unreachable(address: Address, error: OSError) -> Unreachable:
    """A failed connection in words, with whether another try makes sense."""
    if isinstance(error, ssl.SSLCertVerificationError):
        mend = "if the server has a certificate of your own authority, set SSL_CERT_FILE to it"
        return Unreachable(
            f"{address} has a certificate that is not trusted ({error.verify_message}): {mend}", retry=False
        )
    if isinstance(error, ssl.SSLError):
        mend = "is it plain http?"
        return Unreachable(f"{address} does not speak TLS ({error.reason}): {mend}", retry=False)
    if isinstance(error, socket.gaierror):
        return Unreachable(
            f"no host {address.host!r} is known ({error.strerror}): check base_url and the network"
        )
    return Unreachable(f"cannot connect to {address}: {reason(error)}")


def reason(error: OSError) -> str:
    """An operating system's error without numbers and addresses."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused, nothing listens there"
    if isinstance(error, ConnectionResetError):
        return "connection reset"
    return error.strerror or str(error) or type(error).__name__
