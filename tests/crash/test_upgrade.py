"""A node of an earlier build, killed in the middle of a turn and of a run: the present one goes on with both.

`earlier_build.sql` is the journal it left. In it an agent was asked by `question-1`, its model was called once and
wanted two tools: `deed.again` has finished, `deed.once` has not; the workflow's first step, `deed.once` too, has not.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import planaria.node
from planaria.config.settings import load_settings
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.provider import Usage
from planaria.node import tree
from planaria.otp import Node, receive, subscribe
from planaria.rooms.message import Accepted
from planaria.rooms.room import Room
from planaria.testing.model_server import Answer, ModelServer
from tests.crash.boundary import world

LEFT = Path(__file__).with_name("earlier_build.sql")
QUESTION = "396d7eadec510c8387fbbc145017e8cf"
OVER = {"turn.finished", "workflow.run.finished"}


@pytest.fixture
def garden(tmp_path: Path, unused_tcp_port: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    world.plant(tmp_path, unused_tcp_port, "http://127.0.0.1:1", None)
    (tmp_path / ".planaria").mkdir(mode=0o700)
    with closing(sqlite3.connect(tmp_path / ".planaria" / "journal.db")) as journal:
        journal.executescript(LEFT.read_text())
    load = planaria.node.load_tools  # type: ignore[attr-defined]
    monkeypatch.setattr(planaria.node, "load_tools", lambda *found: [*load(*found), world.once, world.again])
    return tmp_path


async def go_on(garden: Path) -> list[Event]:
    """Start the node, send the question again as a client does that got no answer; the journal when all is over."""

    async def work() -> list[Event]:
        subscribe("journal")
        again: Accepted = await Room.post("room:garden", "ada", "do both", "question-1")
        assert again.id == QUESTION
        while {event.kind for event in await Journal.read("journal", Query(kinds=tuple(OVER)))} != OVER:
            await receive(timeout=20.0)
        return await Journal.read("journal")

    async with Node("garden") as node:
        await node.start(tree(load_settings(garden), garden, {}, lambda: None))
        return await node.run(work)


async def test_what_a_node_of_an_earlier_build_began_is_finished_once(garden: Path):
    said = Answer(text="Both are done.", usage=Usage(100, 20))
    async with ModelServer(said, models=("fake-large",)) as server:
        settings = garden / "planaria.toml"
        settings.write_text(settings.read_text().replace("http://127.0.0.1:1", server.url))
        events = await go_on(garden)
        again = await go_on(garden)
    assert server.calls == 1
    talk = [event.payload["text"] for event in events if event.kind == "room.message"]
    assert talk == ["do both", "Both are done."]
    kinds = [event.kind for event in events]
    assert [kinds.count(kind) for kind in ("turn.started", "model.responded", "turn.finished")] == [1, 2, 1]
    assert world.effects(garden) == [("again", "01M7ZXBMH2E8W4D29V0TVBKWPR/second/1/1")]
    assert [event.id for event in again if event.session != "node"] == [
        event.id for event in events if event.session != "node"
    ]
