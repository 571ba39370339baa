"""The names of a node, for those who must hear of changes: workers know all names of their home."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import Process

POOL = "worker_pool"
"""The name of the pool; each node has its own, so this one name is not shared with workers."""


type Changed = Callable[[str, Process | None], None]
"""Told the name and its new process; None for a name given up."""


class WatchedNames(dict[str, Process]):
    """Names that tell of each change. Reading is a plain dictionary's; put in the place of `Node.names`."""

    def __init__(self, names: Mapping[str, Process]) -> None:
        super().__init__(names)
        self.watchers: list[Changed] = []

    def __setitem__(self, name: str, process: Process) -> None:
        self.put(name, process, None)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.put(name, None, None)

    def pop(self, name: str, *default: Any) -> Any:
        """Give a name up."""
        found = self.get(name)
        if found is None:
            return super().pop(name, *default)
        self.put(name, None, None)
        return found

    def put(self, name: str, process: Process | None, told_by: Changed | None) -> None:
        """Give a name to `process`, or take it away, and tell everybody but who has told us."""
        if process is None:
            super().pop(name, None)
        else:
            super().__setitem__(name, process)
        for watcher in tuple(self.watchers):
            if watcher != told_by:
                watcher(name, process)


def watched(node: Node, watcher: Changed) -> WatchedNames:
    """The names of `node`, of whose changes `watcher` hears from now on."""
    names = node.names
    if not isinstance(names, WatchedNames):
        names = node.names = WatchedNames(names)
    names.watchers.append(watcher)
    return names
