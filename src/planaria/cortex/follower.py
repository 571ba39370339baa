"""Broadcasts committed events in order of `seq`, those of this node and those other nodes commit to the same store.

Part of the journal's process. Alone on a store every commit follows the one before, and is broadcast as it is. When
another node has written in between, or says so (`EventStore.listen`), what is missing is read from the store, and
goes out in its place: each event once, none left out, also over a lost connection.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from planaria.cortex.errors import StoreError
from planaria.cortex.event import Event
from planaria.cortex.query import Query
from planaria.cortex.store import EventStore
from planaria.otp import Task, TaskRef, broadcast, self_, send_after

NOTICE = object()
"""What the journal's process sends itself when others may have written."""
AGAIN = 1.0
"""Seconds until the store is tried again after a failure."""
PAGE = 500

type Read = Callable[[Query], Awaitable[list[Event]]]


class Follower:
    """What was broadcast, and how the rest comes.

    Args:
        read: the committed events a query asks for; raises `StoreError`.
        last_seq: the newest event in the store; it and what is before are not broadcast.
    """

    def __init__(self, store: EventStore, read: Read, last_seq: int) -> None:
        self.published = last_seq
        self.task: TaskRef | None = None
        self._store = store
        self._read = read
        self._wanted = last_seq  # an event known to be committed
        self._told = False  # others may have written since the task began
        self._resting = False
        me = self_()
        store.listen(lambda: me.node.send(me, NOTICE))

    def own(self, events: Sequence[Event]) -> None:
        """Events this node has committed."""
        if self.task is None and events[0].seq == self.published + 1:
            self._broadcast(events)
            return
        self._wanted = max(self._wanted, events[-1].seq)
        self._catch_up()

    def told(self) -> None:
        """`NOTICE` has come."""
        self._resting = False
        self._told = True
        self._catch_up()

    def done(self, outcome: Any) -> StoreError | None:
        """The task `task` has ended with this; the fault of the store, if it met one."""
        self.task = None
        if isinstance(outcome, StoreError):
            self._told = True
            if not self._resting:
                self._resting = True
                send_after(AGAIN, self_(), NOTICE)
            return outcome
        events: list[Event] = outcome
        self._broadcast(events)
        if self._told or len(events) == PAGE or self._wanted > self.published:
            self._catch_up()
        return None

    def _catch_up(self) -> None:
        if self.task is None and not self._resting:
            self._told = False
            self.task = Task.start_link(
                _missing, self._store, self._read, self.published, label="journal follow"
            )

    def _broadcast(self, events: Sequence[Event]) -> None:
        for event in events:
            broadcast("journal", event)
            broadcast(f"journal:{event.session}", event)
            self.published = event.seq


async def _missing(store: EventStore, read: Read, after_seq: int) -> list[Event] | StoreError:
    """What was committed after an event, a page of it; listening first, so that nothing falls in between."""
    try:
        await store.keep_listening()
        return await read(Query(after_seq=after_seq, limit=PAGE))
    except StoreError as error:
        return error
