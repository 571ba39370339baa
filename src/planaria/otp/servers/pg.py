"""Process groups: named groups of processes within a *scope*, which is itself a process. Erlang's pg.

```python
supervisor(child(Groups, name="chat"), ...)
await Groups.join("chat", "garden")                # the running process
await Groups.join("chat", "garden", [one, other])  # several: watchers hear of them in one message
Groups.members("chat", "garden")                   # a look-up, nobody is asked
ref, here = await Groups.monitor("chat", "garden") # from now on GroupChanged(ref, "join" or "leave", group, pids)
```

A process is a member as often as it joined and must leave as often; its end is the end of all its memberships. A
group without members does not exist. When the scope ends, its memberships are gone: members join its successor anew.
Scopes know nothing of each other. The node has groups of its own beside them (`planaria.otp.join`), which need no
process and cannot be watched.
Source: OTP 25's pg, on one node. Differs: joining nobody (an empty list) changes nothing and tells nobody.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from planaria.otp.kernel.ambient import Server, demonitor, monitor, resolve, self_
from planaria.otp.kernel.mailbox import deliver_kernel, take_where
from planaria.otp.kernel.message import Down
from planaria.otp.kernel.process import Monitor, Process
from planaria.otp.kernel.reason import NoProcess
from planaria.otp.kernel.table import publish, read_table
from planaria.otp.servers.gen_server import GenServer
from planaria.otp.servers.handler import Deferred, call
from planaria.otp.servers.keys import unfit

type Group = Hashable
type Pids = Process | Sequence[Process]


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """What a watcher gets: these processes joined or left a group, each named once per membership."""

    ref: Monitor
    event: Literal["join", "leave"]
    group: Group
    pids: tuple[Process, ...]


class Memberships:
    """Who is in which group how often."""

    __slots__ = ("groups",)

    def __init__(self) -> None:
        self.groups: dict[Group, dict[Process, int]] = {}

    def members(self, group: Group) -> list[Process]:
        """One entry for each membership."""
        return [pid for pid, times in self.groups.get(group, {}).items() for _ in range(times)]

    def add(self, group: Group, pid: Process) -> None:
        """One more membership."""
        counts = self.groups.setdefault(group, {})
        counts[pid] = counts.get(pid, 0) + 1

    def remove(self, group: Group, pid: Process) -> bool:
        """One membership less; False if there was none."""
        counts = self.groups.get(group)
        if counts is None or pid not in counts:
            return False
        if counts[pid] > 1:
            counts[pid] -= 1
        else:
            del counts[pid]
            if not counts:
                del self.groups[group]
        return True


class Groups(GenServer):
    """One scope: start it under a name, as a child (`child(Groups, name=...)`) or with `start_link(name=...)`."""

    call_timeout: ClassVar[float | None] = None  # as pg: requests are short, and the scope may have many

    def init(self) -> None:
        """Begin without groups."""
        self.table = Memberships()
        self.joined: dict[Process, tuple[Monitor, list[Group]]] = {}  # groups in the order they were joined
        self.watches: dict[Monitor, tuple[Process, tuple[Group] | None]] = {}
        self.group_watches: dict[Group, dict[Monitor, Process]] = {}
        self.scope_watches: dict[Monitor, Process] = {}
        publish(self.pid, self.table)

    # --- requests ------------------------------------------------------------------------------------------------

    @call
    def join(self, group: Group, pids: Pids | None = None) -> Deferred[None] | None:
        """Add processes to a group, the caller unless told otherwise (pg:join/3).

        Args:
            pids: one, or several at once, a process as often as it stands there. One that is dead joins and
                leaves at once.
        Raises:
            TypeError: something among `pids` is no process; the group has no hash.
        """
        joining = unfit(group, "group") or self._who(pids)
        if isinstance(joining, TypeError):
            return self.refuse(joining)
        for pid in joining:
            known = self.joined.get(pid)
            if known is None:
                known = self.joined[pid] = (monitor(pid), [])
            known[1].append(group)
            self.table.add(group, pid)
        if joining:
            self._tell("join", group, joining)
        return None

    @call
    def leave(self, group: Group, pids: Pids | None = None) -> bool | Deferred[bool]:
        """Take one membership of each away (pg:leave/3). False if none of them was a member (`not_joined`).

        Watchers are told of all of `pids`, as in OTP, also of those that were no members.

        Raises:
            TypeError: something among `pids` is no process; the group has no hash.
        """
        leaving = unfit(group, "group") or self._who(pids)
        if isinstance(leaving, TypeError):
            return self.refuse(leaving)
        left = [pid for pid in leaving if self.table.remove(group, pid)]
        for pid in left:
            ref, groups = self.joined[pid]
            _remove_last(groups, group)
            if not groups:
                demonitor(ref, flush=True)
                del self.joined[pid]
        if left:
            self._tell("leave", group, leaving)
        return bool(left)

    @call
    def monitor(
        self, group: Group
    ) -> tuple[Monitor, list[Process]] | Deferred[tuple[Monitor, list[Process]]]:
        """Tell the caller of each change of one group, by `GroupChanged` (pg:monitor/2).

        Returns:
            The reference that the messages carry, and the members as of now.
        """
        ref = unfit(group, "group") or self._watch((group,))
        if isinstance(ref, TypeError):
            return self.refuse(ref)
        return ref, self.table.members(group)

    @call
    def monitor_scope(
        self,
    ) -> tuple[Monitor, dict[Group, list[Process]]] | Deferred[tuple[Monitor, dict[Group, list[Process]]]]:
        """Tell the caller of each change in the scope (pg:monitor_scope/1).

        Returns:
            The reference that the messages carry, and all groups with their members as of now.
        """
        ref = self._watch(None)
        if isinstance(ref, TypeError):
            return self.refuse(ref)
        return ref, {group: self.table.members(group) for group in self.table.groups}

    @call
    def unwatch(self, ref: Monitor) -> bool:
        """End a watch; use `demonitor`, which removes its messages too."""
        if ref not in self.watches:
            return False
        demonitor(ref, flush=True)
        self._forget(ref)
        return True

    @staticmethod
    async def demonitor(scope: Server, ref: Monitor) -> bool:
        """End a watch and remove its messages from the caller's mailbox (pg:demonitor/2). False if there is none."""
        if not await Groups.unwatch(scope, ref):
            return False
        me = self_()
        while take_where(me, lambda message: isinstance(message[1], GroupChanged) and message[1].ref is ref):
            pass
        return True

    # --- reading: past the mailbox -----------------------------------------------------------------------------------

    @staticmethod
    def members(scope: Server, group: Group) -> list[Process]:
        """The members, one entry for each membership; none if there is no such scope (pg:get_members/2)."""
        try:
            return _table(scope).members(group)
        except NoProcess:
            return []

    @staticmethod
    def which_groups(scope: Server) -> list[Group]:
        """The groups that have members (pg:which_groups/1).

        Raises:
            NoProcess: there is no such scope.
        """
        return list(_table(scope).groups)

    # --- the dead ----------------------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        """The end of a member, or of a watcher."""
        if not isinstance(message, Down):
            super().handle_info(message)
        elif isinstance(message.ref, Monitor) and message.ref in self.watches:
            self._forget(message.ref)
        elif isinstance(message.process, Process) and message.process in self.joined:
            pid = message.process
            _, groups = self.joined.pop(pid)
            for group in reversed(
                groups
            ):  # as OTP: the latest membership first, each with a message of its own
                self.table.remove(group, pid)
                self._tell("leave", group, (pid,))

    def _who(self, pids: Pids | None) -> tuple[Process, ...] | TypeError:
        """Whom a request is about; what it is refused with if that makes no sense."""
        if pids is None:
            caller = self.caller()
            return TypeError("code outside has no pid: say which processes") if caller is None else (caller,)
        who = (pids,) if isinstance(pids, Process) or not isinstance(pids, Iterable) else tuple(pids)
        strangers = [pid for pid in who if not isinstance(pid, Process)]
        return TypeError(f"{strangers[0]!r} is no process: groups are made of pids") if strangers else who

    def _watch(self, groups: tuple[Group] | None) -> Monitor | TypeError:
        caller = self.caller()
        if caller is None:
            return TypeError("only a process can watch groups: ask from one")
        ref = monitor(caller)
        self.watches[ref] = (caller, groups)
        if groups is None:
            self.scope_watches[ref] = caller
        else:
            self.group_watches.setdefault(groups[0], {})[ref] = caller
        return ref

    def _forget(self, ref: Monitor) -> None:
        _, groups = self.watches.pop(ref)
        if groups is None:
            del self.scope_watches[ref]
        else:
            watching = self.group_watches[groups[0]]
            del watching[ref]
            if not watching:
                del self.group_watches[groups[0]]

    def _tell(self, event: Literal["join", "leave"], group: Group, pids: tuple[Process, ...]) -> None:
        for ref, watcher in self.scope_watches.items():
            deliver_kernel(watcher, "info", GroupChanged(ref, event, group, pids), self.pid)
        for ref, watcher in reversed(self.group_watches.get(group, {}).items()):  # as OTP: the latest first
            deliver_kernel(watcher, "info", GroupChanged(ref, event, group, pids), self.pid)


def _table(scope: Server) -> Memberships:
    return read_table(scope, resolve(scope), Memberships)


def _remove_last(groups: list[Group], group: Group) -> None:
    for index in range(len(groups) - 1, -1, -1):
        if groups[index] == group:
            del groups[index]
            return
