"""A registry: unique keys for processes, given up when they end. For names that are data, such as a session's.

Registered names (`register`, `name=`) are for the fixed parts of a node; a registry is for those that come and go.
Source: Elixir's Registry with unique keys. Reading goes past the mailbox: a dictionary look-up.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from planaria.otp.kernel.ambient import Server, monitor, resolve
from planaria.otp.kernel.message import Down
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.kernel.reason import AlreadyStarted, NoProcess, StartFailed
from planaria.otp.servers.gen_server import GenServer
from planaria.otp.servers.handler import Deferred, call


class Registry(GenServer):
    """Start it as a child with a name."""

    def init(self) -> None:
        """Begin empty."""
        self.entries: dict[Hashable, tuple[Process, Any]] = {}
        self.keys_of: dict[Process, set[Hashable]] = {}

    @call
    def put(self, key: Hashable, process: Process, value: Any = None) -> Deferred[None] | None:
        """Register `process` under `key`, with a value beside it.

        Raises:
            StartFailed: with `AlreadyStarted`: a living process has the key.
        """
        held = self.entries.get(key)
        if held is not None and held[0].status != DEAD:
            return self.refuse(StartFailed(key, AlreadyStarted(held[0])))
        self.entries[key] = (process, value)
        if process not in self.keys_of:
            self.keys_of[process] = set()
            monitor(process)
        self.keys_of[process].add(key)
        return None

    @call
    def remove(self, key: Hashable) -> bool:
        """Give a key up; False if nobody had it."""
        held = self.entries.pop(key, None)
        if held is not None:
            self.keys_of.get(held[0], set()).discard(key)
        return held is not None

    def handle_info(self, message: Any) -> None:
        """The end of a registered process."""
        if isinstance(message, Down) and isinstance(message.process, Process):
            for key in self.keys_of.pop(message.process, ()):
                if key in self.entries and self.entries[key][0] is message.process:
                    del self.entries[key]


def lookup(registry: Server, key: Hashable) -> Process | None:
    """Who is registered under `key` now."""
    held = _entries(registry).get(key)
    return held[0] if held is not None and held[0].status != DEAD else None


def keys(registry: Server) -> list[Hashable]:
    """All keys of living processes."""
    return [key for key, (process, _) in _entries(registry).items() if process.status != DEAD]


def _entries(registry: Server) -> dict[Hashable, tuple[Process, Any]]:
    process = resolve(registry)
    if not isinstance(process.body, Registry):
        raise NoProcess(registry)
    return process.body.entries
