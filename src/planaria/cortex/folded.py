"""State that is a fold over one session, kept by a process, and saved now and then so that a start is quick.

    subscribe("journal:questions")               # first: what comes during the fold is taken in after it
    book = await Book.load("questions", "book")
    ...
    book.take(event)                             # each event once; one that is in it changes nothing
    if book.is_due(): Task.start_link(save, book.saved("questions", "book"))

A snapshot is written after 500 events, or after as many as the state has parts if that is more, so that over the years
writing snapshots costs as much as the events do and a start reads a bounded tail.
"""

from typing import ClassVar, Self

import msgspec

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.fold import events_of
from planaria.cortex.journal import Journal
from planaria.cortex.store import Snapshot
from planaria.otp import CallError, Server

LEAST_EVENTS = 500
"""Events between two snapshots, at least."""


class Folded(msgspec.Struct):
    """What a session comes to. Subclass it with fields msgpack can say; belongs to one process.

    Attributes:
        version: of the fields and of `apply`; another one is folded anew from the beginning.
        seq: the last event that is in it.
        unsaved: events since the last snapshot.
        erasures: how many keys had been destroyed when its folding began; snapshots of a state that may hold what was
            erased since are not kept.
    """

    version: ClassVar[int] = 1

    seq: int = 0
    unsaved: int = 0
    erasures: int | None = None

    def apply(self, event: Event) -> None:
        """Take one event in. It may be erased or pruned: then its payload is empty."""
        raise NotImplementedError

    def size(self) -> int:
        """Parts it has now, about what a snapshot costs to write."""
        return 0

    def take(self, event: Event) -> bool:
        """Take one event in; False if it is in it already."""
        if event.seq <= self.seq:
            return False
        self.seq = event.seq
        self.unsaved += 1
        self.apply(event)
        return True

    def is_due(self) -> bool:
        """Whether a snapshot is worth its while."""
        return self.unsaved >= max(LEAST_EVENTS, self.size())

    def saved(self, session: str, name: str) -> Snapshot:
        """This as a snapshot; counts as saved from now on."""
        self.unsaved = 0
        data = msgspec.msgpack.encode(self)
        return Snapshot(session, name, self.version, self.seq, data, self.erasures)

    @classmethod
    async def load(cls, session: str, name: str, journal: Server = "journal") -> Self:
        """The state of a session as the journal has it now; waits while the store fails.

        Raises:
            CallError: the journal's process is away or has not answered in time.
        """
        state = cls()
        erasures = None
        try:
            erasures = await Journal.erasures(
                journal
            )  # first: what is erased from here on may be in the state
            snapshot = await Journal.load_snapshot(journal, session, name, cls.version)
        except JournalUnavailable:
            snapshot = None  # only slower
        if snapshot is not None:
            state = msgspec.msgpack.decode(snapshot.data, type=cls)
        state.erasures = -1 if erasures is None else erasures
        async for event in events_of(journal, session, after_seq=state.seq):
            state.take(event)
        return state


async def save(snapshot: Snapshot, journal: Server = "journal") -> None:
    """Write a snapshot; in a task. One that cannot be written now is no loss."""
    try:
        await Journal.save_snapshot(journal, snapshot)
    except (JournalUnavailable, CallError):
        pass
