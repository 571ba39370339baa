"""Groups and topics in a worker: they are home's."""

from __future__ import annotations

from typing import Any, Protocol

from planaria.otp.kernel.groups import Groups
from planaria.otp.kernel.process import DEAD, Process


class Home(Protocol):
    """How home is told and asked."""

    def tell(self, what: str, *args: object) -> None:
        """Say it."""
        ...

    def ask(self, what: str, *args: Any) -> Any:
        """Ask, and wait on the spot."""
        ...


class HomeGroups(Groups):
    """Groups as home knows them: joining is told, members are asked for."""

    def __init__(self, bridge: Home, which: str) -> None:
        super().__init__()
        self.bridge = bridge
        self.which = which

    def join(self, group: str, process: Process, *, once: bool = False) -> None:
        """See `Groups`."""
        if process.status != DEAD:
            self.bridge.tell("join", self.which, group, process, once)

    def leave(self, group: str, process: Process) -> bool:
        """See `Groups`."""
        return bool(self.bridge.ask("leave", self.which, group, process))

    def members(self, group: str) -> list[Process]:
        """See `Groups`."""
        return list(self.bridge.ask("members", self.which, group))

    def names(self) -> list[str]:
        """See `Groups`."""
        return list(self.bridge.ask("group_names", self.which))
