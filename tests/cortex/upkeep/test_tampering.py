"""What somebody does to a journal with the tools of its database, and the first wrong place `verify` names.

Both stores are written by a journal that seals, then changed with SQL behind its back.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import pytest

from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import NewEvent, new_id
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.query import Query
from planaria.cortex.store import EventStore
from planaria.cortex.stores.postgres.store import PostgresStore
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.nerve.methods.journal_keep import JOURNAL, Verifying, check_chains
from planaria.nerve.methods.method import Channel
from planaria.otp import Node, child, stop
from tests.postgres import Postgres

LONG = "a long text about planarians " * 60

SWAP_EVENTS = (
    "UPDATE events SET seq = -1 WHERE seq = 5; UPDATE events SET seq = 5 WHERE seq = 7;"
    "UPDATE events SET seq = 7 WHERE seq = -1"
)
SWAP_PAYLOADS = (
    "CREATE TEMP TABLE p AS SELECT seq, payload FROM events;"
    "UPDATE events SET payload = (SELECT payload FROM p WHERE p.seq = 16 - events.seq) WHERE seq IN (7, 9)"
)
SWAP_SESSIONS = (
    "CREATE TEMP TABLE p AS SELECT seq, session FROM events;"
    "UPDATE events SET session = (SELECT session FROM p WHERE p.seq = 15 - events.seq) WHERE seq IN (7, 8)"
)
# name, SQL for SQLite, SQL for PostgreSQL if it is another, (session, place) of each break that is named.
ATTACKS: list[tuple[str, str, str, set[tuple[str, int]]]] = [
    (
        f"{column} of an event",
        f"UPDATE events SET {lite} WHERE seq = 7",
        f"UPDATE events SET {post} WHERE seq = 7",
        {("one", 7)},
    )
    for column, lite, post in (
        ("payload", "payload = x'7b7d'", "payload = '{}'"),
        ("payload, as if sealed", "payload = x'02000100'", r"payload = '\x02000100'"),
        ("payload, empty", "payload = x''", "payload = ''"),
        ("at", "at = at + 0.001", "at = at + 0.001"),
        ("id", "id = x'" + "01" * 16 + "'", "id = decode(repeat('01', 16), 'hex')"),
        ("id, no id at all", "id = 7", r"id = '\xfffe'"),
        ("id, too long", "id = x'" + "ff" * 17 + "'", r"id = '\xff80'"),
        ("trace", "trace = 2", "trace_id = (SELECT trace_id FROM events WHERE seq = 2)"),
        ("trace, nowhere", "trace = 99", "trace_id = 'x'"),
        ("cause", "cause = 2", "cause_id = (SELECT id FROM events WHERE seq = 2)"),
        ("cause, nowhere", "cause = 99", r"cause_id = '\xff31'"),
        ("version", "version = 2", "version = 2"),
        ("kind", "kind = node", "kind = node"),
        ("kind, nowhere", "kind = 999", "kind = 999"),
        ("subject", "subject = kind", "subject = kind"),
        ("node", "node = kind", "node = kind"),
        ("process", "process = -5", "process = kind"),
        ("digest", "digest = x'00'", r"digest = '\x00'"),
        ("pruned, with another hash", "stripped = 1", "stripped = true"),
    )
] + [
    ("an event removed", "DELETE FROM events WHERE seq = 7", "DELETE FROM events WHERE seq = 7", {("one", 9)}),
    # The first event of a trace: in SQLite the others point to it.
    (
        "the first event removed",
        "DELETE FROM events WHERE seq = 1",
        "DELETE FROM events WHERE seq = 1",
        {("one", 3)},
    ),
    (
        "an end removed",
        "DELETE FROM events WHERE seq > 10",
        "DELETE FROM events WHERE seq > 10",
        {("one", 9), ("two", 10)},
    ),
    ("two events of a session swapped", SWAP_EVENTS, "", {("one", 5)}),
    ("two payloads swapped", SWAP_PAYLOADS, "", {("one", 7)}),
    (
        "an event moved to another session",
        "UPDATE events SET session = (SELECT id FROM sessions WHERE name = 'two') WHERE seq = 7",
        "UPDATE events SET session = (SELECT id FROM names WHERE name = 'two') WHERE seq = 7",
        {("two", 7), ("one", 9)},
    ),
    (
        "events of two sessions swapped",
        "UPDATE events SET session = 3 - session WHERE seq IN (7, 8)",
        SWAP_SESSIONS,
        {("one", 8), ("two", 7)},
    ),
    (
        "sessions renamed",
        "UPDATE sessions SET name = name || '!' WHERE name = 'one'",
        "UPDATE names SET name = 'one!' WHERE name = 'one'",
        {("one!", 1)},
    ),
    (
        "a session unlisted",
        "DELETE FROM sessions WHERE name = 'one'",
        "DELETE FROM sessions WHERE session = (SELECT id FROM names WHERE name = 'one')",
        {("one", 1), ("(session 1 without a name)", 1)},
    ),
    ("an end set back", "UPDATE sessions SET last_seq = 3", "", {("one", 3), ("two", 4)}),
    ("a count changed", "UPDATE sessions SET events = 100 WHERE last_seq = 11", "", {("one", 11)}),
    (
        "a head changed",
        "UPDATE sessions SET digest = x'' WHERE last_seq = 11",
        "UPDATE sessions SET digest = '' WHERE last_seq = 11",
        {("one", 11)},
    ),
    (
        "a name removed",
        "DELETE FROM names WHERE name = 'own.said'",
        "DELETE FROM names WHERE name = 'own.said'",
        {("one", 1), ("two", 2)},
    ),
    (
        "a name changed",
        "UPDATE names SET name = 'own.unsaid' WHERE name = 'own.said'",
        "UPDATE names SET name = 'own.unsaid' WHERE name = 'own.said'",
        {("one", 1), ("two", 2)},
    ),
    # Long texts: at 4 one of nobody's, at 5 one of ada's.
    (
        "a text replaced",
        "UPDATE contents SET data = x'0068656c6c6f' WHERE id = 1",
        "UPDATE contents SET data = '\\x00'::bytea || 'hello' WHERE substring(data, 1, 1) <> '\\x02'",
        {("two", 4)},
    ),
    (
        "a sealed text replaced by one in plain",
        "UPDATE contents SET data = x'0068656c6c6f' WHERE id = 2",
        "UPDATE contents SET data = '\\x00'::bytea || 'hello' WHERE substring(data, 1, 1) = '\\x02'",
        {("one", 5)},
    ),
    (
        "a sealed text damaged",
        "UPDATE contents SET data = substr(data, 1, 40) WHERE id = 2",
        "UPDATE contents SET data = substring(data, 1, 40) WHERE substring(data, 1, 1) = '\\x02'",
        {("one", 5)},
    ),
    ("all texts removed", "DELETE FROM contents", "", {("two", 4), ("one", 5)}),
    ("a key removed", "DELETE FROM subject_keys", "", {("one", 5)}),
]  # fmt: skip


async def write(node: Node, make_store: Callable[[], EventStore]) -> None:
    """Twelve events: odd places in session one, even in two; 5 and 9 are ada's; traces and causes across."""
    await open_journal(node, make_store)
    traces = [new_id(), new_id()]
    ids = [new_id() for _ in range(12)]
    for seq in range(1, 13):
        event = NewEvent(
            "own.said",
            {"text": LONG if seq in (4, 5) else f"event {seq}", "n": seq},
            session="one" if seq % 2 else "two",
            process="" if seq != 7 else "somebody",
            trace_id=traces[seq % 2],
            cause_id=ids[seq - 4] if seq > 4 else None,
            id=ids[seq - 1],
            subject="person:ada" if seq in (5, 9) else "",
        )
        await node.run(partial(Journal.append, JOURNAL, [event]))


