"""The SQLite store: append-only, and every fault of the disk has a name."""

import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from planaria.cortex.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
    StoreTooNew,
)
from planaria.cortex.query import Query
from planaria.cortex.schema import load_migrations
from planaria.cortex.store import Written
from planaria.cortex.stores.sqlite import SqliteStore, _select
from planaria.testing.stores import draft


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".planaria" / "journal.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, busy_timeout=0.01)
    await store.open()
    yield store
    await store.close()


async def kinds(store: SqliteStore) -> list[str]:
    return [event.kind for event in await store.read(Query())]


# --- append-only ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET kind = 'other'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events",
        "INSERT OR REPLACE INTO events SELECT 99, id, 0, '', '', '', '', '', 'other', '{}' FROM events",
        "REPLACE INTO events SELECT seq, 'new', 0, '', '', '', '', '', 'other', '{}' FROM events",
        "INSERT INTO events SELECT * FROM events WHERE true ON CONFLICT (seq) DO UPDATE SET kind = 'other'",
    ],
)
async def test_no_statement_changes_or_removes_an_event(store: SqliteStore, path: Path, sql: str) -> None:
    await store.append([[draft("kept")]])
    other = apsw.Connection(str(path))
    with pytest.raises(apsw.ConstraintError, match="append-only"):
        other.execute(sql)
    other.close()
    assert await kinds(store) == ["kept"]


async def test_a_commit_is_synced_to_the_disk(store: SqliteStore) -> None:
    await store.append([[draft()]])
    assert store._writer is not None
    assert store._writer.pragma("synchronous") == 2
    assert store._writer.pragma("journal_mode") == "wal"


async def test_the_file_is_for_its_owner_alone(store: SqliteStore, path: Path) -> None:
    await store.append([[draft()]])
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(session="s"),
        Query(session="s", after_seq=5, newest_first=True, limit=9),
        Query(session="s", kinds=("a", "b")),
        Query(kinds=("a",), after_seq=5),
        Query(trace_id="t", session="s", kinds=("a",)),
    ],
)
async def test_reads_follow_an_index_and_sort_nothing(store: SqliteStore, path: Path, query: Query) -> None:
    other = apsw.Connection(str(path))
    plan = [row[3] for row in other.execute("EXPLAIN QUERY PLAN " + _select(query)[0], _select(query)[1])]
    other.close()
    assert len(plan) == 1
    assert str(plan[0]).startswith("SEARCH events USING"), plan
    if query.trace_id or query.session or query.kinds:
        column = "trace_id" if query.trace_id else "session" if query.session else "kind"
        assert f"({column}=? AND rowid>?)" in str(plan[0])


# --- schema --------------------------------------------------------------------------------------------------------


async def test_migrations_are_recorded(store: SqliteStore, path: Path) -> None:
    other = apsw.Connection(str(path))
    rows = other.execute("SELECT version, name FROM schema_migrations ORDER BY version").fetchall()
    other.close()
    assert rows == [(migration.version, migration.name) for migration in load_migrations("sqlite")]


async def test_a_newer_schema_is_refused_by_an_older_program(store: SqliteStore, path: Path) -> None:
    await store.append([[draft("kept")]])
    await store.close()
    other = apsw.Connection(str(path))
    other.execute("INSERT INTO schema_migrations VALUES (999, 'from_the_future', '')")
    other.close()
    with pytest.raises(
        StoreTooNew, match=r"journal\.db has schema 999, this program knows only up to \d+; start"
    ):
        await store.open()


