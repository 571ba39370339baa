"""DBOS beside our journal: a workflow of three steps a turn, on SQLite or Postgres.

`python -m benchmarks.peers.turns_dbos sqlite|postgresql://…`
"""

import asyncio
import sys
from importlib.metadata import version
from typing import Any

import psycopg
import pysqlite3

sys.modules["sqlite3"] = pysqlite3  # DBOS needs a SQLite from 2023 on; that of this Python may be older

from dbos import DBOS, SetWorkflowID  # noqa: E402

from benchmarks.peers import turns  # noqa: E402
from benchmarks.peers.serve import serve  # noqa: E402

WHERE = sys.argv[1] if len(sys.argv) > 1 else "sqlite"


@DBOS.step()
async def model(message: str) -> dict[str, Any]:
    return turns.model(message)


@DBOS.step()
async def tool(arguments: Any) -> str:
    return turns.tool(arguments)


@DBOS.step()
async def answer(result: str) -> str:
    return turns.answer(result)


@DBOS.workflow()
async def turn(message: str) -> str:
    call = await model(message)
    said: str = await answer(await tool(call["arguments"]))
    return said


class Stage:
    """DBOS with its system database in a place of its own."""

    async def __aenter__(self) -> "Stage":
        self.folder = turns.new_folder()
        url = f"sqlite:///{self.folder / 'dbos.db'}" if WHERE == "sqlite" else WHERE
        DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR"})
        DBOS.launch()
        self.before = self.bytes()
        return self

    async def __aexit__(self, *reason: object) -> None:
        DBOS.destroy()
        turns.drop_folder(self.folder)

    def bytes(self) -> int:
        if WHERE == "sqlite":
            return turns.folder_bytes(self.folder)
        with psycopg.connect(WHERE) as connection:
            found = connection.execute("SELECT pg_database_size(current_database())").fetchone()
            assert found is not None
            return int(found[0])

    async def session(self, name: str, first: int, count: int) -> None:
        for number in range(first, first + count):
            with SetWorkflowID(f"{name}-{number}"):
                await turn(turns.MESSAGE)


_runs = 0


async def run(sessions: int, count: int) -> list[float]:
    global _runs
    _runs += 1
    async with Stage() as stage:
        took = await turns.timed(
            lambda: asyncio.gather(*(stage.session(f"r{_runs}s{n}", 0, count) for n in range(sessions)))
        )
        written = stage.bytes() - stage.before
    return [sessions * count / took, written / (sessions * count)]


async def growth(count: int) -> list[float]:
    global _runs
    _runs += 1
    async with Stage() as stage:
        figures, done, before = [], 0, stage.before
        for until in (10, 100, count):
            await stage.session(f"r{_runs}", done, until - done)
            now = stage.bytes()
            figures.append((now - before) / (until - done))
            done, before = until, now
    return figures


if __name__ == "__main__":
    serve(
        {"one": lambda n: run(1, n), "many": lambda n: run(turns.MANY, n), "growth": growth},
        f"DBOS {version('dbos')} on {'SQLite' if WHERE == 'sqlite' else 'Postgres'}",
    )
