"""Enumerates the boundaries of a run, kills a node at each, lets it live again, and judges what is left.

    python -m tests.crash.boundary.matrix [--store sqlite|postgres] [--every 1] [--twice 0]

The run: a message for two agents, of which one calls tools of every policy, plans something and asks a person;
a message that is given up at first, and whose dead letter is replayed; a workflow with a step that is tried again. The
model is a server that outlives the node and keeps the bill; the tools' effects are lines of a file. What is in one
commit is there or not as a whole, so the boundaries between events are those between commits.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec

from tests.crash.boundary import world
from tests.crash.boundary.judge import judge, judge_accounts, news
from tests.crash.boundary.life import End, Life
from tests.crash.boundary.model import CaseModel
from tests.postgres import Postgres, the_server

ROOT = Path(__file__).parents[3]
LONGEST_END = 1 << 24
"""Bytes in which one tells how it ended."""
MOST_LIVES = 4
"""A node that was not killed by us and is not at rest after so many starts never will be."""


class Template:
    """The program that forks nodes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def live(self, life: Life) -> End:
        """One life of a node."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(life) + b"\n")
        return msgspec.json.decode(await self._process.stdout.readline(), type=End)


@asynccontextmanager
async def template() -> AsyncIterator[Template]:
    """Start it; it ends with this block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.crash.boundary.template",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LONGEST_END,
    )
    try:
        yield Template(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


class Case(msgspec.Struct, frozen=True):
    """Where the node of one run was killed: the boundary of its first life, and of its second one if that was too."""

    first: tuple[int, bool]
    second: tuple[int, bool] | None = None


class Result(msgspec.Struct, frozen=True):
    """What came of one case; `faults` is empty if every promise was kept."""

    case: Case | None
    kills: int
    lives: int
    commits: int
    faults: list[str]


async def one(template: Template, case: Case | None, garden: Path, database: str | None) -> Result:
    """Let a garden live through a case, and judge it."""
    async with CaseModel() as model:
        world.plant(garden, free_port(), model.url, database)
        traps = [] if case is None else [case.first, *([case.second] if case.second else [])]
        kills = lives = 0
        end = End(False, fault="it was killed each time")
        for at, after in [*traps, *[(-1, False)] * MOST_LIVES]:
            lives += 1
            end = await template.live(Life(str(garden), at, after))
            kills += end.killed
            if not end.killed and (at == -1 or not end.fault):
                break
        again = await template.live(Life(str(garden)))
        faults = [f"it did not come to rest: {end.fault}"] if end.fault else []
        faults += [f"a further start failed: {again.fault}"] if again.fault else []
        faults += judge(again.events, world.effects(garden), model)
        for life in (end, again):
            faults += judge_accounts(life.events, life.spent, model)
        faults += [*news(end.events, again.events), *again.breaks]
    return Result(case, kills, lives, end.commits, faults)


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def boundaries(commits: int) -> list[tuple[int, bool]]:
    """Before and after each commit of a run that had so many."""
    return [(number, after) for number in range(commits) for after in (False, True)]


async def matrix(
    folder: Path,
    databases: Callable[[], str | None],
    tell: Callable[[Result], None] = lambda result: None,
    *,
    every: int = 1,
    begin: int = 0,
    twice: int = 0,
    seed: int = 1,
) -> list[Result]:
    """All cases: a run nobody disturbs, then one for each of its boundaries, then some that are killed twice.

    Args:
        databases: gives each garden its own; None for a file.
        tell: of each result as it comes.
        every: only every so manieth boundary, from the one of number `begin`.
        twice: cases in which the second life is killed too; which, says the seed.
    """
    results: list[Result] = []
    chance = Random(seed)
    async with template() as forks:

        async def run(case: Case | None) -> Result:
            garden = folder / f"case{len(results)}"
            garden.mkdir()
            result = await one(forks, case, garden, databases())
            results.append(result)
            tell(result)
            return result

        whole = await run(None)
        edges = boundaries(whole.commits)
        for boundary in edges[begin::every]:
            await run(Case(boundary))
        for _ in range(twice):
            first = chance.choice(edges)
            await run(Case(first, chance.choice(boundaries(max(1, whole.commits - first[0])))))
    return results


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth boundary")
    parser.add_argument("--twice", type=int, default=0, help="cases in which the second life is killed too")
    parser.add_argument("--seed", type=int, default=1, help="chooses those")
    options = parser.parse_args()

    def tell(result: Result) -> None:
        case = result.case
        where = "undisturbed" if case is None else f"killed at {case.first}, {case.second}"
        print(
            f"{where}: {result.kills} kills, {result.lives} lives, {result.faults or 'all kept'}", flush=True
        )

    in_database = options.store == "postgres"

    def databases() -> str | None:
        return Postgres(the_server()).url() if in_database else None

    with tempfile.TemporaryDirectory(prefix="planaria-boundary-") as folder:
        work = matrix(
            Path(folder), databases, tell, every=options.every, twice=options.twice, seed=options.seed
        )
        results = asyncio.run(work)
    wrong = [result for result in results if result.faults]
    print(f"{len(results)} cases, {sum(result.kills for result in results)} kills, {len(wrong)} with faults")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
