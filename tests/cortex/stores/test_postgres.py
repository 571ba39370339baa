"""The PostgreSQL store: places without gaps whoever writes, and every fault of server and network has a name."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from planaria.cortex.codec.chain import START, first_break
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
from planaria.cortex.store import ContentDraft, Draft, Duplicate, SubjectKey, Written
from planaria.cortex.stores.postgres.database import LOCK, Database
from planaria.cortex.stores.postgres.faults import ConnectionLost, from_driver
from planaria.cortex.stores.postgres.rows import id_bytes, id_text
from planaria.cortex.stores.postgres.statements import select
from planaria.cortex.stores.postgres.store import PostgresStore
from planaria.cortex.stores.schema import load_migrations
from tests.postgres import Postgres


def draft(kind: str = "test.happened", session: str = "room:garden", id: str = "", **fields: Any) -> Draft:
    return Draft(
        id=id or f"id-{next(_ids)}",
        at=1_700_000_000.25,
        trace_id="trace",
        cause_id=None,
        node="garden",
        process="<garden.1>",
        session=session,
        kind=kind,
        payload=b"{}",
        **fields,
    )


_ids = iter(range(10**9))


def store_of(postgres: Postgres, user: str = "postgres", **limits: Any) -> PostgresStore:
    """A store whose limits are so long that no slow machine meets them, but for those the test is about."""
    address = postgres.url(user)
    patient = {"connect_within": 120.0, "answer_within": 120.0}
    return PostgresStore(address, database=Database(address, **patient | limits))


@pytest.fixture
async def store(postgres: Postgres) -> AsyncIterator[PostgresStore]:
    store = store_of(postgres)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def guarded(postgres: Postgres) -> Iterator[str]:
    """A user with the password `hunter2`, who may do everything in the database."""
    postgres.sql(
        f"CREATE ROLE guarded LOGIN PASSWORD 'hunter2'; ALTER DATABASE {postgres.database} OWNER TO guarded"
    )
    yield "guarded"
    postgres.sql("REASSIGN OWNED BY guarded TO postgres; DROP OWNED BY guarded; DROP ROLE guarded")


@asynccontextmanager
async def holding_the_lock(postgres: Postgres) -> AsyncIterator[Any]:
    """Another who commits, and does not come to an end."""
    other = await asyncpg.connect(postgres.url())
    await other.execute("SELECT pg_advisory_lock($1, 0)", LOCK)
    yield other
    other.terminate()


async def until_it_waits(postgres: Postgres) -> None:
    while postgres.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "0":
        await asyncio.sleep(0)


async def kinds(store: PostgresStore) -> list[str]:
    return [event.kind for event in await store.read(Query())]


async def is_whole(store: PostgresStore) -> bool:
    for session in {event.session for event in await store.read(Query())}:
        if first_break(START, await store.read(Query(session=session))) is not None:
            return False
    return await store.check() == []


# --- several writers -------------------------------------------------------------------------------------------------


async def test_two_writers_leave_no_gap_and_one_chain(postgres: Postgres, store: PostgresStore) -> None:
    other = store_of(postgres)
    await other.open()

    async def write(own: PostgresStore, name: str) -> list[int]:
        places: list[int] = []
        for number in range(40):
            batch = [[draft(f"{name}{number}"), draft(session=f"own:{name}")], [draft(session="both")]]
            for outcome in await own.append(batch):
                assert isinstance(outcome, Written)
                places.append(outcome.first_seq)
        return places

    mine, theirs = await asyncio.gather(write(store, "a"), write(other, "b"))
    assert mine == sorted(mine) and theirs == sorted(theirs)
    assert [event.seq for event in await store.read(Query())] == list(range(1, 241))
    assert await is_whole(store)
    assert await other.read(Query()) == await store.read(Query())
    await other.close()


async def test_an_id_another_writer_has_used_is_a_duplicate(postgres: Postgres, store: PostgresStore) -> None:
    other = store_of(postgres)
    await other.open()
    await other.append([[draft(id="A")]])
    assert await store.append([[draft("first")], [draft(id="A")], [draft("last")]]) == [
        Written(2),
        Duplicate("A"),
        Written(3),
    ]
    await other.close()


async def test_a_content_another_has_swept_is_sent_again(postgres: Postgres, store: PostgresStore) -> None:
    content = ContentDraft("ab" * 32, b"a long text", 11)
    await store.append([[draft(contents=(content,))]])
    other = store_of(postgres)
    await other.open()
    assert await other.strip([1]) == 1
    assert await other.sweep_contents() == 1
    assert await store.append([[draft(contents=(content,))]]) == [Written(2)]
    assert await store.contents([content.hash]) == {content.hash: b"a long text"}
    assert await other.sweep_contents() == 0
    await other.close()


async def test_one_is_told_of_anothers_commits_and_not_of_its_own(
    postgres: Postgres, store: PostgresStore
) -> None:
    told = asyncio.Event()
    store.listen(told.set)
    await store.append([[draft()]])
    other = store_of(postgres)
    await other.open()
    assert not told.is_set()
    await other.append([[draft()]])
    await asyncio.wait_for(told.wait(), 10)
    await other.close()


# --- schema ----------------------------------------------------------------------------------------------------------


async def test_nodes_may_open_a_new_database_at_once(postgres: Postgres) -> None:
    stores = [store_of(postgres) for _ in range(4)]
    await asyncio.gather(*(store.open() for store in stores))
    names = postgres.sql("SELECT version, name FROM planaria.schema_migrations ORDER BY version").splitlines()
    assert names == [f"{migration.version}|{migration.name}" for migration in load_migrations("postgres")]
    for store in stores:
        await store.close()


async def test_a_newer_schema_is_refused_by_an_older_program(
    postgres: Postgres, store: PostgresStore
) -> None:
    postgres.sql("INSERT INTO planaria.schema_migrations VALUES (999, 'from_the_future')")
    with pytest.raises(
        StoreTooNew, match=r"has schema 999, this program knows only up to \d+; start the newer"
    ):
        await store.open()


async def test_tables_that_are_gone_refuse_the_start(store: PostgresStore, postgres: Postgres) -> None:
    postgres.sql("DROP TABLE planaria.sessions, planaria.secrets")
    with pytest.raises(StoreDamaged, match=r"lacks tables of a journal: sessions, secrets; restore it"):
        await store.open()


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE events SET kind = 1",
        "UPDATE events SET payload = sha256(payload), stripped = true, at = 0",
        "UPDATE events SET payload = 'other', stripped = true",
        "DELETE FROM events",
        "TRUNCATE events",
    ],
)
async def test_no_statement_changes_or_removes_an_event(
    postgres: Postgres, store: PostgresStore, sql: str
) -> None:
    await store.append([[draft("kept")]])
    with pytest.raises(RuntimeError, match="append-only"):
        postgres.sql(f"SET search_path = planaria; {sql}")
    assert await kinds(store) == ["kept"]


async def test_the_journal_can_be_looked_at_with_sql(postgres: Postgres, store: PostgresStore) -> None:
    ulid = "01M7ZQJZ7S8QA72DRTDZE3K47J"
    await store.append([[draft("a.b", "s", ulid, subject="person:ada"), draft("c.d", id="own id")]])
    assert postgres.sql(
        "SELECT seq, session, kind, subject, id, payload FROM planaria.journal ORDER BY seq"
    ) == (f"1|s|a.b|person:ada|{ulid}|{{}}\n2|room:garden|c.d||own id|{{}}")


@pytest.mark.parametrize("text", ["", "ID1", "x" * 15, "x" * 14, "ÿ", "01M7ZQJZ7S8QA72DRTDZE3K47J", "\x00"])
def test_every_id_comes_back_as_it_was(text: str) -> None:
    assert id_text(id_bytes(text)) == text


def test_no_two_ids_are_kept_alike() -> None:
    texts = ["7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "x" * 15, "x" * 16, "x" * 14, "01M7ZQJZ7S8QA72DRTDZE3K47J", ""]
    assert len({id_bytes(text) for text in texts}) == len(texts)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (Query(limit=9), "events_pkey"),
        (Query(session="s", limit=9), "events_by_session"),
        (Query(session="s", after_seq=5, newest_first=True, limit=9), "events_by_session"),
        (Query(session="s", kinds=("a", "b"), limit=9), "events_by_session"),
        (Query(kinds=("a",), after_seq=5, limit=9), "events_by_kind"),
        (Query(kinds=("a", "b"), newest_first=True, limit=9), "events_by_kind"),
        (Query(trace_id="t", session="s", kinds=("a",), limit=9), "events_by_trace"),
    ],
)
async def test_reads_follow_an_index(
    postgres: Postgres, store: PostgresStore, query: Query, index: str
) -> None:
    for number in range(20):
        await store.append([[draft(f"k{number}", f"s{number % 5}") for _ in range(100)]])
    statement, values = select(query)
    async with store.database.reading() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        prepared = await connection.prepare(statement)
        plan = str(await prepared.explain(*values))
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
    if query.trace_id is None:
        assert "Sort Key" not in plan or "Merge Append" in plan, plan


# --- faults ----------------------------------------------------------------------------------------------------------


async def refused(work: Awaitable[object], kind: type[StoreError], words: str) -> StoreError:
    with pytest.raises(kind, match=words) as found:
        await work
    assert "hunter2" not in str(found.value)
    return found.value


async def test_a_server_that_was_restarted_in_between_is_not_even_noticed(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft("before")]])
    assert await kinds(store) == ["before"]
    told = asyncio.Event()
    store.listen(told.set)
    postgres.server.stop()
    await asyncio.wait_for(told.wait(), 10)
    postgres.server.start()
    assert await store.append([[draft("after")]]) == [Written(2)]
    assert await kinds(store) == ["before", "after"]


async def test_a_server_that_is_down_takes_no_connections_and_is_found_again(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft("before")]])
    postgres.server.stop(signal.SIGQUIT)
    try:
        for _ in range(2):
            fault = await refused(
                store.append([[draft("lost")]]), StoreFailed, r"takes no connections|was lost|was stopped"
            )
            assert fault.retry
            await refused(store.read(Query()), StoreFailed, r"takes no connections|was lost|was stopped")
        await refused(store.open(), StoreFailed, "takes no connections; start PostgreSQL")
    finally:
        postgres.server.start()
    await store.open()
    assert await store.append([[draft("after")]]) == [Written(2)]
    assert await kinds(store) == ["before", "after"]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
async def test_a_server_that_ends_in_the_middle_of_a_commit_has_written_nothing(
    postgres: Postgres, store: PostgresStore, how: signal.Signals
) -> None:
    store.in_doubt = 0.0
    async with holding_the_lock(postgres):
        task = asyncio.create_task(store.append([[draft("lost")]]))
        await until_it_waits(postgres)
        postgres.server.stop(how)
        try:
            await refused(task, StoreFailed, "takes no connections")
        finally:
            postgres.server.start()
    assert await store.append([[draft("kept")]]) == [Written(1)]
    assert await kinds(store) == ["kept"]


async def test_a_commit_whose_connection_was_lost_before_it_began_is_written_by_the_next(
    postgres: Postgres, store: PostgresStore
) -> None:
    async with holding_the_lock(postgres) as other:
        task = asyncio.create_task(store.append([[draft("a"), draft("b")], [draft("c")]]))
        await until_it_waits(postgres)
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        )
        await until_it_waits(postgres)
        await other.execute("SELECT pg_advisory_unlock_all()")
        assert await task == [Written(1), Written(3)]
    assert await kinds(store) == ["a", "b", "c"]


async def test_a_commit_in_the_middle_of_which_the_server_is_restarted_is_written(
    postgres: Postgres, store: PostgresStore
) -> None:
    store.in_doubt = 60.0
    async with holding_the_lock(postgres):
        task = asyncio.create_task(store.append([[draft("kept")]]))
        await until_it_waits(postgres)
        await asyncio.to_thread(postgres.server.stop, signal.SIGQUIT)
        await asyncio.to_thread(postgres.server.start)
    assert await task == [Written(1)]
    assert await kinds(store) == ["kept"]


async def test_a_commit_whose_answer_was_lost_is_found_and_not_doubled(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft("old", id="old")]])
    batch = [[draft("a"), draft("b")], [draft("refused", id="old")], [draft("c")]]
    through = store_of(postgres)
    await through.open()
    await through.append(batch)  # what the first try did, its answer lost
    await through.close()
    expected = [Written(2), Duplicate("old"), Written(4)]
    assert await store._append(batch, [], again=True) == expected
    assert await store._append(batch, [], again=False) == [Duplicate(drafts[0].id) for drafts in batch]
    assert await kinds(store) == ["old", "a", "b", "c"]


async def test_a_commit_that_was_given_up_is_never_written_after_a_later_one(
    postgres: Postgres, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server has it, reads it only when the store has long given it up, and would write it then."""
    await store.append([[draft("before")]])
    async with store.database.writing() as connection:
        slow = connection.get_server_pid()
    os.kill(slow, signal.SIGSTOP)
    try:
        store.database.answer_within = 0.3
        await refused(store.append([[draft("given up")]]), StoreFailed, "does not answer")
        store.database.answer_within = 120.0
        monkeypatch.setattr("planaria.cortex.stores.postgres.database._END_WITHIN", 0.1)
        fault = await refused(
            store.append([[draft("too early")]]), StoreBusy, "still be at work on an earlier"
        )
        assert fault.retry and str(slow) in fault.mend
    finally:
        os.kill(slow, signal.SIGCONT)
    monkeypatch.undo()
    assert isinstance((await store.append([[draft("later")]]))[0], Written)
    with pytest.raises(ProcessLookupError):
        os.kill(slow, 0)
    assert await kinds(store) in (["before", "later"], ["before", "given up", "later"])


