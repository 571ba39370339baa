"""Named groups of processes, kept by the node; a process that ends leaves them all. PubSub topics are groups too.

Source: Erlang's pg: a process may join a group repeatedly and leaves once per leave; local to the node so far.
"""

from __future__ import annotations

from planaria.otp.kernel.process import DEAD, Process


class Groups:
    """Members by group, in the order they joined."""

    def __init__(self) -> None:
        self._members: dict[str, list[Process]] = {}
        self._groups_of: dict[Process, list[str]] = {}

    def join(self, group: str, process: Process, *, once: bool = False) -> None:
        """Add a member; `once`: nothing happens if it is one already. The dead join nothing."""
        if process.status == DEAD:
            return
        members = self._members.setdefault(group, [])
        if once and process in members:
            return
        members.append(process)
        groups = self._groups_of.get(process)
        if groups is None:
            groups = self._groups_of[process] = []
            if process.on_death is None:
                process.on_death = []
            process.on_death.append(self._forget)
        groups.append(group)

    def leave(self, group: str, process: Process) -> bool:
        """Take one membership away; False if there was none."""
        members = self._members.get(group)
        if members is None or process not in members:
            return False
        members.remove(process)
        if not members:
            del self._members[group]
        self._groups_of[process].remove(group)
        return True

    def members(self, group: str) -> list[Process]:
        """The members, one entry per membership."""
        return list(self._members.get(group, ()))

    def names(self) -> list[str]:
        """The groups that have members, sorted."""
        return sorted(self._members)

    def _forget(self, process: Process) -> None:
        for group in self._groups_of.pop(process, ()):
            members = self._members[group]
            members.remove(process)
            if not members:
                del self._members[group]
