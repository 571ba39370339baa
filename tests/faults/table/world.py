"""A whole node of a garden, with two model services on real sockets, and what a person sees of it.

The tree is the one `planaria up` runs: journal in SQLite, dashboard on a port, rooms, agents, guards, breakers, ledger.
The model services stand in the same OS process, and the node reaches them over loopback. Their prices are set, so that
what they charge is money: 2 and 10 millionths of a US dollar for a token of prompt and of answer.
"""

import asyncio
import html
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from planaria.agents.turn.events import ModelFailed, ModelResponded
from planaria.agents.turn.guard_events import SessionHandedOff
from planaria.config.breakers import BreakerPolicy, BreakerSettings
from planaria.config.budget import BudgetSettings
from planaria.config.mcp import McpServerSettings, McpSettings
from planaria.config.providers import LimitSettings, ModelDetails, ProviderSettings
from planaria.config.settings import ModelSettings, Settings, WebSettings
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.immune.ledger.ledger import accounts_of
from planaria.nerve.web.dashboard import Dashboard
from planaria.node import tree
from planaria.otp import CallError, Node, sleep
from planaria.rooms.message import Accepted, ReplyDelta, RoomMessage, TurnState
from planaria.rooms.room import Room
from planaria.testing.fault_server import FaultServer
from planaria.testing.model_answer import Answer

SILENCE = 0.5
"""Seconds of silence that are borne here, before an answer and in the middle of one: `first_byte_s`, `idle_s`."""
COOLDOWN = 0.5
"""Seconds until a breaker lets a call try."""
IN, OUT = 2, 10
"""Millionths of a US dollar for a token."""
CALL = 10 * IN + 5 * OUT
"""What one answer of a model service costs here."""
LONGEST = 30.0
"""Seconds one fault may take."""
HOME = "garden"
SESSION = f"session:scout@{HOME}"


@dataclass(frozen=True)
class Setting:
    """How the garden is set up for one fault.

    Args:
        front: lines of the agent's front matter.
        files: further files of the garden, by path.
        alone: without the second model service.
        context: tokens of the models' context.
        first: address of the first service instead of its own.
        limits: of the first service.
        mcp: an MCP server's command.
        rooms: of the agent.
    """

    front: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    alone: bool = False
    context: int = 128_000
    first: str | None = None
    second: str | None = None
    limits: LimitSettings = field(default_factory=LimitSettings)
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    mcp: tuple[str, ...] = ()
    rooms: tuple[str, ...] = (HOME,)

    def agent(self) -> str:
        """The record of the one agent."""
        rooms = ", ".join(self.rooms)
        front = ["class: agent", "host: true", f"rooms: [{rooms}]", *self.front]
        return "---\n" + "\n".join(front) + "\n---\nYou are scout. Answer briefly.\n"

    def settings(self, first: str, second: str) -> Settings:
        """Those of the node; time-outs are short, all else is at its default."""
        about = {"m": ModelDetails(usd_in=IN, usd_out=OUT, context_tokens=self.context)}
        limits = LimitSettings(
            first_byte_s=SILENCE,
            idle_s=SILENCE,
            concurrency=self.limits.concurrency,
            queue=self.limits.queue,
        )
        providers = {
            "first": ProviderSettings(
                base_url=self.first or first,
                api_key_env="FIRST_KEY" if self.first else None,
                models=("m",),
                about=about,
                limits=limits,
            )
        }
        if not self.alone:
            providers["second"] = ProviderSettings(
                base_url=self.second or second, models=("m",), about=about, limits=limits
            )
        fallback: dict[str, tuple[str, ...]] = {} if self.alone else {"default": ("second/m",)}
        policy = BreakerPolicy(failures=3, cooldown=COOLDOWN, jitter=0.0)
        mcp = {"demo": McpServerSettings(self.mcp, timeout=20.0, sandbox=False)} if self.mcp else {}
        return Settings(
            web=WebSettings(port=free_port()),  # the same after a restart
            models=ModelSettings("first/m", providers, fallback=fallback),
            breakers=BreakerSettings(tool=policy),
            budget=self.budget,
            mcp=McpSettings(mcp),
        )


