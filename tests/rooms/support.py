"""A room over a store that fails as told, and members that note what reaches them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from planaria.cortex.errors import StoreFailed, StoreFull
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.store import Draft, Fence, Outcome, Stored
from planaria.otp import GenServer, call, child, supervisor
from planaria.rooms.message import Accepted, Delivery, RoomMessage
from planaria.rooms.room import Room
from planaria.rooms.rooms import open_room
from planaria.rooms.rooms import tree as rooms_tree
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

GARDEN = "room:garden"


class Store(MemoryStore):
    """A store in memory.

    Attributes:
        held: while set, appends wait for `release()`.
        silent: the next append writes, and then says that it failed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.held = False
        self.silent = False
        self.given: list[int] = []  # events that each read gave
        self._released = asyncio.Event()

    def release(self) -> None:
        self.held = False
        self._released.set()

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Outcome]:
        if self.held:
            self._released.clear()
            await self._released.wait()
        answers = await super().append(batch, fences)
        if self.silent:
            self.silent = False
            raise StoreFailed("the disk went away", "wait")
        return answers

    async def read(self, query: Query) -> list[Stored]:
        events = await super().read(query)
        self.given.append(len(events))
        return events

    def fail(self) -> None:
        self.fault = StoreFull("no room left", "make room")


class Member(GenServer):
    """Joins a room and keeps what is delivered."""

    async def init(self, name: str, host: bool = False, room: str = GARDEN) -> None:
        self.attempts: list[int] = []
        self.heard: list[RoomMessage] = []
        for delivery in await Room.join(room, name, self.pid, host):
            self.handle_info(delivery)

    @call
    def all(self) -> list[RoomMessage]:
        return self.heard

    def handle_info(self, message: object) -> None:
        assert isinstance(message, Delivery)
        self.heard.append(message.message)
        self.attempts.append(message.attempt)

    @call
    def counts(self) -> list[int]:
        return self.attempts


class World:
    """A node with a journal and the room `garden`."""

    def __init__(self, node: TestNode, store: Store) -> None:
        self.node = node
        self.store = store

    async def run[R](self, fn: Callable[..., Awaitable[R]], *args: Any, **kwargs: Any) -> R:
        return await self.node.run(partial(fn, *args, **kwargs))

    async def post(self, text: str, author: str = "ada", client_id: str = "", **kwargs: Any) -> Accepted:
        return await self.run(Room.post, GARDEN, author, text, client_id, **kwargs)

    async def texts(self) -> list[str]:
        return [message.text for message in await self.run(Room.transcript, GARDEN)]

    async def events(self, session: str = GARDEN, *kinds: str) -> list[Event]:
        return await self.run(Journal.read, "journal", Query(session=session, kinds=kinds))

    async def kill(self, name: str) -> None:
        """Kill a process; returns when it is back."""
        before = self.node[name]

        async def kill() -> None:
            from planaria.otp import exit_signal

            exit_signal(before, "kill")

        await self.node.run(kill)
        await self.node.settle()
        assert self.node[name] is not before

    async def member(self, name: str, host: bool = False) -> Any:
        return await self.node.start(child(Member, name, host, restart="temporary"))


async def start(node: TestNode) -> World:
    store = Store()
    root = supervisor(
        child(Journal, lambda: store, name="journal"), rooms_tree(), name="root", max_restarts=100
    )
    await node.start(root)
    await node.run(open_room, "garden")
    return World(node, store)
