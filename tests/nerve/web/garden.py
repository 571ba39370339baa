"""A small node with a dashboard over real sockets: real library, index and journal, a fake room and fake agent."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import msgspec

from planaria.config.settings import Settings, WebSettings, load_settings
from planaria.cortex.durable.dead import Dead
from planaria.cortex.durable.questions import Questions
from planaria.cortex.journal import Journal
from planaria.immune.breakers.keeper import Breakers
from planaria.immune.ledger.keeper import Ledger
from planaria.nerve.web.dashboard import Dashboard
from planaria.nerve.web.site import ModelLine, ModelsView
from planaria.node import tree
from planaria.otp import GenServer, Node, Task, broadcast, call, child, sleep, supervisor, wall_time
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.rooms.message import ReplyDelta, RoomMessage, TurnState
from planaria.testing.memory_store import MemoryStore

EXAMPLE = Path(__file__).parents[3] / "examples" / "garden"
SETTINGS = Settings(web=WebSettings(port=0))
MODELS = ModelsView(
    True, "No provider is set; the built-in model answers.", (ModelLine("offline", "built in"),)
)


class FakeRoom(GenServer):
    """Speaks a room's messages; an agent named scout repeats what it hears, word by word."""

    def init(self, name: str, pause: float = 0.02) -> None:
        self.room = name
        self.pause = pause
        self.said: list[RoomMessage] = []

    @call
    def transcript(self, after_seq: int = 0, limit: int = 200) -> list[RoomMessage]:
        return self.said[-limit:]

    @call
    def post(self, author: str, text: str, client_id: str = "") -> str:
        message = self._add(author, "person", text, None, None)
        Task.start_link(self._answer, message)
        return message.id

    async def _answer(self, message: RoomMessage) -> None:
        topic = f"room:{self.room}"
        broadcast(topic, TurnState(self.room, "scout", "thinking", message.id))
        text = f"You said **{message.text}**"
        for word in text.split(" "):
            await sleep(self.pause)
            broadcast(topic, ReplyDelta(self.room, "scout", message.id, word + " "))
        self._add("scout", "agent", text, message.id, "offline")
        broadcast(topic, TurnState(self.room, "scout", "idle", message.id))

    @call
    def members(self) -> list[str]:
        return ["scout"]

    def handle_info(self, message: object) -> None:
        pass

    def _add(self, author: str, kind: str, text: str, cause: str | None, model: str | None) -> RoomMessage:
        seq = len(self.said) + 1
        message = RoomMessage(
            id=f"m{seq}",
            seq=seq,
            at=wall_time(),
            room=self.room,
            author=author,
            author_kind=kind,  # type: ignore[arg-type]
            text=text,
            cause_id=cause,
            trace_id="trace",
            model=model,
        )
        self.said.append(message)
        broadcast(f"room:{self.room}", message)
        return message


class FakeAgent(GenServer):
    """Has some state to look at."""

    def init(self, mood: str = "calm") -> None:
        self.mood = mood


@dataclass
class Visit:
    """A running dashboard and a browser that is logged in."""

    node: Node
    url: str
    client: httpx2.AsyncClient
    origin: dict[str, str]

    async def link(self) -> str:
        return await Dashboard.login_link(self.node["dashboard"])

    async def get(self, path: str) -> httpx2.Response:
        return await self.client.get(self.url + path)

    async def post(self, path: str, **fields: str) -> httpx2.Response:
        return await self.client.post(self.url + path, data=fields, headers=self.origin)

    @asynccontextmanager
    async def stream(self, path: str) -> AsyncIterator[AsyncIterator[str]]:
        """The pieces of a page's event stream."""
        async with self.client.stream("GET", self.url + path) as response:
            assert response.headers["content-type"].startswith("text/event-stream")
            yield response.aiter_text()


@asynccontextmanager
async def running(
    garden: Path, agent_name: str = "session:scout@garden", pause: float = 0.02
) -> AsyncIterator[Node]:
    """The node, with the dashboard on a free port."""
    (garden / "notes").mkdir(exist_ok=True)
    tree = supervisor(
        child(Journal, MemoryStore, name="journal"),
        supervisor(
            child(Library, garden, name="library"), child(Index, garden, name="index"), name="records"
        ),
        supervisor(child(FakeRoom, "garden", pause, name="room:garden"), name="rooms"),
        supervisor(child(FakeAgent, name=agent_name), name="agents"),
        child(Breakers, name="breakers"),
        child(Ledger, name="ledger"),
        child(Questions, name="questions"),
        child(Dead, name="dead"),
        child(Dashboard, garden, SETTINGS, lambda: MODELS, name="dashboard"),
        name="node",
    )
    async with Node("garden") as node:
        await node.start(tree)
        yield node


@asynccontextmanager
async def whole_node(folder: Path) -> AsyncIterator[Node]:
    """The real node over a copy of the example garden, without the workflow that wants the internet."""
    garden = folder / "garden"
    shutil.copytree(EXAMPLE, garden)
    (garden / "workflows" / "public_feed.py").unlink()
    settings = msgspec.structs.replace(load_settings(garden), web=WebSettings(port=0))
    async with Node(settings.node.name) as node:
        await node.start(tree(settings, garden, {}, lambda: None))
        yield node


@asynccontextmanager
async def visiting(garden: Path, agent_name: str = "session:scout@garden") -> AsyncIterator[Visit]:
    """The same, and logged in."""
    async with running(garden, agent_name) as node:
        url = (await Dashboard.url(node["dashboard"])).rstrip("/")
        async with httpx2.AsyncClient(timeout=10.0, trust_env=False) as client:
            visit = Visit(node, url, client, {"Origin": url, "HX-Request": "true"})
            answer = await client.get(await visit.link())
            assert answer.status_code == 303
            yield visit


async def read_until(pieces: AsyncIterator[str], wanted: str) -> str:
    """What the stream sends up to and with `wanted`."""
    text = ""
    async with asyncio.timeout(10):
        async for piece in pieces:
            text += piece
            if wanted in text:
                return text
    raise AssertionError(f"the stream ended without {wanted!r}: {text[-2000:]}")
