"""Holds the journal for one node: no other may work on it, and one that has lost it writes no more.

Rooms, sessions and runs are rebuilt from the journal and then held in memory, so two nodes that wrote to the same ones
would each know half. Started right after the journal under the name `node_lease`. Every append of the journal is then
fenced with the lease. It is renewed three times in its time; while the store is away nobody can take it over either,
so a node goes on when the store is back, unless another was faster.
Options: `ttl` 15.0 s. Does badly: a node on a machine that is gone keeps the journal until its lease ends.
"""

from datetime import UTC, datetime
from typing import Any

from planaria.cortex.errors import CortexError, JournalUnavailable
from planaria.cortex.journal import Journal
from planaria.cortex.store import Fence, Lease
from planaria.otp import CallError, Down, GenServer, Task, TaskDone, TaskRef, send_after

TTL = 15.0
"""Seconds a lease holds without being renewed."""
LEASE = "node"
AGAIN = 1.0
"""Seconds until a store that cannot be asked is asked again."""


class JournalTaken(CortexError):
    """Another node works on this journal."""


class JournalLost(CortexError):
    """Another node has taken over this node's journal."""


class NodeLease(GenServer):
    """Takes the lease `node` and keeps it."""

    trap_exit = True

    async def init(self, holder: str, ttl: float = TTL) -> None:
        """Take the journal.

        Args:
            holder: who this is, the same after a restart: the same holder has it back at once.
        Raises:
            JournalTaken: another node has it; the start fails with it.
        """
        self.holder, self.ttl = holder, ttl
        self.task: TaskRef | None = None
        self.lease: Lease | None = None
        await self._take()

    async def _take(self) -> None:
        """Take it, now or when the store can be asked again; until then the journal keeps to the lease before.

        When only the journal was restarted the lease before goes on. A new one ends what an earlier life of this node
        has sent to the store and did not see written.
        """
        try:
            fence = await Journal.guarded("journal")
            lease = None
            if fence is not None:
                before = Lease(fence.name, self.holder, fence.token, 0.0)
                lease = await Journal.renew("journal", before, self.ttl)
            lease = lease or await Journal.acquire("journal", LEASE, self.holder, self.ttl)
            if lease is None:
                raise JournalTaken(_taken(await Journal.lease("journal", LEASE)))
        except JournalUnavailable:
            send_after(AGAIN, self.pid, "take")
            return
        self.lease = lease
        await Journal.guard("journal", Fence(lease.name, lease.token))
        send_after(self.ttl / 3, self.pid, "renew")

    async def handle_info(self, message: Any) -> None:
        match message:
            case "take":
                await self._take()
            case "renew" if self.lease is not None:
                if self.task is None:
                    self.task = Task.start_link(_renew, self.lease, self.ttl, label="node lease")
                send_after(self.ttl / 3, self.pid, "renew")
            case TaskDone(ref=ref, value=Lease() as lease) if ref is self.task:
                self.task, self.lease = None, lease
            case TaskDone(ref=ref) if ref is self.task:
                raise JournalLost("another node has taken over this journal; this one writes no more")
            case Down(ref=ref) if ref is self.task:
                self.task = None  # the store was away; the next one finds out
            case _:
                pass

    async def terminate(self, reason: object) -> None:
        """Give it back, so that the next start need not wait."""
        if self.lease is None:
            return
        try:
            await Journal.release("journal", self.lease, within=2.0)
        except (JournalUnavailable, CallError):
            pass  # it ends by itself


async def _renew(lease: Lease, ttl: float) -> Lease | None:
    """The lease with its new end; None if it is lost, the same while the store is away."""
    try:
        return await Journal.renew("journal", lease, ttl)
    except (JournalUnavailable, CallError):
        return lease


def _taken(lease: Lease | None) -> str:
    if lease is None:
        return "another node has had this journal until a moment ago; start again"
    return (
        f"another node works on this journal: {lease.holder.partition('#')[0]}, since {_time(lease.since)};"
        " give each garden a database of its own ([journal] in planaria.toml), or end that node."
        f" If it is dead, start again after {_time(lease.expires_at)}"
    )


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
