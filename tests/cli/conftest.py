"""A garden, a node that runs it in a thread, and a way to run commands."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from planaria.cli import main
from planaria.config.lock import GardenLock
from planaria.config.settings import load_settings
from planaria.cortex.durable.dead import REPLAY, Dead, replaying
from planaria.cortex.durable.questions import Questions
from planaria.cortex.durable.work import Handler, Work
from planaria.cortex.journal import Journal
from planaria.cortex.live.store import Live
from planaria.cortex.redact import Redactor
from planaria.immune.breakers.keeper import Breakers
from planaria.immune.ledger.keeper import Ledger
from planaria.membrane.gate.gate import Gate
from planaria.nerve.control import serve_control
from planaria.nerve.live import projections
from planaria.nerve.methods import Services
from planaria.otp import GenServer, Node, Task, call, child, supervisor, task_child
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.rooms.deferred import SAY, say
from planaria.rooms.message import Delivery, RoomMessage
from planaria.rooms.room import Room
from planaria.rooms.rooms import open_room
from planaria.rooms.rooms import tree as rooms_tree
from planaria.testing.memory_store import MemoryStore
from planaria.tools import notes
from planaria.workflows.tree import tree as workflows_tree


class Counter(GenServer):
    def init(self) -> None:
        self.count = 5

    @call
    def add(self, by: int) -> int:
        self.count += by
        return self.count


class Parrot(GenServer):
    """A member of the room "garden" that answers with what it was told."""

    async def init(self) -> None:
        await open_room("garden")
        await Room.join("room:garden", "parrot", self.pid)

    def handle_info(self, message: object) -> None:
        if isinstance(message, Delivery):
            Task.start_link(_answer, message.message)


async def _answer(message: RoomMessage) -> None:
    text = f"you said {message.text}"
    if message.text == "twice":
        Room.delta("room:garden", "parrot", message.id, "one moment")
        Room.state("room:garden", "parrot", "acting", message.id)
    for piece in (text[:4], text[4:]):
        Room.delta("room:garden", "parrot", message.id, piece)
    await Room.say("room:garden", "parrot", text, message.id, model="offline", trace_id=message.trace_id)


@dataclass
class Garden:
    """A garden on disk and the node that runs it."""

    path: Path
    node: Node = field(init=False)
    loop: asyncio.AbstractEventLoop = field(init=False)
    stopped: asyncio.Event = field(init=False)

    def reread(self, path: str) -> None:
        """Tell the library that a file changed, and return when everybody knows."""
        asyncio.run_coroutine_threadsafe(self._reread(path), self.loop).result(10)

    def tell[T](self, what: Callable[[], Awaitable[T]]) -> T:
        """Run a function in a process of the node."""
        return asyncio.run_coroutine_threadsafe(self.node.run(what), self.loop).result(10)

    async def _reread(self, path: str) -> None:
        Library.changed(self.node["library"], path)
        await self.node.settle()

    def run(self, *args: str, **kwargs: Any) -> Result:
        """Run a command on this garden."""
        return planaria(*args, "--garden", str(self.path), **kwargs)

    def json(self, *args: str):
        """Run a command with --json and return what it printed."""
        result = self.run(*args, "--json")
        assert result.exit_code in (0, 1), result.output
        return json.loads(result.stdout)


def planaria(*args: str, **kwargs: Any) -> Result:
    """Run a command as a person would, without starting a process."""
    return CliRunner().invoke(main, list(args), catch_exceptions=False, **kwargs)


@pytest.fixture
def garden(tmp_path) -> Garden:
    """A fresh garden; no node runs it."""
    path = tmp_path / "garden"
    assert planaria("init", str(path)).exit_code == 0
    return Garden(path)


@pytest.fixture
def live(garden):
    """The garden, with a node in another thread: journal, records, rooms with a parrot, workflows, a counter."""
    started = threading.Event()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            asyncio.run(_node(garden, started))
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            ended.append(error)
            started.set()

    thread = threading.Thread(target=run)
    thread.start()
    started.wait(10)
    assert not ended, ended
    yield garden
    with contextlib.suppress(RuntimeError):  # the test stopped it, so its loop is closed
        garden.loop.call_soon_threadsafe(garden.stopped.set)
    thread.join(10)
    assert not ended, ended


async def _node(garden: Garden, started: threading.Event) -> None:
    path = garden.path
    garden.stopped, garden.loop = asyncio.Event(), asyncio.get_running_loop()
    with GardenLock(path) as lock:
        lock.announce("http://127.0.0.1:1")
        async with Node("garden") as garden.node:
            services = Services(
                garden=path,
                settings=load_settings(path),
                stop=garden.stopped.set,
                redactor=Redactor(),
            )
            await garden.node.start(
                supervisor(
                    child(Journal, MemoryStore, name="journal"),
                    child(Library, path, name="library"),
                    child(Index, path, name="index"),
                    child(Breakers, name="breakers"),
                    child(Ledger, name="ledger"),
                    child(Questions, name="questions"),
                    child(Dead, name="dead"),
                    rooms_tree(),
                    workflows_tree(Gate([notes.search, notes.write]), path, watching=False),
                    child(Work, {SAY: Handler(say), REPLAY: Handler(replaying({}))}, name="work"),
                    child(Live, projections, name="live"),
                    child(Parrot, name="parrot"),
                    child(Counter, name="counter"),
                    task_child(serve_control, services, label="control"),
                    name="root",
                )
            )
            await garden.node.settle()
            started.set()
            await garden.stopped.wait()
