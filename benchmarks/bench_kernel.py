"""What does a message, a process, a restart cost: in our kernel, pure and compiled, on the BEAM, in other libraries?

`ours` is the source tree in plain Python, `compiled` the platform wheel of `make wheels`, `beam` Erlang's own servers
and supervisors on one scheduler of `erl`, with its JIT. They take turns, round by round, and `ratio_beam` is the
median of the rounds' ratios, so that a noisy machine disturbs all alike. Each figure is the median of its rounds with
the lowest and the highest; `restart` and `timer` also have a p99. Targets are ratios: at most.

Each row does the same on all sides. `call`, `call_async`: a request with a deadline, answered by a handler that is
plain or a coroutine (the BEAM has one kind); `cast`: a million one way, then one call; `spawn_exit`: spawn_monitor and
its end; `start_stop`: start_link and stop of a server; `restart`: kill of a supervised server until the next is up;
`broadcast`: to n servers that answer; `fan_out`: n servers, 10 casts each; `idle_bytes`: growth of the resident set by
one waiting server, `linked_bytes` with a link to its starter; `timer`: how late 500 timers are while n servers always
have a message; `growth_*`: one operation while n servers live, picked at random, collector included.
`python benchmarks/bench_kernel.py [--json] [--quick] [--rows call,cast] [--no-peers]`: about six minutes, or one.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if not __package__:  # run by its path
    sys.path[0] = str(Path(__file__).parents[1])

from benchmarks.figures import Figure, figure, ratio
from benchmarks.kernel_page import as_lines
from benchmarks.kernel_rows import GROWTH, GROWTH_OPERATIONS, GROWTH_ROUNDS, QUICK, ROWS, Row, quick
from benchmarks.kernel_subjects import PEERS, Start, beam, compiled, ours, peer
from benchmarks.subject import Absent, Subject

LIMIT = 120.0
"""Seconds one round of ours or the BEAM's may take."""
PEER_LIMIT = 20.0
"""Seconds one round of a peer may take."""
PEER_ROUNDS = 3
PROFILE = "profile:"
PROFILED = {"ns": 300_000, "us": 30_000, "ms": 100_000, "s": 100_000}
"""What a profile looks at, by unit: about a second of work."""
WARM_UP = 20
"""The part of a round, 1/20, that comes before the rounds that count."""

type Told = dict[str, Any]
type Rounds = list[list[float]]


