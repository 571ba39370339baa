"""The journal keeps what belongs to somebody sealed, and long texts once; who appends and reads sees neither."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest

from planaria.cortex.codec.chain import START, first_break
from planaria.cortex.codec.contents import plain_hash
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import JournalUnavailable, SealError, StaleLease
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.folded import Folded
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.query import Query
from planaria.cortex.store import EventStore, Fence, Snapshot
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.otp import Crash, Node, Pid, StartFailed, child, stop
from planaria.testing.memory_store import MemoryStore

MASTER = MasterKey(b"m" * 32)
LONG = "planaria in the pond, " * 100


async def start(node: Node, make_store: Callable[[], EventStore], master: MasterKey | None = MASTER) -> Pid:
    return await node.start(child(Journal, make_store, JournalOptions(), None, master, name="journal"))


def said(text: str, who: str = "ada") -> NewEvent:
    subject = f"person:{who}" if who else ""
    return NewEvent("room.message", {"text": text}, session="room:garden", subject=subject)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


def anywhere(path: Path, text: str) -> bool:
    """Whether a text stands in a file of the journal."""
    return any(text.encode() in file.read_bytes() for file in path.parent.iterdir())


@pytest.mark.parametrize("text", ["a secret wish of some length that may be packed", LONG, "short"])
async def test_what_a_person_says_stands_in_no_file_and_is_read_as_it_was(
    node: Node, path: Path, text: str
) -> None:
    journal = await start(node, partial(SqliteStore, path))
    (event,) = await Journal.append(journal, [said(text)])
    assert event.payload == {"text": text}
    assert not anywhere(path, text[:20])
    assert await Journal.read(journal) == [event]
    assert await Journal.find(journal, event.id) == event
    await node.run(stop, journal)
    journal = await start(node, partial(SqliteStore, path))
    assert await Journal.read(journal) == [event]


async def test_after_an_erasure_everything_but_the_content_stands(node: Node, path: Path) -> None:
    journal = await start(node, partial(SqliteStore, path))
    await Journal.append(journal, [said("mine"), said(LONG), said("his", "bob"), said("nobody's", "")])
    assert await Journal.erase(journal, "person:ada") == 1
    events = await Journal.read(journal)
    assert [(e.state, e.payload) for e in events] == [
        ("erased", {}),
        ("erased", {}),
        ("whole", {"text": "his"}),
        ("whole", {"text": "nobody's"}),
    ]
    assert {e.subject for e in events} == {"person:ada", "person:bob", ""}
    assert first_break(START, await Journal.stored(journal, Query())) is None
    await node.run(stop, journal)
    journal = await start(node, partial(SqliteStore, path))
    assert await Journal.read(journal) == events


async def test_who_comes_back_after_an_erasure_gets_a_new_key(node: Node) -> None:
    journal = await start(node, MemoryStore)
    await Journal.append(journal, [said("before")])
    await Journal.erase(journal, "person:ada")
    await Journal.append(journal, [said("after")])
    assert [(e.state, e.payload) for e in await Journal.read(journal)] == [
        ("erased", {}),
        ("whole", {"text": "after"}),
    ]
    keys = await Journal.subject_keys(journal, "person:ada")
    assert [(key.generation, key.wrapped is None) for key in keys] == [(1, True), (2, False)]
    assert await Journal.erase(journal, "person:ada") == 1
    assert {e.state for e in await Journal.read(journal)} == {"erased"}


async def test_a_guess_of_a_long_text_cannot_be_confirmed(node: Node) -> None:
    store = MemoryStore()
    journal = await start(node, lambda: store)
    await Journal.append(journal, [said(LONG), said(LONG, "bob")])
    digest = plain_hash(LONG.encode())
    assert await Journal.contents(journal, [digest]) == {}
    found = await Journal.read(journal, Query(contents=False))
    addresses = [event.payload["text"]["$content"] for event in found]
    assert len({*addresses, digest}) == 3
    kept = await Journal.contents(journal, addresses)
    assert len(kept) == 2 and not any(b"planaria" in data for data in kept.values())


async def test_another_master_key_refuses_the_start(node: Node, path: Path) -> None:
    journal = await start(node, partial(SqliteStore, path))
    await Journal.append(journal, [said("x")])
    await node.run(stop, journal)
    with pytest.raises(StartFailed, match="put back the master key") as caught:
        await start(node, partial(SqliteStore, path), MasterKey(b"x" * 32))
    assert isinstance(caught.value.reason, Crash) and isinstance(caught.value.reason.error, SealError)


async def test_another_master_key_refuses_the_start_also_when_the_first_person_was_erased(
    node: Node, path: Path
) -> None:
    journal = await start(node, partial(SqliteStore, path))
    await Journal.append(journal, [said("x"), said("y", "bob")])
    await Journal.erase(journal, "person:ada")
    await node.run(stop, journal)
    with pytest.raises(StartFailed, match="put back the master key"):
        await start(node, partial(SqliteStore, path), MasterKey(b"x" * 32))


async def test_without_a_master_key_nothing_is_sealed_and_what_is_cannot_be_read(
    node: Node, path: Path
) -> None:
    journal = await start(node, partial(SqliteStore, path), None)
    plain = await Journal.append(journal, [said("in plain")])
    await node.run(stop, journal)
    journal = await start(node, partial(SqliteStore, path))
    assert await Journal.read(journal) == plain
    await Journal.append(journal, [said("sealed")])
    await node.run(stop, journal)
    journal = await start(node, partial(SqliteStore, path), None)
    with pytest.raises(JournalUnavailable, match="start the journal with its master key"):
        await Journal.read(journal)


async def test_a_sealed_payload_moved_to_another_event_is_damage(node: Node, path: Path) -> None:
    journal = await start(node, partial(SqliteStore, path))
    await Journal.append(journal, [said("one"), said("two")])
    await node.run(stop, journal)
    other = apsw.Connection(str(path))
    other.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
    other.execute("UPDATE events SET payload = (SELECT payload FROM events WHERE seq = 1) WHERE seq = 2")
    other.close()
    journal = await start(node, partial(SqliteStore, path))
    with pytest.raises(JournalUnavailable, match=r"event 2 \(room.message\) is not as it was sealed"):
        await Journal.read(journal)
    assert len(await Journal.read(journal, Query(before_seq=2))) == 1


# --- long texts ------------------------------------------------------------------------------------------------------


async def test_a_long_text_costs_its_place_once(node: Node, path: Path) -> None:
    journal = await start(node, partial(SqliteStore, path))
    text = "".join(f"{n} planarians, " for n in range(20_000))
    payload = {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "short"}]}
    asked = [NewEvent("model.requested", payload, session="s") for _ in range(20)]
    for event in asked[:2]:
        await Journal.append(journal, [event])
    size = await Journal.size(journal)
    for event in asked[2:]:
        await Journal.append(journal, [event])
    # What grows is the write-ahead log: a few pages for each commit, none of them the text's.
    assert await Journal.size(journal) - size < 18 * 12 * 4200
    events = await Journal.read(journal)
    assert all(event.payload == payload for event in events)
    (kept,) = await Journal.read(journal, Query(contents=False, limit=1))
    reference = {"$content": plain_hash(text.encode()), "chars": len(text)}
    assert kept.payload["messages"][0]["content"] == reference


async def test_a_payload_that_speaks_of_contents_comes_back_as_it_was(node: Node) -> None:
    journal = await start(node, MemoryStore)
    payload = {"$content": "0" * 64, "chars": 3, "$$content": [{"$content": "0" * 64, "chars": 3}]}
    (event,) = await Journal.append(journal, [NewEvent("a.b", payload)])
    assert event.payload == payload
    assert await Journal.read(journal) == [event]


async def test_a_text_that_is_gone_is_damage(node: Node, path: Path) -> None:
    journal = await start(node, partial(SqliteStore, path))
    await Journal.append(journal, [said(LONG, "")])
    other = apsw.Connection(str(path))
    other.execute("DELETE FROM contents")
    other.close()
    with pytest.raises(JournalUnavailable, match=r"a text of event 1 \(room.message\) is missing"):
        await Journal.read(journal)


async def test_pruned_events_keep_their_place_and_lose_their_texts(node: Node) -> None:
    journal = await start(node, MemoryStore)
    await Journal.append(journal, [said(LONG, ""), said("kept", "")])
    assert await Journal.strip(journal, [1]) == 1
    assert await Journal.sweep_contents(journal) == 1
    events = await Journal.read(journal)
    assert [(e.state, e.payload) for e in events] == [("pruned", {}), ("whole", {"text": "kept"})]


# --- sessions, snapshots, leases -----------------------------------------------------------------------------------


async def test_sessions_and_snapshots_are_had_from_the_journal(node: Node) -> None:
    journal = await start(node, MemoryStore)
    await Journal.append(journal, [said("a"), NewEvent("run.started", {}, session="run:1")])
    assert [row.name for row in await Journal.sessions(journal)] == ["run:1", "room:garden"]
    assert [row.name for row in await Journal.sessions(journal, "room:", 5)] == ["room:garden"]
    snapshot = Snapshot("room:garden", "transcript", 1, 1, b"state")
    assert await Journal.save_snapshot(journal, snapshot)
    assert await Journal.load_snapshot(journal, "room:garden", "transcript", 1) == snapshot
    assert await Journal.load_snapshot(journal, "room:garden", "transcript", 2) is None
    assert await Journal.find(journal, "nobody") is None


async def test_a_snapshot_is_sealed_and_one_that_was_changed_is_not_loaded(node: Node, path: Path) -> None:
    journal = await start(node, partial(SqliteStore, path))
    await Journal.append(journal, [said("a")])
    snapshot = Snapshot("room:garden", "transcript", 1, 1, LONG.encode())
    assert await Journal.save_snapshot(journal, snapshot)
    assert not anywhere(path, LONG[:20])
    await node.run(stop, journal)
    journal = await start(node, partial(SqliteStore, path), None)
    assert await Journal.load_snapshot(journal, "room:garden", "transcript", 1) is None
    await node.run(stop, journal)
    journal = await start(node, partial(SqliteStore, path))
    assert await Journal.load_snapshot(journal, "room:garden", "transcript", 1) == snapshot
    for change in ("name = 'turns'", "data = x'00'", "data = substr(data, 1, 100)", "data = x'020001'"):
        other = apsw.Connection(str(path))
        other.execute(f"UPDATE snapshots SET {change}")
        other.close()
        for name in ("transcript", "turns"):
            assert await Journal.load_snapshot(journal, "room:garden", name, 1) is None


async def test_who_held_in_memory_what_was_erased_keeps_no_snapshot_of_it(node: Node) -> None:
    class Sayings(Folded):
        texts: list[str] = msgspec.field(default_factory=list)

        def apply(self, event: Event) -> None:
            self.texts.append(event.payload.get("text", "(erased)"))

    journal = await start(node, MemoryStore)
    await Journal.append(journal, [said("a secret")])
    before = await node.run(Sayings.load, "room:garden", "sayings", journal)
    assert await Journal.save_snapshot(journal, before.saved("room:garden", "sayings"))
    loaded = await node.run(Sayings.load, "room:garden", "sayings", journal)
    assert loaded.texts == ["a secret"]
    await Journal.erase(journal, "person:ada")
    for holder in (before, loaded):
        assert not await Journal.save_snapshot(journal, holder.saved("room:garden", "sayings"))
    after = await node.run(Sayings.load, "room:garden", "sayings", journal)
    assert after.texts == ["(erased)"]
    assert await Journal.save_snapshot(journal, after.saved("room:garden", "sayings"))


async def test_an_erasure_that_could_not_be_ended_leaves_no_key_in_memory(node: Node, path: Path) -> None:
    journal = await start(node, partial(SqliteStore, path, busy_timeout=0.01))
    await Journal.append(journal, [said("before")])
    other = apsw.Connection(str(path))
    other.execute("BEGIN; SELECT count(*) FROM events")
    with pytest.raises(JournalUnavailable, match="erase again"):
        await Journal.erase(journal, "person:ada")
    other.close(True)
    await Journal.append(journal, [said("after")])
    await node.run(stop, journal)
    journal = await start(node, partial(SqliteStore, path))
    assert [(e.state, e.payload) for e in await Journal.read(journal)] == [
        ("erased", {}),
        ("whole", {"text": "after"}),
    ]


async def test_an_append_under_a_lost_lease_is_refused(node: Node) -> None:
    store = MemoryStore()
    store.clock = lambda: 1000.0
    journal = await start(node, lambda: store)
    mine = await Journal.acquire(journal, "run:1", "me", -1.0)
    assert mine is not None
    fence = Fence("run:1", mine.token)
    await Journal.append(journal, [said("a")], fence=fence)
    yours = await Journal.acquire(journal, "run:1", "you", 60.0)
    assert yours is not None and await Journal.renew(journal, mine, 60.0) is None
    with pytest.raises(StaleLease, match="another has taken over the lease 'run:1'"):
        await Journal.append(journal, [said("lost")], fence=fence)
    await Journal.append(journal, [said("b")])
    assert [event.payload["text"] for event in await Journal.read(journal)] == ["a", "b"]


# --- stopping with a store that posts ------------------------------------------------------------------------------


async def test_a_stop_writes_and_answers_what_is_on_its_way_to_the_file(node: Node, path: Path) -> None:
    journal = await start(node, partial(SqliteStore, path))
    await Journal.append(journal, [said("first")])  # so that no key has to be fetched
    tasks = [asyncio.create_task(Journal.append(journal, [said(str(n))])) for n in range(30)]
    while (await Journal.status(journal)).waiting == 0 and not tasks[0].done():
        await asyncio.sleep(0)
    later = [asyncio.create_task(Journal.append(journal, [said("later")])) for _ in range(3)]
    await Journal.status(journal)  # it has them: their commit, or the one before, is on its way
    await node.run(stop, journal)
    answers: list[list[Event]] = await asyncio.gather(*tasks, *later)
    assert sorted(events[0].seq for events in answers) == list(range(2, 35))
    journal = await start(node, partial(SqliteStore, path))
    assert len(await Journal.read(journal)) == 34
