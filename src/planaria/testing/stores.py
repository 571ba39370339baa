"""The contract suite of the journal's stores: what every file of `cortex/stores/` must pass.

```python
class TestMyStore(EventStoreContract):
    def make_store(self, folder: Path) -> PlainStore:
        return MyStore(...)
```
Every test gets a new store, opened; `folder` is its own.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from planaria.cortex.event import new_id
from planaria.cortex.query import Query
from planaria.cortex.store import Draft, Duplicate, PlainStore, Written


def draft(
    kind: str = "test.happened",
    *,
    session: str = "room:garden",
    trace_id: str = "trace",
    id: str = "",
    payload: bytes = b"{}",
) -> Draft:
    """A draft with what a test does not care about filled in."""
    return Draft(
        id=id or new_id(),
        at=1_700_000_000.25,
        trace_id=trace_id,
        cause_id=None,
        node="garden",
        process="<garden.1>",
        session=session,
        kind=kind,
        payload=payload,
    )


class EventStoreContract:
    """Subclass it as `TestX` and give it a store."""

    def make_store(self, folder: Path) -> PlainStore:
        """A store that is new and not open."""
        raise NotImplementedError

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[PlainStore]:
        store = self.make_store(tmp_path)
        await store.open()
        yield store
        await store.close()

    async def test_places_run_from_one_without_gaps(self, store: PlainStore) -> None:
        assert await store.append([[draft(), draft()], [draft()]]) == [Written(1), Written(3)]
        assert await store.append([[draft()]]) == [Written(4)]
        assert [event.seq for event in await store.read(Query())] == [1, 2, 3, 4]

    async def test_an_event_is_read_back_as_it_was_written(self, store: PlainStore) -> None:
        written = Draft(
            "ID1", 12.5, "T", "C", "n", "<n.1>", "room:é", "a.b", '{"ö":[1,null,2.5,"\\n"]}'.encode()
        )
        await store.append([[written]])
        (event,) = await store.read(Query())
        assert (event.seq, event.id, event.at, event.trace_id, event.cause_id) == (1, "ID1", 12.5, "T", "C")
        assert (event.node, event.process, event.session, event.kind) == ("n", "<n.1>", "room:é", "a.b")
        assert event.payload == {"ö": [1, None, 2.5, "\n"]}

    async def test_a_duplicate_id_refuses_its_whole_append_and_no_other(self, store: PlainStore) -> None:
        await store.append([[draft(id="A")]])
        batch = [[draft("first")], [draft("lost"), draft("lost", id="A")], [draft("second")]]
        assert await store.append(batch) == [Written(2), Duplicate("A"), Written(3)]
        assert [event.kind for event in await store.read(Query(after_seq=1))] == ["first", "second"]

    async def test_an_id_twice_in_one_append_refuses_it(self, store: PlainStore) -> None:
        assert await store.append([[draft(id="A"), draft(id="A")]]) == [Duplicate("A")]
        assert await store.read(Query()) == []

    async def test_an_id_used_by_an_earlier_append_of_the_batch_is_a_duplicate(
        self, store: PlainStore
    ) -> None:
        assert await store.append([[draft(id="A")], [draft(id="A")]]) == [Written(1), Duplicate("A")]

    async def test_an_empty_batch_writes_nothing(self, store: PlainStore) -> None:
        assert await store.append([]) == []
        assert await store.read(Query()) == []

    async def test_events_are_chosen_by_session_kind_and_trace(self, store: PlainStore) -> None:
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

    async def test_events_are_chosen_by_place_and_limit_from_either_end(self, store: PlainStore) -> None:
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

    async def test_what_was_written_is_there_after_closing_and_opening(self, store: PlainStore) -> None:
        await store.append([[draft("kept")]])
        await store.close()
        await store.close()
        await store.open()
        assert [event.kind for event in await store.read(Query())] == ["kept"]
        assert await store.append([[draft()]]) == [Written(2)]
