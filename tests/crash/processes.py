"""Kills single processes of a living node, again and again while it works, and judges what is left.

    python -m tests.crash.processes [--kills 60] [--rounds 12] [--seed 1] [--among NAME,NAME] [--store sqlite|postgres]

A node of the garden of `boundary/world.py`, on a real store and in real time. Each round asks what `boundary` asks, and
starts the workflow; meanwhile any process may be killed, with or without a name, but for the root. Which, and when,
says the seed; what it does then is chance. The restart limits of the tree are its own.
"""

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import pytest

import planaria.node
from planaria.agents.session import AgentProcess
from planaria.agents.turn.events import session_name
from planaria.config.settings import load_settings
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.node import tree
from planaria.otp import CallError, Node, Pid, exit_signal, sleep, subscribe
from planaria.rooms.room import Room
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import Refused
from tests.crash.boundary import rest, world
from tests.crash.boundary.judge import judge_calls, judge_money, news
from tests.crash.boundary.matrix import free_port
from tests.crash.boundary.model import CaseModel
from tests.crash.boundary.person import attend, broken_chains, persist
from tests.postgres import Postgres, the_server

PATIENCE = 90.0
"""Seconds all of it may take."""
LONGEST = 0.5
"""Seconds between two kills, at most."""
ASKED = {"question-1": ("doer", "helper"), "question-2": ("fragile",)}
AGENTS = ("doer", "helper", "fragile")
RUNS = ("workflow.run.started", "workflow.run.finished")


class Outcome(msgspec.Struct, frozen=True):
    """What came of it; `killed` are the victims in order."""

    killed: list[str]
    messages: int
    letters: int
    faults: list[str]


async def run(
    garden: Path,
    *,
    kills: int,
    rounds: int,
    seed: int,
    among: Sequence[str] = (),
    database: str | None = None,
) -> Outcome:
    """Let a node work while its processes are killed, then start it once more.

    Args:
        among: parts of the names of those that may be killed; by default any but the root.
    """
    chance = Random(seed)
    async with CaseModel() as model:
        world.plant(garden, free_port(), model.url, database)
        killed: list[str] = []
        events: list[Event] = []
        faults: list[str] = []
        try:
            async with asyncio.timeout(PATIENCE):
                async with Node("garden") as node:
                    root = await node.start(whole(garden))
                    hunt = asyncio.ensure_future(hunting(node, root, chance, kills, among, killed))
                    try:
                        await asyncio.gather(node.run(partial(asking, rounds)), hunt)
                        events = await node.run(partial(resting, rounds))
                    finally:
                        hunt.cancel()
                async with Node("garden") as node:
                    await node.start(whole(garden))
                    again, breaks = await node.run(looking)
            faults += [*judge(events, rounds), *judge_calls(again, world.effects(garden)), *breaks]
            faults += [*news(events, again), *judge_money(again, model)]
        except (TimeoutError, CallError, RuntimeError) as error:
            faults.append(f"it did not come to rest: {type(error).__name__}: {error}")
    letters = sum(event.kind == "dead.lettered" for event in events)
    return Outcome(killed, rounds * len(ASKED), letters, faults)


def whole(garden: Path) -> planaria.otp.ChildSpec:
    """The tree of the garden's node."""
    return tree(load_settings(garden), garden, {}, lambda: None)


async def hunting(
    node: Node, root: Pid, chance: Random, kills: int, among: Sequence[str], killed: list[str]
) -> None:
    """Kill one process after the other; those of this harness have no parent."""

    async def kill(victim: Pid) -> None:
        exit_signal(victim, "kill")

    while len(killed) < kills:
        await asyncio.sleep(chance.uniform(0.0, LONGEST))
        if not root.alive:
            raise RuntimeError(f"the node gave up after {killed}")
        names = {each: each.name or each.label or str(each) for each in node.processes()}
        found = [
            each
            for each, name in names.items()
            if each is not root and each.parent is not None
            if not among or any(part in name for part in among)
        ]
        if found:
            victim = chance.choice(sorted(found, key=lambda each: names[each]))
            killed.append(names[victim])
            await node.run(partial(kill, victim))


