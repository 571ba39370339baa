"""A backup of a database: one moment of it while others write, and the same file for either store."""

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.codec.chain import payload_hash
from planaria.cortex.errors import StoreBusy, StoreFailed, StoreFull
from planaria.cortex.query import Query
from planaria.cortex.store import ContentDraft, Draft, Snapshot, SubjectKey
from planaria.cortex.stores.postgres.backing_up import _Copy
from planaria.cortex.stores.postgres.database import Database
from planaria.cortex.stores.postgres.store import PostgresStore
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.cortex.upkeep.verify import verify
from tests.faults.disk import small_disk
from tests.postgres import Postgres

ADA = "person:ada"
WRAPPED = b"wrapped key of ada, thirty-two bytes and more"


def store_of(postgres: Postgres) -> PostgresStore:
    patient = Database(postgres.url(), connect_within=120.0, answer_within=120.0)
    return PostgresStore(postgres.url(), database=patient)


@pytest.fixture
async def store(postgres: Postgres) -> AsyncIterator[PostgresStore]:
    store = store_of(postgres)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def second(postgres: Postgres) -> AsyncIterator[PostgresStore]:
    """A store in another, empty database."""
    other = Postgres(postgres.server)
    store = store_of(other)
    yield store
    await store.close()
    other.drop()


def text(words: str) -> ContentDraft:
    return ContentDraft(payload_hash(words.encode()).hex(), words.encode(), len(words))


def draft(number: int, **fields: Any) -> Draft:
    """Ids, traces, causes and processes of every form there is."""
    ulid = f"01M7Z8M3T0000000000000{number:04d}"
    known: dict[str, Any] = {
        "id": ulid if number % 3 else f"own id \0 {number}",
        "at": 1_700_000_000.25 + number,
        "trace_id": f"trace-{number // 4}" if number % 2 else f"01M7Z8M3T0000000000001{number // 4:04d}",
        "cause_id": None if number % 4 == 0 else f"01M7Z8M3T0000000000000{number - 1:04d}",
        "node": "garden",
        "process": f"<garden.{number}>" if number % 2 else "room:gärten\0",
        "session": f"own:{number % 5}",
        "kind": f"own.kind{number % 7}",
        "payload": f'{{"n": {number}}}'.encode(),
        "version": number % 3 + 1,
        "subject": ADA if number % 6 == 0 else "",
        "contents": (text(f"moss {number % 3}"),) if number % 4 == 0 else (),
    }
    return Draft(**known | fields)


async def fill(store: PostgresStore | SqliteStore, events: int = 60) -> None:
    await store.append([[draft(number)] for number in range(events)])
    await store.strip([7, 8, 9])
    await store.put_subject_key(SubjectKey(ADA, 1, None))
    await store.put_subject_key(SubjectKey(ADA, 2, WRAPPED))
    await store.put_secret("provider:key", b"sealed")
    assert await store.save_snapshot(Snapshot("own:1", "state", 3, 2, b"folded", None))
    lease = await store.acquire_lease("feed", "somebody", 600.0)
    assert lease is not None


async def all_of(store: PostgresStore | SqliteStore) -> Any:
    hashes = [text(f"moss {number}").hash for number in range(3)]
    return (
        await store.read(Query()),
        sorted(await store.sessions(), key=lambda row: row.name),
        await store.contents(hashes),
        await store.subject_keys(),
        await store.secrets(),
        await store.load_snapshot("own:1", "state", 3),
    )


async def is_sound(store: PostgresStore | SqliteStore) -> bool:
    return not await store.check() and not (await verify(store)).breaks


def quiet(done: int, total: int) -> None:
    pass


async def load(store: PostgresStore, file: Path, *, replace: bool = False) -> str | None:
    return await store.load(file, "planaria_before", holder="me", replace=replace, progress=quiet)