async def open_journal(node: Node, make_store: Callable[[], EventStore]) -> None:
    await node.start(child(Journal, make_store, JournalOptions(), None, MasterKey(b"m" * 32), name=JOURNAL))


def tamper(file: Path, sql: str) -> None:
    connection = apsw.Connection(str(file))
    connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    connection.execute(sql)
    connection.close()


async def breaks(node: Node) -> set[tuple[str, int]]:
    verdict = await node.run(partial(check_chains, Verifying(), None, Channel(lambda event: None)))  # type: ignore[arg-type]
    return {(found.session, found.seq) for found in verdict.breaks}


def as_expected(found: set[tuple[str, int]], expected: set[tuple[str, int]]) -> bool:
    """The first place is one that was tampered with, and so is that of each session; later ones may hang on it."""
    first = min((seq for _, seq in found), default=0)
    return first == min(seq for _, seq in expected) and bool(found & expected) and len(found) <= 2


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal's file, written once."""
    return tmp_path_factory.mktemp("written") / "journal.db"


async def ready(node: Node, written: Path, tmp_path: Path) -> Path:
    if not written.exists():
        await write(node, partial(SqliteStore, written))
        await node.run(stop, JOURNAL)
    file = tmp_path / "journal.db"
    file.write_bytes(written.read_bytes())
    return file


@pytest.mark.parametrize(("sql", "expected"), [(a[1], a[3]) for a in ATTACKS], ids=[a[0] for a in ATTACKS])
async def test_tampering_with_a_file_is_named_where_it_begins(
    node: Node, written: Path, tmp_path: Path, sql: str, expected: set[tuple[str, int]]
) -> None:
    file = await ready(node, written, tmp_path)
    tamper(file, sql)
    await open_journal(node, partial(SqliteStore, file))
    assert as_expected(await breaks(node), expected)


@pytest.mark.parametrize(
    ("sql", "expected"), [(a[2] or a[1], a[3]) for a in ATTACKS], ids=[a[0] for a in ATTACKS]
)
async def test_tampering_with_a_database_is_named_where_it_begins(
    node: Node, postgres: Postgres, sql: str, expected: set[tuple[str, int]]
) -> None:
    await write(node, partial(PostgresStore, postgres.url()))
    assert await breaks(node) == set()
    await node.run(stop, JOURNAL)
    postgres.sql("SET search_path TO planaria; SET session_replication_role = replica;" + sql)
    await open_journal(node, partial(PostgresStore, postgres.url()))
    assert as_expected(await breaks(node), expected)


async def test_an_untouched_file_is_whole(node: Node, written: Path, tmp_path: Path) -> None:
    await open_journal(node, partial(SqliteStore, await ready(node, written, tmp_path)))
    assert await breaks(node) == set()


async def test_what_is_no_event_any_more_is_damage_to_its_readers(
    node: Node, written: Path, tmp_path: Path
) -> None:
    file = await ready(node, written, tmp_path)
    tamper(file, "UPDATE events SET trace = 99, cause = 99 WHERE seq = 7")
    await open_journal(node, partial(SqliteStore, file))
    assert len(await node.run(partial(Journal.read, JOURNAL, Query(before_seq=7)))) == 6
    with pytest.raises(JournalUnavailable, match="event 7"):
        await node.run(partial(Journal.read, JOURNAL))
