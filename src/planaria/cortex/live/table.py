"""Tables of now: typed rows by key, bounded, with queries by pattern and label. In memory only, and pure.

A row is frozen and replaced, never changed. A full table lets go of the row that was changed longest ago and counts it.
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import msgspec


class LiveError(Exception):
    """A query that cannot be answered; the text says what to write instead."""


class Row(msgspec.Struct, frozen=True):
    """One line of a table. Subclass it, frozen; `labels` names the fields that may be asked for by value."""

    labels: ClassVar[tuple[str, ...]] = ()
    key: str


class Select(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which rows.

    Args:
        match: a pattern for the key, with `*`, `?` and `[abc]`; empty for every key.
        where: label -> its value as text. An empty value stands for none.
        order: a field, `-field` for the greatest first; empty for the one that changed last first.
        limit: at most so many; None for all.
    """

    match: str = ""
    where: dict[str, str] = {}
    order: str = ""
    limit: int | None = 100


ALL = Select(limit=None)


class Table[R: Row]:
    """Rows of one type.

    Args:
        name: what it is asked by.
        kind: of its rows.
        limit: rows that are kept.
        about: what a row is, for people.

    Attributes:
        evicted: rows it had no room for, since it was made.
        version: grows with every change.
        refresh: called before it is read, where its rows are looked up rather than told.
        changed: called with the key of each row that was put, touched or removed.
        build: makes the row of a key that was touched, when it is read; None for one that is no more.
        forget: called with the key of a row there was no room for.
    """

    def __init__(self, name: str, kind: type[R], limit: int, about: str) -> None:
        self.name = name
        self.kind = kind
        self.limit = limit
        self.about = about
        self.evicted = 0
        self.version = 0
        self.refresh: Callable[[], None] | None = None
        self.changed: Callable[[str], None] | None = None
        self.build: Callable[[str], R | None] | None = None
        self.forget: Callable[[str], object] | None = None
        self._rows: dict[str, R] = {}
        self._touched: dict[str, None] = {}

    def __len__(self) -> int:
        self.settle()
        return len(self._rows)

    def get(self, key: str) -> R | None:
        """The row of this key."""
        if key in self._touched:
            self.settle()
        return self._rows.get(key)

    def put(self, row: R) -> None:
        """Add a row, or put it in the place of the one with its key."""
        self._place(row)
        if self.changed is not None:
            self.changed(row.key)

    def touch(self, key: str) -> None:
        """Say that the row of this key is another now; `build` makes it when somebody looks."""
        if key not in self._touched:
            self._touched[key] = None
            if self.changed is not None:
                self.changed(key)

    def settle(self) -> None:
        """Make the rows that were touched."""
        if not self._touched or self.build is None:
            return
        touched, self._touched = self._touched, {}
        for key in touched:
            row = self.build(key)
            if row is not None:
                self._place(row)
            elif self._rows.pop(key, None) is not None:
                self.version += 1

    def _place(self, row: R) -> None:
        rows = self._rows
        if rows.pop(row.key, None) is None and len(rows) >= self.limit:
            oldest = next(iter(rows))
            self.evicted += 1
            if self.forget is not None:
                self.forget(oldest)
            self.remove(oldest)
        rows[row.key] = row
        self.version += 1

    def remove(self, key: str) -> None:
        """Take a row away; nothing happens if there is none."""
        if self._rows.pop(key, None) is not None:
            self.version += 1
            if self.changed is not None:
                self.changed(key)

    def replace_all(self, rows: dict[str, R]) -> None:
        """Make these the rows: for tables that are looked up. What is the same as before is no change."""
        for key in self._rows.keys() - rows.keys():
            self.remove(key)
        for key, row in rows.items():
            if self._rows.get(key) != row:
                self.put(row)

    def select(self, select: Select = ALL) -> list[R]:
        """The rows a query asks for.

        Raises:
            LiveError: it names a label or field the rows do not have.
        """
        self.check(select)
        if self.refresh is not None:
            self.refresh()
        self.settle()
        found = [row for row in reversed(self._rows.values()) if matches(row, select)]
        if select.order:
            field, descending = select.order.lstrip("-"), select.order.startswith("-")
            found.sort(key=lambda row: _sortable(getattr(row, field)), reverse=descending)
        return found if select.limit is None else found[: max(0, select.limit)]

    def check(self, select: Select) -> None:
        """Refuse a query the rows cannot answer; raises `LiveError`."""
        for label in select.where:
            if label not in self.kind.labels:
                known = ", ".join(self.kind.labels) or "none"
                raise LiveError(f"{self.name} has no label {label!r}; labels: {known}")
        field = select.order.lstrip("-")
        if field and field not in self.kind.__struct_fields__:
            known = ", ".join(self.kind.__struct_fields__)
            raise LiveError(f"{self.name} has no field {field!r} to order by; fields: {known}")


def matches(row: Row, select: Select) -> bool:
    """Whether a query asks for this row."""
    if select.match and not fnmatchcase(row.key, select.match):
        return False
    return all(_text(getattr(row, label)) == value for label, value in select.where.items())


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _sortable(value: Any) -> tuple[bool, Any]:
    return (False, 0) if value is None else (True, value)
