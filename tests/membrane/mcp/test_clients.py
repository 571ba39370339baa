"""Programs of others at this node's door: their token, what they are offered, what they may do and read."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planaria.config.mcp import McpClientSettings, McpSettings
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.redact import Redactor
from planaria.cortex.secrets import Secrets
from planaria.membrane.gate.gate import Gate
from planaria.membrane.mcp.clients import NAME, ClientRefused, McpClients
from planaria.membrane.tool import Context, Done, tool
from planaria.otp import Node, child, supervisor
from planaria.records.library import Library
from planaria.testing.memory_store import MemoryStore


@tool(name="sums.add", idempotent=True)
async def add(context: Context, a: int, b: int) -> Done:
    """Add.

    Args:
        a: one.
        b: the other.
    """
    return Done({"sum": a + b})


@tool(name="sums.shred", needs={"files.write"})
async def shred(context: Context) -> Done:
    """Shred."""
    return Done("shredded")


SETTINGS = McpSettings(
    clients={
        "editor": McpClientSettings(tools=("sums.*",), records=("notes/open/**",)),
        "broken": McpClientSettings(tools=("sums.*",), grants={"files.writ": ["x"]}),
        "nobody": McpClientSettings(),
    }
)


class Door:
    def __init__(self, node: Node, redactor: Redactor) -> None:
        self.node = node
        self.redactor = redactor

    async def ask(self, method: Any, *arguments: Any) -> Any:
        return await self.node.run(partial(method, NAME, *arguments))


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    for path in ("notes/open/a.md", "notes/closed/b.md"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text(f"# {path}\n")
    redactor = Redactor()
    keys = Secrets(MasterKey(bytes(range(32)), "tests"), redactor)
    async with Node("test") as node:
        await node.start(
            supervisor(
                child(Journal, MemoryStore, name="journal"),
                child(Library, tmp_path, name="library"),
                child(McpClients, SETTINGS, tmp_path, Gate([add, shred]), {}, keys, name=NAME),
                name="node",
            )
        )
        await Library.list(node["library"], "notes")
        yield Door(node, redactor)


async def test_a_client_has_its_tools_through_the_gate_and_nothing_else(door):
    token = await door.ask(McpClients.token, "editor")
    served = await door.ask(McpClients.served, "editor", token)
    assert [each.name for each in served.tools] == ["sums.add"]  # `shred` needs a grant
    assert [each.uri for each in served.records] == ["record:///notes/open/a.md"]

    result = await door.ask(McpClients.use, "editor", token, "sums.add", {"a": 1, "b": 2})
    assert (result.value, result.failed) == ({"sum": 3}, False)
    denied = await door.ask(McpClients.use, "editor", token, "sums.shred", {})
    assert denied.failed and "files.write" in denied.text
    events = await door.node.run(partial(Journal.read, "journal", Query(session="mcp:editor")))
    assert [event.kind for event in events] == ["tool.started", "tool.finished", "tool.finished"]
    assert events[0].payload["caller"] == "mcp:editor"

    read = await door.ask(McpClients.read, "editor", token, "record:///notes/open/a.md")
    assert read.text == "# notes/open/a.md\n"
    for path in ("notes/closed/b.md", "notes/open/../closed/b.md", "notes/open/none.md", "/etc/passwd"):
        with pytest.raises(ClientRefused):
            await door.ask(McpClients.read, "editor", token, f"record:///{path}")


async def test_a_token_opens_for_its_client_alone_until_there_is_a_new_one(door):
    first = await door.ask(McpClients.token, "editor")
    other = await door.ask(McpClients.token, "nobody")
    assert first != other and first not in door.redactor.text(f"here: {first}")
    assert (await door.ask(McpClients.served, "nobody", other)).tools == ()
    second = await door.ask(McpClients.token, "editor")
    refused = [("editor", first), ("editor", other), ("editor", ""), ("nobody", second), ("stranger", second)]
    for client, token in refused:
        with pytest.raises(ClientRefused, match="no such client, or not its token"):
            await door.ask(McpClients.served, client, token)
    with pytest.raises(ClientRefused, match=r"no \[mcp.clients.stranger\]"):
        await door.ask(McpClients.token, "stranger")


async def test_grants_that_cannot_be_read_close_the_door(door):
    token = await door.ask(McpClients.token, "broken")
    assert "files.write" in (await door.ask(McpClients.names))["broken"]
    with pytest.raises(ClientRefused, match="grants"):
        await door.ask(McpClients.use, "broken", token, "sums.add", {"a": 1, "b": 2})