class World:
    """The node, its model services, and a browser that is logged in."""

    def __init__(
        self,
        node: Node,
        garden: Path,
        first: FaultServer,
        second: FaultServer,
        client: httpx2.AsyncClient,
        url: str,
    ) -> None:
        self.node = node
        self.garden = garden
        self.first = first
        self.second = second
        self.heard: list[tuple[float, object]] = []
        self.said = asyncio.Event()
        self.asked = 0
        self.begun = self.over = 0.0
        self.trace = ""
        self.fair: tuple[int, int] | None = None
        self.aside: list[str] = []
        self._client = client
        self.url = url

    # --- what a person does ---------------------------------------------------------------

    async def post(self, text: str = "hello", room: str = HOME) -> Accepted:
        """Say something; the time that is measured begins with it."""
        self.asked += 1
        accepted: Accepted = await self.node.run(
            partial(Room.post, f"room:{room}", "ada", text, f"ada-{self.asked}")
        )
        return accepted

    async def ask(self, text: str = "hello", room: str = HOME) -> str:
        """Say something and wait for what is answered to it."""
        self.begin()
        return await self.answer(await self.post(text, room), room)

    def begin(self) -> None:
        """The time that is measured begins."""
        self.begun = time.perf_counter()

    async def answer(self, to: Accepted, room: str = HOME) -> str:
        """What the agent says to a message; the time that is measured is over then."""
        found = await self.until(lambda: [m for _, m in self.heard if _answers(m, to.id, room)], "an answer")
        message = found[0]
        assert isinstance(message, RoomMessage)
        self.over = next(at for at, m in self.heard if m is message)
        self.trace = message.trace_id
        return message.text

    async def until[R](self, what: Callable[[], R], name: str = "it") -> R:
        """Look until there is something."""
        end = time.perf_counter() + LONGEST
        while not (found := what()):
            if time.perf_counter() > end:
                raise TimeoutError(f"{name} did not come about within {LONGEST:g} s")
            await asyncio.sleep(0.002)
        return found

    async def until_event(self, kind: str) -> Event:
        """Look until the journal has an event of this kind."""
        end = time.perf_counter() + LONGEST
        while not (found := await self.events(kind)):
            if time.perf_counter() > end:
                raise TimeoutError(f"{kind} did not come about within {LONGEST:g} s")
            await asyncio.sleep(0.01)
        return found[0]

    async def run(self, fn: Any, *args: Any, **kwargs: Any) -> Any:
        """Call something in a process of the node."""
        return await self.node.run(partial(fn, *args, **kwargs))

    # --- what a person sees ---------------------------------------------------------------

    def struck(self) -> list[str]:
        """Why answers began again that had been shown in part."""
        return [m.again for _, m in self.heard if isinstance(m, ReplyDelta) and m.again]

    def doing(self) -> list[str]:
        """What was said about what the agent does, other than the number of its step."""
        return [one for one in dict.fromkeys(self.doing_in(HOME)) if not one.startswith("step ")]

    def doing_in(self, room: str) -> list[str]:
        """What was said in a room about what the agent does."""
        states = [m for _, m in self.heard if isinstance(m, TurnState) and m.room == room and m.doing]
        return [m.doing if m.state != "waiting" else f"waiting: {m.doing}" for m in states]

    def shown(self) -> str:
        """What was shown of answers while they were written."""
        return "".join(m.text for _, m in self.heard if isinstance(m, ReplyDelta))

    def texts(self, room: str = HOME) -> list[str]:
        """What was said in the room by others than people."""
        return [
            m.text
            for _, m in self.heard
            if isinstance(m, RoomMessage) and m.author_kind != "person" and m.room == room
        ]

    async def page(self, path: str) -> str:
        """The words of a page of the dashboard."""
        answer = await self._get(path)
        return f"{answer.status_code} {words_of(answer.text)}"

    async def _get(self, path: str) -> httpx2.Response:
        """A page; while the dashboard is started again it is asked for anew, as a person would."""
        end = time.perf_counter() + LONGEST
        while True:
            try:
                return await self._client.get(self.url + path)
            except httpx2.TransportError:
                if time.perf_counter() > end:
                    raise
                await asyncio.sleep(0.02)

    async def press(self, path: str) -> str:
        """Press a button of the dashboard."""
        headers = {"Origin": self.url, "HX-Request": "true"}
        return (await self._client.post(self.url + path, headers=headers)).text

    async def login_link(self) -> str:
        """For a browser."""
        link: str = await Dashboard.login_link(self.node["dashboard"])
        return link

    # --- what the journal says ------------------------------------------------------------

    async def events(self, *kinds: str, session: str | None = None) -> list[Event]:
        """Events, in order."""

        async def read() -> list[Event]:
            while True:
                try:
                    return await Journal.read("journal", Query(session=session, kinds=kinds))
                except CallError:
                    await sleep(0.02)

        return await self.node.run(read)

    async def billed(self) -> int:
        """Millionths of a dollar that the services have told us."""
        cost = 0
        for event in await self.events(ModelResponded.kind, ModelFailed.kind, SessionHandedOff.kind):
            cost += event.payload.get("cost_micro") or 0
        return cost

    def estimated(self) -> int:
        """Millionths of a dollar that are charged to the garden though nobody told them."""
        guessed = accounts_of(self.node).book.garden.guessed
        return 0 if guessed is None else guessed[2]

    def charged(self) -> tuple[int, int]:
        """Tokens, and millionths of a dollar, that both services charge for."""
        tokens = money = 0
        for server in (self.first, self.second):
            used = server.charged
            tokens += used.input_tokens + used.output_tokens
            money += used.input_tokens * IN + used.output_tokens * OUT
        return tokens, money


