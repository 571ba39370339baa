"""A restarted journal waits for a store that cannot be opened; before the node was up it refuses to start."""

from functools import partial

import pytest

from planaria.cortex.errors import JournalUnavailable, StoreDamaged, StoreError, StoreFailed
from planaria.cortex.event import NewEvent
from planaria.cortex.journal import LONGEST_PAUSE, Journal
from planaria.cortex.query import Query
from planaria.cortex.stores.stores_of import Stores
from planaria.otp import StartFailed, child, exit_signal, supervisor
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode


class Closed(MemoryStore):
    """Cannot be opened either while it has a fault."""

    tries = 0

    async def open(self) -> None:
        self.tries += 1
        if self.fault is not None:
            raise self.fault
        await super().open()


async def start(node: TestNode, store: Closed) -> None:
    await node.start(supervisor(child(Journal, Stores(lambda: store), name="journal"), max_restarts=3))
    await node.run(partial(Journal.append, "journal", [NewEvent("test.kept", {})]))


async def restart(node: TestNode) -> None:
    async def kill() -> None:
        exit_signal(node["journal"], "kill")

    await node.run(kill)
    await node.settle()


@pytest.mark.parametrize(
    "fault",
    [StoreFailed("journal.db is gone", "put it back"), StoreDamaged("journal.db is damaged", "restore")],
)
async def test_once_the_node_was_up_a_store_is_waited_for_whatever_is_wrong(
    node: TestNode, fault: StoreError
) -> None:
    store = Closed()
    await start(node, store)
    Journal.settle(node["journal"])
    await node.settle()
    store.fault = fault
    await restart(node)
    await node.advance(600.0)
    assert (await node.run(partial(Journal.status, "journal"))).health.trouble == fault.problem
    for ask in (
        partial(Journal.append, "journal", [NewEvent("test.lost", {})]),
        partial(Journal.read, "journal", Query()),
        partial(Journal.sessions, "journal"),
    ):
        with pytest.raises(JournalUnavailable, match=fault.problem) as caught:
            await node.run(ask)
        assert caught.value.retry
    store.fault = None
    await node.advance(LONGEST_PAUSE)
    assert (await node.run(partial(Journal.status, "journal"))).health.trouble is None
    await node.run(partial(Journal.append, "journal", [NewEvent("test.later", {})]))
    assert [event.kind for event in await node.run(partial(Journal.read, "journal", Query()))] == [
        "test.kept",
        "test.later",
    ]


async def test_the_longer_a_store_is_away_the_rarer_it_is_tried(node: TestNode) -> None:
    store = Closed()
    await start(node, store)
    Journal.settle(node["journal"])
    await node.settle()
    store.fault = StoreFailed("the disk is gone", "plug it in")
    await restart(node)
    store.tries = 0
    await node.advance(7.5)  # after 0.5, 1, 2 and 4 seconds
    assert store.tries == 4
    store.tries = 0
    await node.advance(10 * LONGEST_PAUSE)
    assert store.tries == 10


async def test_before_the_node_was_up_it_refuses_to_start(node: TestNode) -> None:
    store = Closed()
    store.fault = StoreDamaged("journal.db is damaged", "restore it")
    with pytest.raises(StartFailed, match=r"journal\.db is damaged"):
        await start(node, store)


async def test_damage_that_a_read_meets_is_told_until_the_journal_is_opened_anew(node: TestNode) -> None:
    store = Closed()
    await start(node, store)
    store.fault = StoreDamaged("page 7 is damaged", "restore it")
    with pytest.raises(JournalUnavailable, match="page 7"):
        await node.run(partial(Journal.read, "journal", Query()))
    store.fault = None
    await node.run(partial(Journal.append, "journal", [NewEvent("test.later", {})]))
    assert (await node.run(partial(Journal.status, "journal"))).health.trouble == "page 7 is damaged"
    await restart(node)
    assert (await node.run(partial(Journal.status, "journal"))).health.trouble is None
