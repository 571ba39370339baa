"""Whoever can do nothing without the journal waits for it, and no longer than that."""

import asyncio

import pytest

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.patience import PATIENCE, patiently
from planaria.otp import NoProcess, now
from planaria.testing.node import running_node


@pytest.fixture
async def node():
    async with running_node(seed=1) as made:
        yield made


class Away:
    """Answers after a few faults."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)

    async def ask(self) -> str:
        if self.faults:
            raise self.faults.pop(0)
        return f"at {now():g}"


async def test_it_is_asked_again_until_it_answers(node):
    away = Away(JournalUnavailable("the disk is full", "make room", True), NoProcess("journal"))
    begun = node.clock.now()
    answer = asyncio.ensure_future(node.run(patiently, away.ask))
    await node.advance(2 * PATIENCE)
    assert await answer == f"at {begun + 2 * PATIENCE:g}"


@pytest.mark.parametrize("fault", [JournalUnavailable("taken over", "end one", False), ValueError("a bug")])
async def test_what_waiting_does_not_mend_is_raised_at_once(node, fault):
    with pytest.raises(type(fault)):
        await node.run(patiently, Away(fault).ask)
