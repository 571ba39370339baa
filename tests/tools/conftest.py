"""A garden with the processes tools need, a gate to call them through, and a web server on a real socket."""

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from planaria import tools
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.authority import Authority
from planaria.membrane.gate.gate import Gate, load_tools
from planaria.membrane.grants import read_grants
from planaria.membrane.tool import Context, Done, Failed
from planaria.membrane.web.outbound import WebRules
from planaria.otp import Node, child, supervisor
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.testing.memory_store import MemoryStore


class Garden:
    """A running garden; `call` calls a tool as an agent would."""

    def __init__(self, node: Node, folder: Path, store: MemoryStore) -> None:
        self.node = node
        self.folder = folder
        self.store = store
        self.gate = Gate(load_tools(tools))
        # The web servers of the tests are on this machine.
        grants = read_grants({"net.fetch": ["*:*", "127.0.0.1:*", "localhost:*", "example.org.localhost:*"]})[
            0
        ]
        self.authority = Authority("agent:scout", ["*"], grants)
        self.services: dict[type, object] = {WebRules: WebRules(allow_private=True, seconds=5.0)}

    async def outcome(self, name: str, /, **arguments: Any) -> Done | Failed:
        context = Context("agent:scout", self.folder, session="session:scout@garden", services=self.services)
        answer = await self.node.run(partial(self.gate.call, name, arguments, context, self.authority))
        assert isinstance(answer, Done | Failed)
        return answer

    async def done(self, name: str, /, **arguments: Any) -> Done:
        answer = await self.outcome(name, **arguments)
        assert isinstance(answer, Done), answer
        return answer

    async def failed(self, name: str, /, **arguments: Any) -> Failed:
        answer = await self.outcome(name, **arguments)
        assert isinstance(answer, Failed), answer
        return answer

    async def events(self, session: str) -> list[Event]:
        return await self.node.run(partial(Journal.read, "journal", Query(session=session)))


@pytest.fixture
async def garden(tmp_path: Path) -> AsyncIterator[Garden]:
    folder = tmp_path / "garden"
    (folder / "notes").mkdir(parents=True)
    (folder / ".planaria").mkdir()
    (folder / "planaria.toml").write_text("")
    store = MemoryStore()
    async with Node("test") as node:
        await node.start(
            supervisor(
                child(Journal, lambda: store, name="journal"),
                child(Library, folder, name="library"),
                child(Index, folder, name="index"),
                name="node",
            )
        )
        await Library.list(node["library"], "notes")
        yield Garden(node, folder, store)


type Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A web server on a real socket: paths to functions that answer; requests are kept."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer] = {}
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()  # set at the end: slow answers let go
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.requests.append(
                    (self.path, {name.lower(): value for name, value in self.headers.items()})
                )
                answer = site.pages.get(self.path.partition("?")[0])
                try:
                    if answer is None:
                        self.send_error(404)
                    else:
                        answer(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def serve(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        """Answer a path with this body; `content_type` stands for Content-Type."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(status)
            for name, value in headers.items():
                request.send_header(name.replace("_", "-"), value)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)

        self.pages[path] = answer
        return self.url + path


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield site
    site.released.set()
    site.server.shutdown()
    site.server.server_close()
    thread.join()
