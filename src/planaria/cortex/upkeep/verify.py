"""Walks the chains of the journal and names the first place where each breaks. Only reads.

One pass over all events in order of their places, so it also finds a session that was removed as a whole: places run
without gaps. What a chain cannot show by itself is a journal whose end was cut off, or written anew with all digests
computed anew: for that, the heads seen earlier are compared (`heads`), kept where the writer of the file cannot reach.
A chain says what the payloads as kept are. That they open, and that the long texts they refer to are those that were
written, shows when the events are read (`read`).
Does badly: names only the first break of a session; what follows it cannot be told from what is sound. The order of
events of different sessions is bound by no chain; payloads that were pruned, and keys that were destroyed, by somebody
else look as if planaria had done it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from planaria.cortex.codec.chain import START, follows
from planaria.cortex.query import Query
from planaria.cortex.store import SessionRow, Stored

PAGE = 1000
"""Events in memory at a time."""
LOOK_AHEAD = 100
"""Events of a session after a break that are looked at to say what happened."""

type Damage = Literal[
    "changed", "removed", "inserted", "reordered", "cut", "rewritten", "unreadable", "miscounted"
]

type Fault = Callable[[Query], Awaitable[str | None]]
"""Reads events, and says what hinders that; None if nothing does."""


class Chains(Protocol):
    """What is walked: a store, or a journal in front of one."""

    async def read(self, query: Query) -> list[Stored]:
        """See `EventStore.read`."""
        ...

    async def sessions(self, prefix: str = "", limit: int | None = None) -> list[SessionRow]:
        """See `EventStore.sessions`."""
        ...


class Head(msgspec.Struct, frozen=True):
    """The end of a session's chain as it was seen: the place of its last event, and the digest there in hexadecimal."""

    seq: int
    digest: str


class Break(msgspec.Struct, frozen=True):
    """The first place where a chain does not hold.

    Attributes:
        session: whose; empty for places without any event.
        seq: of the event that does not follow from the one before it; of the last one there is, for `cut`.
        id: of that event; empty if there is none.
        detail: what was found, in words.
    """

    session: str
    what: Damage
    seq: int
    id: str
    detail: str


class Verdict(msgspec.Struct, frozen=True):
    """What the walk found.

    Attributes:
        heads: of each session, as they are now; to be kept and compared later.
        stripped: events without their payload, whose chain holds all the same.
    """

    sessions: int
    events: int
    stripped: int
    breaks: tuple[Break, ...]
    heads: dict[str, Head]


async def verify(
    store: Chains,
    session: str | None = None,
    heads: Mapping[str, Head] | None = None,
    progress: Callable[[int, int], object] | None = None,
    read: Fault | None = None,
) -> Verdict:
    """Walk the chain of a session, or of all.

    Args:
        session: None for all.
        heads: as an earlier verdict gave them; sessions that grew since are well.
        progress: told after each page how many events were walked, and up to which place.
        read: to read the events as well; None to look at chains alone.
    Raises:
        StoreError: it cannot be read.
    """
    # Before the walk: what is appended meanwhile only makes chains longer.
    newest = await store.read(Query(limit=1, newest_first=True, as_found=True))
    rows = await store.sessions("" if session is None else session)
    walk = _Walk(
        ends={row.name: row for row in rows if session is None or row.name == session},
        heads={name: head for name, head in (heads or {}).items() if session is None or name == session},
        whole=session is None,
        upto=newest[0].seq if newest else 0,
    )
    after = 0
    while page := await store.read(Query(session=session, after_seq=after, limit=PAGE, as_found=True)):
        for event in page:
            walk.take(event)
        if read is not None:
            await _read(read, walk, session, page)
        after = page[-1].seq
        if progress is not None:
            progress(walk.events, after)
    for name in walk.suspects:
        walk.breaks[name] = await _named(store, walk, name)
    walk.compare_ends()
    gaps = walk.gaps()
    for name, unreadable in walk.unreadable.items():
        if name not in walk.breaks or unreadable.seq < walk.breaks[name].seq:
            walk.breaks[name] = unreadable
    found = sorted((*walk.breaks.values(), *gaps), key=lambda broken: (broken.seq, broken.session))
    heads_now = {name: Head(last.seq, last.digest.hex()) for name, last in sorted(walk.last.items())}
    return Verdict(len(walk.last), walk.events, walk.stripped, tuple(found), heads_now)


