"""The whole node with its journal in PostgreSQL: the same garden, one setting more."""

import re
import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from planaria.config.lock import private_folder
from planaria.config.settings import JournalSettings, Settings, WebSettings
from planaria.cortex.journal import Journal, JournalHealth
from planaria.node import tree
from planaria.otp import Node, exit_signal, sleep, whereis
from planaria.rooms.room import Room, RoomUnavailable
from tests.postgres import Postgres
from tests.test_node import EXAMPLE, Up, _ask

ROOM = "room:garden"


@pytest.fixture
def garden(tmp_path: Path, postgres: Postgres, unused_tcp_port: int) -> Path:
    return new_garden(tmp_path / "garden", postgres, unused_tcp_port)


def new_garden(garden: Path, postgres: Postgres, port: int) -> Path:
    shutil.copytree(EXAMPLE, garden, ignore=shutil.ignore_patterns(".planaria"))
    (garden / "workflows" / "public_feed.py").unlink()
    (garden / "planaria.toml").write_text(f'[web]\nport = {port}\n[journal]\ndatabase = "{postgres.url()}"\n')
    return garden


@asynccontextmanager
async def running(garden: Path, postgres: Postgres) -> AsyncIterator[Node]:
    settings = Settings(web=WebSettings(port=0), journal=JournalSettings(database=postgres.url()))
    node = Node("garden")
    async with node:
        await node.start(tree(settings, garden, {}, lambda: None))
        yield node


def connections(postgres: Postgres) -> int:
    ours = "application_name = 'planaria' AND datname = current_database()"
    return int(postgres.sql(f"SELECT count(*) FROM pg_stat_activity WHERE {ours}"))


async def test_the_garden_answers_and_its_events_are_in_the_database(
    garden: Path, postgres: Postgres
) -> None:
    async with running(garden, postgres) as node:
        await _ask(node, "status")
    assert not list((garden / ".planaria").glob("journal.db*"))
    kinds = postgres.sql("SELECT DISTINCT kind FROM planaria.journal").splitlines()
    assert {"room.message", "turn.started", "turn.finished"} <= set(kinds)


async def test_a_journal_that_is_killed_again_and_again_leaves_no_connections_behind(
    garden: Path, postgres: Postgres
) -> None:
    async with running(garden, postgres) as node:
        for _ in range(4):
            await node.run(kill_and_await_the_next, "journal")
        await _ask(node, "status")
        assert connections(postgres) <= 5
    while connections(postgres):
        pass


async def kill_and_await_the_next(name: str) -> None:
    before = whereis(name)
    assert before is not None
    exit_signal(before, "kill")
    while whereis(name) in (None, before):
        await sleep(0.01)


async def test_a_database_that_goes_away_and_comes_back_ends_nothing(
    garden: Path, postgres: Postgres
) -> None:
    async with running(garden, postgres) as node:
        await _ask(node, "status")
        pids = {name: node[name] for name in ("journal", ROOM, "rooms", "agents")}
        async with node.open_port() as port:
            node.subscribe("journal.health", port.pid)
            postgres.server.stop(signal.SIGQUIT)
            try:
                health = await port.receive(30.0)
                assert isinstance(health, JournalHealth) and health.trouble is not None
                assert "127.0.0.1" in health.trouble
                with pytest.raises(RoomUnavailable, match=r"127\.0\.0\.1.*; start PostgreSQL"):
                    await Room.post(node[ROOM], "ada", "lost?", "said once")
            finally:
                postgres.server.start()
            while (await port.receive(30.0)).trouble is not None:
                pass
        await _ask(node, "status")
        assert {name: node[name] for name in pids} == pids  # nobody had to be restarted
        assert (await Journal.status(node["journal"])).health.trouble is None


@pytest.fixture
def up() -> Iterator[Callable[[Path], Up]]:
    started: list[Up] = []

    def start(garden: Path) -> Up:
        started.append(Up(garden))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


@pytest.mark.subprocess
def test_after_kill_9_the_same_garden_has_its_journal_back_and_no_other_has_it(
    garden: Path, postgres: Postgres, up: Callable[[Path], Up], tmp_path: Path
) -> None:
    first = up(garden)
    first.until_ready()
    first.end(signal.SIGKILL)
    again = up(garden)
    again.until_ready()
    second = new_garden(tmp_path / "other", postgres, 1)
    (second / "planaria.toml").write_text('[node]\nname = "other"\n' + (second / "planaria.toml").read_text())
    shutil.copy(garden / ".planaria" / "journal.key", private_folder(second))
    other = up(second)
    assert other.end() == 1
    said = other.errors.splitlines()[-1]
    assert re.match(r"the node did not start: another node works on this journal: \S+:", said)
    assert str(garden) in said and "a database of its own" in said
    assert again.end(signal.SIGINT) == 0
    assert "Traceback" not in other.errors + again.errors


@pytest.mark.subprocess
def test_without_its_database_a_node_does_not_start_and_says_what_to_do(
    garden: Path, postgres: Postgres, up: Callable[[Path], Up]
) -> None:
    postgres.server.stop()
    try:
        node = up(garden)
        assert node.end() == 1
        assert "takes no connections; start PostgreSQL or mend the network" in node.errors
        assert "Traceback" not in node.errors
    finally:
        postgres.server.start()