async def test_what_an_abandoned_store_has_told_is_over_before_the_next_one_writes(
    postgres: Postgres,
) -> None:
    killed = store_of(postgres)
    await killed.open()
    async with holding_the_lock(postgres) as other:
        task = asyncio.create_task(killed.append([[draft("lost")]]))
        await until_it_waits(postgres)
        task.cancel()
        await asyncio.wait([task])
        store = PostgresStore(postgres.url(), after=killed)
        await store.open()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        assert postgres.sql(waiting) == "0"
        await other.execute("SELECT pg_advisory_unlock_all()")
    assert await store.append([[draft("kept")]]) == [Written(1)]
    await store.close()


async def test_an_answer_that_is_lost_on_its_way_is_asked_for_again(
    postgres: Postgres, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server commits, and the connection ends before it has said so."""
    await store.append([[draft("before")]])
    real = store._append
    tries: list[bool] = []

    async def lossy(batch: Any, fences: Any, *, again: bool) -> Any:
        tries.append(again)
        outcome = await real(batch, fences, again=again)
        if not again:
            raise ConnectionLost("the connection was lost", "")
        return outcome

    monkeypatch.setattr(store, "_append", lossy)
    assert await store.append([[draft("x")], [draft("y")]]) == [Written(2), Written(3)]
    assert tries == [False, True]
    assert await kinds(store) == ["before", "x", "y"]
    assert await is_whole(store)


async def test_a_server_that_hangs_does_not_hang_the_store(postgres: Postgres) -> None:
    store = store_of(postgres)
    await store.open()
    await store.append([[draft("before")]])
    await store.read(Query())
    store.database.answer_within = store.database._connect_within = 0.3
    postgres.server.freeze()
    try:
        for _ in range(2):
            await refused(store.append([[draft("hung")]]), StoreFailed, "does not answer")
            await refused(store.read(Query()), StoreFailed, "does not answer")
        await refused(store_of(postgres, connect_within=0.3).open(), StoreFailed, "does not answer")
    finally:
        postgres.server.thaw()
    await store.close()
    patient = store_of(postgres)
    await patient.open()
    await patient.append([[draft("after")]])
    assert (await kinds(patient))[-1] == "after"
    assert await is_whole(patient)
    await patient.close()


async def test_a_commit_that_another_holds_up_for_too_long_is_given_up(postgres: Postgres) -> None:
    store = store_of(postgres, answer_within=15.0)
    await store.open()
    async with store.database.writing() as connection:
        assert await connection.fetchval("SHOW statement_timeout") == "12s"  # the server gives up first
        await connection.execute("SET statement_timeout = 100")
    async with holding_the_lock(postgres):
        await refused(store.append([[draft("lost")]]), StoreBusy, "took too long")
    assert await store.append([[draft("kept")]]) == [Written(1)]
    await store.close()


async def test_a_server_that_can_only_be_read_says_so_and_still_reads(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft("before")]])
    postgres.sql(f"ALTER DATABASE {postgres.database} SET default_transaction_read_only = on")
    store.database._drop_writer()
    await refused(store.append([[draft("lost")]]), StoreReadOnly, "can only be read")
    assert await kinds(store) == ["before"]
    await refused(
        store_of(postgres).open(), StoreReadOnly, "can only be read; connect to the server that takes"
    )
    postgres.sql(f"SET default_transaction_read_only = off; ALTER DATABASE {postgres.database} RESET ALL")
    assert await store.append([[draft("after")]]) == [Written(2)]


async def test_a_disk_that_is_full_there_is_full_here_and_writing_goes_on_when_there_is_room(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft("before")]])
    full = (
        "BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END"
    )
    postgres.sql(
        f"SET search_path = planaria; CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ {full} $$;"
        "CREATE TRIGGER full_disk BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION full_disk()"
    )
    await refused(store.append([[draft("lost")], [draft("lost")]]), StoreFull, "has no room left on its disk")
    postgres.sql("DROP TRIGGER full_disk ON planaria.events")
    assert await store.append([[draft("after")]]) == [Written(2)]
    assert await kinds(store) == ["before", "after"]


async def test_a_server_without_a_free_connection_is_busy(
    postgres: Postgres, guarded: str, monkeypatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    postgres.sql("ALTER ROLE guarded CONNECTION LIMIT 1")
    first = store_of(postgres, guarded)
    await first.open()
    await refused(store_of(postgres, guarded).open(), StoreBusy, "has no connection left")
    await refused(first.read(Query()), StoreBusy, "has no connection left")
    postgres.sql("ALTER ROLE guarded CONNECTION LIMIT 10")
    assert await first.read(Query()) == []
    await first.close()


async def test_a_wrong_password_is_refused_and_shown_nowhere(
    postgres: Postgres, guarded: str, monkeypatch
) -> None:
    address = postgres.url("guarded:not-hunter2")
    fault = await refused(
        PostgresStore(address).open(), StoreFailed, "refuses the user or the password .*PGPASSWORD"
    )
    assert "postgresql://guarded@127.0.0.1" in fault.problem
    monkeypatch.setenv("PGPASSWORD", "not-hunter2")
    await refused(store_of(postgres, guarded).open(), StoreFailed, "refuses the user or the password")
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    store = store_of(postgres, guarded)
    await store.open()
    await store.close()


async def test_a_user_who_may_create_nothing_is_told_which_right_is_missing(
    postgres: Postgres, guarded: str, monkeypatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    postgres.sql(f"ALTER DATABASE {postgres.database} OWNER TO postgres")
    await refused(
        store_of(postgres, guarded).open(), StoreFailed, "does not let this user .* GRANT CREATE ON DATABASE"
    )


async def test_a_database_that_does_not_exist_is_to_be_created(postgres: Postgres) -> None:
    address = postgres.url().rpartition("/")[0] + "/nowhere"
    await refused(PostgresStore(address).open(), StoreFailed, r"/nowhere does not exist .*createdb")


async def test_events_have_all_characters_whatever_the_encoding_of_the_database(postgres: Postgres) -> None:
    postgres.server.sql(
        f"DROP DATABASE {postgres.database}; CREATE DATABASE {postgres.database} TEMPLATE template0"
        " ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    store = store_of(postgres)
    await store.open()
    said = draft("ö.庭", "room:\x00庭", "id\x00庭")
    assert await store.append([[said]]) == [Written(1)]
    (kept,) = await store.read(Query(session="room:\x00庭"))
    assert (kept.id, kept.kind, kept.payload) == (said.id, said.kind, said.payload)
    await refused(
        store.acquire_lease("node", "host:/srv/庭", 15.0), StoreFailed, "make it with ENCODING 'UTF8'"
    )
    await store.close()


async def test_a_host_that_does_not_exist_cannot_be_reached() -> None:
    await refused(
        PostgresStore("postgresql://u@nowhere.invalid/d").open(),
        StoreFailed,
        "cannot be reached: .*; mend the address",
    )


async def test_tables_that_are_gone_are_damage(postgres: Postgres, store: PostgresStore) -> None:
    await store.append([[draft()]])
    postgres.sql("DROP TABLE planaria.sessions")
    await refused(store.append([[draft()]]), StoreDamaged, "has not the tables of a journal")


async def test_a_database_that_was_made_anew_behind_the_stores_back_gets_its_own_names(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft("a", "x"), draft("b", "y")]])
    postgres.drop()
    postgres.server.sql(f"CREATE DATABASE {postgres.database}")
    told = asyncio.Event()
    store.listen(told.set)
    await asyncio.wait_for(told.wait(), 10)  # the old connection is gone
    await refused(store.append([[draft()]]), StoreDamaged, "has not the tables of a journal")
    await store.migrate()
    assert await store.append([[draft("c", "z")]]) == [Written(1)]
    assert [(event.session, event.kind) for event in await store.read(Query())] == [("z", "c")]


async def test_a_store_that_is_not_open_says_so(postgres: Postgres) -> None:
    store = store_of(postgres)
    await refused(store.read(Query()), StoreFailed, "is not open; open the store first")
    await refused(store.append([[draft()]]), StoreFailed, "is not open; open the store first")


async def test_more_reads_at_once_than_connections_take_turns(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft()]])
    answers = await asyncio.gather(*(store.read(Query()) for _ in range(50)))
    assert all(len(events) == 1 for events in answers)
    assert int(postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'planaria'")) <= 5


async def test_a_commit_is_on_disk_whatever_the_database_does_for_others(postgres: Postgres) -> None:
    postgres.sql(f"ALTER DATABASE {postgres.database} SET synchronous_commit = off")
    store = store_of(postgres)
    await store.open()
    async with store.database.writing() as connection:
        assert await connection.fetchval("SHOW synchronous_commit") == "on"
    await store.close()


async def test_a_destroyed_key_is_in_no_file_of_its_table(postgres: Postgres, store: PostgresStore) -> None:
    await store.put_subject_key(SubjectKey("person:ada", 1, b"the-key-of-ada-lovelace"))
    postgres.sql("CHECKPOINT")
    assert b"the-key-of-ada-lovelace" in table_bytes(postgres)
    assert await store.destroy_subject_keys("person:ada") == 1
    postgres.sql("CHECKPOINT")
    assert b"the-key-of-ada-lovelace" not in table_bytes(postgres)


def table_bytes(postgres: Postgres) -> bytes:
    oid = postgres.sql("SELECT oid FROM pg_database WHERE datname = current_database()")
    folder = postgres.server.data / "base" / oid
    return b"".join(file.read_bytes() for file in folder.iterdir())


def test_a_fault_nobody_knows_still_says_what_the_server_said() -> None:
    error = asyncpg.PostgresError("something odd")
    assert "something odd" in str(from_driver(error, "postgresql://db/garden"))


async def test_reads_that_are_cut_off_give_up_their_connections(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft()]])
    for _ in range(3):
        async with store.database.reading() as connection:
            await connection.fetchval("SELECT 1")
        reads = [asyncio.create_task(slow(store)) for _ in range(3)]
        while (
            postgres.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%'")
            != "3"
        ):
            await asyncio.sleep(0)
        postgres.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%'"
        )
        for read in reads:
            await refused(read, StoreFailed, "was stopped|was lost")
    assert len(await store.read(Query())) == 1


async def slow(store: PostgresStore) -> None:
    async with store.database.reading() as connection:
        await connection.fetchval("SELECT pg_sleep(60)")


async def test_names_that_are_forgotten_while_a_read_asks_for_them_are_not_missed(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft("a", "x"), draft("b", "y")]])
    other = store_of(postgres)
    await other.open()

    class Interrupted:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        async def fetch(self, *arguments: Any) -> Any:
            other.database.losses += 1
            other._memory()
            return await self._connection.fetch(*arguments)

    statement, values = select(Query())
    async with other.database.reading() as connection:
        rows = await connection.fetch(statement, *values)
        events = await other._events(Interrupted(connection), rows)
    assert [event.session for event in events] == ["x", "y"]
    await other.close()


async def test_a_read_whose_connection_is_lost_is_done_again_with_another(
    postgres: Postgres, store: PostgresStore
) -> None:
    await store.append([[draft()]])
    lost = 0

    async def lose_the_first(connection: Any) -> int:
        nonlocal lost
        lost += 1
        if lost == 1:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return len(await connection.fetch("SELECT FROM events"))

    assert await store.database.read(lose_the_first) == 1
    assert lost == 2