async def test_two_programs_may_open_a_new_file_at_once(path: Path) -> None:
    stores = [SqliteStore(path) for _ in range(4)]
    barrier = threading.Barrier(len(stores))
    faults: list[StoreError] = []

    def open_one(store: SqliteStore) -> None:
        barrier.wait()
        try:
            store._create()
            store._migrate()
        except StoreError as fault:
            faults.append(fault)
        finally:
            store._drop_writer()

    threads = [threading.Thread(target=open_one, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


# --- faults --------------------------------------------------------------------------------------------------------


async def test_a_locked_database_is_busy_and_works_again_when_free(store: SqliteStore, path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy, match=r"another program holds .*journal\.db"):
        await store.append([[draft("lost")]])
    assert await kinds(store) == []
    other.execute("ROLLBACK")
    other.close()
    assert await store.append([[draft("kept")]]) == [Written(1)]


async def test_beyond_its_size_limit_the_store_is_full_and_writes_nothing_of_the_batch(path: Path) -> None:
    store = SqliteStore(path, max_bytes=200_000)
    await store.open()
    big = b'{"text":"' + b"x" * 20_000 + b'"}'
    written = 0

    async def write_on() -> None:
        nonlocal written
        for _ in range(20):
            await store.append([[draft(payload=big), draft("pair")]])
            written += 2

    with pytest.raises(StoreFull, match="no room left"):
        await write_on()
    assert written > 4
    assert len(await store.read(Query())) == written
    with pytest.raises(StoreFull):
        await store.append([[draft("small")], [draft(payload=big * 10)]])
    assert len(await store.read(Query())) == written
    store.max_bytes = None
    await store.open()
    assert await store.append([[draft(payload=big)]]) == [Written(written + 1)]
    await store.close()


FULL_DISK = """
import asyncio, resource, sys
from pathlib import Path
from planaria.cortex.errors import StoreError
from planaria.cortex.query import Query
from planaria.cortex.stores.sqlite import SqliteStore
from planaria.testing.stores import draft

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    written = 0
    try:
        while True:
            await store.append([[draft(payload=b'{"x":"%s"}' % (b"y" * 9000))]])
            written += 1
    except StoreError as error:
        print(type(error).__name__, "written" if written > 3 else "nothing")
    assert len(await store.read(Query())) == written
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    await store.append([[draft()]])
    print(len(await store.read(Query())) - written)
    await store.close()

asyncio.run(main())
"""


def program(text: str, *arguments: str, cwd: Path | None = None) -> str:
    result = subprocess.run(
        [sys.executable, "-c", text, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.subprocess
def test_when_the_system_refuses_to_write_the_store_says_so_and_goes_on_later(path: Path) -> None:
    assert program(FULL_DISK, str(path)).split() == ["StoreFailed", "written", "1"]


READ_ONLY = """
import asyncio, os, sys
from pathlib import Path
from planaria.cortex.errors import StoreError
from planaria.cortex.schema import load_migrations
from planaria.cortex.stores.sqlite import SqliteStore

load_migrations("sqlite")  # while all of Python can still be read

async def main():
    if os.geteuid() == 0:
        os.seteuid(65534)
    try:
        await SqliteStore(Path(sys.argv[1])).open()
    except StoreError as error:
        print(type(error).__name__, error)

asyncio.run(main())
"""


@pytest.mark.subprocess
@pytest.mark.parametrize("case", ["file", "folder", "nowhere"])
async def test_a_journal_that_cannot_be_written_is_refused_at_the_start(case: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "inner"
        folder.mkdir()
        path = folder / "journal.db"
        if case != "nowhere":
            store = SqliteStore(path)
            await store.open()
            await store.append([[draft()]])
            await store.close()
            path.chmod(0o444 if case == "file" else 0o666)
        folder.chmod(0o777 if case == "file" else 0o555)
        Path(name).chmod(0o755)
        answer = program(READ_ONLY, str(path))
        folder.chmod(0o777)
    assert answer.startswith(("StoreReadOnly", "StoreFailed")), answer
    assert "journal.db" in answer and "writable for this user" in answer


async def test_a_connection_that_has_become_read_only_is_refused_and_renewed(store: SqliteStore) -> None:
    await store.append([[draft()]])
    assert store._writer is not None
    store._writer.pragma("query_only", 1)
    with pytest.raises(StoreReadOnly, match="cannot be written"):
        await store.append([[draft()]])
    assert await store.append([[draft()]]) == [Written(2)]


@pytest.mark.parametrize("content", [b"not a database at all, but a long enough text" * 100, b"x" * 10])
async def test_a_file_that_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"journal\.db is damaged.*restore it from a copy"):
        await SqliteStore(path).open()
    assert path.read_bytes() == content


async def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    path.parent.mkdir()
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE theirs (x)")
    with pytest.raises(StoreDamaged, match="a database of another program"):
        await SqliteStore(path).open()
    assert other.execute("SELECT count(*) FROM sqlite_schema").get == 1
    other.close()


async def test_a_journal_with_overwritten_pages_is_damaged(store: SqliteStore, path: Path) -> None:
    await store.append([[draft(payload=b'{"x":"%s"}' % (b"y" * 9000)) for _ in range(50)]])
    await store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))

    async def use() -> None:
        await store.open()
        await store.read(Query())

    with pytest.raises(StoreDamaged, match="is damaged"):
        await use()


async def test_a_payload_that_is_not_json_is_damage(store: SqliteStore, path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("INSERT INTO events VALUES (1, 'i', 0, '', NULL, '', '', '', 'k', '{broken')")
    other.close()
    with pytest.raises(StoreDamaged, match="a payload that is not JSON"):
        await store.read(Query())


async def test_after_the_file_is_removed_nothing_is_acknowledged(store: SqliteStore, path: Path) -> None:
    await store.append([[draft()]])
    aside = path.with_name("aside.db")
    path.rename(aside)
    with pytest.raises(StoreFailed, match=r"journal\.db is gone"):
        await store.append([[draft()]])
    with pytest.raises(StoreFailed, match="is gone"):
        await store.read(Query())
    assert not path.exists()
    aside.rename(path)
    assert await store.append([[draft()]]) == [Written(2)]


async def test_after_the_file_is_replaced_nothing_is_acknowledged(store: SqliteStore, path: Path) -> None:
    await store.append([[draft()]])
    path.rename(path.with_name("aside.db"))
    path.touch()
    with pytest.raises(StoreFailed, match="was replaced by another file"):
        await store.append([[draft()]])


async def test_a_store_that_is_not_open_says_so(path: Path) -> None:
    store = SqliteStore(path)
    with pytest.raises(StoreFailed, match="is not open"):
        await store.read(Query())
    with pytest.raises(StoreFailed, match="is not open"):
        await store.append([[draft()]])


async def test_the_limit_of_this_test_program_is_untouched() -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
