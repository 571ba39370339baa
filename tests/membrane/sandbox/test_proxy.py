"""The way out: granted hosts are reached, nothing else is, from inside a sandbox and by requests that are odd."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from planaria.membrane.sandbox import proxy as proxies
from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.membrane.sandbox.proxy import Attempt, Proxy, reach_of
from planaria.membrane.scopes.addresses import Address
from planaria.membrane.scopes.hosts import Host
from planaria.otp import Node, exit_signal
from planaria.otp.io.streams import serve_unix

from .conftest import Run

pytestmark = pytest.mark.subprocess


class Site:
    """A web server of this machine; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                site.asked.append((f"{self.command} {self.path}", self.headers["Host"], body))
                self.send_response(200)
                self.send_header("Content-Length", "6")
                self.end_headers()
                self.wfile.write(b"hello\n")

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()
    thread.join()


async def test_a_granted_host_is_reached_and_no_other(boxed: Run, bubblewrap: str, site: Site) -> None:
    at = f"127.0.0.1:{site.port}"
    script = f"""
curl -sS http://{at}/plain; curl -sS -d body http://{at}/post; curl -sS --proxytunnel http://{at}/tunnel
curl -sS http://127.0.0.1:1/; curl -sS http://169.254.169.254/latest; curl -sS https://example.org/
curl -sS --noproxy '*' -m 2 http://{at}/direct
"""
    done = await boxed(script, SandboxPolicy(hosts=(at,)))
    out = done.stdout.decode()
    assert out.startswith("hello\nhello\nhello\n")
    assert "127.0.0.1:1 is not granted" in out and "169.254.169.254:80 is not granted" in out
    assert [(what, host, body) for what, host, body in site.asked] == [
        ("GET /plain", at, b""),
        ("POST /post", at, b"body"),
        ("GET /tunnel", at, b""),
    ]
    assert [each for each in done.network if not each.why] == [Attempt("127.0.0.1", site.port)] * 3
    assert {each.host for each in done.network if each.why} == {"127.0.0.1", "169.254.169.254", "example.org"}


async def test_the_program_is_not_the_parent_of_the_relay(boxed: Run, bubblewrap: str) -> None:
    """One that waits for all its children ends."""
    done = await boxed(["bash", "-c", "echo x & wait; echo waited"], SandboxPolicy(hosts=("example.org",)))
    assert done.stdout == b"x\nwaited\n"


class Ask:
    """A proxy on a socket, and a way to say anything to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def __call__(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(request)
        async with asyncio.timeout(20):
            answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def ask(node_: Node, tmp_path: Path, site: Site) -> AsyncIterator[Ask]:
    proxy = Proxy(reach_of((f"127.0.0.1:{site.port}", "named.test:*", "*:*")))
    ready = asyncio.Event()
    path = tmp_path / "p.sock"

    async def serve() -> None:
        await serve_unix(path, proxy.talk, listening=ready.set)

    serving = node_.spawn(serve)
    await ready.wait()
    yield Ask(path)

    async def stop() -> None:
        exit_signal(serving, "shutdown")

    await node_.run(stop)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET ftp://127.0.0.1/ HTTP/1.1\r\n\r\n",
        b"GET http://user:pass@127.0.0.1/ HTTP/1.1\r\n\r\n",
        b"CONNECT 127.0.0.1 80 HTTP/1.1\r\n\r\n",
        b"CONNECT 127.0.0.1:80/x HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\r\n\r\n",
        b"GET http://x/ HTTP/1.1\r\nA: b\nHost: y\r\n\r\n",
        b"GET http://127.0.0.1/ HTTP/1.1\r\nHost : y\r\n\r\n",
        b"GET http://127.0.0.1/ HTTP/1.1\r\nA: b\r\n Host: y\r\n\r\n",
        b"POST http://127.0.0.1/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"A" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_what_is_no_request_is_refused(ask: Ask, site: Site, request_: bytes) -> None:
    assert (await ask(request_)).startswith(b"HTTP/1.1 400 ")
    assert site.asked == []


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.1",
    ],
)
async def test_no_name_of_this_machine_or_its_network_is_public(ask: Ask, site: Site, host: str) -> None:
    answer = await ask(f"CONNECT {host}:1 HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")


async def test_a_granted_name_that_leads_here_is_refused(
    ask: Ask, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = proxies._look_up
    monkeypatch.setattr(
        proxies, "_look_up", lambda name, port: real("127.0.0.1" if name == "named.test" else name, port)
    )
    answer = await ask(b"CONNECT named.test:22 HTTP/1.1\r\n\r\n")
    assert b"named.test leads to 127.0.0.1, which is not a public address" in answer
    # The port of the site is granted as an address, so it may be called what one likes.
    port = str(site.port).encode()
    answer = await ask(b"GET http://named.test:" + port + b"/x HTTP/1.1\r\nHost: evil.test\r\n\r\n")
    assert answer.endswith(b"hello\n")
    assert site.asked == [("GET /x", f"named.test:{site.port}", b"")]


async def test_one_connection_carries_one_request(ask: Ask, site: Site) -> None:
    at = f"127.0.0.1:{site.port}".encode()
    first = b"GET http://" + at + b"/1 HTTP/1.1\r\nConnection: keep-alive\r\n\r\n"
    answer = await ask(first + b"GET /2 HTTP/1.1\r\nHost: other.test\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200") == 1
    assert [what for what, _, _ in site.asked] == ["GET /1"]


async def test_the_connection_goes_to_the_address_that_was_checked(
    ask: Ask, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def look_up(name: str, port: int) -> list[Address]:
        asked.append(name)
        return real("127.0.0.1" if len(asked) == 1 else "127.0.0.2", port)

    real = proxies._look_up
    monkeypatch.setattr(proxies, "_look_up", look_up)
    answer = await ask(f"GET http://named.test:{site.port}/x HTTP/1.1\r\n\r\n".encode())
    assert answer.endswith(b"hello\n") and asked == ["named.test"]


def test_scopes_of_hosts_say_what_may_be_reached() -> None:
    reach = reach_of(("example.org", "*.example.net:8443"))
    assert [reach(each) for each in ("example.org:443", "example.org:80", "a.example.net:8443")] == [
        "",
        "",
        "",
    ]
    for each in ("example.org:22", "www.example.org:443", "example.net:8443", "a.example.net:443"):
        assert "is not granted" in reach(each)
    assert Host("example.org", 443).public
