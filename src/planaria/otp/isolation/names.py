"""The names of a node, for those who must hear of changes: workers know all names of their home."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from planaria.otp.kernel.process import Process


class WatchedNames(dict[str, Process]):
    """Names that tell of each change. Reading is a plain dictionary's; put in the place of `Node.names`.

    Args:
        names: those there are.
        changed: called with the name and its new process, None for a name given up.
    """

    def __init__(self, names: Mapping[str, Process], changed: Callable[[str, Process | None], None]) -> None:
        super().__init__(names)
        self._changed = changed

    def __setitem__(self, name: str, process: Process) -> None:
        super().__setitem__(name, process)
        self._changed(name, process)

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._changed(name, None)

    def pop(self, name: str, *default: Any) -> Any:
        """Give a name up."""
        known = name in self
        found = super().pop(name, *default)
        if known:
            self._changed(name, None)
        return found

    def put_quietly(self, name: str, process: Process | None) -> None:
        """Change a name without telling."""
        if process is None:
            super().pop(name, None)
        else:
            super().__setitem__(name, process)
