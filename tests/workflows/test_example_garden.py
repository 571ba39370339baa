"""The example garden does real work with no key and no network."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import planaria.tools
from planaria.agents.definition import read_agent
from planaria.config.settings import load_settings
from planaria.cortex.journal import Journal
from planaria.membrane.gate.gate import Gate, load_tools
from planaria.otp import Node, Port, child, supervisor
from planaria.records.index import Index
from planaria.records.library import Library
from planaria.records.record import Record
from planaria.rooms.room import Room
from planaria.rooms.rooms import tree as room_floor
from planaria.testing.memory_store import MemoryStore
from planaria.workflows.engine import Workflows
from planaria.workflows.messages import TOPIC, RunChanged
from planaria.workflows.tree import tree

EXAMPLE = Path(__file__).parents[2] / "examples" / "garden"
UNREACHABLE = "http://127.0.0.1:9/feed.xml"  # a private address: refused before anything is sent


@pytest.fixture
def garden(tmp_path: Path) -> Path:
    folder = tmp_path / "garden"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".planaria", "inbox"))
    public = folder / "workflows" / "public_feed.py"
    text = public.read_text().replace("https://github.com/python/cpython/releases.atom", UNREACHABLE)
    assert UNREACHABLE in text
    public.write_text(text)
    return folder


@pytest.fixture
async def node(garden: Path) -> AsyncIterator[Node]:
    """A node with the machine's clock, since git runs in it."""
    store = MemoryStore()
    spec = supervisor(
        child(Journal, lambda: store, name="journal"),
        child(Library, garden, name="library"),
        child(Index, garden, name="index"),
        room_floor(),
        strategy="rest_for_one",
        name="below",
    )
    async with Node("example") as made:
        await made.start(spec)
        yield made


async def begin(node: Node, garden: Path) -> None:
    await node.start(tree(Gate(load_tools(planaria.tools)), garden, watching=False))


async def ended(port: Port, workflow: str) -> str:
    """Wait until a run of this workflow is over; its id."""
    while True:
        message = await port.receive(timeout=20.0)
        if isinstance(message, RunChanged) and message.summary.workflow == workflow:
            if message.summary.status != "running":
                assert message.summary.status == "done", message
                return message.run_id


def repository(folder: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True)

    git("init", "-q")
    git("config", "user.name", "Ada")
    git("config", "user.email", "ada@example.org")
    git("add", "planaria.toml")
    git("commit", "-q", "-m", "Begin a garden")


async def said(node: Node) -> list[str]:
    return [message.text for message in await Room.transcript(node["room:garden"])]


async def test_every_file_of_the_example_is_good(garden, node):
    await begin(node, garden)
    views = await Workflows.list(node["workflows"])
    assert {view.name: view.problems for view in views if view.problems} == {}
    assert {view.name for view in views} >= {"garden-digest"}
    assert await Library.problems(node["library"]) == []
    assert load_settings(garden).node.name == "garden"
    agents = [read_agent(record) for record in await Library.list(node["library"], "agents")]
    assert {agent.name for agent in agents} == {"scout", "keeper"}
    gate = Gate(load_tools(planaria.tools))
    assert [gate.unknown(agent.tools) for agent in agents] == [{}, {}]
    assert "garden" in agents[0].rooms


async def test_the_notes_of_the_example_link_to_files_that_are_there(garden):
    for note in [*(garden / "notes").glob("*.md"), garden / "MEMORY.md", garden / "README.md"]:
        for link in note.read_text().split("](")[1:]:
            target = link.partition(")")[0]
            if "://" not in target:
                assert (note.parent / target).exists(), (note, target)


@pytest.mark.subprocess
async def test_the_first_digest_keeps_the_feed_and_the_history_and_tells_the_room_once(garden, node):
    repository(garden)
    async with node.open_port() as port:
        node.subscribe(TOPIC, port.pid)
        await begin(node, garden)
        first = await ended(port, "garden-digest")
        view = await Workflows.show(node["workflows"], first)
        assert view is not None
        assert view.path == ("feed", "keep", "history", "chronicle", "digest")
        assert view.results["keep"][0]["path"] == (
            "notes/inbox/2026-11-18-add-an-entry-here-and-watch-it-become-a-note.md"
        )
        record = await Library.read(node["library"], view.results["keep"][1]["path"])
        assert isinstance(record, Record)
        assert record.title == "A flatworm's memory outlives its head"
        assert "[how the garden is laid out](../garden.md)" in record.body
        digest = [text for text in await said(node) if "News from the garden" in text]
        assert len(digest) == 1
        assert digest[0].count("\n- ") == 6
        assert "- Begin a garden" in digest[0]
        second = await Workflows.start_run(node["workflows"], "garden-digest")
        assert await ended(port, "garden-digest") == second
        quiet = await Workflows.show(node["workflows"], str(second))
        assert quiet is not None
        assert quiet.path == ("feed", "history_alone")
        assert [text for text in await said(node) if "News from the garden" in text] == digest


@pytest.mark.subprocess
async def test_outside_of_a_repository_the_digest_is_told_without_a_history(garden, node, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(garden.parent))
    async with node.open_port() as port:
        node.subscribe(TOPIC, port.pid)
        await begin(node, garden)
        run = await Workflows.show(node["workflows"], await ended(port, "garden-digest"))
        assert run is not None
        assert run.path == ("feed", "keep", "history", "digest")
    (digest,) = [text for text in await said(node) if "News from the garden" in text]
    assert "history" not in digest


async def test_a_public_feed_that_cannot_be_reached_is_told_once_and_then_not_again(garden, node):
    (garden / "workflows" / "garden-digest.md").unlink()
    async with node.open_port() as port:
        node.subscribe(TOPIC, port.pid)
        await begin(node, garden)
        first = await Workflows.show(node["workflows"], await ended(port, "public-feed"))
        assert first is not None
        assert first.path == ("fetch", "out", "say_out")
        for _ in range(2):
            started = await Workflows.start_run(node["workflows"], "public-feed")
            assert await ended(port, "public-feed") == started
    texts = await said(node)
    assert len(texts) == 1
    assert "I cannot reach the public feed" in texts[0]
