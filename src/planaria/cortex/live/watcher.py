"""One who follows a table of the live store: what it has been told, and what it has not taken yet.

One message at a time is on its way to it. Meanwhile changes of one row melt into one, and when too many rows have
changed it gets all of them anew, so what is kept for a slow one is bounded.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from planaria.cortex.live.table import ALL, Select, Table, matches
from planaria.otp import Pid
from planaria.otp.kernel.process import Monitor

MOST_PENDING = 1000
"""Changed rows a subscriber may be behind; beyond, it gets all of them anew."""


class Watching(msgspec.Struct, frozen=True):
    """A subscription: its number and the rows at its start."""

    ref: int
    rows: list[Any]


class RowsChanged(msgspec.Struct, frozen=True):
    """To a subscriber: what changed since the last time.

    Attributes:
        ref: the subscription.
        rows: new and changed ones.
        gone: keys of those that are no more, or no longer asked for.
        whole: `rows` are all there are; forget the others.
        coalesced: changes of this subscription so far that were not told one by one.
    """

    ref: int
    rows: list[Any]
    gone: list[str] = []
    whole: bool = False
    coalesced: int = 0


class Watcher:
    """One subscriber."""

    def __init__(self, ref: int, pid: Pid, seen: Monitor, table: str, select: Select) -> None:
        self.ref = ref
        self.pid = pid
        self.monitor = seen
        self.table = table
        self.select = select
        self.told: set[str] = set()  # keys it knows rows of
        self.pending: set[str] = set()
        self.whole = False
        self.waits = True  # it has taken the last message
        self.coalesced = 0

    def note(self, keys: Iterable[str]) -> None:
        """These rows changed."""
        for key in keys:
            if key in self.pending or self.whole:
                self.coalesced += 1
            else:
                self.pending.add(key)
        if len(self.pending) > MOST_PENDING:
            self.coalesced += len(self.pending)
            self.pending.clear()
            self.whole = True

    def take(self, table: Table[Any]) -> RowsChanged | None:
        """What to tell it now; None if nothing concerns it."""
        if self.whole:
            rows = [row for row in table.select(ALL) if matches(row, self.select)]
            self.told = {row.key for row in rows}
            self.whole = False
            return RowsChanged(self.ref, rows, whole=True, coalesced=self.coalesced)
        rows, gone = [], []
        for key in sorted(self.pending):
            row = table.get(key)
            if row is not None and matches(row, self.select):
                rows.append(row)
                self.told.add(key)
            elif key in self.told:
                gone.append(key)
                self.told.discard(key)
        self.pending.clear()
        if not rows and not gone:
            return None
        return RowsChanged(self.ref, rows, gone, coalesced=self.coalesced)
