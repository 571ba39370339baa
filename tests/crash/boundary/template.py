"""Nodes forked from a program that has imported everything: a life costs a tenth of a second, not a start of Python.

    python -m tests.crash.boundary.template

On standard input one JSON object a line, a `Life`; on standard output one `End` when it is over. A node's own words go
to standard error. One thread, no loop: so the fork is a clean one.
"""

import asyncio
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

import planaria.node
import planaria.tools
from planaria.config.settings import load_settings
from planaria.cortex.event import Event
from planaria.cortex.stores.postgres.store import PostgresStore
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.immune.ledger.keeper import Ledger
from planaria.otp import Node, subscribe
from planaria.rooms.room import Room
from tests.crash.boundary import rest, world
from tests.crash.boundary.life import End, Life
from tests.crash.boundary.person import attend, broken_chains, persist

CHARGED = ("garden", "agent", "provider", "room", "session")
"""Accounts that stay when a turn or a run is over."""
PATIENCE = 25.0
"""Seconds a life may take to come to rest."""


class Trap:
    """Kills this program at a boundary; counts the commits."""

    def __init__(self, at: int, after: bool) -> None:
        self.at = at
        self.after = after
        self.commits = 0

    def before(self) -> int:
        """A commit is about to be made; its number."""
        number, self.commits = self.commits, self.commits + 1
        if number == self.at and not self.after:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    def behind(self, number: int) -> None:
        """The commit of this number is on disk, and nobody knows it yet."""
        if number == self.at and self.after:
            os.kill(os.getpid(), signal.SIGKILL)

    def set_in_file(self) -> None:
        """Put it around every commit of the store in a file, in the thread that makes it."""
        commit = SqliteStore._append

        def trapped(store: SqliteStore, *args: Any) -> Any:
            number = self.before()
            answers = commit(store, *args)
            self.behind(number)
            return answers

        SqliteStore._append = trapped  # type: ignore[method-assign, assignment]

    def set_in_database(self) -> None:
        """Put it around every commit of the store in a database."""
        commit = PostgresStore.append

        async def trapped(store: PostgresStore, *args: Any) -> Any:
            number = self.before()
            answers = await commit(store, *args)
            self.behind(number)
            return answers

        PostgresStore.append = trapped  # type: ignore[method-assign, assignment]


async def live(life: Life) -> End:
    """Start a node of the garden, let it do the work, stop it in order; how its journal stands."""
    garden = Path(life.garden)
    settings = load_settings(garden)
    async with Node("garden") as node:
        tree = planaria.node.tree(settings, garden, {}, lambda: None)
        await node.start(tree)
        seen: list[Event] = []
        try:
            async with asyncio.timeout(PATIENCE):
                return await node.run(partial(work, seen))
        except TimeoutError:
            left = "; ".join(rest.what_is_left(seen))
            return End(False, fault=f"not at rest after {PATIENCE:g} s: {left}", events=seen)


async def work(seen: list[Event]) -> End:
    """Ask, as a client that got no answer before; back when all is over. `seen`: the journal as last read."""
    subscribe("journal")
    for text, client_id in (*rest.POSTS, *rest.STEERED):
        await persist(partial(Room.post, "room:garden", "ada", text, client_id))
    events = await attend(rest.is_over, seen)
    spent = {view.name: view.ever for view in await Ledger.views("ledger") if view.kind in CHARGED}
    return End(False, events=events, breaks=await broken_chains(), spent=spent)


def child(life: Life, report: int) -> None:
    """The forked program; never returns."""
    trap = Trap(life.at, life.after)
    trap.set_in_file()
    trap.set_in_database()
    try:
        end = asyncio.run(live(life))
    except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
        end = End(False, fault=f"{type(error).__name__}: {error}")
    with os.fdopen(report, "wb") as pipe:
        pipe.write(msgspec.json.encode(msgspec.structs.replace(end, commits=trap.commits)))
    os._exit(0)


def run(life: Life) -> End:
    """Live one life in a fork."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.setpgid(0, 0)
        child(life, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    try:
        os.killpg(pid, signal.SIGKILL)  # workers it has left
    except ProcessLookupError:
        pass
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return End(True)
    return msgspec.json.decode(said, type=End)


def main() -> None:
    """Live as asked."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    load = planaria.node.load_tools  # type: ignore[attr-defined]
    planaria.node.load_tools = lambda *sources: [*load(*sources), *world.TOOLS]  # type: ignore[attr-defined]
    for line in sys.stdin:
        answers.write(msgspec.json.encode(run(msgspec.json.decode(line, type=Life))) + b"\n")


if __name__ == "__main__":
    main()
