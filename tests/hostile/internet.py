"""An internet for the tests: names that lead to servers on this machine, each a real socket, each with a log.

The hosts live at 127.77.0.x; while `Internet` is entered these addresses count as public, and the names below resolve
to them. All else is as it is: 127.0.0.1, 169.254.169.254 and private networks stay what they are.
"""

import asyncio
import contextlib
import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

import pytest

import planaria.membrane.sandbox.proxy as proxy
import planaria.membrane.web.outbound as outbound
from planaria.membrane.scopes.addresses import Address, is_public

NETWORK = ipaddress.ip_network("127.77.0.0/24")
DOCS, SHOP, EVIL = "docs.example.org", "shop.example.org", "evil.example.net"
NAMES = {
    DOCS: "127.77.0.1",
    SHOP: "127.77.0.3",
    EVIL: "127.77.0.9",
    "docs.example.org.evil.example.net": "127.77.0.9",
    "xn--dcs-sqc.example.org": "127.77.0.9",  # with a Cyrillic o
    "inside.example.org": "127.0.0.1",  # a granted name that leads into this machine
    "cloud.example.org": "169.254.169.254",
}


@dataclass
class Answer:
    """What a host says to one path."""

    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Asked:
    """One request a host got."""

    address: str
    host: str
    method: str
    target: str
    text: str

    def __str__(self) -> str:
        return f"{self.method} http://{self.host}{self.target}"


type Pages = dict[tuple[str, str], Answer | Callable[[str], Answer]]


class Internet:
    """The servers. `pages` is by host and path, `asked` what came since it was last cleared."""

    def __init__(self) -> None:
        self.pages: Pages = {}
        self.asked: list[Asked] = []
        self.port = 0
        self._servers: list[asyncio.Server] = []
        self._patch = pytest.MonkeyPatch()

    async def __aenter__(self) -> Self:
        for address in ("127.77.0.1", "127.77.0.3", "127.77.0.9", "127.0.0.1"):
            server = await asyncio.start_server(self._serving(address), address, self.port)
            self.port = server.sockets[0].getsockname()[1]
            self._servers.append(server)
        for module in (outbound, proxy):
            self._patch.setattr(module, "_look_up", look_up)
            self._patch.setattr(module, "is_public", lambda found: found in NETWORK or is_public(found))
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._patch.undo()
        for server in self._servers:
            server.close()

    def to(self, *addresses: str) -> Iterator[Asked]:
        """What these addresses were asked."""
        return (each for each in self.asked if each.address in addresses)

    def _serving(
        self, address: str
    ) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], "asyncio.Future[None]"]:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
                await self._one(address, reader, writer)
            writer.close()

        return serve  # type: ignore[return-value]

    async def _one(self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length") or 0))
        host = headers.get("host", "").rpartition(":")[0]
        self.asked.append(Asked(address, host, method, target, head + body.decode("utf-8", "replace")))
        found = self.pages.get((host, target.partition("?")[0]), Answer(b"not here", status=404))
        answer = found(target) if callable(found) else found
        lines = [f"HTTP/1.1 {answer.status} Told", f"Content-Type: {answer.kind}", "Connection: close"]
        lines += [f"Content-Length: {len(answer.body)}", *(f"{k}: {v}" for k, v in answer.headers.items())]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + answer.body)
        await writer.drain()


def look_up(host: str, port: int) -> list[Address]:
    """Addresses of a name; names outside of the table are unknown, so nothing leaves this machine."""
    try:
        return [ipaddress.ip_address(host.strip("[]"))]
    except ValueError:
        if host in NAMES:
            return [ipaddress.ip_address(NAMES[host])]
    raise OSError(f"no such host: {host}")
