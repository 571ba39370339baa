"""Putting another file in the journal's place: whole or not at all, and nobody comes back who was erased."""

import os
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import apsw
import pytest

from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import StoreBusy, StoreFailed
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.cortex.upkeep.restore import Restored, restore, rewritten
from planaria.otp import Node, child, stop

MASTER = MasterKey(b"m" * 32)


class Files:
    def __init__(self, node: Node, folder: Path) -> None:
        self.node = node
        self.folder = folder
        self.journal = folder / "journal.db"

    async def use(self, file: Path, work: Callable[[], Awaitable[object]]) -> object:
        await self.node.start(
            child(Journal, partial(SqliteStore, file), JournalOptions(), None, MASTER, name="journal")
        )
        try:
            return await self.node.run(work)
        finally:
            await self.node.run(stop, "journal")

    async def say(self, *texts: str, who: str = "ada") -> None:
        events = [NewEvent("own.said", {"text": t}, session="own", subject=f"person:{who}") for t in texts]
        await self.use(self.journal, partial(Journal.append, "journal", events))

    async def texts(self) -> list[str]:
        events = await self.use(self.journal, partial(Journal.read, "journal"))
        assert isinstance(events, list)
        found: list[Event] = events
        return [event.payload.get("text", event.state) for event in found]

    async def copy(self, name: str) -> Path:
        await self.use(self.journal, partial(Journal.backup, "journal", self.folder / name))
        return self.folder / name

    async def restore(self, backup: Path) -> Restored:
        return await self.node.run(restore, backup, self.journal, MASTER, 0.0)

    def names(self) -> set[str]:
        return {file.name for file in self.folder.iterdir()}


@pytest.fixture
def files(node: Node, tmp_path: Path) -> Files:
    return Files(node, tmp_path)


async def test_what_was_put_aside_stays_though_another_is_restored_in_the_same_second(files: Files):
    await files.say("first")
    backup = await files.copy("backup.db")
    await files.say("second")
    aside = [(await files.restore(backup)).aside for _ in range(2)]
    await files.restore(Path(aside[0] or ""))
    assert await files.texts() == ["first", "second"] and len(set(aside)) == 2


async def test_an_erasure_is_remembered_through_a_backup_that_is_older_than_the_person(files: Files) -> None:
    await files.say("bob was first", who="bob")
    old = await files.copy("old.db")
    await files.say("a secret of ada")
    late = await files.copy("late.db")
    await files.use(files.journal, partial(Journal.erase, "journal", "person:ada"))
    await files.restore(old)
    files.journal.with_name("journal.db.before-19700101-000000").unlink()
    assert (await files.restore(late)).erased == ("person:ada",)
    assert await files.texts() == ["bob was first", "erased"]
    await files.say("ada again")
    assert await files.texts() == ["bob was first", "erased", "ada again"]


async def test_an_empty_file_is_no_backup(files: Files) -> None:
    await files.say("one")
    empty = files.folder / "empty.db"
    empty.touch()
    with pytest.raises(StoreFailed, match="is empty"):
        await files.restore(empty)
    assert await files.texts() == ["one"]


async def test_a_backup_with_a_text_that_was_replaced_is_refused(files: Files) -> None:
    await files.say("x" * 5000, who="")
    copy = await files.copy("copy.db")
    other = apsw.Connection(str(copy))
    other.execute("UPDATE contents SET data = x'0068656c6c6f'")
    other.close()
    with pytest.raises(StoreFailed, match="was tampered with"):
        await files.restore(copy)


async def test_the_log_beside_a_file_that_was_not_closed_is_restored_with_it(files: Files) -> None:
    await files.say("in the file")
    connection = apsw.Connection(str(files.journal))
    connection.execute("INSERT INTO names (name) VALUES ('in the log')")
    kept = files.folder / "kept.db"
    for suffix in ("", "-wal"):
        Path(f"{kept}{suffix}").write_bytes(Path(f"{files.journal}{suffix}").read_bytes())
    connection.close()
    await files.restore(kept)
    found = (
        apsw.Connection(str(files.journal)).execute("SELECT name FROM names WHERE name = 'in the log'").get
    )
    assert found == "in the log"


async def test_until_the_backup_takes_its_place_the_old_journal_stays_in_its_own(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    await files.say("one")
    copy = await files.copy("copy.db")
    await files.say("two")

    def killed(source: object, target: object) -> None:
        raise OSError("killed here")

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(OSError, match="killed here"):
        await files.restore(copy)
    monkeypatch.undo()
    assert await files.texts() == ["one", "two"]
    assert "journal.db.restoring" not in files.names()


async def test_work_on_a_copy_counts_when_it_ends_without_an_error(files: Files) -> None:
    async def change(text: str, error: Exception | None) -> None:
        async with rewritten(files.journal) as copy:
            connection = apsw.Connection(str(copy))
            connection.execute("INSERT INTO names (name) VALUES (?)", (text,))
            connection.close()
            if error is not None:
                raise error

    await files.say("one")
    await files.node.run(change, "kept", None)
    with pytest.raises(ZeroDivisionError):
        await files.node.run(change, "dropped", ZeroDivisionError())
    other = apsw.Connection(str(files.journal))
    other.execute("SELECT count(*) FROM names").get  # noqa: B018
    with pytest.raises(StoreBusy, match="another program has"):
        await files.node.run(change, "held", None)
    names = {row[0] for row in other.execute("SELECT name FROM names")}
    other.close()
    assert names & {"kept", "dropped", "held"} == {"kept"}
    assert files.names() == {"journal.db"}
    assert await files.texts() == ["one"]
