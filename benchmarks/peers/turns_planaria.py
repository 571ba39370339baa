"""Our journal in its benchmark: a session is a process that appends what a turn comes to, each step before the next.

`python -m benchmarks.peers.turns_planaria sqlite|postgresql://…`. Everything that a garden has is on: ids, traces,
the hash chain, secrets masked, what a person says sealed with that person's key.
The rows `latency` (n sessions at once: appends per second, p50 and p99 ms from accepted to durable) and `rebuild`
(seconds to fold a session of n events) are ours alone.
"""

import asyncio
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from benchmarks.peers import turns, turns_agents
from benchmarks.peers.serve import serve
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.event import new_id
from planaria.cortex.event_type import EventType
from planaria.cortex.fold import fold
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.stores.postgres.store import PostgresStore
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.otp import Node, child

WHERE = sys.argv[1] if len(sys.argv) > 1 else "sqlite"
SUBJECT = "person:ada"
MASTER = MasterKey(bytes(range(32)), "the benchmark")


class Message(EventType, frozen=True):
    """Somebody said something."""

    kind = "bench.message"
    author: str
    text: str


class Started(EventType, frozen=True):
    """A turn has begun, its model is asked."""

    kind = "bench.requested"
    step: int
    model: str


class Responded(EventType, frozen=True):
    """The model has answered."""

    kind = "bench.responded"
    step: int
    tokens: list[int]


class ToolStarted(EventType, frozen=True):
    """A tool runs."""

    kind = "bench.tool.started"
    tool: str
    arguments: dict[str, Any]


class ToolFinished(EventType, frozen=True):
    """A tool has answered."""

    kind = "bench.tool.finished"
    result: str


class Replied(EventType, frozen=True):
    """The answer; the turn is over."""

    kind = "bench.replied"
    text: str


async def turn(name: str) -> None:
    """One turn: five appends, each on disk before the next begins."""
    trace = new_id()
    where: dict[str, Any] = {"session": name, "trace_id": trace, "subject": SUBJECT}
    (said,) = await Journal.append("journal", [Message("ada", turns.MESSAGE).new(**where)])
    where["cause_id"] = said.id
    await Journal.append("journal", [Started(0, "local/model").new(**where)])
    call: Any = turns.model(turns.MESSAGE)
    begun = ToolStarted(call["tool"], call["arguments"])
    await Journal.append("journal", [Responded(0, call["tokens"]).new(**where), begun.new(**where)])
    result = turns.tool(call["arguments"])
    await Journal.append("journal", [ToolFinished(result).new(**where)])
    await Journal.append("journal", [Replied(turns.answer(result)).new(**where)])


async def session(name: str, count: int) -> None:
    for _ in range(count):
        await turn(name)


class Stage:
    """A node with a journal in a place of its own."""

    async def __aenter__(self) -> "Stage":
        self.folder = turns.new_folder()
        self.node = Node("bench")
        await self.node.__aenter__()
        self.store: Any = make_store(self.folder)
        self.journal = await self.node.start(
            child(Journal, lambda: self.store, JournalOptions(), None, MASTER, name="journal")
        )
        await self.node.run(session, "warm", 1)  # keys, names
        self.before = await self.bytes()
        return self

    async def __aexit__(self, *reason: Any) -> None:
        await self.node.__aexit__(*reason)
        await drop_store(self.folder)

    async def bytes(self) -> int:
        return await bytes_on_disk(self.folder)

    async def sessions(self, names: list[str], count: int) -> float:
        return await turns.timed(
            lambda: asyncio.gather(*(self.node.run(session, name, count) for name in names))
        )


def make_store(folder: Path) -> Any:
    """The store that is measured."""
    return SqliteStore(folder / "journal.db") if WHERE == "sqlite" else PostgresStore(WHERE)


async def bytes_on_disk(folder: Path) -> int:
    """Of the database, with all that was written folded in."""
    if WHERE != "sqlite":
        return int(await on_server("SELECT pg_database_size(current_database())"))
    connection = apsw.Connection(str(folder / "journal.db"))
    connection.pragma("wal_checkpoint", "passive")
    connection.close()
    return (folder / "journal.db").stat().st_size


async def drop_store(folder: Path) -> None:
    """The next one begins anew."""
    turns.drop_folder(folder)
    if WHERE != "sqlite":
        await on_server("DROP SCHEMA planaria CASCADE")


async def on_server(statement: str) -> Any:
    """One statement's answer."""
    connection = await asyncpg.connect(WHERE)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def run(sessions: int, count: int) -> list[float]:
    async with Stage() as stage:
        took = await stage.sessions([f"session:scout@{n}" for n in range(sessions)], count)
        written = await stage.bytes() - stage.before
    return [sessions * count / took, written / (sessions * count)]


async def growth(count: int) -> list[float]:
    async with Stage() as stage:
        figures, done, before = [], 0, stage.before
        for until in (10, 100, count):
            await stage.sessions(["session:scout@garden"], until - done)
            now = await stage.bytes()
            figures.append((now - before) / (until - done))
            done, before = until, now
    return figures


async def latency(sessions: int) -> list[float]:
    """Appends of one event with 200 characters, by so many sessions that each wait for theirs."""
    waits: list[float] = []
    each = max(2, 20_000 // max(sessions, 20))

    async def appender(name: str) -> None:
        for _ in range(each):
            began = time.perf_counter()
            await Journal.append("journal", [ToolFinished("x" * 200).new(session=name)], within=60.0)
            waits.append(time.perf_counter() - began)

    async with Stage() as stage:
        names = [f"session:{n}" for n in range(sessions)]
        took = await turns.timed(lambda: asyncio.gather(*(stage.node.run(appender, name) for name in names)))
    ordered = sorted(waits)
    return [
        len(waits) / took,
        statistics.median(ordered) * 1000,
        ordered[int(len(ordered) * 0.99)] * 1000,
    ]


async def rebuild(events: int) -> list[float]:
    """Fold a session of so many events, read page by page."""
    async with Stage() as stage:
        for _ in range(events // 500):
            batch = [Replied(turns.ANSWER).new(session="s", subject=SUBJECT) for _ in range(500)]
            await Journal.append(stage.journal, batch)

        async def again() -> int:
            return await fold("journal", "s", lambda count, event: count + len(event.payload), 0)

        return [await turns.timed(partial(stage.node.run, again))]


if __name__ == "__main__":
    store = "SQLite" if WHERE == "sqlite" else "Postgres"
    serve(
        {
            "one": lambda n: run(1, n),
            "many": lambda n: run(turns.MANY, n),
            "growth": growth,
            "latency": latency,
            "rebuild": rebuild,
            "agent_one": lambda n: turns_agents.run(1, n, make_store, MASTER),
            "agent_many": lambda n: turns_agents.run(turns.MANY, n, make_store, MASTER),
        },
        f"planaria on {store}",
    )