async def test_a_backup_goes_from_a_database_through_a_file_into_another_database(
    store: PostgresStore, second: PostgresStore, tmp_path: Path
) -> None:
    await fill(store)
    await store.backup(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    file = SqliteStore(tmp_path / "copy.db")
    await file.open()
    assert await all_of(file) == await all_of(store)
    assert await is_sound(file)
    await file.append([[draft(100)]])  # it is a journal like any other
    assert await is_sound(file)
    await file.close()
    assert [kept.name for kept in tmp_path.iterdir()] == ["copy.db"]
    assert await load(second, tmp_path / "copy.db") is None
    await second.open()
    await file.open()
    assert await all_of(second) == await all_of(file)
    await file.close()
    assert await is_sound(second)
    await second.append([[draft(101, process="a new name", session="a new session")]])
    assert await is_sound(second)
    lease = await second.acquire_lease("feed", "me", 1.0)
    assert lease is not None and lease.token > 1  # nobody has it, and what its holder had is stale


async def test_a_backup_is_one_moment_of_a_database_that_is_written(
    store: PostgresStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = PostgresStore("", database=store.database)
    await fill(store)
    kept = _Copy._kept
    more = iter(range(60, 10_000))

    async def written_meanwhile(self: _Copy, rows: Sequence[Any]) -> Any:
        pair = [draft(next(more), contents=(text("new"),)), draft(next(more), session="own:new")]
        await other.append([pair])
        await other.strip([rows[-1][0]])
        return await kept(self, rows)

    monkeypatch.setattr(_Copy, "_kept", written_meanwhile)
    before = await store.read(Query())
    await store.backup(tmp_path / "copy.db")
    file = SqliteStore(tmp_path / "copy.db")
    await file.open()
    assert await file.read(Query()) == before
    assert await is_sound(file)
    assert len(await store.read(Query())) > len(before)
    await file.close()


async def test_who_is_erased_while_a_backup_is_made_is_not_in_it(
    store: PostgresStore, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store)
    kept = _Copy._kept

    async def erased_meanwhile(self: _Copy, rows: Sequence[Any]) -> Any:
        await store.destroy_subject_keys(ADA)
        return await kept(self, rows)

    monkeypatch.setattr(_Copy, "_kept", erased_meanwhile)
    await store.backup(tmp_path / "copy.db")
    file = SqliteStore(tmp_path / "copy.db")
    await file.open()
    assert await file.subject_keys(ADA) == [SubjectKey(ADA, 1, None), SubjectKey(ADA, 2, None)]
    assert await file.load_snapshot("own:1", "state", 3) is None
    await file.close()
    assert WRAPPED not in (tmp_path / "copy.db").read_bytes()
    postgres.sql("CHECKPOINT")
    table = "pg_read_binary_file(pg_relation_filepath('planaria.subject_keys'))"
    assert postgres.sql(f"SELECT position('\\x{WRAPPED.hex()}'::bytea IN {table})") == "0"


async def test_a_backup_overwrites_no_file(store: PostgresStore, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("mine")
    with pytest.raises(StoreFailed, match="is there already"):
        await store.backup(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").read_text() == "mine"


async def test_a_backup_that_loses_its_connection_leaves_no_file(
    store: PostgresStore, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(store)

    async def lost(self: _Copy, rows: Sequence[Any]) -> Any:
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'planaria'"
        )
        return [await self.connection.fetch("SELECT 1")]

    monkeypatch.setattr(_Copy, "_kept", lost)
    with pytest.raises(StoreFailed, match=r"was stopped|was lost"):
        await store.backup(tmp_path / "copy.db")
    assert list(tmp_path.iterdir()) == []
    await store.append([[draft(100)]])


async def test_a_backup_onto_a_full_disk_leaves_no_file(store: PostgresStore, tmp_path: Path) -> None:
    large = os.urandom(3_000_000)
    await store.append([[draft(0, contents=(ContentDraft(payload_hash(large).hex(), large, 1),))]])
    with small_disk(tmp_path / "disk", 2) as disk:
        with pytest.raises(
            StoreFull, match=r"no room left to write .*copy\.db; .*name a file on another disk"
        ):
            await store.backup(disk.path / "copy.db")
        assert list(disk.path.iterdir()) == []
    await store.append([[draft(100)]])


async def test_a_backup_takes_the_place_of_a_journal_only_when_it_is_told_to_and_nobody_works_on_it(
    store: PostgresStore, postgres: Postgres, tmp_path: Path
) -> None:
    await fill(store)
    await store.backup(tmp_path / "copy.db")
    await store.append([[draft(200)]])
    now = await store.read(Query())
    with pytest.raises(StoreFailed, match="has 61 events"):
        await load(store, tmp_path / "copy.db")
    await store.open()
    theirs = await store.acquire_lease("node", "another.host:/garden#1", 600.0)
    assert theirs is not None
    with pytest.raises(StoreBusy, match=r"another node works on .*another\.host"):
        await load(store, tmp_path / "copy.db", replace=True)
    await store.open()
    assert await store.read(Query()) == now
    await store.release_lease(theirs)
    assert await load(store, tmp_path / "copy.db", replace=True) == "planaria_before"
    assert postgres.sql("SELECT count(*) FROM planaria_before.events") == "61"
    await store.open()
    assert await store.read(Query()) == now[:-1]
    mine = await store.acquire_lease("node", "me", 1.0)
    assert mine is not None and mine.token > theirs.token


async def test_a_restore_that_is_broken_off_has_changed_nothing(
    store: PostgresStore, postgres: Postgres, tmp_path: Path
) -> None:
    await fill(store)
    await store.backup(tmp_path / "copy.db")
    now = await all_of(store)

    def lost(done: int, total: int) -> None:
        assert (done, total) == (60, 60)
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'planaria'"
        )

    with pytest.raises(StoreFailed):
        await store.load(tmp_path / "copy.db", "planaria_before", holder="me", replace=True, progress=lost)
    await store.open()
    assert await all_of(store) == now
    assert postgres.sql("SELECT to_regnamespace('planaria_before') IS NULL") == "t"


async def test_a_backup_of_a_file_goes_into_a_database(second: PostgresStore, tmp_path: Path) -> None:
    file = SqliteStore(tmp_path / "journal.db")
    await file.open()
    await fill(file)
    await file.backup(tmp_path / "copy.db")
    assert await load(second, tmp_path / "copy.db") is None
    await second.open()
    assert await all_of(second) == await all_of(file)
    assert await is_sound(second)
    await file.close()
