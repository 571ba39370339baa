"""What a registry knows: who is registered under which key, with which value. One table for each kind of keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from planaria.otp.kernel.process import DEAD, Process

type Key = Hashable


@dataclass(frozen=True, slots=True)
class Entry:
    """One registration."""

    process: Process
    value: Any


class RegistryTable(ABC):
    """Registrations by key. Those of the dead are invisible until they are removed."""

    def __init__(self, meta: dict[Hashable, Any]) -> None:
        self.meta = meta
        self.keys_of: dict[Process, dict[Key, None]] = {}

    @abstractmethod
    def entries(self, key: Key) -> list[Entry]:
        """The registrations under a key, oldest first."""

    @abstractmethod
    def __iter__(self) -> Iterator[Key]:
        """All keys, those of the dead too."""

    @abstractmethod
    def add(self, key: Key, entry: Entry) -> None:
        """One more registration; the caller has made sure that it may be."""

    @abstractmethod
    def remove(self, key: Key, process: Process) -> bool:
        """Take all registrations of a process under a key away; False if there were none."""

    def _note(self, key: Key, process: Process) -> None:
        self.keys_of.setdefault(process, {})[key] = None

    def _forget(self, key: Key, process: Process) -> None:
        keys = self.keys_of[process]
        del keys[key]
        if not keys:
            del self.keys_of[process]


class UniqueTable(RegistryTable):
    """One process for each key."""

    def __init__(self, meta: dict[Hashable, Any]) -> None:
        super().__init__(meta)
        self._entries: dict[Key, Entry] = {}

    def entries(self, key: Key) -> list[Entry]:
        """As said above: one or none."""
        entry = self._entries.get(key)
        return [] if entry is None or entry.process.status == DEAD else [entry]

    def __iter__(self) -> Iterator[Key]:
        """As said above."""
        return iter(self._entries)

    def holder(self, key: Key) -> Process | None:
        """Who has the key, dead or alive."""
        entry = self._entries.get(key)
        return None if entry is None else entry.process

    def add(self, key: Key, entry: Entry) -> None:
        """As said above; replaces the entry of the same process."""
        self._entries[key] = entry
        self._note(key, entry.process)

    def remove(self, key: Key, process: Process) -> bool:
        """As said above."""
        entry = self._entries.get(key)
        if entry is None or entry.process is not process:
            return False
        del self._entries[key]
        self._forget(key, process)
        return True


class DuplicateTable(RegistryTable):
    """Any number of processes for each key, each any number of times."""

    def __init__(self, meta: dict[Hashable, Any]) -> None:
        super().__init__(meta)
        self._entries: dict[Key, dict[Process, list[Entry]]] = {}

    def entries(self, key: Key) -> list[Entry]:
        """As said above; those of one process stand together."""
        return [
            entry
            for process, entries in self._entries.get(key, {}).items()
            if process.status != DEAD
            for entry in entries
        ]

    def __iter__(self) -> Iterator[Key]:
        """As said above."""
        return iter(self._entries)

    def add(self, key: Key, entry: Entry) -> None:
        """As said above."""
        self._entries.setdefault(key, {}).setdefault(entry.process, []).append(entry)
        self._note(key, entry.process)

    def remove(self, key: Key, process: Process) -> bool:
        """As said above."""
        processes = self._entries.get(key, {})
        if processes.pop(process, None) is None:
            return False
        if not processes:
            del self._entries[key]
        self._forget(key, process)
        return True
