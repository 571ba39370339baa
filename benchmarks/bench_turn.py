"""What does a turn cost: our agents beside a bare loop and seven agent libraries, on processor time and on memory?

A turn is one message, a model call that asks for a tool, the tool call, a model call that answers (`peers/loops.py`);
the model is scripted and answers at once. `ours` has all a garden has on: room, session, gate, guard, ledger, spans,
and the journal's codec; its journal is kept in memory, so no disk is in it. `ours, SQLite` is the same on disk. The
peers keep their conversations in memory and have their telemetry off.
Processor time, not time on the wall: other work on the machine disturbs it least. Each subject is a program of its own,
they take turns, round by round; a ratio is the median of the rounds' ratios. A resident set is asked of a new program.
`python benchmarks/bench_turn.py [--json] [--quick] [--no-peers]`: about a quarter of an hour.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

if not __package__:  # run by its path
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.figures import figure, number, ratio
from benchmarks.kernel_subjects import PEERS_PLACE
from benchmarks.subject import Absent, Subject

LIMIT = 180.0
"""Seconds one round of one subject may take."""
ROUNDS = 3
HERE = Path(sys.executable)
PEERS = PEERS_PLACE / "bin" / "python"


class Work(NamedTuple):
    """Who is measured, and how much each is given to do: what takes about a second or two.

    Attributes:
        cpu: turns of the row `cpu`.
        idle: sessions of the row `idle`.
        many: turns of each of the 1,000 sessions.
    """

    python: Path
    module: str
    cpu: int
    idle: int
    many: int
    words: tuple[str, ...] = ()


SUBJECTS = {
    "ours": Work(HERE, "loop_planaria", 200, 500, 1, ("memory",)),
    "ours, SQLite": Work(HERE, "loop_planaria", 200, 500, 1, ("sqlite",)),
    "bare loop": Work(HERE, "loop_bare", 50_000, 20_000, 50),
    "AutoGen Core": Work(PEERS, "loop_autogen_core", 3000, 10_000, 2),
    "AutoGen AgentChat": Work(PEERS, "loop_autogen_chat", 500, 1000, 1),
    "Agno": Work(PEERS, "loop_agno", 500, 1000, 1),
    "LangGraph": Work(PEERS, "loop_langgraph", 200, 1000, 1),
    "OpenAI Agents SDK": Work(PEERS, "loop_openai_agents", 100, 300, 1),
    "smolagents": Work(PEERS, "loop_smolagents", 200, 200, 1),
    "Pydantic AI": Work(PEERS, "loop_pydantic_ai", 100, 300, 1),
}
HISTORY = 100
"""Turns after which a turn is measured again."""
AIMS = {"cpu": 65.0, "cpu, SQLite": 1000.0, "many": 17_000.0, "idle": 4096.0}

type Rounds = dict[str, list[list[float]]]
type Told = dict[str, Any]


class Bench:
    """The subjects that could be started."""

    def __init__(self, names: list[str], rounds: int) -> None:
        self.rounds = rounds
        self.names = names
        self.missing: set[str] = set()

    def started(self, name: str) -> Subject:
        """A subject, anew."""
        work = SUBJECTS[name]
        if not work.python.exists():
            raise Absent("not installed: scripts/setup-peers")
        return Subject([str(work.python), "-m", f"benchmarks.peers.{work.module}", *work.words])

    def measure(self, row: str, counts: dict[str, int]) -> Rounds:
        """The figures of a row by subject; they take turns, each round in programs of its own."""
        found: Rounds = {name: [] for name in self.names if counts.get(name)}
        for turn in range(self.rounds):
            order = [name for name in found if name not in self.missing]
            for name in order[turn % len(order) :] + order[: turn % len(order)] if order else []:
                with ExitStack() as stack:
                    try:
                        subject = stack.enter_context(self.started(name))
                        found[name].append(subject.ask(row, counts[name], LIMIT))
                    except Absent as error:
                        self.missing.add(name)
                        print(f"bench_turn: {name} has no {row}: {error}", file=sys.stderr)
        return {name: rounds for name, rounds in found.items() if rounds}


def run(peers: bool, hurry: bool) -> Iterator[Told]:
    """All lines."""
    names = [name for name, work in SUBJECTS.items() if peers or work.python is HERE]
    bench = Bench(names, 1 if hurry else ROUNDS)
    part = 5 if hurry else 1
    cpu = bench.measure("cpu", {name: max(20, SUBJECTS[name].cpu // part) for name in names})
    yield told("processor time a turn", "us", cpu, AIMS["cpu"], lower=True)
    if "ours, SQLite" in cpu:
        disk = {"ours": cpu["ours, SQLite"]}
        yield told("processor time a turn, journal in SQLite", "us", disk, AIMS["cpu, SQLite"], lower=True)
    many = bench.measure("many", {name: SUBJECTS[name].many for name in names})
    yield told("turns a second of processor time, 1,000 sessions", "1/s", many, AIMS["many"], lower=False)
    idle = bench.measure("idle", {name: SUBJECTS[name].idle // part for name in names})
    yield told("memory of an idle session after ten messages", "bytes", idle, AIMS["idle"], lower=True)
    history = bench.measure("history", dict.fromkeys(names, HISTORY // (2 if hurry else 1)))
    yield told(f"a turn after {HISTORY} turns, first ten = 1", "x", history, None, lower=True, ratios=False)


def told(what: str, unit: str, found: Rounds, aim: float | None, *, lower: bool, ratios: bool = True) -> Told:
    """One line: everybody's figure, and how many times theirs ours is."""
    line: Told = {"what": what, "unit": unit}
    line |= {name: figure(rounds, unit) for name, rounds in found.items()}
    if ratios and "ours" in found:
        for name, rounds in found.items():
            if name != "ours":
                line[f"ours / {name}"] = ratio(found["ours"], rounds)
    if aim is not None and "ours" in line:
        median = line["ours"]["median"]
        line["aim"] = aim
        line["met"] = median <= aim if lower else median >= aim
    return line


def as_line(line: Told) -> str:
    """For a terminal."""
    shown = [line["what"]]
    for key, value in line.items():
        if isinstance(value, dict):
            shown.append(
                f"  {key}: {number(value['median'])} ({number(value['low'])}..{number(value['high'])})"
            )
    if "aim" in line:
        shown.append(f"  aim {number(line['aim'])}: {'met' if line['met'] else 'missed'}")
    return "\n".join(shown)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--quick", action="store_true", help="a look in less time")
    parser.add_argument("--no-peers", action="store_true", help="ours and the bare loop only")
    options = parser.parse_args()
    for line in run(not options.no_peers, options.quick):
        print(json.dumps(line) if options.json else as_line(line), flush=True)


if __name__ == "__main__":
    main()
