"""What the public conformance suite of MCP (npm: @modelcontextprotocol/conformance, Node 22 or newer) is run against.

    conformance client --command "python -m tests.membrane.mcp.conformance client" --scenario tools_call
    python -m tests.membrane.mcp.conformance server 8123    # then: conformance server --url http://127.0.0.1:8123/mcp

`client` is a node that uses the suite's server through its gate. `server` is what `planaria mcp serve` speaks, without
tokens, which the suite cannot send, in front of a node with one tool and one record.
"""

import asyncio
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn

from planaria.cli.mcp_serve import server
from planaria.config.mcp import McpServerSettings, McpSettings
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.journal import Journal
from planaria.cortex.redact import Redactor
from planaria.cortex.secrets import Secrets
from planaria.membrane.authority import Authority
from planaria.membrane.gate.gate import Gate
from planaria.membrane.grants import read_grants
from planaria.membrane.mcp.tree import tree
from planaria.membrane.tool import Context
from planaria.otp import Node, child, sleep, supervisor
from planaria.testing.memory_store import MemoryStore

ARGUMENTS: dict[str, dict[str, Any]] = {"add_numbers": {"a": 5, "b": 3}}
PATIENCE = 10.0
FAILING = "test_error_handling"


async def client(url: str) -> None:
    """Connect, and call each tool there is."""
    gate = Gate([])
    settings = McpSettings({"suite": McpServerSettings(url=url, timeout=20.0)})
    keys = Secrets(MasterKey(bytes(32), "suite"), Redactor())
    folder = Path(tempfile.mkdtemp())
    authority = Authority("agent:suite", ["mcp.*"], read_grants({"mcp.call": ["suite/*"]})[0])
    async with Node("suite") as node:
        await node.start(
            supervisor(
                child(Journal, MemoryStore, name="journal"),
                *tree(settings, folder, gate, os.environ, {}, keys),
                name="node",
            )
        )

        async def use() -> None:
            for _ in range(int(PATIENCE / 0.1)):
                if gate.tools():
                    break
                await sleep(0.1)
            for tool in gate.tools():
                context = Context("agent:suite", folder, session="suite")
                arguments = ARGUMENTS.get(tool.name.rpartition(".")[2], {})
                print(tool.name, await gate.call(tool.name, arguments, context, authority))

        await node.run(use)


class SuiteDoor:
    """Answers as a node would."""

    async def ask(self, method: str, **params: Any) -> Any:
        """One answer."""
        if method == "mcp.served":
            schema = {"type": "object", "properties": {}}
            tool = {"description": "Says something.", "schema": schema}
            record = {"uri": "test://static-text", "name": "static"}
            tools = [tool | {"repeatable": True, "name": name} for name in ("test_simple_text", FAILING)]
            return {"tools": tools, "records": [record]}
        if params.get("tool") == FAILING:
            return {"text": "This tool intentionally returns an error for testing", "failed": True}
        return {"text": "This is a simple text response for testing.", "value": None, "failed": False}


def serve(port: int) -> None:
    """The server, until it is ended."""
    app = server(lambda about: SuiteDoor()).streamable_http_app()
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    if sys.argv[1] == "client":
        asyncio.run(client(sys.argv[-1]))
    else:
        serve(int(sys.argv[2]))
