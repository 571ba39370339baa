"""A copy of a backup that may take the journal's place: sound, of this garden, and with nobody in it who was erased."""

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import msgspec

from planaria.cortex.codec.keyring import Keyring
from planaria.cortex.codec.reading import events_from
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.errors import SealError, StoreDamaged, StoreError, StoreFailed, StoreFull
from planaria.cortex.query import Query
from planaria.cortex.store import EventStore, SubjectKey
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.cortex.upkeep.verify import Verdict, verify

BESIDE = ("", "-wal", "-shm")
"""What belongs to a database's file."""


class SoundCopy(msgspec.Struct, frozen=True):
    """What is in the copy.

    Attributes:
        events: how many.
        erased: subjects that were erased in it anew.
        verdict: of its chains.
    """

    events: int
    erased: tuple[str, ...]
    verdict: Verdict


async def make_sound_copy(
    backup: Path, copy: Path, master_key: MasterKey | None, erased: Mapping[str, int], *, strict: bool
) -> SoundCopy:
    """Copy a backup, check it, and erase in it.

    Args:
        copy: what is there is replaced; the caller takes it away, also after an error.
        erased: subjects to erase, with the latest generation of their keys that was destroyed; see `erased_in`.
        strict: refuse a backup whose chain breaks.
    Raises:
        StoreError: the backup is no sound journal, or there is no room.
        SealError: the backup was written with another master key.
    """
    remove(copy)
    copy_file(backup, copy)
    store = SqliteStore(copy)
    try:
        await store.open()
    except StoreDamaged as error:
        mend = "use another backup; what `planaria journal export` wrote is taken in by `planaria journal import`"
        raise StoreDamaged(f"{backup} is damaged, or is no backup", mend) from error
    try:
        if problems := await store.check():
            raise StoreFailed(f"{backup} is damaged: {problems[0]}", "use another backup")
        keyring = Keyring(store, master_key)
        try:
            await keyring.check()
        except SealError as error:
            mend = "put the journal.key of the garden it was made in into .planaria, if you have it"
            raise SealError(f"{backup} was made with another master key than this garden's", mend) from error
        done: list[str] = []
        for subject, generation in sorted(erased.items()):
            keys = await store.subject_keys(subject)
            if not keys:  # it is older than what this subject said: a still later restore must know as well
                await store.put_subject_key(SubjectKey(subject, generation, None))
            # A key that is newer than all that were destroyed is of a time after the erasure.
            if any(key.wrapped is not None and key.generation <= generation for key in keys):
                await store.destroy_subject_keys(subject)
                done.append(subject)
        verdict = await verify(store, read=partial(_fault, store, keyring))
        if strict and verdict.breaks:
            broken = verdict.breaks[0]
            problem = f"{backup} was tampered with: {broken.session} at {broken.seq}: {broken.detail}"
            raise StoreFailed(problem, "use another backup, or --force")
        newest = await store.read(Query(limit=1, newest_first=True))
    finally:
        await store.close()
    return SoundCopy(newest[0].seq if newest else 0, tuple(done), verdict)


async def erased_in(store: EventStore) -> tuple[dict[str, int], str]:
    """Subjects with destroyed keys and the latest generation of these; why that is not known, if it is not.

    Args:
        store: not open; it is closed afterwards.
    """
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


async def events_in(store: EventStore) -> int | None:
    """How many events a journal has; None if it cannot be read.

    Args:
        store: not open; it is closed afterwards.
    """
    try:
        await store.open()
        newest = await store.read(Query(limit=1, newest_first=True))
    except StoreError:
        return None
    finally:
        await store.close()
    return newest[0].seq if newest else 0


def copy_file(backup: Path, copy: Path) -> None:
    """Copy a database with its log, and see both to the disk.

    Raises:
        StoreError: there is none, it is empty, or there is no room.
    """
    try:
        if backup.stat().st_size == 0:
            raise StoreFailed(f"{backup} is empty", "name a backup")
        for suffix in ("", "-wal"):  # the latest commits of a file that was not closed in order
            if suffix and not has(backup, suffix):
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


def has(journal: Path, suffix: str) -> bool:
    """Whether a database has this file beside it."""
    return journal.with_name(journal.name + suffix).exists()


def remove(file: Path) -> None:
    """Take a database away, with what is beside it."""
    for suffix in BESIDE:
        file.with_name(file.name + suffix).unlink(missing_ok=True)


async def _fault(store: SqliteStore, keyring: Keyring, query: Query) -> str | None:
    """What hinders reading these events."""
    try:
        await events_from(store, keyring, await store.read(query))
    except (StoreError, SealError) as error:
        return error.problem
    return None
