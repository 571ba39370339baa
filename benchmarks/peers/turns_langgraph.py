"""LangGraph beside our journal: a graph of model, tool, answer, with its SQLite or Postgres saver, each step synced.

`python -m benchmarks.peers.turns_langgraph sqlite|postgresql://…`
"""

import asyncio
import operator
import sys
from contextlib import AsyncExitStack
from importlib.metadata import version
from typing import Annotated, Any, TypedDict

import psycopg
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.graph import END, START, StateGraph

from benchmarks.peers import turns
from benchmarks.peers.serve import serve

WHERE = sys.argv[1] if len(sys.argv) > 1 else "sqlite"


class State(TypedDict):
    messages: Annotated[list[dict[str, Any]], operator.add]


async def model(state: State) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", **turns.model(state["messages"][-1]["content"])}]}


async def tool(state: State) -> dict[str, Any]:
    return {"messages": [{"role": "tool", "content": turns.tool(state["messages"][-1]["arguments"])}]}


async def answer(state: State) -> dict[str, Any]:
    return {"messages": [{"role": "assistant", "content": turns.answer(state["messages"][-1]["content"])}]}


class Stage:
    """A graph with its saver in a place of its own."""

    async def __aenter__(self) -> "Stage":
        self.stack = AsyncExitStack()
        self.folder = turns.new_folder()
        saver: Any
        if WHERE == "sqlite":
            saver = await self.stack.enter_async_context(
                AsyncSqliteSaver.from_conn_string(str(self.folder / "langgraph.db"))
            )
            await saver.setup()
            await saver.conn.execute("PRAGMA synchronous=FULL")
        else:
            saver = await self.stack.enter_async_context(AsyncPostgresSaver.from_conn_string(WHERE))
            await saver.setup()
        graph = StateGraph(State)
        graph.add_node("model", model)
        graph.add_node("tool", tool)
        graph.add_node("answer", answer)
        graph.add_edge(START, "model")
        graph.add_edge("model", "tool")
        graph.add_edge("tool", "answer")
        graph.add_edge("answer", END)
        self.graph = graph.compile(checkpointer=saver)
        self.saver = saver
        self.before = await self.bytes()
        return self

    async def __aexit__(self, *reason: object) -> None:
        if WHERE != "sqlite":
            for name in ("checkpoints", "checkpoint_writes", "checkpoint_blobs"):
                await _execute(f"TRUNCATE {name}")
        await self.stack.aclose()
        turns.drop_folder(self.folder)

    async def bytes(self) -> int:
        if WHERE == "sqlite":
            await self.saver.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return turns.folder_bytes(self.folder)
        found = await _execute("SELECT pg_database_size(current_database())")
        return int(found)

    async def session(self, name: str, count: int) -> None:
        for _ in range(count):
            await self.graph.ainvoke(
                {"messages": [{"role": "user", "content": turns.MESSAGE}]},
                {"configurable": {"thread_id": name}},
                durability="sync",
            )


async def _execute(statement: str) -> Any:
    async with await psycopg.AsyncConnection.connect(WHERE, autocommit=True) as connection:
        done = await connection.execute(statement.encode())
        return (await done.fetchone() or [None])[0] if done.description else None


async def run(sessions: int, count: int) -> list[float]:
    async with Stage() as stage:
        took = await turns.timed(
            lambda: asyncio.gather(*(stage.session(f"s{n}", count) for n in range(sessions)))
        )
        written = await stage.bytes() - stage.before
    return [sessions * count / took, written / (sessions * count)]


async def growth(count: int) -> list[float]:
    async with Stage() as stage:
        figures, done, before = [], 0, stage.before
        for until in (10, 100, count):
            await stage.session("s", until - done)
            now = await stage.bytes()
            figures.append((now - before) / (until - done))
            done, before = until, now
    return figures


if __name__ == "__main__":
    store = "SQLite" if WHERE == "sqlite" else "Postgres"
    saver = "langgraph-checkpoint-sqlite" if WHERE == "sqlite" else "langgraph-checkpoint-postgres"
    serve(
        {"one": lambda n: run(1, n), "many": lambda n: run(turns.MANY, n), "growth": growth},
        f"LangGraph {version('langgraph')}, {saver} {version(saver)} on {store}",
    )
