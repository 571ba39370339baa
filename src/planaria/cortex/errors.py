"""What can go wrong with the journal and its store.

    CortexError
    ├── StoreError                  the store could not do it; nothing was acknowledged
    │   ├── StoreBusy               another program holds the database (retry)
    │   ├── StoreFull               no room left on the disk or below the size limit (retry)
    │   ├── StoreReadOnly           the file or its folder cannot be written
    │   ├── StoreDamaged            the file is not a sound journal
    │   ├── StoreTooNew             a later program has changed the schema
    │   └── StoreFailed             any other fault of disk or driver (retry)
    ├── SealError                   the master key is missing, or does not fit what was sealed
    ├── JournalUnavailable          raised where `Journal.append` or `.read` was called: the store failed
    ├── EventRefused                raised where `Journal.append` was called: this append can never be written
    └── StaleLease                  raised where `Journal.append` was called with a fence: another has the lease now

A store's errors are answers on their way to the caller; the journal itself goes on.
"""


class CortexError(Exception):
    """Root of this floor's errors."""


class StoreError(CortexError):
    """The store could not do it.

    Attributes:
        problem: what is wrong, with the file's name.
        mend: what a person can do.
        retry: whether the same request may work later with nothing changed in it.
    """

    retry = False

    def __init__(self, problem: str, mend: str) -> None:
        self.problem = problem
        self.mend = mend
        super().__init__(f"{problem}; {mend}")


class StoreBusy(StoreError):
    """Another program holds the database."""

    retry = True


class StoreFull(StoreError):
    """No room left on the disk or below the size limit."""

    retry = True


class StoreReadOnly(StoreError):
    """The file or its folder cannot be written."""


class StoreDamaged(StoreError):
    """The file is not a sound journal."""


class StoreTooNew(StoreError):
    """A later program has changed the schema."""


class StoreFailed(StoreError):
    """Any other fault of disk or driver."""

    retry = True


class JournalUnavailable(CortexError):
    """The journal could not do what was asked. An append that gets this was not acknowledged.

    It may still be in the journal, as a commit can reach the disk whose confirmation does not. Whoever must know
    gives its events ids: an append of an id that is already there is refused.

    Attributes:
        cause: what is wrong.
        mend: what a person can do.
        retry: whether the same request may work later.
    """

    def __init__(self, cause: str, mend: str, retry: bool) -> None:
        self.cause = cause
        self.mend = mend
        self.retry = retry
        super().__init__(f"the journal is not available: {cause}; {mend}")


class EventRefused(CortexError):
    """This append can never be written as it is; nothing of it was.

    Attributes:
        reason: what is wrong with it, naming the event and the place in its payload.
        mend: what to send instead.
        duplicate_of: the id that is already in the journal, if that is the reason.
    """

    def __init__(self, reason: str, mend: str, duplicate_of: str | None = None) -> None:
        self.reason = reason
        self.mend = mend
        self.duplicate_of = duplicate_of
        super().__init__(f"{reason}; {mend}")


class StaleLease(CortexError):
    """The lease an append was fenced with was taken over; nothing was written, and the caller must stop its work.

    Attributes:
        name: the lease.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"another has taken over the lease {name!r}; stop what was done under it")


class SealError(CortexError):
    """The master key is missing, or does not fit what was sealed.

    Attributes:
        problem: what is wrong, with the file's name.
        mend: what a person can do.
    """

    def __init__(self, problem: str, mend: str) -> None:
        self.problem = problem
        self.mend = mend
        super().__init__(f"{problem}; {mend}")
