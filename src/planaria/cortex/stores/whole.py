"""A journal as a whole, row for row as it is kept, on its way between a store and a backup.

A backup is a journal's file of the SQLite store, whichever store it was made of: `stores/sqlite/backup_file.py` writes
one from these rows and `stores/sqlite/backup_rows.py` reads one into them; `stores/postgres` has the other ends.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from planaria.cortex.store import EventStore, Stored

PAGE_BYTES = 4 << 20
"""Bytes of rows in memory at a time, unless a single one is larger."""
PAGE_ROWS = 1000


class Kept(msgspec.Struct, frozen=True):
    """An event and the hashes, 32 bytes each, of the contents it refers to."""

    event: Stored
    contents: tuple[bytes, ...]


class KeptContent(msgspec.Struct, frozen=True):
    """A long text. `size` is in characters."""

    hash: bytes
    size: int
    data: bytes


class KeptSnapshot(msgspec.Struct, frozen=True):
    """A snapshot with the digest of the chain it stands for."""

    session: str
    name: str
    version: int
    seq: int
    digest: bytes
    data: bytes


@runtime_checkable
class LoadingStore(EventStore, Protocol):
    """A store whose journal a backup can take the place of."""

    async def load(
        self, file: Path, aside: str, *, holder: str, replace: bool, progress: Callable[[int, int], object]
    ) -> str | None:
        """Put the journal in `file` in the place of the one that is there, whole or not at all.

        The store may be open or not; it is closed afterwards.

        Args:
            file: a sound journal of the SQLite store, which nobody has open.
            aside: what the journal before is called from now on.
            holder: of the lease `node`; while another holds it nothing is done.
            replace: put a journal that has events aside; else it is refused.
            progress: told how many events are in, and how many there are.
        Returns:
            `aside`, or None if nothing was there to keep.
        Raises:
            StoreError: it could not; all is as it was.
        """
        ...