def words_of(page: str) -> str:
    """The words of a page of HTML."""
    body = re.sub(r"(?s)<(script|style|svg)\b.*?</\1>", " ", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def free_port() -> int:
    """A port nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _answers(message: object, to: str, room: str) -> bool:
    return (
        isinstance(message, RoomMessage)
        and message.room == room
        and (message.cause_id == to or to in message.answers)
        and message.author_kind != "person"
    )


async def _listen(world: World, rooms: tuple[str, ...], ready: asyncio.Event) -> None:
    async with world.node.open_port() as port:
        for room in rooms:
            world.node.subscribe(f"room:{room}", port.pid)
        ready.set()
        while True:
            world.heard.append((time.perf_counter(), await port.receive()))


@asynccontextmanager
async def running(garden: Path, setting: Setting) -> AsyncIterator[World]:
    """A garden in this empty folder, its node up, its dashboard open."""
    for path, text in {"agents/scout.md": setting.agent(), **setting.files}.items():
        (garden / path).parent.mkdir(parents=True, exist_ok=True)
        (garden / path).write_text(text)
    (garden / "notes").mkdir(exist_ok=True)
    async with FaultServer(models=("m",)) as first, FaultServer(models=("m",)) as second:
        first.fallback = Answer("from the first")
        second.fallback = Answer("from the second")
        async with Node("faults") as node, httpx2.AsyncClient(timeout=20.0, trust_env=False) as client:
            await node.start(
                tree(setting.settings(first.url, second.url), garden, {"FIRST_KEY": "none"}, lambda: None)
            )
            url = (await Dashboard.url(node["dashboard"])).rstrip("/")
            world = World(node, garden, first, second, client, url)
            await client.get(await world.login_link())
            ready = asyncio.Event()
            listening = asyncio.create_task(_listen(world, setting.rooms, ready))
            try:
                await ready.wait()
                for room in setting.rooms:
                    await world.until(partial(node.whereis, f"session:scout@{room}"), "the agent")
                yield world
            finally:
                first.release()
                second.release()
                listening.cancel()
                await asyncio.gather(listening, return_exceptions=True)
                await node.stop(timeout=3.0)
