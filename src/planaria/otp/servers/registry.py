"""A registry: processes by key, with a value beside each, given up when they end. For names that are data.

Registered names (`register`, `name=`) are for the fixed parts of a node; a registry is for those that come and go,
such as the sessions of visitors.

```python
child(Registry, name="sessions")                        # unique keys
child(Registry, "duplicate", ("audit",), name="topics") # any number of processes for a key; `audit` is told
await Registry.register("sessions", ("scout", "garden"), since)
Registry.whereis("sessions", ("scout", "garden"))
Registry.dispatch("topics", "rain", send_all)           # `send_all` is given the entries under that key
```

The second way to use it, with duplicate keys and `dispatch`, is publishing to subscribers; node-wide topics that need
no registry are in `kernel/pubsub.py`.
A registered process is linked to its registry: when that crashes, those that believe to be registered end too, and
their supervisors start them anew. Reading goes past the mailbox (`kernel/table.py`).
Source: Elixir's Registry. Differs: a registration is a request to the registry; there are no partitions, since one
event loop has no contention that they would lower; conditions are functions instead of match patterns.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from planaria.otp.kernel.ambient import Server, link, resolve, self_, unlink
from planaria.otp.kernel.mailbox import deliver_kernel
from planaria.otp.kernel.message import ExitSignal
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.kernel.reason import AlreadyStarted, StartFailed
from planaria.otp.kernel.table import publish, read_table
from planaria.otp.servers.gen_server import GenServer
from planaria.otp.servers.handler import Deferred, call
from planaria.otp.servers.keys import no_process, unfit
from planaria.otp.servers.registry_table import DuplicateTable, Entry, Key, RegistryTable, UniqueTable


@dataclass(frozen=True, slots=True)
class Registered:
    """To listeners: a process was registered."""

    registry: Process
    key: Hashable
    process: Process
    value: Any


@dataclass(frozen=True, slots=True)
class Unregistered:
    """To listeners: a process gave a key up, or ended."""

    registry: Process
    key: Hashable
    process: Process


class Registry(GenServer):
    """Start it as a child with a name."""

    trap_exit: ClassVar[bool] = True

    def init(
        self,
        keys: Literal["unique", "duplicate"] = "unique",
        listeners: Sequence[Server] = (),
        meta: Mapping[Hashable, Any] | None = None,
    ) -> None:
        """Begin empty.

        Args:
            keys: whether a key has one process or any number.
            listeners: told by `Registered` and `Unregistered`; names are looked up each time.
            meta: what `Registry.meta` answers at first.
        """
        if keys not in ("unique", "duplicate"):
            raise ValueError(f"keys={keys!r}: it is 'unique' or 'duplicate'")
        self.listeners = tuple(listeners)
        facts = dict(meta or {})
        self.table: UniqueTable | DuplicateTable = (
            UniqueTable(facts) if keys == "unique" else DuplicateTable(facts)
        )
        publish(self.pid, self.table)

    # --- requests ------------------------------------------------------------------------------------------------

    @call
    def register(
        self, key: Hashable, value: Any = None, process: Process | None = None
    ) -> Deferred[None] | None:
        """Register a process, the caller unless told otherwise, under `key`, with a value beside it.

        Raises:
            StartFailed: with `AlreadyStarted`: a living process has the key, which is to be unique.
            TypeError: code outside did not say which process; that is no process; the key has no hash.
        """
        process = process or self.caller()
        if process is None:
            return self.refuse(TypeError("code outside has no pid: say which process"))
        bad = unfit(key, "key") or no_process(process)
        if bad is not None:
            return self.refuse(bad)
        if isinstance(self.table, UniqueTable):
            holder = self.table.holder(key)
            if holder is not None and holder.status != DEAD:
                return self.refuse(StartFailed(key, AlreadyStarted(holder)))
            if holder is not None:
                self._ended(holder)
        if process not in self.table.keys_of:
            link(process)
        self.table.add(key, Entry(process, value))
        self._tell(Registered(self.pid, key, process, value))
        return None

    @call
    def unregister(self, key: Hashable, process: Process | None = None) -> bool | Deferred[bool]:
        """Give up what a process, the caller unless told otherwise, has under `key`; False if that is nothing."""
        process = process or self.caller()
        bad = unfit(key, "key")
        if bad is not None:
            return self.refuse(bad)
        if process is None or not self.table.remove(key, process):
            return False
        if process not in self.table.keys_of:
            unlink(process)
        self._tell(Unregistered(self.pid, key, process))
        return True

    @call
    def replace_value(self, key: Hashable, value: Any) -> bool | Deferred[bool]:
        """Put another value beside the caller's unique key; False if the key is not the caller's."""
        caller = self.caller()
        bad = unfit(key, "key")
        if bad is not None:
            return self.refuse(bad)
        if not isinstance(self.table, UniqueTable) or caller is None or self.table.holder(key) is not caller:
            return False
        self.table.add(key, Entry(caller, value))
        return True

    @call
    def put_meta(self, name: Hashable, value: Any) -> Deferred[None] | None:
        """Remember a fact about the registry itself."""
        bad = unfit(name, "key")
        if bad is not None:
            return self.refuse(bad)
        self.table.meta[name] = value
        return None

    @staticmethod
    async def update_value(registry: Server, key: Hashable, change: Callable[[Any], Any]) -> tuple[Any, Any]:
        """Change the value beside a unique key of the running process; the new one and the old one.

        Args:
            change: given the old value, returns the new one; runs in the caller.
        Raises:
            KeyError: the running process has not registered that key.
        """
        me = self_()
        old = [entry.value for entry in _table(registry).entries(key) if entry.process is me]
        if len(old) == 1:
            new = change(old[0])
            if await Registry.replace_value(registry, key, new):
                return new, old[0]
        raise KeyError(f"{me} has no unique key {key!r} in {registry!s}")

    # --- reading: past the mailbox -----------------------------------------------------------------------------------

    @staticmethod
    def lookup(registry: Server, key: Hashable) -> list[Entry]:
        """The registrations of living processes under `key`, oldest first; one or none where keys are unique."""
        return _table(registry).entries(key)

    @staticmethod
    def whereis(registry: Server, key: Hashable) -> Process | None:
        """Who has the key; the first where there are several."""
        entries = _table(registry).entries(key)
        return entries[0].process if entries else None

    @staticmethod
    def keys(registry: Server, process: Process | None = None) -> list[Key]:
        """The keys of one process, or all keys of living processes; each once."""
        table = _table(registry)
        if process is not None:
            return [] if process.status == DEAD else list(table.keys_of.get(process, ()))
        return [key for key in table if table.entries(key)]

    @staticmethod
    def values(registry: Server, key: Hashable, process: Process) -> list[Any]:
        """The values `process` has registered beside `key`."""
        return [entry.value for entry in _table(registry).entries(key) if entry.process is process]

    @staticmethod
    def match(registry: Server, key: Hashable, condition: Callable[[Any], bool]) -> list[Entry]:
        """The registrations under `key` whose value meets a condition."""
        return [entry for entry in _table(registry).entries(key) if condition(entry.value)]

    @staticmethod
    def select(registry: Server, condition: Callable[[Key, Entry], bool]) -> list[tuple[Key, Entry]]:
        """All registrations that meet a condition; looks at each."""
        table = _table(registry)
        return [(key, entry) for key in table for entry in table.entries(key) if condition(key, entry)]

    @staticmethod
    def count(registry: Server) -> int:
        """How many registrations of living processes there are."""
        table = _table(registry)
        return sum(len(table.entries(key)) for key in table)

    @staticmethod
    def dispatch(registry: Server, key: Hashable, use: Callable[[list[Entry]], object]) -> None:
        """Call `use` with the registrations under `key`, in the running process; not at all if there are none."""
        entries = _table(registry).entries(key)
        if entries:
            use(entries)

    @staticmethod
    def meta(registry: Server, name: Hashable) -> Any:
        """A fact about the registry itself; raises `KeyError` for one nobody has put."""
        return _table(registry).meta[name]

    # --- the dead ----------------------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        """The end of a registered process."""
        if isinstance(message, ExitSignal):
            self._ended(message.sender)
        else:
            super().handle_info(message)

    def _ended(self, process: Process) -> None:
        for key in list(self.table.keys_of.get(process, ())):
            self.table.remove(key, process)
            self._tell(Unregistered(self.pid, key, process))

    def _tell(self, event: Registered | Unregistered) -> None:
        for listener in self.listeners:
            target = self.pid.node.names.get(listener) if isinstance(listener, str) else listener
            if target is not None:
                deliver_kernel(target, "info", event, self.pid)


def _table(registry: Server) -> RegistryTable:
    return read_table(registry, resolve(registry), RegistryTable)  # type: ignore[type-abstract]
