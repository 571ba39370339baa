"""One commit of the journal: the appends in it, made ready for the store and handed to it."""

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import msgspec

from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.prepare import Prepared, Refused, draft_of
from planaria.cortex.errors import SealError, StoreError, StoreFailed
from planaria.cortex.event import Event
from planaria.cortex.store import Draft, EventStore, Fence, Outcome, PostingStore
from planaria.otp import NoProcess, Pid, send


class Appended(msgspec.Struct, frozen=True):
    """The append is on disk."""

    events: list[Event]


class Unavailable(msgspec.Struct, frozen=True):
    """The store failed, or too much waits for it; nothing was acknowledged."""

    cause: str
    mend: str
    retry: bool


class Overtaken(msgspec.Struct, frozen=True):
    """The lease this append was fenced with is another's now; nothing was written."""

    lease: str


type Answer = Appended | Refused | Unavailable | Overtaken


class Reply(Protocol):
    """Whoever waits for the answer to an append; a `Deferred` is one."""

    def reply(self, value: Answer, /) -> None:
        """How it went."""
        ...


class Posted(msgspec.Struct, frozen=True):
    """To a process that posted events: how that went.

    Attributes:
        ref: what it called them.
    """

    ref: object
    answer: Answer


class PostedBy:
    """A process that does not wait for the answer, but is sent it."""

    __slots__ = ("pid", "ref")

    def __init__(self, pid: Pid, ref: object) -> None:
        self.pid = pid
        self.ref = ref

    def reply(self, value: Answer, /) -> None:
        """Send it."""
        try:
            send(self.pid, Posted(self.ref, value))
        except NoProcess:
            pass  # it has ended; whoever stands in for it reads the journal


class Append:
    """One append on its way to the disk.

    Attributes:
        drafts: what the store is to write; made at once, while an earlier commit is on its way, unless a key has to be
            fetched first.
    """

    __slots__ = ("answer", "drafts", "fence", "prepared")

    def __init__(
        self,
        prepared: Prepared,
        answer: Reply,
        fence: Fence | None,
        keyring: Keyring | None = None,
    ) -> None:
        self.prepared = prepared
        self.answer = answer
        self.fence = fence
        self.drafts: list[Draft] | None = None
        if keyring is not None:
            self.draft(keyring)

    def __len__(self) -> int:
        return len(self.prepared.events)

    def lacking(self, keyring: Keyring) -> set[str]:
        """The subjects whose keys must be fetched first."""
        return keyring.lacks(event.subject for event in self.prepared.events)

    def draft(self, keyring: Keyring) -> bool:
        """Make the drafts, unless they are made; False if a key must be fetched first."""
        if self.drafts is not None:
            return True
        drafts: list[Draft] = []
        for event, encoded in zip(self.prepared.events, self.prepared.encoded, strict=True):
            cipher = keyring.sealing(event.subject)
            if cipher is None and event.subject and keyring.seals:
                return False
            drafts.append(draft_of(event, encoded, cipher))
        self.drafts = drafts
        return True


class Commit:
    """The appends of one commit.

    Attributes:
        outcome: what became of them, once it is known; an exception for all of them.
    """

    __slots__ = ("appends", "outcome")

    def __init__(self, appends: list[Append]) -> None:
        self.appends = appends
        self.outcome: list[Outcome] | BaseException | None = None

    def _drafts(self) -> list[list[Draft]]:
        return [append.drafts for append in self.appends if append.drafts is not None]

    def _fences(self) -> list[list[Fence | None]]:
        """The second argument of an append, if any of these is fenced."""
        fences = [append.fence for append in self.appends]
        return [fences] if any(fences) else []

    def post(self, store: EventStore, keyring: Keyring, done: Callable[[], None]) -> bool:
        """Hand it to a store that needs no task for it, if no key has to be fetched first.

        Args:
            done: called in the event loop's thread when `outcome` is known.
        Returns:
            False if that cannot be: then `write` it.
        """
        if not _posts(type(store)):
            return False
        for append in self.appends:
            if append.drafts is None and not append.draft(keyring):
                return False

        def finish(outcome: list[Outcome] | BaseException) -> None:
            self.outcome = outcome
            done()

        posting: Any = store
        posting.post_append(self._drafts(), finish, *self._fences())
        return True

    async def write(self, store: EventStore, keyring: Keyring) -> None:
        """Hand it to the store and wait for the outcome."""
        try:
            while waiting := [append for append in self.appends if not append.draft(keyring)]:
                await keyring.fetch({subject for append in waiting for subject in append.lacking(keyring)})
            self.outcome = await store.append(self._drafts(), *self._fences())
        except StoreError as error:
            self.outcome = error
        except SealError as error:
            self.outcome = StoreFailed(error.problem, error.mend)


@cache
def _posts(kind: type) -> bool:
    """Whether a class of stores can post. Looked up once: it takes as long as encoding an event.

    One that puts an `append` of its own before an inherited `post_append` wants all appends to go through that.
    """
    first = next(
        (each for each in kind.__mro__ if "append" in vars(each) or "post_append" in vars(each)), kind
    )
    return issubclass(kind, PostingStore) and "post_append" in vars(first)
