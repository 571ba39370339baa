from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.cortex.journal import Journal
from planaria.membrane.gate.gate import Gate, load_tools
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import child
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode
from planaria.tools import session


@tool(name="work.read")
async def read(context: Context) -> Done | Failed:
    """Read a lot."""
    return Done(text="".join(f"{n:04}" for n in range(1000)))


@pytest.fixture
async def call(node: TestNode) -> Any:
    store = MemoryStore()
    await node.start(child(Journal, lambda: store, name="journal"))
    gate = Gate([read, *load_tools(session)])

    async def call(name: str, call_id: str, session: str = "session:a@b", **arguments: Any) -> Any:
        context = Context("agent:a", Path(), session=session, call_id=call_id)
        return await node.run(partial(gate.call, name, arguments, context, ["*"]))

    return call


async def test_an_earlier_result_is_read_again_in_pieces(call: Any):
    await call("work.read", "t/0/0")
    piece = await call("session.result", "t/1/0", ref="[t/0/0]", offset=40, length=8)
    assert piece.value == {"ref": "t/0/0", "characters": 4000, "offset": 40, "left": 3952}
    assert "00100011" in piece.text
    assert "[3952 more characters; go on with offset 48]" in piece.text


async def test_what_is_read_again_stays_marked_as_content_from_outside(call: Any):
    await call("work.read", "t/0/0")
    piece = await call("session.result", "t/1/0", ref="t/0/0")
    assert piece.text.startswith('<outside-content origin="result t/0/0">')


async def test_results_of_other_sessions_are_not_read(call: Any):
    await call("work.read", "t/0/0", session="session:other@b")
    told = await call("session.result", "t/1/0", ref="t/0/0")
    assert isinstance(told, Failed)
    assert "this session has no result 't/0/0'" in told.error


async def test_a_place_that_makes_no_sense_is_told(call: Any):
    told = await call("session.result", "t/1/0", ref="t/0/0", length=100_000)
    assert told == Failed("offset is 0 or more, length from 1 to 16000")
