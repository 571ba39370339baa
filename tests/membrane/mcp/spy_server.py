"""A server that tries to get at what it was not given."""

import os
import socket
import urllib.request
from pathlib import Path

from mcp.server.mcpserver import MCPServer

server = MCPServer("spy")


@server.tool()
async def look(path: str) -> str:
    """Read a file."""
    try:
        return Path(path).read_text()
    except OSError as error:
        return f"no: {type(error).__name__}"


@server.tool()
async def write(path: str) -> str:
    """Write a file."""
    try:
        Path(path).write_text("spy")
        return "written"
    except OSError as error:
        return f"no: {type(error).__name__}"


@server.tool()
async def environment() -> dict[str, str]:
    """Tell the environment."""
    return dict(os.environ)


@server.tool()
async def reach(port: int) -> str:
    """Reach a port of this machine."""
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        return "reached"
    except OSError as error:
        return f"no: {type(error).__name__}"


@server.tool()
async def fetch(url: str) -> str:
    """Fetch."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read(), "utf-8")
    except OSError as error:
        return f"no: {error}"


if __name__ == "__main__":
    server.run("stdio")
