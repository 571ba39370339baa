"""State folded over a session: each event once, saved now and then, taken up from what was saved."""

import pytest

from planaria.cortex.event import Event, NewEvent
from planaria.cortex.folded import LEAST_EVENTS, Folded, save
from planaria.cortex.journal import Journal
from planaria.otp import child
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode, running_node

SESSION = "birds"


class Birds(Folded):
    """How many were seen."""

    seen: int = 0
    parts: int = 0

    def apply(self, event: Event) -> None:
        self.seen += 1

    def size(self) -> int:
        return self.parts


@pytest.fixture
async def node():
    async with running_node(seed=2) as made:
        await made.start(child(Journal, MemoryStore, name="journal"))
        yield made


async def see(node: TestNode, count: int) -> list[Event]:
    return await node.run(
        Journal.append, "journal", [NewEvent("bird.seen", {}, session=SESSION) for _ in range(count)]
    )


async def test_an_event_is_taken_in_once_however_often_it_comes(node: TestNode):
    first, second = await see(node, 2)
    birds = Birds()
    assert [birds.take(event) for event in (first, second, second, first)] == [True, True, False, False]
    assert (birds.seen, birds.seq, birds.unsaved) == (2, second.seq, 2)


@pytest.mark.parametrize(("parts", "after"), [(0, LEAST_EVENTS), (3 * LEAST_EVENTS, 3 * LEAST_EVENTS)])
def test_it_is_saved_after_so_many_events_as_it_has_parts_but_not_too_often(parts: int, after: int):
    birds = Birds(parts=parts, unsaved=after - 1)
    assert not birds.is_due()
    birds.unsaved = after
    assert birds.is_due()
    birds.saved(SESSION, "birds")
    assert not birds.is_due()


async def test_it_is_loaded_from_what_was_saved_and_what_came_after(node: TestNode):
    await see(node, 3)
    birds = await node.run(Birds.load, SESSION, "birds")
    birds.seen += 100  # so that it shows whether the snapshot was used
    await node.run(save, birds.saved(SESSION, "birds"))
    await see(node, 2)
    again = await node.run(Birds.load, SESSION, "birds")
    assert (again.seen, again.unsaved) == (105, 2)


async def test_what_another_version_saved_is_folded_anew(node: TestNode):
    class Later(Birds):
        version = 2

    await see(node, 3)
    birds = await node.run(Birds.load, SESSION, "birds")
    await node.run(save, birds.saved(SESSION, "birds"))
    assert (await node.run(Later.load, SESSION, "birds")).unsaved == 3
