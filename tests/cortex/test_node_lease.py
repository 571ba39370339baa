"""A journal is one node's at a time, and one that has lost it writes no more. On both stores."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.cortex.node_lease import NodeLease
from planaria.cortex.query import Query
from planaria.cortex.store import EventStore, Fence
from planaria.cortex.stores.sqlite.store import SqliteStore
from planaria.otp import Pid, StartFailed, child, exit_signal, root_cause, stop
from planaria.testing.node import TestNode, running_node

SAID = [NewEvent("said", {"text": "x"}, session="room:x")]


@pytest.fixture(params=["sqlite", "postgres"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], EventStore]:
    if request.param == "sqlite":
        return lambda: SqliteStore(tmp_path / "journal.db")
    from planaria.cortex.stores.postgres.store import PostgresStore

    address = request.getfixturevalue("postgres").url()
    return lambda: PostgresStore(address)


class Nodes:
    """Nodes with a journal each, on one store."""

    def __init__(self, make_store: Callable[[], EventStore], stack: AsyncExitStack) -> None:
        self.make_store, self.stack = make_store, stack

    async def start(self) -> tuple[TestNode, Pid]:
        node = await self.stack.enter_async_context(running_node("garden"))
        return node, await node.start(child(Journal, self.make_store, name="journal"))


@pytest.fixture
async def nodes(make_store: Callable[[], EventStore]) -> AsyncIterator[Nodes]:
    async with AsyncExitStack() as stack:
        yield Nodes(make_store, stack)


def lease(holder: str, ttl: float = 1000.0):
    return child(NodeLease, holder, ttl, name="node_lease")


async def test_a_second_node_is_told_who_has_it_and_what_to_do(nodes: Nodes) -> None:
    node, _ = await nodes.start()
    await node.start(lease("here:/srv/garden#12"))
    other, _ = await nodes.start()
    with pytest.raises(StartFailed) as found:
        await other.start(lease("there:/srv/garden#77"))
    text = str(root_cause(found.value.reason))
    assert "another node works on this journal: here:/srv/garden, since 20" in text
    assert "[journal] in planaria.toml" in text and "start again after" in text


async def test_the_same_holder_has_its_journal_back_at_once(nodes: Nodes) -> None:
    first, _ = await nodes.start()  # never let go of, as after kill -9
    await first.start(lease("here"))
    again, journal = await nodes.start()
    await again.start(lease("here"))
    assert await Journal.append(journal, SAID)


async def test_what_an_earlier_life_of_the_node_still_sends_is_not_written(nodes: Nodes) -> None:
    """A commit of a killed node may reach the store late; two copies of one machine take each other for themselves."""
    first, late = await nodes.start()
    await first.start(lease("here"))
    again, journal = await nodes.start()
    await again.start(lease("here"))
    with pytest.raises(JournalUnavailable, match="another node has taken over this journal"):
        await Journal.append(late, SAID)
    await Journal.append(journal, SAID)
    assert len(await Journal.read(journal, Query())) == 1


async def test_a_lease_that_ended_in_order_can_be_taken_again_by_the_same_node(nodes: Nodes) -> None:
    node, journal = await nodes.start()
    await node.run(stop, await node.start(lease("here")))
    await node.start(lease("here"))
    assert await Journal.append(journal, SAID)


async def kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_a_journal_that_is_restarted_goes_on_under_the_same_lease(nodes: Nodes) -> None:
    node, journal = await nodes.start()
    first = await node.start(lease("here"))
    before = await Journal.lease(journal, "node")
    gone = node.wait_exit(first)
    await node.run(kill, first)
    await gone
    await node.start(lease("here"))
    assert before is not None and await Journal.guarded(journal) == Fence("node", before.token)
    assert await Journal.append(journal, SAID)


async def test_a_journal_that_was_given_back_is_free(nodes: Nodes) -> None:
    node, _ = await nodes.start()
    pid = await node.start(lease("here"))
    await node.run(stop, pid)
    other, _ = await nodes.start()
    await other.start(lease("there"))


async def test_a_node_that_lost_its_journal_writes_no_more_and_says_so(nodes: Nodes) -> None:
    node, journal = await nodes.start()
    await node.start(lease("here", ttl=-1.0))  # late already: anybody may take over
    await Journal.append(journal, SAID)
    other, theirs = await nodes.start()
    await other.start(lease("there"))
    with pytest.raises(JournalUnavailable, match="another node has taken over this journal") as found:
        await Journal.append(journal, SAID)
    assert not found.value.retry
    health = (await Journal.status(journal)).health
    assert health.trouble is not None and "taken over" in health.trouble
    await Journal.append(theirs, SAID)
    assert len(await Journal.read(theirs, Query())) == 2


async def test_a_journal_that_is_lost_ends_its_holder(nodes: Nodes) -> None:
    node, journal = await nodes.start()
    pid = await node.start(lease("here", ttl=30.0))
    taken = await Journal.acquire(journal, "node", "here", -1.0)  # as if its time had passed
    assert taken is not None
    other, _ = await nodes.start()
    await other.start(lease("there"))
    gone = node.wait_exit(pid)
    await node.advance(11.0)
    reason = await asyncio.wait_for(gone, 20)
    assert "another node has taken over this journal" in str(root_cause(reason))


async def test_it_is_renewed_before_it_ends(nodes: Nodes) -> None:
    node, journal = await nodes.start()
    await node.start(lease("here", ttl=30.0))
    before = await Journal.lease(journal, "node")
    assert before is not None
    for _ in range(3):
        await node.advance(10.0)
    after = await Journal.lease(journal, "node")
    assert after is not None and after.token == before.token and after.expires_at > before.expires_at
