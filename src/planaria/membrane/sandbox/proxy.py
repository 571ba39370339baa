"""The way out of a sandbox: an HTTP proxy that lets a program reach granted hosts, and nothing else.

Served on a unix socket by a process linked to the run it belongs to (`planaria.otp.io.streams.serve_unix`); the program
reaches it through the relay. Both ways are spoken: CONNECT, for TLS, and plain HTTP, one request a connection. The host
is resolved here, every address is checked, and the connection goes to one that was checked.
Does badly: in a tunnel only the host that was asked for is known; a granted host that serves others under the same
address, as large networks do, serves them to the program, too.
"""

import ipaddress
import re
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec

from planaria.membrane.scopes.addresses import Address, is_public
from planaria.membrane.scopes.hosts import Host, host_scope, read_host
from planaria.membrane.scopes.scope import Place, Unreadable
from planaria.otp import run_blocking, spawn_link
from planaria.otp.io.streams import Stream, open_tcp

type Reach = Callable[[str], str]
"""From `host:port` to why it may not be reached; empty: it may. An address is asked about by itself, too."""

MOST_HEAD = 16_384
MOST_BYTES = 256 * 1024 * 1024
"""Through one proxy, both directions together."""
MOST_ATTEMPTS = 100
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
_REQUEST = re.compile(rb"([A-Z]{1,16}) (\S{1,8192}) HTTP/1\.[01]\Z")
_HEADER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\Z")
"""A header on a line of its own, no blank before its colon: others might read `Host :` as the host."""
_URL = re.compile(r"http://([^/?#]+)([/?][^#]*)?", re.IGNORECASE)
_DROPPED = (b"proxy-", b"connection:", b"keep-alive:", b"host:", b"upgrade:", b"te:")
_NOWHERE = Place(Path("/"))


class Attempt(msgspec.Struct, frozen=True):
    """One try to reach a host; `why` is empty where it was allowed."""

    host: str
    port: int
    why: str = ""


