"""What a process lets others read without asking it: a table that lives as long as its owner (Erlang's ets, protected).

Only the owner writes; reading is a dictionary look-up past the owner's mailbox, so it works while the owner is busy
or suspended. For servers that are asked far more often than they change: registries, process groups.
"""

from __future__ import annotations

from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.kernel.reason import NoProcess


def publish(owner: Process, table: object) -> None:
    """Let everybody in the node read `table`, until `owner` ends; one table for each process."""
    tables = owner.node.tables
    if owner not in tables:
        if owner.on_death is None:
            owner.on_death = []
        owner.on_death.append(_withdraw)
    tables[owner] = table


def read_table[T](server: object, owner: Process | None, kind: type[T]) -> T:
    """The table `owner`, which was addressed as `server`, has published.

    Raises:
        NoProcess: there is no such process, or it is dead.
        TypeError: it has no table of this kind.
    """
    if owner is None or owner.status == DEAD:
        raise NoProcess(server)
    table = owner.node.tables.get(owner)
    if not isinstance(table, kind):
        raise TypeError(f"{server!s} is no process with a {kind.__name__}: is this the right name?")
    return table


def _withdraw(owner: Process) -> None:
    owner.node.tables.pop(owner, None)