async def asking(rounds: int) -> None:
    """Ask, round by round, each time as soon as the last was accepted."""
    for number in range(rounds):
        for text, client_id in rest.POSTS:
            await persist(partial(Room.post, "room:garden", "ada", text, f"{client_id}/{number}"))
        await persist(partial(starting, f"round/{number}"))
        await sleep(0.2)


async def starting(key: str) -> None:
    """Start the workflow, once for each key."""
    answer = await Workflows.start_run("workflows", "chores", key=key)
    if isinstance(answer, Refused):
        raise CallError("workflows", "unavailable", answer.error)


async def resting(rounds: int) -> list[Event]:
    """Attend to it until all is over."""
    subscribe("journal")
    return await attend(lambda events: not list(judge(events, rounds)) and is_over(events))


async def looking() -> tuple[list[Event], list[str]]:
    """The journal of a node that has nothing to do, when everybody has come and found so."""
    for agent in AGENTS:
        while not await idle(agent):
            await sleep(0.05)
    return await Journal.read("journal"), await broken_chains()


async def idle(agent: str) -> bool:
    """Whether an agent has joined its room and has nothing to do."""
    try:
        view = await AgentProcess.view(session_name(agent, "garden"))
        return (view.status, view.waiting) == ("idle", 0) and agent not in await Room.absent("room:garden")
    except CallError:
        return False


def is_over(events: Sequence[Event]) -> bool:
    """Whether nothing is left to do."""
    turns = Counter(event.kind for event in events)
    return (
        turns["turn.started"] == turns["turn.finished"]
        and not rest.open_ones(events, "work.submitted", rest.WORK_ENDS)
        and not rest.open_questions(events)
        and not rest.open_letters(events)
    )


def judge(events: Sequence[Event], rounds: int) -> Iterator[str]:
    """What is wrong, or not done yet: each message is there once and ended once for each it was for, each run once."""
    said = [event for event in events if event.kind == "room.message"]
    posted = [event for event in said if event.payload["author"] == "ada"]
    clients = Counter(event.payload["client_id"] for event in posted)
    wanted = {f"{client_id}/{number}": ASKED[client_id] for client_id in ASKED for number in range(rounds)}
    if clients != Counter(wanted.keys()):
        yield f"ada said {clients}"
    final = [event for event in said if event.cause_id is not None and event.payload.get("final", True)]
    answered = Counter(
        (event.cause_id, event.payload["author"])
        for event in final
        if event.payload["author_kind"] == "agent"
    )
    for event in posted:
        for agent in wanted.get(event.payload["client_id"], ()):
            number = answered[event.id, agent]
            if number != 1:
                yield f"{agent} answered {event.payload['client_id']} {number} times"
    begun, over = (Counter(event.session for event in events if event.kind == kind) for kind in RUNS)
    if len(begun) != rounds + 1 or begun != over or any(number > 1 for number in begun.values()):
        yield f"of {rounds + 1} runs {begun.total()} began and {over.total()} ended"
    jobs = Counter(event.id for event in events)
    yield from (f"the id {name} is there {number} times" for name, number in jobs.items() if number > 1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--among", default="", help="parts of names, with commas")
    parser.add_argument("--store", choices=("sqlite", "postgres"), default="sqlite")
    options = parser.parse_args()
    database = Postgres(the_server()).url() if options.store == "postgres" else None
    among = [part for part in options.among.split(",") if part]
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        offer_tools(patch)
        outcome = asyncio.run(
            run(
                Path(folder),
                kills=options.kills,
                rounds=options.rounds,
                seed=options.seed,
                among=among,
                database=database,
            )
        )
    print(msgspec.json.encode(outcome).decode())
    sys.exit(bool(outcome.faults))


def offer_tools(patch: pytest.MonkeyPatch) -> None:
    """Let nodes offer the tools of the world, too."""
    load = planaria.node.load_tools  # type: ignore[attr-defined]
    patch.setattr(planaria.node, "load_tools", lambda *sources: [*load(*sources), *world.TOOLS])


if __name__ == "__main__":
    main()
