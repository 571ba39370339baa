"""What SQLite and the system say went wrong, as the errors of a store."""

from pathlib import Path

import apsw

from planaria.cortex.errors import (
    StoreBusy,
    StoreDamaged,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
)


def damaged(path: Path, what: str) -> StoreDamaged:
    """The file is not what was written."""
    return StoreDamaged(
        f"{path} is damaged: {what}", "restore it from a copy, or move it away to begin a new journal"
    )


def from_sqlite(error: apsw.Error, path: Path) -> StoreError:
    """What SQLite raised."""
    match error:
        case apsw.BusyError() | apsw.LockedError():
            return StoreBusy(f"another program holds {path}", "end that program, or wait until it is done")
        case apsw.FullError():
            return StoreFull(
                f"no room left to write {path}", "free some disk space; writing then goes on by itself"
            )
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            return StoreReadOnly(
                f"{path} cannot be written", "make the file and its folder writable for this user"
            )
        case apsw.CorruptError() | apsw.NotADBError():
            return damaged(path, str(error))
        case apsw.CantOpenError():
            mend = "see that the file exists and that it and its folder are writable for this user"
            return StoreFailed(f"{path} cannot be opened", mend)
        case _:
            pass
    code = apsw.mapping_extended_result_codes.get(getattr(error, "extendedresult", 0), type(error).__name__)
    return StoreFailed(f"writing or reading {path} failed: {error} ({code})", "see the state of the disk")


def from_os(error: OSError, path: Path) -> StoreError:
    """What the system raised."""
    mend = "see that the file exists and that it and its folder are writable for this user"
    if isinstance(error, PermissionError):
        return StoreReadOnly(f"{path} cannot be written: {error.strerror}", mend)
    if isinstance(error, FileNotFoundError):
        return StoreFailed(f"{path} is gone", "put the file back, or restart planaria to begin a new journal")
    return StoreFailed(f"{path} cannot be used: {error.strerror}", mend)


def from_target(error: apsw.Error, path: Path) -> StoreError:
    """What SQLite raised while it wrote a copy to `path`."""
    if isinstance(error, apsw.FullError):
        return StoreFull(
            f"no room left to write {path}", "free some disk space, or name a file on another disk"
        )
    return from_sqlite(error, path)


def from_making(error: OSError, path: Path) -> StoreError:
    """What the system raised when a new file was to be made."""
    mend = "name a file in a folder that is there and that this user may write"
    if isinstance(error, PermissionError):
        return StoreReadOnly(f"{path} cannot be made: {error.strerror}", mend)
    return StoreFailed(f"{path} cannot be made: {error.strerror}", mend)
