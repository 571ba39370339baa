"""Processes that are killed under a turn, and a journal that is away."""

import asyncio
import re
import sys
import time
from pathlib import Path
from typing import Any

import httpx2
import msgspec

from planaria.cli.client import Client
from planaria.cortex.event import Event
from planaria.otp import exit_signal
from planaria.testing.fault_server import FaultServer
from planaria.testing.model_answer import Answer
from tests.crash.harness import RunningNode
from tests.faults.table.case import Case, Row, told
from tests.faults.table.world import CALL, HOME, IN, OUT, World, free_port, words_of

GROUP = "Processes and the journal"
AWAY = 3.0
"""Seconds the journal is away: longer than it waits for a lock (2 s)."""


def _killing(name: str) -> Any:
    """A process is killed while an answer is written."""

    async def play(world: World) -> None:
        world.first.answers.append(Answer("the whole answer in the end", hold_at=3))
        accepted = await world.post()
        await world.first.held()
        await world.until(world.shown, "a piece of the answer")
        world.begin()

        async def kill() -> None:
            exit_signal(world.node[name], "kill")

        await world.run(kill)
        await world.answer(accepted)

    return play


HOLDER = """import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
database.execute("ROLLBACK")
"""
"""A program that holds a database until its input ends. Locks of files are between OS processes."""


async def _locked(world: World) -> str:
    """Another program holds the database while the answer comes."""
    world.first.answers.append(Answer("the whole answer in the end", hold_at=3))
    accepted = await world.post()
    await world.first.held()
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(world.garden / ".planaria" / "journal.db")),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdin is not None and holder.stdout is not None
    await holder.stdout.readline()
    world.begin()
    world.first.release()
    await asyncio.sleep(AWAY - 0.5)
    problems = await world.page("/problems")
    await asyncio.sleep(max(0.0, AWAY - time.perf_counter() + world.begun))
    holder.stdin.close()
    await holder.wait()
    await world.answer(accepted)
    told = problems.partition("The rest keeps working.")[2].strip().partition(" Models first")[0]
    told = told.replace(f"{world.garden}/", "")
    return f"meanwhile on the page Problems: {told}"


async def _node(case: Case, folder: Path) -> Row:
    """The whole node, as `planaria up` runs it, gets SIGKILL while an answer is written, and is started again."""
    garden = folder / "garden"
    (garden / "agents").mkdir(parents=True)
    (garden / "agents" / "scout.md").write_text(case.setting.agent())
    port = free_port()
    async with FaultServer(models=("m",)) as server:
        server.answers.append(Answer("the whole answer in the end", hold_at=3))
        (garden / "planaria.toml").write_text(
            f"[web]\nport = {port}\n[models]\ndefault = 'first/m'\n"
            f"[models.providers.first]\nbase_url = '{server.url}'\n"
            f"models = ['m']\nabout = {{m = {{usd_in = {IN}, usd_out = {OUT}}}}}\n"
        )
        command = [sys.executable, "-m", "planaria.cli", "up", "--garden", str(garden)]
        node = await asyncio.to_thread(RunningNode, command, garden, folder / "log")
        try:
            await asyncio.to_thread(node.wait_ready)
            await asyncio.to_thread(
                _ask, garden, "room.post", room=HOME, author="ada", text="hello", client_id="1"
            )
            await server.held()
            node.kill()
            node.close()
            begun = time.perf_counter()
            node = await asyncio.to_thread(RunningNode, command, garden, folder / "log")
            await asyncio.to_thread(node.wait_ready)
            up = time.perf_counter()
            said: list[str] = []
            while not said:
                found = await asyncio.to_thread(_ask, garden, "room.transcript", room=HOME)
                said = [one["text"] for one in found if one["author_kind"] != "person"]
            over = time.perf_counter()
            shown = await asyncio.to_thread(_visited, folder / "log", f"/rooms/{HOME}")
            events = await asyncio.to_thread(_ask, garden, "journal.page")
        finally:
            node.close()
        charged = server.charged.input_tokens * IN + server.charged.output_tokens * OUT
        kept = msgspec.convert(events["events"], list[Event])
        problems = (
            [] if case.page[1] in shown else [f"/rooms/{HOME} does not show {case.page[1]!r}: {shown[:2000]}"]
        )
        whole, start = (over - begun) * 1000, (up - begun) * 1000
        billed = sum(event.payload.get("cost_micro") or 0 for event in kept)
        return Row(
            group=case.group,
            name=case.name,
            room=tuple(said),
            journal=tuple(told(kept)),
            page="rooms",
            shown=case.page[1],
            whole_ms=round(whole, 1),
            waits_ms=round(start, 1),
            beyond_ms=round(whole - start, 1),
            charged_micro_usd=charged,
            wasted_tokens=charged // CALL * 15 - 15,
            wasted_micro_usd=charged - CALL,
            billed_micro_usd=billed,
            note=f"the node itself needs {start:.0f} ms to start",
            problems=tuple(problems),
        )


def _ask(garden: Path, method: str, **params: Any) -> Any:
    with Client(garden) as client:
        return client.ask(method, **params)


def _visited(log: Path, path: str) -> str:
    """A page of the dashboard, by the newest login link of the log."""
    link = re.findall(r"http://\S+login\S+", log.read_text())[-1]
    with httpx2.Client(trust_env=False) as client:
        client.get(link)
        return words_of(client.get(link.partition("/login")[0] + path).text)


CASES = (
    Case(
        GROUP,
        "the session's process killed while the answer is written",
        _killing("session:scout@garden"),
        "the whole answer in the end",
        (),
        ("/rooms/garden", "the whole answer in the end"),
    ),
    Case(
        GROUP,
        "the journal's process killed while the answer is written",
        _killing("journal"),
        "the whole answer in the end",
        (),
        ("/rooms/garden", "the whole answer in the end"),
    ),
    Case(
        GROUP,
        f"the journal locked by another program for {AWAY:g} s",
        _locked,
        "the whole answer in the end",
        (),
        ("/rooms/garden", "the whole answer in the end"),
        waits=AWAY,
    ),
    Case(
        GROUP,
        "the node killed with SIGKILL while the answer is written, and started again",
        None,
        "the whole answer in the end",
        (),
        ("/rooms/garden", "the whole answer in the end"),
        apart=_node,
    ),
)