class Refused(Exception):
    """A request that is not passed on.

    Args:
        status: of the answer.
    """

    def __init__(self, status: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def reach_of(hosts: tuple[str, ...]) -> Reach:
    """What scopes of hosts allow."""
    scopes = [host_scope(each) for each in hosts]

    def reach(place: str) -> str:
        what = read_host(place, _NOWHERE)
        return "" if any(scope.covers(what) for scope in scopes) else f"{place} is not granted"

    return reach


class Proxy:
    """One proxy; `talk` serves a connection.

    Attributes:
        attempts: what was tried, at most the first 100.
    """

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        self.attempts: list[Attempt] = []
        self._passed = 0

    async def talk(self, near: Stream) -> None:
        """Serve one connection from inside."""
        try:
            head, rest = await _head(near)
            method, target, headers = _read(head)
            if method == b"CONNECT":
                far = await self._open(target)
                near.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                far.write(rest)
                await self._both_ways(near, far)
            else:
                await self._plain(near, method, target, headers, rest)
        except Refused as refused:
            body = f"planaria: {refused.why}\n".encode()
            near.write(
                f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
        except (OSError, TimeoutError):
            pass  # one of both sides is gone; the other is closed with this

    async def _plain(
        self, near: Stream, method: bytes, target: str, headers: list[bytes], rest: bytes
    ) -> None:
        found = _URL.match(target)
        if found is None:
            raise Refused(
                "400 Bad Request", f"{target[:200]!r} is no http address; https goes through CONNECT"
            )
        length = _body_length(headers)
        far = await self._open(found[0])
        kept = [each for each in headers if not each.lower().startswith(_DROPPED)]
        first = b"%s %s HTTP/1.1" % (method, (found[2] or "/").encode())
        ours = [b"Host: " + found[1].rpartition("@")[2].encode(), b"Connection: close"]
        far.write(b"\r\n".join([first, *ours, *kept, b"", b""]))
        try:
            far.write(rest[:length])
            # No more than this request: the next may be for another host.
            left = length - len(rest)
            while left > 0 and (piece := await near.read(min(left, 65536), within=IDLE_SECONDS)):
                left -= len(piece)
                await self._pass(piece, far)
            await self._pump(far, near)
        finally:
            far.close()

    async def _open(self, target: str) -> Stream:
        """A connection to a host that may be reached."""
        try:
            host = read_host(target, _NOWHERE)
        except Unreadable as error:
            raise Refused("400 Bad Request", str(error)) from error
        try:
            address = await self._checked(host)
        except Refused as refused:
            self._note(Attempt(host.name, host.port, refused.why))
            raise
        self._note(Attempt(host.name, host.port))
        try:
            return await open_tcp(str(address), host.port, within=CONNECT_SECONDS)
        except (OSError, TimeoutError) as error:
            raise Refused("502 Bad Gateway", f"{host.name}:{host.port} cannot be reached: {error}") from error

    async def _checked(self, host: Host) -> Address:
        name = f"[{host.name}]" if ":" in host.name else host.name
        if why := self.reach(f"{name}:{host.port}"):
            raise Refused("403 Forbidden", why)
        try:
            found = await run_blocking(_look_up, host.name, host.port)
        except (OSError, UnicodeError) as error:
            raise Refused("502 Bad Gateway", f"{host.name} cannot be found: {error}") from error
        for address in found:
            shown = f"[{address}]" if address.version == 6 else str(address)
            if not is_public(address) and (why := self.reach(f"{shown}:{host.port}")):
                said = f"{host.name} leads to {address}, which is not a public address"
                raise Refused("403 Forbidden", said)
        return found[0]

    async def _both_ways(self, near: Stream, far: Stream) -> None:
        try:
            spawn_link(self._pump, near, far, label="tunnel")
            await self._pump(far, near)
        finally:
            far.close()

    async def _pump(self, source: Stream, target: Stream) -> None:
        try:
            while piece := await source.read(within=IDLE_SECONDS):
                await self._pass(piece, target)
        except (OSError, TimeoutError):
            pass
        target.close()

    async def _pass(self, piece: bytes, target: Stream) -> None:
        self._passed += len(piece)
        if self._passed > MOST_BYTES:
            raise OSError("more than may pass")
        target.write(piece)
        await target.drain(within=IDLE_SECONDS)

    def _note(self, attempt: Attempt) -> None:
        if len(self.attempts) < MOST_ATTEMPTS:
            self.attempts.append(attempt)


async def _head(stream: Stream) -> tuple[bytes, bytes]:
    """The request's line and headers, and what came after them."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = await stream.read(within=IDLE_SECONDS)
        if not piece or len(data) > MOST_HEAD:
            raise Refused("400 Bad Request", "this is no request, or its headers are too long")
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _read(head: bytes) -> tuple[bytes, str, list[bytes]]:
    line, *headers = head.split(b"\r\n")
    found = _REQUEST.match(line)
    if found is None or not all(_HEADER.match(each) for each in headers):
        raise Refused("400 Bad Request", "this is no HTTP/1.1 request to a proxy")
    try:
        return found[1], found[2].decode("ascii"), headers
    except UnicodeDecodeError as error:
        raise Refused("400 Bad Request", "the address is not in ASCII") from error


def _body_length(headers: list[bytes]) -> int:
    lengths: set[bytes] = set()
    for header in headers:
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"transfer-encoding":
            raise Refused("411 Length Required", "a body must come with Content-Length")
        if name.strip().lower() == b"content-length":
            lengths.add(value.strip())
    if not lengths:
        return 0
    length = lengths.pop()
    if lengths or not length.isdigit() or len(length) > 12:
        raise Refused("400 Bad Request", "Content-Length is no number, or said twice")
    return int(length)


def _look_up(name: str, port: int) -> list[Address]:
    answers = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in answers))
