"""The whole node as people start it: what keeps it from starting, how it ends, and what it says."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest
from click.testing import CliRunner

from planaria.cli import main
from planaria.config.lock import PrivateFolderError
from planaria.config.settings import Settings, WebSettings
from planaria.cortex.event import new_id
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.node import run, tree
from planaria.otp import CallError, Down, Node, exit_signal, monitor, receive, sleep, subscribe, whereis
from planaria.records.scan import RecordChanged
from planaria.rooms.message import Accepted, RoomMessage
from planaria.rooms.room import Room
from planaria.testing.model_server import Answer, ModelServer

EXAMPLE = Path(__file__).parents[1] / "examples" / "garden"
ENVIRON = {
    name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_TOKEN", "_HOST"))
}


class Up:
    """`planaria up` as a process of its own."""

    def __init__(self, garden: Path) -> None:
        self.garden = garden
        command = [sys.executable, "-m", "planaria.cli", "up", "--garden", str(garden)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRON
        )

    def until_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("Ctrl-C"):
                return
        raise AssertionError(f"it ended: {self.process.communicate(timeout=10)[1]}")

    def end(self, number: signal.Signals | None = None) -> int:
        """Signal it, if told, and wait for its end; its exit code. What it complained of is in `errors`."""
        if number is not None:
            self.process.send_signal(number)
        self.errors = self.process.communicate(timeout=40)[1]
        return self.process.returncode


@pytest.fixture
def garden(tmp_path: Path, unused_tcp_port: int) -> Path:
    """A copy of the example garden, its dashboard on a free port, without the workflow that wants the internet."""
    garden = tmp_path / "garden"
    shutil.copytree(EXAMPLE, garden, ignore=shutil.ignore_patterns(".planaria"))
    (garden / "workflows" / "public_feed.py").unlink()
    (garden / "planaria.toml").write_text(f"[web]\nport = {unused_tcp_port}\n")
    return garden


@pytest.fixture
def up(garden: Path) -> Iterator[Callable[[], Up]]:
    started: list[Up] = []

    def start() -> Up:
        started.append(Up(garden))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            each.process.kill()
            each.process.communicate()


def journal(garden: Path) -> Path:
    folder = garden / ".planaria"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder / "journal.db"


# --- what keeps it from starting -------------------------------------------------------------------------------------


def refused(up: Callable[[], Up]) -> str:
    """Start a node that cannot start; the one sentence it says."""
    node = up()
    assert node.end() == 1, node.errors
    (line,) = node.errors.splitlines()
    assert line.startswith("the node did not start: ")
    return line


@pytest.mark.subprocess
def test_a_journal_that_is_a_folder_is_named_with_the_mend(garden: Path, up: Callable[[], Up]):
    journal(garden).mkdir()
    line = refused(up)
    assert "journal.db cannot be opened; see that the file exists" in line


@pytest.mark.subprocess
def test_a_journal_in_a_place_that_cannot_be_made_is_named(garden: Path, up: Callable[[], Up]):
    (garden / "planaria.toml").write_text('[journal]\npath = "README.md/journal.db"\n')
    assert "README.md/journal.db" in refused(up)


@pytest.mark.subprocess
def test_a_damaged_journal_is_named_with_the_mend(garden: Path, up: Callable[[], Up]):
    journal(garden).write_bytes(b"this is no database, and long enough to be looked at\n" * 200)
    line = refused(up)
    assert "journal.db is damaged" in line
    assert "restore it from a copy, or move it away" in line


@pytest.mark.subprocess
def test_a_journal_damaged_in_the_middle_is_named(garden: Path, up: Callable[[], Up]):
    node = up()
    node.until_ready()
    assert node.end(signal.SIGTERM) == 0
    data = bytearray(journal(garden).read_bytes())
    page = int.from_bytes(data[16:18], "big")
    for at in range(page, len(data), page):
        data[at : at + 64] = b"\xa5" * 64
    journal(garden).write_bytes(data)
    assert "is damaged" in refused(up)


@pytest.mark.subprocess
def test_the_database_of_another_program_is_left_alone(garden: Path, up: Callable[[], Up]):
    connection = apsw.Connection(str(journal(garden)))
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.close()
    assert "is a database of another program; name another file in planaria.toml" in refused(up)


@pytest.mark.subprocess
def test_a_journal_of_a_newer_planaria_is_named(garden: Path, up: Callable[[], Up]):
    async def make() -> None:
        store = SqliteStore(journal(garden))
        await store.open()
        await store.close()

    async def in_node() -> None:
        async with Node("maker") as node:
            await node.run(make)

    asyncio.run(in_node())
    connection = apsw.Connection(str(journal(garden)))
    connection.execute("INSERT INTO schema_migrations VALUES (999, 'later', 'then')")
    connection.close()
    assert "start the newer planaria that wrote it" in refused(up)


@pytest.mark.subprocess
def test_a_port_that_is_taken_is_named_with_the_mend(garden: Path, up: Callable[[], Up]):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        (garden / "planaria.toml").write_text(f"[web]\nport = {port}\n")
        line = refused(up)
    assert str(port) in line
    assert "planaria.toml" in line


# --- how it ends ---------------------------------------------------------------------------------------------------


@pytest.mark.subprocess
async def test_an_endless_answer_does_not_keep_it_from_stopping(garden: Path, up: Callable[[], Up]):
    async with ModelServer(Answer("never", hold_at=2)) as server:
        (garden / "planaria.toml").write_text(
            f"{(garden / 'planaria.toml').read_text()}\n[models]\ndefault = 'fake/m'\n"
            f"[models.providers.fake]\nbase_url = '{server.url}'\n"
        )
        node = up()
        await asyncio.to_thread(node.until_ready)
        command = [sys.executable, "-m", "planaria.cli", "chat", "-m", "hello", "--as", "ada"]
        chat = subprocess.Popen(
            [*command, "--garden", str(garden)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        await asyncio.wait_for(server.held(), 20.0)
        begun = time.monotonic()
        assert await asyncio.to_thread(node.end, signal.SIGTERM) == 0
        assert time.monotonic() - begun < 15.0
        assert node.errors == ""
        await asyncio.to_thread(chat.wait, 20.0)


@pytest.mark.subprocess
def test_after_a_kill_it_starts_over_the_old_socket_and_lock(garden: Path, up: Callable[[], Up]):
    first = up()
    first.until_ready()
    first.end(signal.SIGKILL)
    assert (garden / ".planaria" / "control.sock").exists()
    second = up()
    second.until_ready()
    assert second.end(signal.SIGINT) == 0
    assert second.errors == ""
    assert not (garden / ".planaria" / "control.sock").exists()


@pytest.mark.subprocess
def test_when_the_supervisor_gives_up_it_ends_with_1_and_says_of_what(garden: Path, up: Callable[[], Up]):
    node = up()
    node.until_ready()
    for _ in range(40):  # more restarts than the root allows; some fall together, so it is asked again
        if node.process.poll() is not None:
            break
        CliRunner().invoke(main, ["kill", "journal", "--garden", str(garden)])
    assert node.end() == 1
    said = "the node gave up: journal ended again and again, last with: killed"
    assert any(line.startswith(said) for line in node.errors.splitlines()), node.errors
    assert "Traceback" not in node.errors


# --- what runs -----------------------------------------------------------------------------------------------------


async def whole(garden: Path) -> Node:
    node = Node("garden")
    await node.__aenter__()
    await node.start(tree(Settings(web=WebSettings(port=0)), garden, {}, lambda: None))
    return node


async def test_every_floor_of_the_tree_runs_and_the_order_is_that_of_need(garden: Path):
    node = await whole(garden)
    try:
        (root,) = [each for each in node.tree() if each.name == "node"]
        assert [child.id for child in root.children] == [
            *("chronicle", "journal", "node_lease", "records", "pruner", "floors"),
        ]
        nerve, life = root.children[-1].children
        assert [child.id for child in nerve.children] == ["live", "metrics", "dashboard", "control"]
        assert [child.id for child in life.children] == [
            *("immune", "membrane", "room_floor", "agent_floor", "workflow_floor", "work_floor"),
        ]
    finally:
        await node.stop()


@pytest.mark.parametrize(
    "victim", ["journal", "chronicle", "library", "ledger", "models", "calls", "rooms", "agents", "workflows"]
)
async def test_whichever_process_is_killed_the_garden_answers_again(garden: Path, victim: str):
    node = await whole(garden)
    try:
        await _ask(node, "status")
        await node.run(_kill, victim)
        await _ask(node, "status")
    finally:
        await node.stop()


@pytest.mark.parametrize("victim", ["journal", "models", "library", "session:scout@garden"])
async def test_a_person_who_kills_one_process_again_and_again_does_not_end_the_node(
    garden: Path, victim: str
):
    node = await whole(garden)
    try:
        for _ in range(8):
            await node.run(_kill_and_await_the_next, victim)
        await _ask(node, "status")
    finally:
        await node.stop()


async def test_a_saved_agent_file_is_met_by_the_next_message_and_a_wrong_one_by_the_doctor(garden: Path):
    node = await whole(garden)
    try:
        async with node.open_port() as port:
            node.subscribe("records", port.pid)
            scout = garden / "agents" / "scout.md"
            scout.write_text("---\nclass: agent\nrooms: [garden]\nmodle: x\n---\nYou are scout.\n")
            while not (
                isinstance(change := await port.receive(20.0), RecordChanged) and change.name == "scout"
            ):
                pass
            await node.settle()
            result = await asyncio.to_thread(CliRunner().invoke, main, ["doctor", "--garden", str(garden)])
            assert result.exit_code == 1
            assert "agents/scout.md:4: unknown key 'modle'" in result.output
            assert "Did you mean 'model'?" in result.output
            await _ask(node, "@scout status")
            node.subscribe("journal:room:garden", port.pid)
            (garden / "agents" / "mole.md").write_text("---\nclass: agent\n---\nYou are mole.\n")
            while getattr(change := await port.receive(20.0), "kind", "") != "room.joined":
                pass
            assert change.payload["agent"] == "mole"
            await _ask(node, "@mole help")
    finally:
        await node.stop()


async def _kill(name: str) -> None:
    pid = whereis(name)
    assert pid is not None
    ref = monitor(pid)
    exit_signal(pid, "kill")
    await receive(lambda message: isinstance(message, Down) and message.ref is ref, timeout=5.0)


async def _kill_and_await_the_next(name: str) -> None:
    await _kill(name)
    while whereis(name) is None:
        assert whereis("node") is not None, "the node gave up"
        await sleep(0.01)


async def _ask(node: Node, text: str) -> None:
    """Say something in the garden and wait for its one answer; said again while the room is away."""
    client_id = new_id()

    async def ask() -> None:
        subscribe("room:garden")
        accepted: Accepted | None = None
        while accepted is None:
            try:
                accepted = await Room.post("room:garden", "ada", text, client_id)
            except CallError:
                await sleep(0.05)
        while accepted.id not in [m.cause_id for m in await Room.transcript("room:garden")]:
            await receive(RoomMessage, timeout=20.0)

    await node.run(ask)


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_something_in_the_place_of_the_control_socket_is_told_in_a_sentence(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "planaria.toml").write_text("")
    place = tmp_path / ".planaria" / "control.sock"
    place.parent.mkdir(mode=0o700)
    match kind:
        case "folder":
            place.mkdir()
        case "link":
            place.symlink_to("plain")
        case _:
            place.write_text("x")
    with pytest.raises(PrivateFolderError, match="is something else; remove it"):
        run(tmp_path, lambda _: None)