class Bench:
    """One run: who takes part, and what was found out about them.

    Args:
        folder: for what is compiled or unpacked.
        with_peers: ask them too.
        hurry: do little.
    """

    def __init__(self, folder: Path, with_peers: bool, hurry: bool) -> None:
        self.hurry = hurry
        self.about: dict[str, str] = {}
        self.starts: dict[str, Start] = {"ours": ours}
        for name, prepare in (("compiled", compiled), ("beam", beam)):
            place = folder / name
            place.mkdir()
            try:
                self.starts[name] = prepare(place)
            except Absent as error:
                self.about[name] = f"absent: {error}"
        self.peers: dict[str, Subject] = {}
        self.peer_names = PEERS if with_peers else ()

    def rounds(self, row: Row) -> dict[str, Rounds]:
        """The figures of `row`, by subject: they take turns, and whoever was first is last the next time."""
        if row.fresh:
            return self._fresh_rounds(row)
        running = {name: self._start(name, start) for name, start in self.starts.items()}
        found: dict[str, Rounds] = {name: [] for name in running}
        try:
            for turn in range(-1, row.rounds):  # the first is a short one, to warm up
                for name in _turned(list(found), turn):
                    n = row.n if turn >= 0 else max(10, row.n // WARM_UP)
                    try:
                        values = running[name].ask(row.operation, n, LIMIT)
                    except Absent as error:
                        self._failed(name, row, error)
                        del found[name]
                        continue
                    if turn >= 0:
                        found[name].append(values)
            return found
        finally:
            for subject in running.values():
                subject.close()

    def _failed(self, name: str, row: Row, error: Absent) -> None:
        """One row of one subject is missing; the others go on."""
        print(f"bench_kernel: {name} has no {row.operation} ({row.n:,}): {error}", file=sys.stderr)
        self.about[f"{name}, {row.operation}"] = f"failed: {error}"

    def _fresh_rounds(self, row: Row) -> dict[str, Rounds]:
        found: dict[str, Rounds] = {name: [] for name in self.starts}
        for turn in range(row.rounds):
            for name in _turned(list(found), turn):
                try:
                    with self._start(name, self.starts[name]) as subject:
                        found[name].append(subject.ask(row.operation, row.n, LIMIT))
                except Absent as error:
                    self._failed(name, row, error)
                    del found[name]
        return found

    def _start(self, name: str, start: Start) -> Subject:
        subject = start()
        self.about[name] = subject.about
        return subject

    def peer(self, name: str, row: Row) -> Told:
        """What a peer says to `row`, or why it says nothing. One that took too long is started anew for the next."""
        subject = self.peers.get(name)
        if subject is not None and row.fresh:
            subject.close()
        rounds = 1 if row.fresh or self.hurry else PEER_ROUNDS
        try:
            if subject is None or not subject.alive:
                subject = self.peers[name] = self._start(name, peer(name))
            found = [subject.ask(row.operation, row.peer_n, PEER_LIMIT) for _ in range(rounds)]
        except Absent as error:
            return {"absent": str(error)}
        return figure(found, row.unit)

    def profile(self, row: Row) -> str:
        """Where the time of the pure kernel goes in `row`."""
        with self._start("ours", ours) as subject:
            return subject.words(f"{PROFILE}{row.operation}", PROFILED.get(row.unit, row.n), LIMIT)

    def close(self) -> None:
        """End the peers."""
        for subject in self.peers.values():
            subject.close()


def _turned(names: list[str], turn: int) -> list[str]:
    return names[::-1] if turn % 2 else names


def told(bench: Bench, row: Row, found: dict[str, Rounds]) -> Told:
    """One row, whole."""
    beams = found.get("beam")
    line: Told = {"benchmark": "kernel", "operation": row.operation, "unit": row.unit, "n": row.n}
    for name in ("ours", "compiled", "beam"):
        line[name] = figure(found[name], row.unit) if name in found else None
    line["peers"] = {name: bench.peer(name, row) for name in bench.peer_names} if row.peer_n else {}
    for key, name in (("ratio_beam", "ours"), ("ratio_beam_compiled", "compiled")):
        line[key] = ratio(found[name], beams) if beams and name in found else None
    line["target"], line["target_compiled"] = row.target, row.target_compiled
    line["short"] = [
        key
        for key, target in (("ratio_beam", row.target), ("ratio_beam_compiled", row.target_compiled))
        if target is not None and line[key] is not None and worst(line[key]) > target
    ]
    line["profile"] = bench.profile(row) if "ratio_beam" in line["short"] and row.unit != "bytes" else None
    line["about"] = dict(bench.about)
    line["cores"] = os.cpu_count()
    return line


def worst(found: Figure) -> float:
    """What must meet the target: the median, and the p99 where there is one."""
    return max(float(found["median"]), float(found.get("p99", 0.0)))


def growth(bench: Bench, n: int) -> Iterator[Told]:
    """The four operations while n servers live."""
    asked = Row("growth", "ns", n, GROWTH_ROUNDS, fresh=True)
    found = bench.rounds(asked)
    for index, operation in enumerate(GROWTH_OPERATIONS):
        of_one = {name: [[values[index]] for values in rounds] for name, rounds in found.items()}
        yield told(bench, Row(operation, "ns", n, GROWTH_ROUNDS), of_one)


def measure(bench: Bench, wanted: set[str]) -> Iterator[Told]:
    """All rows that are wanted, one after the other."""
    for row in ROWS:
        if row.operation in wanted:
            asked = quick(row) if bench.hurry else row
            yield told(bench, asked, bench.rounds(asked))
    if "growth" in wanted:
        for n in GROWTH:
            yield from growth(bench, n // QUICK if bench.hurry else n)


def main() -> None:
    operations = [*dict.fromkeys(row.operation for row in ROWS), "growth"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per row")
    parser.add_argument("--quick", action="store_true", help=f"1/{QUICK} of everything: for a look")
    parser.add_argument("--rows", default=",".join(operations), help="which, separated by commas")
    parser.add_argument("--no-peers", action="store_true", help="without the other libraries")
    options = parser.parse_args()
    wanted = set(options.rows.split(","))
    if unknown := wanted - set(operations):
        parser.error(f"no row {min(unknown)!r}; there are: {', '.join(operations)}")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), not options.no_peers, options.quick)
        try:
            for line in measure(bench, wanted):
                print(json.dumps(line) if options.json else as_lines(line), flush=True)
        finally:
            bench.close()


if __name__ == "__main__":
    main()
