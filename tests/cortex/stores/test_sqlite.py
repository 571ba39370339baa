"""The SQLite store: append-only, and every fault of the disk has a name."""

import json
import os
import resource
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from planaria.cortex.codec.chain import START, first_break
from planaria.cortex.codec.reading import read_events
from planaria.cortex.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
    StoreTooNew,
)
from planaria.cortex.event import new_id
from planaria.cortex.query import Query
from planaria.cortex.store import Duplicate, Snapshot, SubjectKey, Written
from planaria.cortex.stores.schema import load_migrations
from planaria.cortex.stores.sqlite.reader import select
from planaria.cortex.stores.sqlite.store import SqliteStore
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
        "UPDATE events SET kind = 2",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events",
        "UPDATE events SET payload = x'00', stripped = 1",
        "REPLACE INTO events SELECT seq, 'new', 0, '', '', 1, 1, 1, 1, 1, 1, x'', 0, x'' FROM events",
        "INSERT INTO events SELECT 99, 'new', 0, '', '', 1, 1, 1, 1, 1, 1, x'', 0, x'' FROM events",
        "INSERT INTO events SELECT * FROM events WHERE true ON CONFLICT (seq) DO UPDATE SET kind = 2",
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
    ],
)
async def test_reads_follow_an_index_and_sort_nothing(store: SqliteStore, path: Path, query: Query) -> None:
    other = apsw.Connection(str(path))
    sql, values = select(query)
    plan = [str(row[3]) for row in other.execute("EXPLAIN QUERY PLAN " + sql, values)]
    other.close()
    assert not any("SCAN" in step or "TEMP B-TREE" in step for step in plan), plan
    assert plan[0].startswith("SEARCH events USING"), plan
    if query.session or query.kinds:
        column = "session" if query.session else "kind"
        assert f"({column}=? AND rowid>?)" in plan[0]


async def test_a_trace_is_read_by_its_index(store: SqliteStore, path: Path) -> None:
    other = apsw.Connection(str(path))
    sql, values = select(Query(trace_id="t", session="s", kinds=("a",)))
    plan = [str(row[3]) for row in other.execute("EXPLAIN QUERY PLAN " + sql, values)]
    other.close()
    assert not any("SCAN events" in step for step in plan), plan
    assert sum("USING COVERING INDEX events_by_trace (trace=?)" in step for step in plan) == 3, plan


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


async def test_a_journal_of_the_first_schema_is_carried_over_with_its_chain(path: Path) -> None:
    first, *_ = load_migrations("sqlite")
    path.parent.mkdir()
    old = apsw.Connection(str(path))
    old.pragma("application_id", 0x506C616E)
    old.execute(
        "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, name TEXT, applied_at TEXT) STRICT"
    )
    old.execute(first.sql)
    old.execute("INSERT INTO schema_migrations VALUES (1, 'events', '')")
    trace, long = new_id(), "a long text " * 200
    rows: list[tuple[Any, ...]] = []
    for n in range(1, 2501):
        payload = json.dumps({"n": n, "text": long if n % 1000 == 0 else "é", "$content": n})
        cause = rows[-1][1] if n % 3 == 0 else None if n % 3 == 1 else "elsewhere"
        rows.append(
            (n, new_id(), n / 4, trace, cause, "garden", f"<garden.{n}>", f"room:{n % 3}", "a.b", payload)
        )
    rows.append((2501, "f" * 32, 9.5, "T", None, "n", "journal", "s", "c.d", "{damaged"))
    old.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    old.close()

    store = SqliteStore(path)
    await store.open()
    stored = await store.read(Query())
    events = await read_events(store, Query(before_seq=2501))
    assert [
        (e.seq, e.id, e.at, e.trace_id, e.cause_id, e.node, e.process, e.session, e.kind) for e in stored
    ] == [row[:-1] for row in rows]
    assert [event.payload for event in events] == [json.loads(str(row[-1])) for row in rows[:-1]]
    with pytest.raises(StoreDamaged, match="event 2501"):
        await read_events(store)
    for session in ("room:0", "room:1", "room:2", "s"):
        assert first_break(START, [event for event in stored if event.session == session]) is None
    assert await store.check() == []
    assert await store.append([[draft()]]) == [Written(2502)]
    assert await store.append([[draft(id="f" * 32)]]) == [Duplicate("f" * 32)]
    await store.close()


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
from typing import Any
from planaria.cortex.errors import StoreError
from planaria.cortex.query import Query
from planaria.cortex.stores.sqlite.store import SqliteStore
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
from typing import Any
from planaria.cortex.errors import StoreError
from planaria.cortex.stores.schema import load_migrations
from planaria.cortex.stores.sqlite.store import SqliteStore

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


