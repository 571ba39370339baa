"""A supervisor of equal children, of which a key picks one. Elixir's PartitionSupervisor.

```python
partitions(lambda number: child(Worker, number, isolation="worker"), 4, name="workers")
await Worker.resize(partition("workers", picture_name), data)
```

Pays where one process is a bottleneck for a reason other than the event loop: its mailbox is full while it waits for
the outside, a crash should lose a part of the state only, or the children compute in OS processes of their own. For
servers that only compute on the loop it does not: they share it anyway. A key goes to the same partition in every run,
whatever Python's hash of it, as long as its `repr` stays the same.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import replace
from zlib import crc32

from planaria.otp.kernel.ambient import Server, resolve
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.kernel.reason import NoProcess
from planaria.otp.kernel.table import publish, read_table
from planaria.otp.servers.gen_server import start_server
from planaria.otp.supervision.child import ChildSpec, Restart, ShutdownTime
from planaria.otp.supervision.restart_window import check_budget
from planaria.otp.supervision.supervisor import Child, Flags, Strategy, Supervisor


class PartitionSupervisor(Supervisor):
    """Use `partitions(...)` to describe one; its children have the ids 0, 1, 2 ..."""

    async def init(self, flags: Flags, specs: tuple[ChildSpec, ...]) -> None:  # type: ignore[override]
        """Start the partitions in order."""
        await super().init(flags, specs)
        publish(self.pid, _Partitions(self.children, len(specs)))


class _Partitions:
    """What may be read past the supervisor's mailbox."""

    __slots__ = ("children", "count")

    def __init__(self, children: dict[object, Child], count: int) -> None:
        self.children = children
        self.count = count

    def process(self, number: int) -> Process | None:
        """Who serves a partition now."""
        known = self.children.get(number)
        process = None if known is None else known.process
        return None if process is None or process.status == DEAD else process


def partitions(
    make: Callable[[int], ChildSpec],
    count: int,
    *,
    name: str | None = None,
    id: object = None,
    strategy: Strategy = "one_for_one",
    max_restarts: int = 3,
    within: float = 5.0,
    restart: Restart = "permanent",
    shutdown: ShutdownTime = "infinity",
) -> ChildSpec:
    """A supervisor with `count` children of one kind; see `supervisor` for the other arguments.

    Args:
        make: the specification of partition 0, 1, 2 ...; its id is replaced by that number.
        count: at least 1; does not change while it runs.
    Raises:
        ValueError: for a count below 1.
    """
    if count < 1:
        raise ValueError(f"count={count!r}: there must be at least 1 partition")
    check_budget(max_restarts, within)
    specs = tuple(replace(make(number), id=number) for number in range(count))
    flags = Flags(strategy, max_restarts, within)

    async def start(*, link: bool = True) -> Process | None:
        return await start_server(
            PartitionSupervisor, (flags, specs), {}, name=name, label=name or "partitions", link=link
        )

    return ChildSpec(id or name or "partitions", start, restart, shutdown, "supervisor")


def partition_number(key: Hashable, count: int) -> int:
    """Which of `count` partitions a key belongs to: whole numbers in turn, other keys by a checksum of their repr."""
    if isinstance(key, int):
        return abs(key) % count
    return crc32(repr(key).encode()) % count


def partition(supervisor: Server, key: Hashable) -> Process:
    """The process of the partition that `key` belongs to, as of now.

    Raises:
        NoProcess: there is no such supervisor, or that partition is being restarted.
    """
    table = read_table(supervisor, resolve(supervisor), _Partitions)
    number = partition_number(key, table.count)
    process = table.process(number)
    if process is None:
        raise NoProcess(f"{supervisor!s}/{number}")
    return process


def partition_pids(supervisor: Server) -> list[Process]:
    """The processes of all partitions that run now, in order."""
    table = read_table(supervisor, resolve(supervisor), _Partitions)
    found = (table.process(number) for number in range(table.count))
    return [process for process in found if process is not None]
