"""Enumerates the boundaries of a run, kills a node at each, lets it live again, and judges what is left.

    python -m tests.crash.boundary.matrix [--store sqlite|postgres] [--every 1] [--twice 0]

The run is one question to an agent that calls two tools, and one workflow of two steps. The model is a server that
outlives the node and keeps the bill; the tools' effects are lines of a file. What is in one commit is there or not as a
whole, so the boundaries between events are those between commits.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import msgspec

from planaria.cortex.event import Event
from planaria.membrane.provider import ToolCall, Usage
from planaria.testing.model_server import Answer, ModelServer
from tests.crash.boundary import world
from tests.crash.boundary.life import End, Life
from tests.postgres import Postgres, the_server

ROOT = Path(__file__).parents[3]
CALLS = (
    ToolCall("call-1", "deed.once", {"what": "letter"}),
    ToolCall("call-2", "deed.again", {"what": "look"}),
)
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
    usage = Usage(100, 20)
    asked = Answer(text="", tool_calls=CALLS, usage=usage)
    said = Answer(text="Both are done.", usage=usage)
    # Whatever is asked without a key is charged again, and so is found.
    async with ModelServer(asked, said, models=("fake-large",)) as server:
        server.fallback = said
        world.plant(garden, free_port(), server.url, database)
        traps = [] if case is None else [case.first, *([case.second] if case.second else [])]
        kills = lives = commits = 0
        fault = ""
        for at, after in [*traps, *[(-1, False)] * MOST_LIVES]:
            lives += 1
            end = await template.live(Life(str(garden), at, after))
            kills += end.killed
            if not end.killed:
                commits, fault = end.commits, end.fault
                if at == -1 or not fault:
                    break
        quiet = await template.live(Life(str(garden)))
        again = await template.live(Life(str(garden)))
        faults = [f"it did not come to rest: {fault}"] if fault else []
        faults += [f"a further start failed: {end.fault}" for end in (quiet, again) if end.fault]
        faults += judge(quiet.events, world.effects(garden), server)
        faults += news(quiet.events, again.events)
    return Result(case, kills, lives, commits, faults)


def judge(events: list[Event], effects: list[tuple[str, str]], server: ModelServer) -> list[str]:
    """What is wrong after all lives: nothing lost, nothing doubled, spend equal to the provider's own count."""
    faults: list[str] = []

    def of(*kinds: str) -> list[Event]:
        return [event for event in events if event.kind in kinds]

    said = of("room.message")
    questions = [event for event in said if event.payload["author"] == "ada"]
    replies = [event for event in said if event.payload["author"] == "doer"]
    if len(questions) != 1:
        faults.append(f"the question is there {len(questions)} times")
    if len(replies) != 1:
        faults.append(f"the question has {len(replies)} answers")
    elif replies[0].payload["text"] != "Both are done.":
        faults.append(f"the answer is {replies[0].payload['text']!r}")
    for kind in ("turn.started", "turn.finished", "workflow.run.started", "workflow.run.finished"):
        if (number := len(of(kind))) != 1:
            faults.append(f"{kind} is there {number} times")
    faults += _tools(of("tool.started"), of("tool.finished"), effects)
    spent = [event.payload["usage"] for event in of("model.responded")]
    tokens = sum(usage["input_tokens"] + usage["output_tokens"] for usage in spent)
    charged = server.charged.input_tokens + server.charged.output_tokens
    if tokens != charged:
        asked = dict(server.keys) | {"without a key": server.calls - sum(server.keys.values())}
        faults.append(f"{tokens} tokens are in the journal, the provider charged {charged}: {asked}")
    faults += [f"a dead letter: {event.payload}" for event in of("dead.lettered")]
    ids = Counter(event.id for event in events)
    faults += [f"the id {name} is there {number} times" for name, number in ids.items() if number > 1]
    return faults


def _tools(started: list[Event], finished: list[Event], effects: list[tuple[str, str]]) -> Iterator[str]:
    done = Counter(event.payload["call_id"] for event in finished)
    yield from (f"{call} finished {number} times" for call, number in done.items() if number > 1)
    begun = {event.payload["call_id"] for event in started}
    yield from (f"{call} was begun and has no end" for call in begun - done.keys())
    happened = Counter(effects)
    for (name, call), number in happened.items():
        if name == "once" and number > 1:
            yield f"{call}, which must not be done twice, was done {number} times"
        if call not in begun:
            yield f"{call} was done and is not in the journal"
    calls_of_once = {call for name, call in happened if name == "once"}
    # One in the turn, one in the workflow; a call whose end nobody knows is not made under another name.
    if len(calls_of_once) > 2:
        yield f"the deeds that must not be done twice were done as {len(calls_of_once)} calls"
    for event in finished:
        name = event.payload["tool"].rpartition(".")[2]
        if event.payload.get("outcome") is not None and (name, event.payload["call_id"]) not in happened:
            yield f"{event.payload['call_id']} is said to be done and has no effect"


def news(before: list[Event], after: list[Event]) -> Iterator[str]:
    """A node at rest that starts once more has nothing to do."""
    known = {event.id for event in before}
    for event in after:
        if event.id not in known and event.session != "node":
            yield f"another start wrote {event.kind} in {event.session}"


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
    twice: int = 0,
    seed: int = 1,
) -> list[Result]:
    """All cases: a run nobody disturbs, then one for each of its boundaries, then some that are killed twice.

    Args:
        databases: gives each garden its own; None for a file.
        tell: of each result as it comes.
        every: only every so manieth boundary.
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
        for boundary in edges[::every]:
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
