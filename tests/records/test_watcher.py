import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from planaria.otp import Node, Port, child, supervisor, task_child
from planaria.records.library import TOPIC, Library
from planaria.records.scan import RecordChanged
from planaria.records.watcher import coalesced, relevant, watch

WAIT = 10.0  # seconds; a change usually arrives within 0.1


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[Port]:
    """A mailbox that is told of changes in a garden that is watched for certain."""
    (tmp_path / "notes").mkdir()
    (tmp_path / ".planaria").mkdir()
    async with Node("test") as node, node.open_port() as port:
        node.subscribe(TOPIC, port.pid)
        await node.start(
            supervisor(
                child(Library, tmp_path, name="library"),
                task_child(watch, tmp_path, "library", 50, id="watcher"),
                name="records",
            )
        )
        # The watch takes effect in a thread: it is there when a change has come through.
        for attempt in range(1000):
            (tmp_path / "notes" / "probe.md").write_text(str(attempt))
            try:
                await port.receive(timeout=0.05)
                break
            except TimeoutError:
                continue
        yield port


async def told(port: Port, path: str) -> RecordChanged:
    while True:
        change = await port.receive(timeout=WAIT)
        assert isinstance(change, RecordChanged)
        if change.path == path:
            return change


async def test_a_new_file_a_change_and_a_removal_are_told(port: Port, tmp_path: Path) -> None:
    note = tmp_path / "notes" / "a.md"
    note.write_text("one")
    assert (await told(port, "notes/a.md")).record is not None
    note.write_text("two")
    change = await told(port, "notes/a.md")
    assert change.record is not None
    assert change.record.body == "two"
    note.unlink()
    assert (await told(port, "notes/a.md")).record is None


async def test_an_editor_that_saves_by_renaming_is_understood(port: Port, tmp_path: Path) -> None:
    note = tmp_path / "notes" / "a.md"
    note.write_text("one")
    await told(port, "notes/a.md")
    (tmp_path / "notes" / ".a.md.swp").write_text("two")
    os.replace(tmp_path / "notes" / ".a.md.swp", note)
    change = await told(port, "notes/a.md")
    assert change.record is not None
    assert change.record.body == "two"


async def test_a_folder_moved_in_brings_its_notes(port: Port, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "b.md").write_text("b")
    outside.rename(tmp_path / "notes" / "moved")
    assert (await told(port, "notes/moved/b.md")).record is not None


@pytest.mark.parametrize(
    "path",
    [
        ".planaria/journal.db",
        "notes/.a.md.swp",
        "notes/a.md~",
        "notes/#a.md#",
        "notes/4913",
        "x/a.md",
        "a.txt",
    ],
)
def test_what_is_no_record_is_ignored(path: str) -> None:
    assert not relevant(path)


@pytest.mark.parametrize(
    "path", ["SOUL.md", "agents/a.md", "notes", "notes/2024", "notes/2024/a.md", "skills/x"]
)
def test_records_and_folders_that_may_hold_some_are_watched(path: str) -> None:
    assert relevant(path)


def test_a_burst_is_told_once_a_path() -> None:
    assert coalesced(["notes/a.md", "notes/a.md", "notes/x/b.md", "notes/x", "agents/s.md"]) == [
        "agents/s.md",
        "notes/a.md",
        "notes/x",
    ]
