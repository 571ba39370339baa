"""A garden on disk with an agent in a room, a scripted model, tools that note their runs, and a store with a trap."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from planaria.agents.keeper import tree as agents_tree
from planaria.agents.session import AgentProcess, SessionView
from planaria.cortex.codec.packing import unpack
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.cortex.store import Draft, Fence, Outcome
from planaria.membrane.gate.gate import Gate
from planaria.membrane.models.directory import ModelDirectory
from planaria.membrane.models.models import Choice
from planaria.membrane.provider import ModelRequest, ModelResponse, Piece, Provider, Usage
from planaria.membrane.tool import Context, Done, Failed, Tool, tool
from planaria.otp import ChildSpec, child, exit_signal, supervisor, whereis
from planaria.records.library import Library
from planaria.rooms.message import Accepted, RoomMessage
from planaria.rooms.room import Room
from planaria.rooms.rooms import tree as rooms_tree
from planaria.testing.node import TestNode
from tests.rooms.support import Store

SCOUT = "---\nclass: agent\ntools: [work.*]\n---\nYou are scout.\n"
SESSION = "session:scout@garden"
GARDEN = "room:garden"
SECRET = "sk-very-secret-key-0123456789"


class Book:
    """What the tools did: the runs of each, and those that are held."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str]] = []
        self.held: set[str] = set()
        self._released = asyncio.Event()
        self.check: Callable[[str], None] = lambda call_id: None

    def count(self, name: str) -> int:
        return sum(run == name for run, _ in self.runs)

    def release(self) -> None:
        self.held.clear()
        self._released.set()

    async def run(self, name: str, context: Context) -> None:
        self.check(context.call_id)
        self.runs.append((name, context.call_id))
        if name in self.held:
            await self._released.wait()


@tool(name="work.once")
async def once(context: Context, what: str = "") -> Done | Failed:
    """Do something that must not be done twice.

    Args:
        what: a word.
    """
    await context.get(Book).run("once", context)
    return Done(f"did {what} once")


@tool(name="work.again", idempotent=True)
async def again(context: Context, what: str = "") -> Done | Failed:
    """Do something that may be done twice.

    Args:
        what: a word.
    """
    await context.get(Book).run("again", context)
    return Done(f"did {what} again")


class FakeModels:
    """Stands in for `Models`: one provider, whatever is asked for."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.asked: list[str | None] = []

    def resolve(self, ref: str | None = None) -> Choice:
        self.asked.append(ref)
        return Choice(self.provider, ref or "scripted", False)

    def cost_micro(self, provider: str, model: str, usage: Usage) -> int | None:
        return usage.input_tokens * 2 + usage.output_tokens * 3

    def close(self) -> None:
        pass


class FakeDirectory(ModelDirectory):
    """A directory that knows one model."""

    async def init(self, models: Any) -> None:  # type: ignore[override]
        self.known = models
        self.task = None


class TrapStore(Store):
    """Calls `trap(number, kind)` before and after each event of a turn is written."""

    def __init__(self) -> None:
        super().__init__()
        self.trap: Callable[[str, int, str], None] | None = None
        self.count = 0

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Outcome]:
        kinds = [draft.kind for drafts in batch for draft in drafts if draft.kind in TURN_KINDS]
        if not kinds or self.trap is None:
            return await super().append(batch, fences)
        number, self.count = self.count, self.count + 1
        self.trap("before", number, kinds[0])
        answers = await super().append(batch, fences)
        self.trap("after", number, kinds[0])
        return answers

    def has(self, kind: str, **payload: Any) -> bool:
        """Whether an event of this kind with these values is written."""
        return any(
            event.kind == kind and payload.items() <= msgspec.json.decode(unpack(event.payload)).items()
            for event in self._events
        )


TURN_KINDS = (
    *("turn.started", "model.requested", "model.responded", "model.failed"),
    *("tool.started", "tool.finished", "room.message", "turn.finished"),
    *("session.tripped", "restart.chosen", "session.handed_off", "turn.guided", "turn.stopped"),
)


class World:
    """A node that keeps the agents of a garden."""

    def __init__(
        self,
        node: TestNode,
        garden: Path,
        provider: Provider,
        store: TrapStore,
        tools: Sequence[Tool] = (once, again),
    ) -> None:
        self.tools = tools
        self.faults: list[str] = []
        self.node = node
        self.garden = garden
        self.provider = provider
        self.store = store
        self.book = Book()
        self.models = FakeModels(provider)
        self.services: dict[type, object] = {}

    def tree(self, environ: dict[str, str] | None = None) -> ChildSpec:
        gate = Gate(self.tools)
        redactor = Redactor(environ or {})
        return supervisor(
            child(Journal, lambda: self.store, JournalOptions(), redactor, name="journal"),
            child(Library, self.garden, name="library"),
            child(FakeDirectory, self.models, name="models"),
            rooms_tree(),
            agents_tree(self.garden, gate, {Book: self.book, Redactor: redactor, **self.services}),
            name="root",
            strategy="rest_for_one",
            max_restarts=100,
        )

    async def start(self, environ: dict[str, str] | None = None) -> None:
        await self.node.start(self.tree(environ))
        await self.node.advance(0.5)

    async def run[R](self, fn: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> R:
        return await self.node.run(partial(fn, *args, **kwargs))

    async def post(self, text: str = "hello", client_id: str = "", room: str = GARDEN) -> Accepted:
        return await self.run(Room.post, room, "ada", text, client_id)

    async def said(self, room: str = GARDEN) -> list[RoomMessage]:
        return await self.run(Room.transcript, room)

    async def answers(self, room: str = GARDEN) -> list[str]:
        return [m.text for m in await self.said(room) if m.author_kind != "person"]

    async def events(self, *kinds: str, session: str | None = SESSION) -> list[Event]:
        return await self.run(Journal.read, "journal", Query(session=session, kinds=kinds))

    async def view(self, session: str = SESSION) -> SessionView:
        return await AgentProcess.view(self.node[session])

    async def until_answered(self, number: int = 1) -> list[str]:
        """Let time pass until so many answers are there."""
        for _ in range(60):
            await self.node.advance(0.5)
            if self.node.whereis(GARDEN) and len(found := await self.answers()) >= number:
                break
        else:
            raise AssertionError(f"no answer: {await self.answers()}, {await self.view()}")
        await self.node.advance(5.0)
        assert (await self.view()).status == "idle"
        return found if len(found) == len(await self.answers()) else await self.answers()

    async def save(self, path: str, text: str | None) -> None:
        """Write a file, or remove it, and tell the library as the watcher does."""
        file = self.garden / path
        if text is None:
            file.unlink()
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        Library.changed(self.node["library"], path)
        await self.node.advance(1.0)

    async def problems(self) -> list[str]:
        return [str(problem) for problem in await Library.problems(self.node["library"])]

    async def kill(self, name: str) -> None:
        await self.node.run(kill_named, name)
        await self.node.settle()


async def kill_named(name: str) -> None:
    """Kill the process of this name."""
    pid = whereis(name)
    assert pid is not None, name
    exit_signal(pid, "kill")


class EndlessProvider:
    """Streams and never ends; `ended` counts streams that were left."""

    name = "endless"

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        self.begun = 0
        self.left = 0

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        self.begun += 1
        try:
            for piece in self.pieces:
                yield piece
            await asyncio.Event().wait()
            yield ModelResponse("", (), Usage(), "stop", "endless", "endless")
        finally:
            self.left += 1

    async def models(self) -> list[Any]:
        return []
