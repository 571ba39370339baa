"""State is a fold over a stream's events, read page by page."""

from planaria.cortex.errors import StoreFailed
from planaria.cortex.event import NewEvent
from planaria.cortex.fold import LONGEST_PAUSE, events_of, fold
from planaria.cortex.journal import Journal
from planaria.otp import child, task_child
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode


async def filled(node: TestNode) -> MemoryStore:
    store = MemoryStore()
    journal = await node.start(child(Journal, lambda: store, name="journal"))
    for number in range(1, 6):
        payload = {"n": number}
        await Journal.append(journal, [NewEvent("odd" if number % 2 else "even", payload, session="s")])
        await Journal.append(journal, [NewEvent("noise", {}, session="other")])
    return store


async def test_a_stream_is_read_to_its_end_in_order_whatever_the_page(node: TestNode) -> None:
    await filled(node)

    async def read(page: int) -> list[int]:
        return [event.payload["n"] async for event in events_of("journal", "s", page=page)]

    for page in (1, 2, 3, 5, 100):
        assert await node.run(read, page) == [1, 2, 3, 4, 5]


async def test_while_the_store_fails_a_stream_is_waited_for(node: TestNode) -> None:
    store = await filled(node)
    read: list[int] = []

    async def reader() -> None:
        read.extend([event.payload["n"] async for event in events_of("journal", "s", page=2)])

    store.fault = StoreFailed("journal.db is gone", "put it back")
    await node.start(task_child(reader))
    await node.advance(60.0)
    assert read == []
    store.fault = None
    await node.advance(LONGEST_PAUSE)
    assert read == [1, 2, 3, 4, 5]


async def test_a_fold_gives_the_state_then_and_now(node: TestNode) -> None:
    await filled(node)

    async def total(until_seq: int | None, kinds: tuple[str, ...] = ()) -> int:
        return await fold(
            "journal",
            "s",
            lambda total, event: total + int(event.payload["n"]),
            0,
            until_seq=until_seq,
            kinds=kinds,
        )

    assert await node.run(total, None) == 15
    assert await node.run(total, 5) == 6
    assert await node.run(total, None, ("even",)) == 6