async def test_a_payload_that_is_not_json_is_damage(store: SqliteStore) -> None:
    await store.append([[draft(payload=b"{broken")]])
    with pytest.raises(StoreDamaged, match="has a payload that is not JSON"):
        await read_events(store)


async def test_a_check_names_what_is_wrong(store: SqliteStore, path: Path) -> None:
    await store.append([[draft(session="a"), draft(session="b"), draft(session="a")]])
    assert await store.check() == []
    await store.close()
    other = apsw.Connection(str(path))
    other.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    other.execute("DELETE FROM events WHERE seq = 3")
    other.close()
    await store.open()
    assert await store.check() == ["session 'a' has 1 events, where 2 up to 3 were written"]


async def test_a_snapshot_of_another_history_is_not_loaded(store: SqliteStore, path: Path) -> None:
    await store.append([[draft(session="a")]])
    snapshot = Snapshot("a", "turns", 1, 1, b"state")
    assert await store.save_snapshot(snapshot)
    other = apsw.Connection(str(path))
    other.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    assert await store.load_snapshot("a", "turns", 1) == snapshot
    other.execute("UPDATE events SET digest = x'00' WHERE seq = 1")
    other.close()
    assert await store.load_snapshot("a", "turns", 1) is None


# --- erasing and copying ---------------------------------------------------------------------------------------------


async def test_a_destroyed_key_and_a_stripped_payload_are_in_no_file(store: SqliteStore, path: Path) -> None:
    key, payload = os.urandom(60), os.urandom(500)
    await store.put_subject_key(SubjectKey("person:ada", 1, key))
    await store.append([[draft(payload=payload)] + [draft() for _ in range(50)]])

    state = os.urandom(9000)
    assert await store.save_snapshot(Snapshot(draft().session, "turns", 1, 1, state))

    def anywhere(what: bytes) -> bool:
        """Also a part of it: what is written over it is shorter and does not cover all."""
        parts = [what[at : at + 8] for at in range(0, len(what) - 7, 4)]
        return any(part in file.read_bytes() for file in path.parent.iterdir() for part in parts)

    assert anywhere(key) and anywhere(payload) and anywhere(state)
    await store.strip([1])
    await store.destroy_subject_keys("person:ada")
    assert not anywhere(key)
    assert not anywhere(payload)
    assert not anywhere(state)


async def test_an_erasure_that_another_program_holds_up_is_not_taken_for_done(
    store: SqliteStore, path: Path
) -> None:
    await store.put_subject_key(SubjectKey("person:ada", 1, b"key"))
    other = apsw.Connection(str(path))
    other.execute("BEGIN; SELECT count(*) FROM events")
    with pytest.raises(StoreBusy, match="its log still holds what was erased"):
        await store.destroy_subject_keys("person:ada")
    other.close(True)
    assert await store.destroy_subject_keys("person:ada") == 0


async def test_a_backup_is_a_journal_of_its_own_owner_alone(store: SqliteStore, tmp_path: Path) -> None:
    await store.append([[draft("kept")]])
    copy = tmp_path / "copy.db"
    await store.backup(copy)
    await store.append([[draft("later")]])
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    copied = SqliteStore(copy)
    await copied.open()
    assert await kinds(copied) == ["kept"]
    assert await copied.append([[draft()]]) == [Written(2)]
    await copied.close()
    with pytest.raises(StoreFailed, match=r"copy\.db is there already; name a new file"):
        await store.backup(copy)
    with pytest.raises(StoreError):
        await store.backup(tmp_path / "nowhere" / "copy.db")


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


async def test_a_store_that_takes_over_makes_no_file_anew(store: SqliteStore, path: Path) -> None:
    await store.append([[draft("kept")]])
    aside = path.with_name("aside.db")
    path.rename(aside)
    after = SqliteStore(path, after=store)
    with pytest.raises(StoreFailed, match=r"journal\.db is gone"):
        await after.open()
    assert not path.exists()
    aside.rename(path)
    await after.open()
    assert await kinds(after) == ["kept"]
    await after.close()


async def test_a_store_that_takes_over_takes_no_other_file(store: SqliteStore, path: Path) -> None:
    await store.append([[draft("kept")]])
    path.rename(path.with_name("aside.db"))
    path.touch()
    after = SqliteStore(path, after=store)
    with pytest.raises(StoreFailed, match="was replaced by another file"):
        await after.open()
    assert path.stat().st_size == 0
