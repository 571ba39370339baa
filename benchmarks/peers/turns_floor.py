"""The floor beside our journal: a table in SQLite, one row and one synced commit a step, nothing else.

`python -m benchmarks.peers.turns_floor`. With 100 sessions the steps that come together share a commit, as a group
commit would have it without any work of its own.
"""

import json

import apsw

from benchmarks.peers import turns
from benchmarks.peers.serve import serve


class Stage:
    """One table."""

    def __enter__(self) -> "Stage":
        self.folder = turns.new_folder()
        self.connection = apsw.Connection(str(self.folder / "floor.db"))
        self.connection.pragma("journal_mode", "wal")
        self.connection.pragma("synchronous", "full")
        self.connection.execute(
            "CREATE TABLE steps (seq INTEGER PRIMARY KEY, session TEXT NOT NULL, kind TEXT NOT NULL,"
            " payload TEXT NOT NULL)"
        )
        self.before = self.bytes()
        return self

    def __exit__(self, *reason: object) -> None:
        self.connection.close()
        turns.drop_folder(self.folder)

    def bytes(self) -> int:
        self.connection.pragma("wal_checkpoint", "passive")
        return (self.folder / "floor.db").stat().st_size

    def write(self, rows: list[tuple[str, str, str]]) -> None:
        with self.connection:
            self.connection.executemany("INSERT INTO steps (session, kind, payload) VALUES (?, ?, ?)", rows)

    def round(self, names: list[str]) -> None:
        """One turn of each session, step by step."""
        call = turns.model(turns.MESSAGE)
        result = turns.tool(call["arguments"])
        steps = [
            ("message", {"text": turns.MESSAGE}),
            ("model", call),
            ("tool", {"result": result}),
            ("answer", {"text": turns.answer(result)}),
        ]
        for kind, payload in steps:
            self.write([(name, kind, json.dumps(payload)) for name in names])


async def run(sessions: int, count: int) -> list[float]:
    names = [f"s{n}" for n in range(sessions)]
    with Stage() as stage:

        async def work() -> None:
            for _ in range(count):
                stage.round(names)

        took = await turns.timed(work)
        written = stage.bytes() - stage.before
    return [sessions * count / took, written / (sessions * count)]


async def growth(count: int) -> list[float]:
    with Stage() as stage:
        figures, done, before = [], 0, stage.before
        for until in (10, 100, count):
            for _ in range(until - done):
                stage.round(["s"])
            now = stage.bytes()
            figures.append((now - before) / (until - done))
            done, before = until, now
    return figures


if __name__ == "__main__":
    serve(
        {"one": lambda n: run(1, n), "many": lambda n: run(turns.MANY, n), "growth": growth},
        f"apsw {apsw.apsw_version()}, one table, nothing else",
    )
