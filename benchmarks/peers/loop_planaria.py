"""Our turn in its benchmark: a message in a room, two model calls with a tool call between them, an answer in the room.

`python -m benchmarks.peers.loop_planaria memory|sqlite`. Everything a garden has is on: rooms, sessions, gate, guards,
ledger, spans, journal with chain and sealing. `memory` keeps the journal's rows in lists, so that no disk is in it;
it takes them as the SQLite store does, without a task that waits.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.peers import loops, turns, turns_agents
from benchmarks.peers.serve import serve
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.store import Draft, Fence, Outcome
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.otp import Node, Pid, receive, subscribe
from planaria.rooms.message import RoomMessage
from planaria.rooms.room import Room
from planaria.testing.memory_store import MemoryStore

WHERE = sys.argv[1] if len(sys.argv) > 1 else "memory"
MASTER = MasterKey(bytes(range(32)), "the benchmark")


class Ask(msgspec.Struct, frozen=True):
    """To who talks in a room: say it, and answer here."""

    number: int
    answer: Any


async def person(number: int) -> None:
    """Says what it is asked to, and hands the answer back."""
    topic = f"room:r{number}"
    subscribe(topic)
    while True:
        ask = await receive()
        if not isinstance(ask, Ask):
            continue
        await Room.post(topic, "ada", turns.MESSAGE, f"{number}-{ask.number}")
        while True:
            heard = await receive()
            if isinstance(heard, RoomMessage) and heard.author_kind == "agent":
                break
        ask.answer.set_result(loops.ANSWER if heard.text == turns.ANSWER else heard.text)


class Lists(MemoryStore):
    """Rows in lists, written at once."""

    def post_append(
        self,
        batch: Sequence[Sequence[Draft]],
        done: Callable[[list[Outcome] | BaseException], None],
        fences: Sequence[Fence | None] = (),
    ) -> None:
        """See `PostingStore.post_append`."""
        done([self._insert(drafts, fences[n] if fences else None) for n, drafts in enumerate(batch)])


class Session:
    """One agent in its room, and somebody who talks to it."""

    def __init__(self, node: Node, pid: Pid) -> None:
        self.node = node
        self.pid = pid
        self.asked = 0

    async def turn(self) -> str:
        """One message to its answer."""
        self.asked += 1
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.node.send(self.pid, Ask(self.asked, answer))
        return await answer


def make_store(garden: Path) -> Any:
    """Where the journal is."""
    return SqliteStore(garden / "journal.db") if WHERE == "sqlite" else Lists()


@asynccontextmanager
async def sessions(n: int) -> AsyncIterator[list[loops.Turn]]:
    """Rooms with an agent each."""
    garden = turns.new_folder()
    (garden / "agents").mkdir()
    for number in range(n):
        (garden / "agents" / f"scout{number}.md").write_text(turns_agents.AGENT.format(n=number))
    try:
        async with Node("bench") as node:
            await node.start(turns_agents.tree(garden, partial(make_store, garden), MASTER))
            await node.run(turns_agents.ready, n)
            yield [Session(node, node.spawn(person, number)).turn for number in range(n)]
    finally:
        turns.drop_folder(garden)


if __name__ == "__main__":
    store = "SQLite" if WHERE == "sqlite" else "memory"
    serve(loops.rows(sessions), f"planaria, journal in {store}")
