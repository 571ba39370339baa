"""Puts another file in the journal's place: a backup, or a copy with more in it. And makes a journal's file as small
as it can be. For files nobody has open. Broken off at any moment, the journal is the old one or the new one.

A backup may be older than an erasure. So whatever the present journal knows to be erased is erased in the copy before
it takes the journal's place; if the present one cannot be read, that is said (`Restored.erasures_unknown`).
"""

import os
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import apsw
import msgspec

from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.reading import events_from
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import SealError, StoreBusy, StoreError, StoreFailed, StoreFull
from planaria.cortex.query import Query
from planaria.cortex.store import SubjectKey
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.cortex.upkeep.verify import Verdict, verify
from planaria.otp import run_blocking

BESIDE = ("", "-wal", "-shm")
"""What belongs to a database's file."""


class Restored(msgspec.Struct, frozen=True):
    """The backup is the journal now.

    Attributes:
        events: how many it has.
        erased: subjects that were erased in it anew.
        aside: where the journal it replaced is now; None if there was none.
        erasures_unknown: why it could not be seen what the replaced journal had erased; empty if it could.
        verdict: of the chains of the backup.
    """

    events: int
    erased: tuple[str, ...]
    aside: Path | None
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
    _remove(copy)
    try:
        _copy(backup, copy)
        if copy.stat().st_size == 0:
            raise StoreFailed(f"{backup} is empty", "name a backup")
        store = SqliteStore(copy)
        await store.open()
        try:
            if problems := await store.check():
                raise StoreFailed(f"{backup} is damaged: {problems[0]}", "use another backup")
            keyring = Keyring(store, master_key)
            await keyring.check()
            known, unknown = await _erased(journal)
            erased: list[str] = []
            for subject in sorted(known):
                keys = await store.subject_keys(subject)
                if (
                    not keys
                ):  # it is older than what this subject said: a still later restore must know as well
                    await store.put_subject_key(SubjectKey(subject, known[subject], None))
                # A key that is newer than all that were destroyed is of a time after the erasure.
                if any(key.wrapped is not None and key.generation <= known[subject] for key in keys):
                    await store.destroy_subject_keys(subject)
                    erased.append(subject)
            verdict = await verify(store, read=partial(_fault, store, keyring))
            if strict and verdict.breaks:
                broken = verdict.breaks[0]
                problem = f"{backup} was tampered with: {broken.session} at {broken.seq}: {broken.detail}"
                raise StoreFailed(problem, "use another backup, or --force")
            newest = await store.read(Query(limit=1, newest_first=True))
        finally:
            await store.close()
        aside = _put_aside(journal, now)
        os.replace(copy, journal)
        _sync_folder(journal.parent)
    finally:
        _remove(copy)
    return Restored(newest[0].seq if newest else 0, tuple(erased), aside, unknown, verdict)


@asynccontextmanager
async def rewritten(journal: Path) -> AsyncGenerator[Path]:
    """A copy of the journal that takes its place when the work on it ends without an error, and else goes.

    Raises:
        StoreError: there is no room, or another program has the journal open; it is as it was.
    """
    copy = journal.with_name(f"{journal.name}.rewriting")
    _remove(copy)
    try:
        if await run_blocking(journal.exists):
            await count_events(journal)  # folds its log into it
            _copy(journal, copy)
        yield copy
        if _has(journal, "-wal") or _has(copy, "-wal"):
            raise StoreBusy(f"another program has {journal} open", "end it, and try again")
        os.replace(copy, journal)
        _sync_folder(journal.parent)
    finally:
        _remove(copy)


async def count_events(journal: Path) -> int | None:
    """How many events a journal has; None if it cannot be read."""
    if not await run_blocking(journal.exists):
        return 0
    store = SqliteStore(journal)
    try:
        await store.open()
        newest = await store.read(Query(limit=1, newest_first=True))
    except StoreError:
        return None
    finally:
        await store.close()
    return newest[0].seq if newest else 0


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


async def _erased(journal: Path) -> tuple[dict[str, int], str]:
    """Subjects with destroyed keys and the latest generation of these; why that is not known, if it is not."""
    if not await run_blocking(journal.exists):
        return {}, ""
    store = SqliteStore(journal)
    try:
        await store.open()
        keys = await store.subject_keys()
    except StoreError as error:
        return {}, error.problem
    finally:
        await store.close()
    destroyed: dict[str, int] = {}
    for key in keys:
        if key.wrapped is None:
            destroyed[key.subject] = max(key.generation, destroyed.get(key.subject, 0))
    return destroyed, ""


async def _fault(store: SqliteStore, keyring: Keyring, query: Query) -> str | None:
    """What hinders reading these events."""
    try:
        await events_from(store, keyring, await store.read(query))
    except (StoreError, SealError) as error:
        return error.problem
    return None


def _has(journal: Path, suffix: str) -> bool:
    return journal.with_name(journal.name + suffix).exists()


def _copy(backup: Path, copy: Path) -> None:
    try:
        for suffix in ("", "-wal"):  # the latest commits of a file that was not closed in order
            if suffix and not _has(backup, suffix):
                continue
            new = copy.with_name(copy.name + suffix)
            os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            shutil.copyfile(backup.with_name(backup.name + suffix), new)
            with new.open("rb+") as file:
                os.fsync(file.fileno())
    except FileNotFoundError as error:
        raise StoreFailed(f"there is no file {backup}", "name a backup") from error
    except OSError as error:
        raise StoreFull(
            f"{backup} cannot be copied to {copy}: {error.strerror}", "see that there is room"
        ) from error


def _put_aside(journal: Path, now: float) -> Path | None:
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    aside = journal.with_name(f"{journal.name}.before-{stamp}")
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


def _remove(file: Path) -> None:
    for suffix in BESIDE:
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system can
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