class _Walk:
    """What has been seen so far."""

    def __init__(self, ends: dict[str, SessionRow], heads: dict[str, Head], whole: bool, upto: int) -> None:
        self.ends = ends
        self.heads = heads
        self.whole = whole  # whether every place is seen
        self.upto = upto  # what `ends` were read after
        self.counts: dict[str, tuple[int, int]] = {}  # events up to the end, and the place of the first
        self.events = self.stripped = self.place = 0
        self.last: dict[str, Stored] = {}
        self.suspects: dict[str, tuple[Stored | None, Stored]] = {}  # the last good one, the first bad one
        self.unreadable: dict[str, Break] = {}
        self.breaks: dict[str, Break] = {}
        self.missing: list[tuple[int, int]] = []  # places without an event, first and last

    def take(self, event: Stored) -> None:
        """Walk on by one event."""
        self.events += 1
        self.stripped += event.stripped
        if self.whole and event.seq != self.place + 1:
            self.missing.append((self.place + 1, event.seq - 1))
        self.place = event.seq
        name = event.session
        before = self.last.get(name)
        if name not in self.suspects and not follows(START if before is None else before.digest, event):
            self.suspects[name] = (before, event)
        self.last[name] = event
        digest = event.digest.hex()
        end = self.ends.get(name)
        if end is not None and event.seq <= end.last_seq:
            count, first = self.counts.get(name, (0, event.seq))
            self.counts[name] = (count + 1, first)
        if end is not None and end.last_seq == event.seq:
            self._compare_end(end, event)
        elif event.seq <= self.upto and (end is None or event.seq > end.last_seq):
            known = "is not there" if end is None else f"ends at {end.last_seq}"
            self._note("miscounted", event, f"in the list of sessions it {known}")
        if (head := self.heads.get(name)) and head.seq == event.seq and head.digest != digest:
            self._note("rewritten", event, f"the digest remembered is {head.digest}, this event has {digest}")

    def _compare_end(self, end: SessionRow, event: Stored) -> None:
        if end.digest != event.digest:
            detail = (
                f"what the session ended with was {end.digest.hex()}, this event has {event.digest.hex()}"
            )
            self._note("cut", event, detail)
        count, first = self.counts[end.name]
        if (end.events, end.first_seq, end.last_at) != (count, first, event.at):
            listed = f"{end.events} events from {end.first_seq} on, the last at {end.last_at}"
            detail = f"the list of sessions has {listed}; there are {count} from {first} on, the last at {event.at}"
            self._note("miscounted", event, detail)

    def compare_ends(self) -> None:
        """A session that ends before a head that is remembered was cut off."""
        ends = {name: row.last_seq for name, row in self.ends.items()}
        for name, seq in (*ends.items(), *((name, head.seq) for name, head in self.heads.items())):
            last = self.last.get(name)
            if last is None:
                self.breaks.setdefault(
                    name, Break(name, "cut", 0, "", "none of its events is there any more")
                )
            elif last.seq < seq:
                self._note("cut", last, f"it went on to {seq} when it was last seen")

    def gaps(self) -> list[Break]:
        """Places without an event that no break of a session explains."""
        explained = [
            (good.seq if good else 0, bad.seq)
            for name, (good, bad) in self.suspects.items()
            if self.breaks[name].what == "removed"
        ]
        explained += [
            (broken.seq, self.ends[name].last_seq + 1)
            for name, broken in self.breaks.items()
            if broken.what == "cut" and name in self.ends
        ]
        return [
            Break(
                "", "removed", first, "", f"nothing is at places {first} to {last}, and no session misses it"
            )
            for first, last in self.missing
            if not any(start < first and last < end for start, end in explained)
        ]

    def _note(self, what: Damage, event: Stored, detail: str) -> None:
        self.breaks.setdefault(event.session, Break(event.session, what, event.seq, event.id, detail))


async def _read(read: Fault, walk: _Walk, session: str | None, page: Sequence[Stored]) -> None:
    """Note the first event of each session in this page that cannot be read."""

    def these(first: int, last: int) -> Query:
        return Query(session=session, after_seq=first - 1, before_seq=last + 1)

    if await read(these(page[0].seq, page[-1].seq)) is None:
        return
    for event in page:
        _, suspect = walk.suspects.get(event.session, (None, None))
        if event.session in walk.unreadable or (suspect is not None and suspect.seq <= event.seq):
            continue
        problem = await read(these(event.seq, event.seq))
        if problem is not None:
            walk.unreadable[event.session] = Break(event.session, "unreadable", event.seq, event.id, problem)


async def _named(store: Chains, walk: _Walk, name: str) -> Break:
    """What happened at a break, from what stands around it."""
    good, bad = walk.suspects[name]
    before = START if good is None else good.digest
    after = bad.seq
    later = await store.read(Query(session=name, after_seq=after, limit=LOOK_AHEAD, as_found=True))

    def broken(what: Damage, detail: str) -> Break:
        return Break(name, what, bad.seq, bad.id, detail)

    for moved in later:
        if follows(before, moved):
            if any(follows(event.digest, bad) for event in later):
                return broken("reordered", f"event {moved.id} at {moved.seq} belongs before it")
            return broken("inserted", f"event {moved.id} at {moved.seq} is what follows the one before it")
    start = 0 if good is None else good.seq
    if missing := await _missing(store, start, bad.seq):
        return broken("removed", f"nothing is at {_places(missing)}, between it and the event before it")
    if not later or follows(bad.digest, later[0]):
        return broken(
            "changed", "its content is not what its digest was made of, or events before it are gone"
        )
    return broken("rewritten", "from here on digests do not fit")


async def _missing(store: Chains, after: int, before: int) -> list[int]:
    """The first places between two that hold no event of any session."""
    expected, missing = after + 1, list[int]()
    while expected < before and len(missing) < LOOK_AHEAD:
        page = await store.read(Query(after_seq=expected - 1, before_seq=before, limit=PAGE, as_found=True))
        for event in page:
            missing += range(expected, min(event.seq, expected + LOOK_AHEAD))
            expected = event.seq + 1
        if len(page) < PAGE:
            missing += range(expected, min(before, expected + LOOK_AHEAD))
            break
    return missing


def _places(seqs: list[int]) -> str:
    shown = ", ".join(str(seq) for seq in seqs[:5])
    more = f" and {len(seqs) - 5} more" if len(seqs) > 5 else ""
    return f"place {shown}{more}" if len(seqs) == 1 else f"places {shown}{more}"
