"""A store in memory: the journal's contract without a disk, and with faults on request."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from planaria.cortex.codec.chain import START, link, payload_hash
from planaria.cortex.errors import StoreError, StoreFailed
from planaria.cortex.query import Query
from planaria.cortex.store import (
    Draft,
    Duplicate,
    Fence,
    Lease,
    Outcome,
    SessionRow,
    Snapshot,
    Stale,
    Stored,
    SubjectKey,
    Written,
)
from planaria.otp import wall_time


class MemoryStore:
    """An `EventStore` that forgets with its object, not with `close`.

    Attributes:
        fault: raised by all but `open` and `close` while it is set.
        batches: how many appends each commit had, in order.
        clock: unix seconds, for leases; the node's by default.
    """

    def __init__(self) -> None:
        self.fault: StoreError | None = None
        self.batches: list[int] = []
        self.clock = wall_time
        self._events: list[Stored] = []
        self._places: dict[str, int] = {}
        self._of_session: dict[str, list[int]] = {}
        self._of_trace: dict[str, list[int]] = {}
        self._sessions: dict[str, SessionRow] = {}
        self._contents: dict[str, bytes] = {}
        self._referred: dict[int, tuple[str, ...]] = {}
        self._snapshots: dict[tuple[str, str], tuple[Snapshot, bytes]] = {}
        self._keys: dict[tuple[str, int], SubjectKey] = {}
        self._secrets: dict[str, bytes] = {}
        self._leases: dict[str, Lease] = {}
        self._open = False

    async def open(self) -> None:
        """See `EventStore.open`."""
        self._open = True

    async def migrate(self) -> int:
        """See `EventStore.migrate`."""
        return 1

    async def close(self) -> None:
        """See `EventStore.close`."""
        self._open = False

    def _check(self) -> None:
        if not self._open:
            raise StoreFailed("the store is not open", "open the store first")
        if self.fault is not None:
            raise self.fault

    # --- events --------------------------------------------------------------------------------------------------

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Outcome]:
        """See `EventStore.append`."""
        return self._append(batch, fences)

    def post_append(
        self,
        batch: Sequence[Sequence[Draft]],
        done: Callable[[list[Outcome] | BaseException], None],
        fences: Sequence[Fence | None] = (),
    ) -> None:
        """See `PostingStore.post_append`. A subclass with an `append` of its own is not posted to."""
        try:
            outcome = self._append(batch, fences)
        except StoreError as error:
            done(error)
        else:
            done(outcome)

    def _append(self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None]) -> list[Outcome]:
        self._check()
        if batch:
            self.batches.append(len(batch))
        return [
            self._insert(drafts, fences[number] if fences else None) for number, drafts in enumerate(batch)
        ]

    def _insert(self, drafts: Sequence[Draft], fence: Fence | None) -> Outcome:
        if fence is not None:
            lease = self._leases.get(fence.name)
            if lease is None or lease.token != fence.token:
                return Stale(fence.name)
        seen: set[str] = set()
        for draft in drafts:
            if draft.id in self._places or draft.id in seen:
                return Duplicate(draft.id)
            seen.add(draft.id)
        first = len(self._events) + 1
        for seq, draft in enumerate(drafts, start=first):
            before = self._sessions.get(draft.session)
            digest = link(START if before is None else before.digest, draft)
            self._sessions[draft.session] = SessionRow(
                draft.session,
                1 if before is None else before.events + 1,
                seq if before is None else before.first_seq,
                seq,
                draft.at,
                digest,
            )
            self._places[draft.id] = seq
            self._of_session.setdefault(draft.session, []).append(seq)
            self._of_trace.setdefault(draft.trace_id, []).append(seq)
            if draft.contents:
                for content in draft.contents:
                    self._contents.setdefault(content.hash, content.data)
                self._referred[seq] = tuple(content.hash for content in draft.contents)
            self._events.append(
                Stored(
                    seq,
                    draft.id,
                    draft.at,
                    draft.trace_id,
                    draft.cause_id,
                    draft.node,
                    draft.process,
                    draft.session,
                    draft.kind,
                    draft.payload,
                    draft.version,
                    draft.subject,
                    digest,
                )
            )
        return Written(first)

    async def read(self, query: Query) -> list[Stored]:
        """See `EventStore.read`."""
        self._check()
        found = (event for seq in self._asked(query) if _matches(query, event := self._events[seq - 1]))
        limit = None if query.limit is None else max(0, min(query.limit, len(self._events)))
        return list(islice(found, limit))

    def _asked(self, query: Query) -> Iterable[int]:
        """The places to look at, in the order of the answer."""
        places: Sequence[int] = range(1, len(self._events) + 1)
        if query.trace_id is not None:
            places = self._of_trace.get(query.trace_id, ())
        elif query.session is not None:
            places = self._of_session.get(query.session, ())
        places = places[bisect_right(places, query.after_seq) :]
        return reversed(places) if query.newest_first else places

    async def find(self, id: str) -> Stored | None:
        """See `EventStore.find`."""
        self._check()
        place = self._places.get(id)
        return None if place is None else self._events[place - 1]

    async def contents(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """See `EventStore.contents`."""
        self._check()
        return {digest: self._contents[digest] for digest in hashes if digest in self._contents}

    async def sessions(self, prefix: str = "", limit: int | None = None) -> list[SessionRow]:
        """See `EventStore.sessions`."""
        self._check()
        found = [row for name, row in self._sessions.items() if name.startswith(prefix)]
        found.sort(key=lambda row: -row.last_seq)
        return found[:limit]

    # --- snapshots, keys -----------------------------------------------------------------------------------------

    async def save_snapshot(self, snapshot: Snapshot) -> bool:
        """See `EventStore.save_snapshot`."""
        self._check()
        digest = self._digest(snapshot.session, snapshot.seq)
        if digest is None or snapshot.erasures not in (None, await self.erasures()):
            return False
        kept = msgspec.structs.replace(snapshot, erasures=None)
        self._snapshots[snapshot.session, snapshot.name] = (kept, digest)
        return True

    async def load_snapshot(self, session: str, name: str, version: int) -> Snapshot | None:
        """See `EventStore.load_snapshot`."""
        self._check()
        snapshot, digest = self._snapshots.get((session, name), (None, b""))
        if snapshot is None or snapshot.version != version:
            return None
        return snapshot if self._digest(session, snapshot.seq) == digest else None

    def _digest(self, session: str, seq: int) -> bytes | None:
        if not 1 <= seq <= len(self._events):
            return None
        event = self._events[seq - 1]
        return event.digest if event.session == session else None

    async def subject_keys(self, subject: str | None = None, limit: int | None = None) -> list[SubjectKey]:
        """See `EventStore.subject_keys`."""
        self._check()
        return [self._keys[at] for at in sorted(self._keys) if subject is None or at[0] == subject][:limit]

    async def erasures(self) -> int:
        """See `EventStore.erasures`."""
        self._check()
        return sum(key.wrapped is None for key in self._keys.values())

    async def put_subject_key(self, key: SubjectKey) -> SubjectKey:
        """See `EventStore.put_subject_key`."""
        self._check()
        return self._keys.setdefault((key.subject, key.generation), key)

    async def destroy_subject_keys(self, subject: str) -> int:
        """See `EventStore.destroy_subject_keys`."""
        self._check()
        living = [at for at, key in self._keys.items() if at[0] == subject and key.wrapped is not None]
        for at in living:
            self._keys[at] = SubjectKey(*at, None)
        self._snapshots.clear()
        return len(living)

    # --- secrets -------------------------------------------------------------------------------------------------

    async def secrets(self, prefix: str = "") -> dict[str, bytes]:
        """See `EventStore.secrets`."""
        self._check()
        return {name: self._secrets[name] for name in sorted(self._secrets) if name.startswith(prefix)}

    async def put_secret(self, name: str, sealed: bytes | None) -> None:
        """See `EventStore.put_secret`."""
        self._check()
        if sealed is None:
            self._secrets.pop(name, None)
        else:
            self._secrets[name] = sealed

    # --- leases --------------------------------------------------------------------------------------------------

    async def acquire_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        """See `EventStore.acquire_lease`."""
        self._check()
        now, lease = self.clock(), self._leases.get(name)
        held = lease is not None and lease.expires_at > now
        if lease is not None and held and lease.holder != holder:
            return None
        token = 1 if lease is None else lease.token + 1
        since = lease.since if lease is not None and held else now
        self._leases[name] = Lease(name, holder, token, now + ttl, since)
        return self._leases[name]

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease | None:
        """See `EventStore.renew_lease`."""
        self._check()
        if not self._holds(lease):
            return None
        self._leases[lease.name] = msgspec.structs.replace(lease, expires_at=self.clock() + ttl)
        return self._leases[lease.name]

    async def release_lease(self, lease: Lease) -> None:
        """See `EventStore.release_lease`."""
        self._check()
        if self._holds(lease):
            self._leases[lease.name] = msgspec.structs.replace(lease, holder="", expires_at=0.0)

    async def lease(self, name: str) -> Lease | None:
        """See `EventStore.lease`."""
        self._check()
        lease = self._leases.get(name)
        return lease if lease is not None and lease.expires_at > self.clock() else None

    def listen(self, notice: Callable[[], None]) -> None:
        """See `EventStore.listen`: there is no other writer."""

    async def keep_listening(self) -> None:
        """See `EventStore.keep_listening`."""

    def _holds(self, lease: Lease) -> bool:
        latest = self._leases.get(lease.name)
        return latest is not None and (latest.token, latest.holder) == (lease.token, lease.holder)

    # --- keeping house -------------------------------------------------------------------------------------------

    async def strip(self, seqs: Sequence[int]) -> int:
        """See `EventStore.strip`."""
        self._check()
        count = 0
        for seq in seqs:
            if not 1 <= seq <= len(self._events) or self._events[seq - 1].stripped:
                continue
            event = self._events[seq - 1]
            self._events[seq - 1] = msgspec.structs.replace(
                event, payload=payload_hash(event.payload), stripped=True
            )
            self._referred.pop(seq, None)
            for at in [at for at in self._snapshots if at[0] == event.session]:
                del self._snapshots[at]
            count += 1
        return count

    async def sweep_contents(self) -> int:
        """See `EventStore.sweep_contents`."""
        self._check()
        referred = {digest for digests in self._referred.values() for digest in digests}
        idle = self._contents.keys() - referred
        for digest in idle:
            del self._contents[digest]
        return len(idle)

    async def check(self) -> list[str]:
        """See `EventStore.check`: nothing can be wrong here."""
        self._check()
        return []

    async def backup(self, path: Path) -> None:
        """See `EventStore.backup`."""
        raise StoreFailed("a store in memory has no file", "keep the journal in a file to copy it")

    async def size(self) -> int:
        """See `EventStore.size`: of payloads and contents."""
        self._check()
        return sum(len(event.payload) for event in self._events) + sum(map(len, self._contents.values()))


def _matches(query: Query, event: Stored) -> bool:
    return (
        event.seq > query.after_seq
        and (query.before_seq is None or event.seq < query.before_seq)
        and (query.before_at is None or event.at < query.before_at)
        and (query.session is None or event.session == query.session)
        and (query.trace_id is None or event.trace_id == query.trace_id)
        and (query.stripped is None or event.stripped == query.stripped)
        and (not query.kinds or event.kind in query.kinds)
    )
