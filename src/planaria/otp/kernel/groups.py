"""Named groups of processes, kept by the node; a process that ends leaves them all. PubSub topics are groups too.

Nobody is asked and nobody is told; scopes that are processes, and can be watched, are in `servers/pg.py`.
Source: the memberships of Erlang's pg: a process may join a group repeatedly and leaves once per leave.
"""

from __future__ import annotations

from planaria.otp.kernel.process import DEAD, Process


class Groups:
    """Members by group, in the order they joined first."""

    def __init__(self) -> None:
        self._members: dict[str, dict[Process, int]] = {}  # how often each has joined
        self._groups_of: dict[Process, set[str]] = {}
        self._repeated: set[str] = set()  # groups somebody has joined more than once

    def join(self, group: str, process: Process, *, once: bool = False) -> None:
        """Add a member; `once`: nothing happens if it is one already. The dead join nothing."""
        if process.status == DEAD:
            return
        members = self._members.setdefault(group, {})
        times = members.get(process, 0)
        if times and once:
            return
        members[process] = times + 1
        if times:
            self._repeated.add(group)
        groups = self._groups_of.get(process)
        if groups is None:
            groups = self._groups_of[process] = set()
            if process.on_death is None:
                process.on_death = []
            process.on_death.append(self._forget)
        groups.add(group)

    def leave(self, group: str, process: Process) -> bool:
        """Take one membership away; False if there was none."""
        members = self._members.get(group)
        times = 0 if members is None else members.get(process, 0)
        if members is None or not times:
            return False
        if times > 1:
            members[process] = times - 1
            return True
        self._drop(group, members, process)
        self._groups_of[process].discard(group)
        return True

    def members(self, group: str) -> list[Process]:
        """The members, one entry per membership."""
        members = self._members.get(group)
        if members is None:
            return []
        if group not in self._repeated:
            return [*members]
        return [process for process, times in members.items() for _ in range(times)]

    def names(self) -> list[str]:
        """The groups that have members, sorted."""
        return sorted(self._members)

    def _drop(self, group: str, members: dict[Process, int], process: Process) -> None:
        del members[process]
        if not members:
            del self._members[group]
            self._repeated.discard(group)

    def _forget(self, process: Process) -> None:
        for group in self._groups_of.pop(process, ()):
            self._drop(group, self._members[group], process)
