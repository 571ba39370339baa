"""The contract suite of the journal's stores: what every store of `cortex/stores/` must pass.

```python
class TestMyStore(EventStoreContract):
    def make_store(self, folder: Path) -> EventStore:
        return MyStore(...)
```
Every test gets a new store, opened; `folder` is its own.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from planaria.cortex.codec.chain import START, first_break, payload_hash
from planaria.cortex.event import new_id
from planaria.cortex.query import Query
from planaria.cortex.store import (
    ContentDraft,
    Draft,
    Duplicate,
    EventStore,
    Fence,
    Lease,
    SessionRow,
    Snapshot,
    Stale,
    Stored,
    SubjectKey,
    Written,
)


def draft(
    kind: str = "test.happened",
    *,
    session: str = "room:garden",
    trace_id: str = "trace",
    cause_id: str | None = None,
    id: str = "",
    at: float = 1_700_000_000.25,
    payload: bytes = b"{}",
    subject: str = "",
    contents: tuple[ContentDraft, ...] = (),
) -> Draft:
    """A draft with what a test does not care about filled in."""
    return Draft(
        id=id or new_id(),
        at=at,
        trace_id=trace_id,
        cause_id=cause_id,
        node="garden",
        process="<garden.1>",
        session=session,
        kind=kind,
        payload=payload,
        subject=subject,
        contents=contents,
    )


def content(text: str, number: int) -> ContentDraft:
    """A content with a made-up hash."""
    return ContentDraft(f"{number:064x}", text.encode(), len(text))


class EventStoreContract:
    """Subclass it as `TestX` and give it a store."""

    def make_store(self, folder: Path) -> EventStore:
        """A store that is new and not open."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[EventStore]:
        store = self.make_store(tmp_path)
        await store.open()
        yield store
        await store.close()

    async def test_places_run_from_one_without_gaps(self, store: EventStore) -> None:
        assert await store.append([[draft(), draft()], [draft()]]) == [Written(1), Written(3)]
        assert await store.append([[draft()]]) == [Written(4)]
        assert [event.seq for event in await store.read(Query())] == [1, 2, 3, 4]

    async def test_an_event_is_read_back_as_it_was_written(self, store: EventStore) -> None:
        payload = '{"ö":[1,null,2.5,"\\n"]}'.encode() + bytes(range(256))
        written = Draft(
            "ID1", 12.5, "T", "C", "n", "<n.1>", "room:é", "a.b", payload, 7, "person:é", (content("x", 1),)
        )
        await store.append([[written]])
        (event,) = await store.read(Query())
        assert (event.seq, event.id, event.at, event.trace_id, event.cause_id) == (1, "ID1", 12.5, "T", "C")
        assert (event.node, event.process, event.session, event.kind) == ("n", "<n.1>", "room:é", "a.b")
        assert (event.payload, event.version, event.subject) == (payload, 7, "person:é")
        assert not event.stripped

    @pytest.mark.parametrize(
        ("id", "trace_id", "cause_id", "process"),
        [
            (
                "01ARYZ6S410000000000000000",
                "01ARYZ6S410000000000000001",
                "01ARYZ6S410000000000000002",
                "<n.12>",
            ),
            (
                "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
                "00000000000000000000000000",
                "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
                "<n.0>",
            ),
            ("8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "01aryz6s410000000000000001", "", "<n.012>"),
            ("01ARYZ6S41000000000000000U", "", "01ARYZ6S410000000000000000~2", "<other.12>"),
            ("01ARYZ6S4100000000000000_0", " 1ARYZ6S410000000000000000", None, ""),
            ("5", "5", "5", "5"),
            ("٠١ARYZ6S410000000000000000", "-1ARYZ6S410000000000000000", "a" * 300, "<n.-1>"),
            ("x\0y", "x\0y", "1", "<n.99999999999999999999>"),
        ],
    )
    async def test_ids_and_names_of_any_form_come_back_as_they_were(
        self, store: EventStore, id: str, trace_id: str, cause_id: str | None, process: str
    ) -> None:
        first = Draft(id, 1.5, trace_id, cause_id, "n", process, "", "k", b"{}")
        second = Draft("second", 2.5, trace_id, id, "n", process, id, "k", b"{}")
        await store.append([[first, second]])
        for _ in range(2):
            events = await store.read(Query())
            assert [e.id for e in events] == [id, "second"]
            assert [e.trace_id for e in events] == [trace_id, trace_id]
            assert [e.cause_id for e in events] == [cause_id, id]
            assert [e.process for e in events] == [process, process]
            assert [e.session for e in events] == ["", id]
            assert await store.read(Query(trace_id=trace_id)) == events
            assert await store.find(id) == events[0]
            await store.close()
            await store.open()
        assert await store.append([[second]]) == [Duplicate("second")]

    async def test_a_duplicate_id_refuses_its_whole_append_and_no_other(self, store: EventStore) -> None:
        await store.append([[draft(id="A")]])
        batch = [[draft("first")], [draft("lost"), draft("lost", id="A")], [draft("second")]]
        assert await store.append(batch) == [Written(2), Duplicate("A"), Written(3)]
        assert [event.kind for event in await store.read(Query(after_seq=1))] == ["first", "second"]

    async def test_an_id_twice_in_one_append_refuses_it(self, store: EventStore) -> None:
        assert await store.append([[draft(id="A"), draft(id="A")]]) == [Duplicate("A")]
        assert await store.read(Query()) == []

    async def test_an_id_used_by_an_earlier_append_of_the_batch_is_a_duplicate(
        self, store: EventStore
    ) -> None:
        assert await store.append([[draft(id="A")], [draft(id="A")]]) == [Written(1), Duplicate("A")]

    async def test_an_empty_batch_writes_nothing(self, store: EventStore) -> None:
        assert await store.append([]) == []
        assert await store.read(Query()) == []

    async def test_events_are_chosen_by_session_kind_and_trace(self, store: EventStore) -> None:
        await store.append(
            [
                [
                    draft("a", session="s1", trace_id="t1"),
                    draft("b", session="s1", trace_id="t2"),
                    draft("a", session="s2", trace_id="t1"),
                    draft("c", session="s2", trace_id="t2"),
                ]
            ]
        )

        async def places(query: Query) -> list[int]:
            return [event.seq for event in await store.read(query)]

        assert await places(Query(session="s1")) == [1, 2]
        assert await places(Query(kinds=("a", "c"))) == [1, 3, 4]
        assert await places(Query(trace_id="t1")) == [1, 3]
        assert await places(Query(session="s2", kinds=("a", "b"), trace_id="t1")) == [3]
        assert await places(Query(session="nobody")) == []

    async def test_events_are_chosen_by_place_and_limit_from_either_end(self, store: EventStore) -> None:
        await store.append([[draft() for _ in range(10)]])

        async def places(query: Query) -> list[int]:
            return [event.seq for event in await store.read(query)]

        assert await places(Query(after_seq=7)) == [8, 9, 10]
        assert await places(Query(before_seq=3)) == [1, 2]
        assert await places(Query(after_seq=2, before_seq=6)) == [3, 4, 5]
        assert await places(Query(limit=2)) == [1, 2]
        assert await places(Query(limit=2, newest_first=True)) == [10, 9]
        assert await places(Query(session="room:garden", before_seq=9, limit=2, newest_first=True)) == [8, 7]
        assert await places(Query(limit=0)) == []
        assert await places(Query(after_seq=10**30)) == []
        assert await places(Query(after_seq=-(10**30), before_seq=10**30, limit=10**30, kinds=("x",))) == []

    async def test_what_was_written_is_there_after_closing_and_opening(self, store: EventStore) -> None:
        await store.append([[draft("kept")]])
        await store.close()
        await store.close()
        await store.open()
        assert [event.kind for event in await store.read(Query())] == ["kept"]
        assert await store.append([[draft()]]) == [Written(2)]

    async def test_events_are_chosen_by_time_and_by_what_is_left_of_them(self, store: EventStore) -> None:
        await store.append([[draft(at=1.0), draft(at=2.0), draft(at=3.0)]])
        await store.strip([2])

        async def places(query: Query) -> list[int]:
            return [event.seq for event in await store.read(query)]

        assert await places(Query(before_at=3.0)) == [1, 2]
        assert await places(Query(before_at=3.0, stripped=False, limit=5)) == [1]
        assert await places(Query(stripped=True)) == [2]

    async def test_a_trace_is_read_whole_in_order_from_either_end(self, store: EventStore) -> None:
        await store.append([[draft(trace_id="t"), draft(trace_id="u"), draft(trace_id="t")]])
        await store.append([[draft(trace_id="t")]])

        async def places(query: Query) -> list[int]:
            return [event.seq for event in await store.read(query)]

        assert await places(Query(trace_id="t")) == [1, 3, 4]
        assert await places(Query(trace_id="t", newest_first=True, limit=2)) == [4, 3]
        assert await places(Query(trace_id="t", after_seq=1, before_seq=4)) == [3]

    async def test_an_event_is_found_by_its_id(self, store: EventStore) -> None:
        await store.append([[draft("a", id="A"), draft("b", id="B")]])
        found = await store.find("B")
        assert found is not None and (found.seq, found.kind) == (2, "b")
        assert await store.find("C") is None

    # --- chain ---------------------------------------------------------------------------------------------------

    async def test_each_session_has_a_chain_of_its_own_that_holds(self, store: EventStore) -> None:
        for number in range(3):
            await store.append(
                [[draft(session="a", payload=b"%d" % number)], [draft(session="b"), draft(session="a")]]
            )
            await store.close()
            await store.open()
        heads = {row.name: row.digest for row in await store.sessions()}
        for session, count in (("a", 6), ("b", 3)):
            events = await store.read(Query(session=session))
            assert len(events) == count
            assert first_break(START, events) is None
            assert events[-1].digest == heads[session]
            assert first_break(START, events[1:]) is events[1]

    async def test_a_refused_append_leaves_no_trace_in_the_chain(self, store: EventStore) -> None:
        await store.append([[draft(id="A")]])
        await store.append([[draft()], [draft(), draft(id="A")], [draft()]])
        await store.append([[draft(id="A")]])
        await store.append([[draft()]])
        events = await store.read(Query())
        assert len(events) == 4
        assert first_break(START, events) is None

    # --- sessions ------------------------------------------------------------------------------------------------

    async def test_sessions_are_told_by_prefix_the_latest_first(self, store: EventStore) -> None:
        await store.append([[draft(session="room:a", at=1.0), draft(session="run:1", at=2.0)]])
        await store.append([[draft(session="room:b", at=3.0)], [draft(session="room:a", at=4.0)]])
        rows = [
            (row.name, row.events, row.first_seq, row.last_seq, row.last_at) for row in await store.sessions()
        ]
        assert rows == [("room:a", 2, 1, 4, 4.0), ("room:b", 1, 3, 3, 3.0), ("run:1", 1, 2, 2, 2.0)]
        assert [row.name for row in await store.sessions("room:")] == ["room:a", "room:b"]
        assert [row.name for row in await store.sessions("room:", 1)] == ["room:a"]
        assert await store.sessions("room:%") == await store.sessions("_") == []
        assert isinstance((await store.sessions())[0], SessionRow)

    # --- contents ------------------------------------------------------------------------------------------------

    async def test_contents_are_kept_with_the_events_that_refer_to_them(self, store: EventStore) -> None:
        long, other = content("long", 1), content("other", 2)
        await store.append(
            [[draft(contents=(long, other))], [draft(contents=(long,)), draft(contents=(long,))]]
        )
        wanted = [long.hash, other.hash, content("", 3).hash]
        assert await store.contents(wanted) == {long.hash: b"long", other.hash: b"other"}
        assert await store.contents([]) == {}

    async def test_contents_of_a_refused_append_are_not_kept(self, store: EventStore) -> None:
        lost = content("lost", 1)
        await store.append([[draft(id="A")]])
        await store.append([[draft(contents=(lost,)), draft(id="A")]])
        assert await store.contents([lost.hash]) == {}

    async def test_a_sweep_deletes_what_no_event_refers_to(self, store: EventStore) -> None:
        shared, single = content("shared", 1), content("single", 2)
        await store.append([[draft(contents=(shared, single)), draft(contents=(shared,))]])
        assert await store.sweep_contents() == 0
        await store.strip([1])
        assert await store.sweep_contents() == 1
        assert await store.contents([shared.hash, single.hash]) == {shared.hash: b"shared"}
        assert await store.append([[draft(contents=(single,))]]) == [Written(3)]
        assert await store.contents([single.hash]) == {single.hash: b"single"}

    # --- pruning -------------------------------------------------------------------------------------------------

    async def test_stripping_leaves_the_hash_of_a_payload_and_a_whole_chain(self, store: EventStore) -> None:
        await store.append([[draft(payload=b"one"), draft(payload=b"two"), draft(payload=b"three")]])
        assert await store.strip([1, 3, 3, 99, 0, -1]) == 2
        assert await store.strip([1]) == 0
        events = await store.read(Query())
        assert [event.stripped for event in events] == [True, False, True]
        assert [event.payload for event in events] == [payload_hash(b"one"), b"two", payload_hash(b"three")]
        assert first_break(START, events) is None
        await store.append([[draft()]])
        assert first_break(START, await store.read(Query())) is None

    # --- snapshots -----------------------------------------------------------------------------------------------

    async def test_a_snapshot_is_kept_for_each_session_and_name(self, store: EventStore) -> None:
        await store.append([[draft(session="a"), draft(session="a"), draft(session="b")]])
        assert await store.load_snapshot("a", "turns", 1) is None
        first = Snapshot("a", "turns", 1, 1, b"first")
        later = Snapshot("a", "turns", 1, 2, b"later")
        other = Snapshot("a", "other", 3, 1, b"other")
        assert [await store.save_snapshot(each) for each in (first, other, later)] == [True] * 3
        assert await store.load_snapshot("a", "turns", 1) == later
        assert await store.load_snapshot("a", "other", 3) == other
        assert await store.load_snapshot("a", "turns", 2) is None
        assert await store.load_snapshot("b", "turns", 1) is None
        await store.close()
        await store.open()
        assert await store.load_snapshot("a", "turns", 1) == later

    async def test_a_snapshot_of_an_event_that_is_not_the_sessions_is_not_kept(
        self, store: EventStore
    ) -> None:
        await store.append([[draft(session="a"), draft(session="b")]])
        for seq in (0, 2, 3):
            assert not await store.save_snapshot(Snapshot("a", "turns", 1, seq, b""))
        assert not await store.save_snapshot(Snapshot("nobody", "turns", 1, 1, b""))

    async def test_a_snapshot_folded_before_an_erasure_is_not_kept_after_it(self, store: EventStore) -> None:
        await store.append([[draft(session="a")]])
        before = await store.erasures()
        await store.put_subject_key(SubjectKey("ada", 1, b"k"))
        assert await store.erasures() == before == 0
        assert await store.save_snapshot(Snapshot("a", "turns", 1, 1, b"what ada said", before))
        assert await store.load_snapshot("a", "turns", 1) == Snapshot("a", "turns", 1, 1, b"what ada said")
        await store.destroy_subject_keys("ada")
        assert await store.erasures() == 1
        assert not await store.save_snapshot(Snapshot("a", "turns", 1, 1, b"what ada said", before))
        assert await store.load_snapshot("a", "turns", 1) is None
        assert await store.save_snapshot(Snapshot("a", "turns", 1, 1, b"nothing of hers", 1))
        assert await store.save_snapshot(Snapshot("a", "other", 1, 1, b"of nobody"))

    async def test_pruning_drops_the_snapshots_of_the_session(self, store: EventStore) -> None:
        await store.append([[draft(session="a"), draft(session="b")]])
        kept = Snapshot("b", "turns", 1, 2, b"")
        await store.save_snapshot(Snapshot("a", "turns", 1, 1, b""))
        await store.save_snapshot(kept)
        await store.strip([1])
        assert await store.load_snapshot("a", "turns", 1) is None
        assert await store.load_snapshot("b", "turns", 1) == kept

    # --- keys ----------------------------------------------------------------------------------------------------

    async def test_the_first_key_of_a_generation_stands(self, store: EventStore) -> None:
        ours, theirs = SubjectKey("person:ada", 1, b"ours"), SubjectKey("person:ada", 1, b"theirs")
        assert await store.put_subject_key(ours) == ours
        assert await store.put_subject_key(theirs) == ours
        assert await store.subject_keys("person:ada") == [ours]
        assert await store.subject_keys("person:bob") == []

    async def test_destroyed_keys_leave_their_place(self, store: EventStore) -> None:
        await store.append([[draft(session="a")]])
        await store.save_snapshot(Snapshot("a", "turns", 1, 1, b"what ada said"))
        for subject, generation in (("ada", 1), ("ada", 2), ("bob", 1)):
            await store.put_subject_key(SubjectKey(subject, generation, b"k"))
        assert await store.destroy_subject_keys("ada") == 2
        assert await store.destroy_subject_keys("ada") == 0
        ada = [SubjectKey("ada", 1, None), SubjectKey("ada", 2, None)]
        assert await store.subject_keys("ada") == ada
        assert await store.subject_keys() == [*ada, SubjectKey("bob", 1, b"k")]
        assert await store.subject_keys(limit=1) == ada[:1]
        assert await store.put_subject_key(SubjectKey("ada", 2, b"again")) == ada[1]
        assert await store.load_snapshot("a", "turns", 1) is None

    # --- leases --------------------------------------------------------------------------------------------------

    async def test_a_secret_is_kept_by_its_name_until_it_is_let_go(self, store: EventStore) -> None:
        for name, sealed in (
            ("provider:é", b"\0a"),
            ("provider:b", b"b"),
            ("totp", b"t"),
            ("provider:b", b"c"),
        ):
            await store.put_secret(name, sealed)
        assert await store.secrets("provider:") == {"provider:b": b"c", "provider:é": b"\0a"}
        await store.put_secret("provider:b", None)
        await store.put_secret("provider:b", None)
        await store.close()
        await store.open()
        assert await store.secrets() == {"provider:é": b"\0a", "totp": b"t"}

    async def test_a_lease_has_one_holder_at_a_time(self, store: EventStore) -> None:
        mine = await store.acquire_lease("run:1", "me", 1000.0)
        assert isinstance(mine, Lease) and (mine.name, mine.holder, mine.token) == ("run:1", "me", 1)
        assert await store.acquire_lease("run:1", "you", 1000.0) is None
        again = await store.acquire_lease("run:1", "me", 2000.0)
        assert again is not None and again.token == 2 and again.expires_at > mine.expires_at
        assert again.since == mine.since
        assert await store.lease("run:1") == again
        assert await store.lease("run:2") is None
        assert await store.renew_lease(mine, 1000.0) is None
        assert await store.append([[draft()]], [Fence("run:1", mine.token)]) == [Stale("run:1")]
        other = await store.acquire_lease("run:2", "you", 1000.0)
        assert other is not None and other.token == 1

    async def test_a_lease_that_is_over_goes_to_the_next_with_a_higher_token(self, store: EventStore) -> None:
        mine = await store.acquire_lease("run:1", "me", -1.0)
        yours = await store.acquire_lease("run:1", "you", 1000.0)
        assert mine is not None and yours is not None and (mine.token, yours.token) == (1, 2)
        assert await store.renew_lease(mine, 1000.0) is None
        await store.release_lease(mine)
        assert await store.acquire_lease("run:1", "me", 1000.0) is None
        await store.release_lease(yours)
        back = await store.acquire_lease("run:1", "me", 1000.0)
        assert back is not None and back.token == 3

    async def test_who_renews_late_keeps_a_lease_nobody_else_took(self, store: EventStore) -> None:
        mine = await store.acquire_lease("run:1", "me", -1.0)
        assert mine is not None
        renewed = await store.renew_lease(mine, 1000.0)
        assert renewed is not None and renewed.token == 1 and renewed.expires_at > mine.expires_at
        assert await store.acquire_lease("run:1", "you", 1000.0) is None
        await store.release_lease(renewed)
        assert await store.renew_lease(renewed, 1000.0) is None

    async def test_a_fence_refuses_what_a_former_holder_writes(self, store: EventStore) -> None:
        mine = await store.acquire_lease("run:1", "me", -1.0)
        assert mine is not None
        fence = Fence("run:1", mine.token)
        assert await store.append([[draft()]], [fence]) == [Written(1)]
        yours = await store.acquire_lease("run:1", "you", 1000.0)
        assert yours is not None
        batch = [[draft()], [draft("lost")], [draft()], [draft("lost")]]
        fences = [None, fence, Fence("run:1", yours.token), Fence("nobody", 1)]
        assert await store.append(batch, fences) == [Written(2), Stale("run:1"), Written(3), Stale("nobody")]
        events: list[Stored] = await store.read(Query())
        assert [event.kind for event in events] == ["test.happened"] * 3
        assert first_break(START, events) is None

    # --- keeping house -------------------------------------------------------------------------------------------

    async def test_a_sound_store_says_so_and_how_large_it_is(self, store: EventStore) -> None:
        await store.append([[draft(contents=(content("long", 1),)), draft(session="b")]])
        await store.strip([1])
        assert await store.check() == []
        assert await store.size() > 0
