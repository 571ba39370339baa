"""Puts another file in the journal's place: a backup, or a copy with more in it. And makes a journal's file as small
as it can be. For journals nobody runs. Broken off at any moment, the journal is the old one or the new one.

A backup may be older than an erasure. So whatever the present journal knows to be erased is erased in the copy before
it takes the journal's place; if the present one cannot be read, that is said (`Restored.erasures_unknown`).
"""

import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import apsw
import msgspec

from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import StoreBusy, StoreFailed, StoreFull
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.cortex.stores.whole import LoadingStore
from planaria.cortex.upkeep.sound_copy import (
    BESIDE,
    copy_file,
    erased_in,
    events_in,
    has,
    make_sound_copy,
    remove,
)
from planaria.cortex.upkeep.verify import Verdict
from planaria.otp import run_blocking


class Restored(msgspec.Struct, frozen=True):
    """The backup is the journal now.

    Attributes:
        events: how many it has.
        erased: subjects that were erased in it anew.
        aside: what the journal it replaced is called now, a file or a schema of the database; None if there was none.
        erasures_unknown: why it could not be seen what the replaced journal had erased; empty if it could.
        verdict: of the chains of the backup.
    """

    events: int
    erased: tuple[str, ...]
    aside: str | None
    erasures_unknown: str
    verdict: Verdict


async def restore(
    backup: Path, journal: Path, master_key: MasterKey | None, now: float, *, strict: bool = True
) -> Restored:
    """Put `backup` in the place of `journal`, and the old one aside. The backup itself is only read.

    Args:
        master_key: what persons said is sealed with; None for a garden that seals nothing.
        now: unix seconds, for the name of what is put aside.
        strict: refuse a backup whose chain breaks.
    Raises:
        StoreError: the backup is no sound journal, or there is no room; all is as it was.
        SealError: the backup was written with another master key.
    """
    copy = journal.with_name(f"{journal.name}.restoring")
    try:
        there = await run_blocking(journal.exists)
        known, unknown = await erased_in(SqliteStore(journal)) if there else ({}, "")
        sound = await make_sound_copy(backup, copy, master_key, known, strict=strict)
        aside = _put_aside(journal, now)
        os.replace(copy, journal)
        _sync_folder(journal.parent)
    finally:
        remove(copy)
    return Restored(sound.events, sound.erased, None if aside is None else str(aside), unknown, sound.verdict)


async def restore_database(
    backup: Path,
    store: LoadingStore,
    folder: Path,
    holder: str,
    master_key: MasterKey | None,
    now: float,
    *,
    strict: bool = True,
    progress: Callable[[int, int], object],
) -> Restored:
    """Put `backup` in the place of the journal of a database, in one transaction.

    Args:
        store: of the journal; not open.
        folder: for a copy of the backup while it is checked.
        holder: who may hold the journal, see `JournalPlace`.
        strict: refuse a backup whose chain breaks, and a journal that has events.
    Raises:
        StoreError, SealError: as `restore`; all is as it was.
    """
    copy = folder / "backup.restoring"
    try:
        known, unknown = await erased_in(store)
        sound = await make_sound_copy(backup, copy, master_key, known, strict=strict)
        stamp = time.strftime("%Y%m%d_%H%M%S", time.gmtime(now))
        aside = await store.load(
            copy, f"planaria_before_{stamp}", holder=holder, replace=not strict, progress=progress
        )
    finally:
        remove(copy)
    return Restored(sound.events, sound.erased, aside, unknown, sound.verdict)


@asynccontextmanager
async def rewritten(journal: Path) -> AsyncGenerator[Path]:
    """A copy of the journal that takes its place when the work on it ends without an error, and else goes.

    Raises:
        StoreError: there is no room, or another program has the journal open; it is as it was.
    """
    copy = journal.with_name(f"{journal.name}.rewriting")
    remove(copy)
    try:
        if await run_blocking(journal.exists):
            await count_events(journal)  # folds its log into it
            copy_file(journal, copy)
        yield copy
        if has(journal, "-wal") or has(copy, "-wal"):
            raise StoreBusy(f"another program has {journal} open", "end it, and try again")
        os.replace(copy, journal)
        _sync_folder(journal.parent)
    finally:
        remove(copy)


async def count_events(journal: Path) -> int | None:
    """How many events a journal's file has; None if it cannot be read."""
    if not await run_blocking(journal.exists):
        return 0
    return await events_in(SqliteStore(journal))


def compact(journal: Path) -> tuple[int, int]:
    """Write the database anew without its free pages; its bytes before and after.

    Raises:
        StoreError: it could not; all is as it was.
    """
    before = journal.stat().st_size
    try:
        connection = apsw.Connection(str(journal), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.execute("VACUUM")
            connection.pragma("wal_checkpoint(truncate)")
        finally:
            connection.close()
    except apsw.FullError as error:
        mend = f"have as much free as the journal takes ({before // 1_000_000 + 1} MB)"
        raise StoreFull(f"no room to write {journal} anew", mend) from error
    except apsw.Error as error:
        raise StoreFailed(
            f"{journal} could not be made smaller: {error}", "see `planaria journal check`"
        ) from error
    return before, journal.stat().st_size


def _put_aside(journal: Path, now: float) -> Path | None:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    aside, number = journal.with_name(f"{journal.name}.before-{stamp}"), 1
    while any(has(aside, suffix) for suffix in BESIDE):  # put aside within the same second, and to be kept
        aside, number = journal.with_name(f"{journal.name}.before-{stamp}-{number}"), number + 1
    found: Path | None = None
    for suffix in reversed(BESIDE):  # a log must not lie beside a database that is not its own
        old = journal.with_name(journal.name + suffix)
        if old.exists():
            found = aside
            kept = aside.with_name(aside.name + suffix)
            try:
                if suffix:
                    raise OSError
                os.link(old, kept)  # it stays in its place until the new one takes it
            except OSError:  # not every file system can
                old.rename(kept)
    return found


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
