"""A store in memory: the journal's contract without a disk, and with faults on request."""

from collections.abc import Sequence
from typing import Any

import msgspec

from planaria.cortex.errors import StoreError, StoreFailed
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.store import Draft, Duplicate, Written


class MemoryStore:
    """An `EventStore` that forgets with its object, not with `close`.

    Attributes:
        fault: raised by `append` and `read` while it is set.
        batches: how many appends each commit had, in order.
    """

    def __init__(self) -> None:
        self.fault: StoreError | None = None
        self.batches: list[int] = []
        self._events: list[Event] = []
        self._ids: set[str] = set()
        self._open = False

    async def open(self) -> None:
        """See `EventStore.open`."""
        self._open = True

    async def migrate(self) -> int:
        """See `EventStore.migrate`."""
        return 1

    async def append(self, batch: Sequence[Sequence[Draft]]) -> list[Written | Duplicate]:
        """See `EventStore.append`."""
        self._check()
        self.batches.append(len(batch))
        return [self._insert(drafts) for drafts in batch]

    async def read(self, query: Query) -> list[Event]:
        """See `EventStore.read`."""
        self._check()
        found = [event for event in self._events if _matches(query, event)]
        if query.newest_first:
            found.reverse()
        return found if query.limit is None else found[: max(0, query.limit)]

    async def close(self) -> None:
        """See `EventStore.close`."""
        self._open = False

    def _check(self) -> None:
        if not self._open:
            raise StoreFailed("the store is not open", "open the store first")
        if self.fault is not None:
            raise self.fault

    def _insert(self, drafts: Sequence[Draft]) -> Written | Duplicate:
        seen: set[str] = set()
        for draft in drafts:
            if draft.id in self._ids or draft.id in seen:
                return Duplicate(draft.id)
            seen.add(draft.id)
        first = len(self._events) + 1
        self._ids |= seen
        for seq, draft in enumerate(drafts, start=first):
            fields: dict[str, Any] = msgspec.structs.asdict(draft)
            del fields["contents"]
            fields["seq"], fields["payload"] = seq, msgspec.json.decode(draft.payload)
            self._events.append(Event(**fields))
        return Written(first)


def _matches(query: Query, event: Event) -> bool:
    return (
        event.seq > query.after_seq
        and (query.before_seq is None or event.seq < query.before_seq)
        and (query.session is None or event.session == query.session)
        and (query.trace_id is None or event.trace_id == query.trace_id)
        and (not query.kinds or event.kind in query.kinds)
    )
