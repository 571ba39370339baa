"""The contract of a store: where the journal's events are kept.

Stores live in `cortex/stores/`, a room each, and all pass `planaria.testing.stores`. A store is used by one journal
at a time: `append` is never called again before it has answered, everything else may be called at any time.
A store knows nothing of what payloads say: it keeps bytes, the chain of each session over them, and the contents
they refer to. It translates every fault of its driver into one of the `StoreError`s.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from planaria.cortex.query import Query


class ContentDraft(msgspec.Struct, frozen=True):
    """A long text taken out of a payload, kept once however often it is referred to.

    Attributes:
        hash: 64 hexadecimal digits; see `cortex/codec/contents.py`.
        data: as it will be kept: UTF-8, or sealed.
        size: characters of the text.
    """

    hash: str
    data: bytes
    size: int


class Draft(msgspec.Struct, frozen=True):
    """An event that lacks only its place in the journal.

    Attributes:
        payload: as it will be kept: a JSON object, or sealed.
        contents: what the payload refers to. All of them every time, whether the store has them already or not.
        header: of the event, see `cortex/codec/chain.py`, if whoever made the draft had it at hand.
    """

    id: str
    at: float
    trace_id: str
    cause_id: str | None
    node: str
    process: str
    session: str
    kind: str
    payload: bytes
    version: int = 1
    subject: str = ""
    contents: tuple[ContentDraft, ...] = ()
    header: bytes = b""


class Stored(msgspec.Struct, frozen=True):
    """An event as it is kept.

    Attributes:
        payload: as the draft had it; if `stripped`, the 32 bytes of its SHA-256 in its place.
        digest: of the chain of its session up to and including this event; see `cortex/codec/chain.py`.
    """

    seq: int
    id: str
    at: float
    trace_id: str
    cause_id: str | None
    node: str
    process: str
    session: str
    kind: str
    payload: bytes
    version: int
    subject: str
    digest: bytes
    stripped: bool = False


class SessionRow(msgspec.Struct, frozen=True):
    """One session at a glance. `digest` is the head of its chain, that of the event at `last_seq`."""

    name: str
    events: int
    first_seq: int
    last_seq: int
    last_at: float
    digest: bytes = b""


class Snapshot(msgspec.Struct, frozen=True):
    """A folded state, so that a long session need not be folded from its beginning. Derived: may be gone at any time.

    Attributes:
        session: whose events were folded.
        name: what they were folded into: `transcript`, `turns`.
        version: of the state's shape and of the fold; another one is not loaded.
        seq: the last event that is in it, one of this session.
        data: the state.
        erasures: how many keys had been destroyed (`EventStore.erasures`) when its folding began, if it may hold what
            somebody said; None if it never does.
    """

    session: str
    name: str
    version: int
    seq: int
    data: bytes
    erasures: int | None = None


class SubjectKey(msgspec.Struct, frozen=True):
    """The key that seals what one subject said, itself sealed with the garden's master key.

    Attributes:
        generation: from 1; a subject that comes back after its erasure gets the next one.
        wrapped: None once destroyed.
    """

    subject: str
    generation: int
    wrapped: bytes | None


class Lease(msgspec.Struct, frozen=True):
    """The right to be the only one who does something, until `expires_at` (unix seconds).

    Attributes:
        token: grows each time the name is taken, from 1.
        since: when the holder took it, unix seconds.
    """

    name: str
    holder: str
    token: int
    expires_at: float
    since: float = 0.0


class Fence(msgspec.Struct, frozen=True):
    """Write only if the lease `name` still has this token: nobody has taken it over. Being late is not being stale."""

    name: str
    token: int


class Written(msgspec.Struct, frozen=True):
    """One append is on disk; its events have the places `first_seq`, `first_seq + 1` and so on."""

    first_seq: int


class Duplicate(msgspec.Struct, frozen=True):
    """Nothing of one append was written, as this id is in the journal already, or twice in the append."""

    id: str


class Stale(msgspec.Struct, frozen=True):
    """Nothing of one append was written, as the lease of its fence was taken over or never was."""

    name: str


type Outcome = Written | Duplicate | Stale


class EventStore(Protocol):
    """Where the journal's events are kept.

    After any `StoreError` the store can be used again: each call tries anew, with a new connection if need be.
    Any method may raise `StoreError`; then nothing was acknowledged.
    """

    async def open(self) -> None:
        """Connect, create what is missing, and migrate.

        Raises:
            StoreError: it cannot be used; `StoreTooNew` if a later program has changed the schema.
        """
        ...

    async def migrate(self) -> int:
        """Bring the schema up to this program's and answer its number. Part of `open`."""
        ...

    async def close(self) -> None:
        """Let go of files and connections. A second close does nothing; `open` may follow."""
        ...

    # --- events ------------------------------------------------------------------------------------------------

    async def append(
        self, batch: Sequence[Sequence[Draft]], fences: Sequence[Fence | None] = ()
    ) -> list[Outcome]:
        """Write several appends in one commit, in order; durable when this returns.

        Each append is written whole or not at all; a duplicate id or a stale fence refuses only its own append.
        Contents that are not there yet are written in the same commit.

        Args:
            fences: one for each append; empty for none at all.
        Returns:
            One answer for each append, in order.
        """
        ...

    async def read(self, query: Query) -> list[Stored]:
        """The committed events the query asks for, as kept. `Query.contents` is not the store's concern."""
        ...

    async def find(self, id: str) -> Stored | None:
        """The event of this id."""
        ...

    async def contents(self, hashes: Sequence[str]) -> dict[str, bytes]:
        """The data of contents by hash; those that are not there are left out."""
        ...

    async def sessions(self, prefix: str = "", limit: int | None = None) -> list[SessionRow]:
        """The sessions whose name begins with `prefix`, the one with the latest event first."""
        ...

    # --- snapshots ---------------------------------------------------------------------------------------------

    async def save_snapshot(self, snapshot: Snapshot) -> bool:
        """Keep it in place of any other of its session and name, with the chain's digest at its `seq`.

        Returns:
            False, and nothing is kept, if `seq` is not an event of the session, or if keys were destroyed since the
            snapshot's `erasures`: it may hold what was erased.
        """
        ...

    async def load_snapshot(self, session: str, name: str, version: int) -> Snapshot | None:
        """The one kept; None if there is none of this version, or the session's chain no longer has its digest.

        Its `erasures` are None: one that is there has outlived none.
        """
        ...

    # --- keys of subjects --------------------------------------------------------------------------------------

    async def subject_keys(self, subject: str | None = None, limit: int | None = None) -> list[SubjectKey]:
        """All keys of a subject, oldest first, destroyed ones too; of everybody for None."""
        ...

    async def erasures(self) -> int:
        """How many keys were destroyed so far, of all subjects."""
        ...

    async def put_subject_key(self, key: SubjectKey) -> SubjectKey:
        """Keep a key unless one of its generation is there; answers the one that stands."""
        ...

    async def destroy_subject_keys(self, subject: str) -> int:
        """Overwrite all keys of a subject, and drop all snapshots, which may hold what it said; how many keys.

        When this returns no file of the store has the keys any more; copies made before are not its concern.
        """
        ...

    # --- secrets -----------------------------------------------------------------------------------------------

    async def secrets(self, prefix: str = "") -> dict[str, bytes]:
        """The sealed secrets whose name begins with `prefix`, by name."""
        ...

    async def put_secret(self, name: str, sealed: bytes | None) -> None:
        """Keep a sealed secret in place of any other of its name; None lets it go, if it is there."""
        ...

    # --- leases ------------------------------------------------------------------------------------------------

    async def acquire_lease(self, name: str, holder: str, ttl: float) -> Lease | None:
        """Take a lease that is free, expired, or the holder's own, for `ttl` seconds; None while another has it.

        Every taking raises the token by one, the holder's own too: what an earlier life of it has sent and not seen the
        end of is refused from then on.
        """
        ...

    async def renew_lease(self, lease: Lease, ttl: float) -> Lease | None:
        """Hold it `ttl` seconds from now; None if its token is no longer the latest. Late is not too late."""
        ...

    async def release_lease(self, lease: Lease) -> None:
        """Let it go, if it is still held with this token. The token goes on from there."""
        ...

    async def lease(self, name: str) -> Lease | None:
        """Who has it now; None if nobody does."""
        ...

    # --- other writers -----------------------------------------------------------------------------------------

    def listen(self, notice: Callable[[], None]) -> None:
        """Call `notice`, in the event loop, when other writers may have committed, and when listening broke off.

        For a store with one writer there is nothing to do.
        """
        ...

    async def keep_listening(self) -> None:
        """Take up listening again if it broke off; what was missed in between is told by one `notice`."""
        ...

    # --- keeping house -----------------------------------------------------------------------------------------

    async def strip(self, seqs: Sequence[int]) -> int:
        """Replace the payloads of these events by their hashes, and forget what they refer to; how many were changed.

        The chain stays whole. Snapshots of the sessions concerned are dropped.
        """
        ...

    async def sweep_contents(self) -> int:
        """Delete the contents no event refers to; how many."""
        ...

    async def check(self) -> list[str]:
        """What is wrong with the store's own structure, a sentence each; empty if it is sound."""
        ...

    async def backup(self, path: Path) -> None:
        """Write a consistent copy into a new file while work goes on.

        Raises:
            StoreError: it could not be written, or the file exists; or the store has other means (Postgres).
        """
        ...

    async def size(self) -> int:
        """Bytes the store takes, indexes included."""
        ...


@runtime_checkable
class PostingStore(Protocol):
    """A store that can begin an append without anybody waiting in a task of its own."""

    def post_append(
        self,
        batch: Sequence[Sequence[Draft]],
        done: Callable[[list[Outcome] | BaseException], None],
        fences: Sequence[Fence | None] = (),
    ) -> None:
        """Like `append`; `done` gets its answers, or what it would have raised, in the event loop's thread.

        An append that is awaited after it comes after it.
        """
        ...
