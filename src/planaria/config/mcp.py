"""`[mcp]` of `planaria.toml`: servers whose tools this node uses, clients that may use this node's.

[mcp.servers.files]
command = ["npx", "-y", "@modelcontextprotocol/server-filesystem", "notes"]
paths = ["notes"]                    what it can read beside the system's programs
write = ["notes/inbox"]              what it can read and write
network = ["api.example.org"]        hosts it can reach; true: all public ones
env = ["SOME_TOKEN"]                 names of variables it is given; nothing else of the environment is
sandbox = true                       false: it runs as you, with all your files and the network

[mcp.servers.tracker]
url = "https://tracker.example.org/mcp"
token_env = "TRACKER_TOKEN"

[mcp.clients.editor]
tools = ["notes.*", "workflow.list"]
grants = { "records.write" = ["notes/**"] }
"""

from typing import Annotated, Any

import msgspec


class McpServerSettings(msgspec.Struct, frozen=True):
    """One server, run as a program of this machine (`command`) or reached over HTTP (`url`).

    Attributes:
        command: the program and its arguments; started in the garden's folder.
        env: names of variables of the node's environment that the program is given.
        paths: what it can read: absolute, or in the garden.
        write: what it can read and write.
        network: hosts it can reach over HTTP and HTTPS, as scopes; true: all public ones.
        memory_mb: what it may use.
        sandbox: whether it is held by that; false: it runs with the rights of the node's user.
        url: of a server that speaks streamable HTTP.
        token_env: the variable with a bearer token for it.
        tools: names or patterns of its tools that are offered here at all.
        timeout: seconds one call may take.
        polling: names or patterns of tools that are meant to be called again and again.
        repeatable: names or patterns of tools that may simply be called again when a call was cut off.
        enabled: whether it is used.
    """

    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    network: bool | tuple[str, ...] = False
    memory_mb: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] = 1024
    sandbox: bool = True
    url: str | None = None
    token_env: str | None = None
    tools: tuple[str, ...] = ("*",)
    timeout: Annotated[float, msgspec.Meta(gt=0.0, le=3600.0)] = 60.0
    polling: tuple[str, ...] = ()
    repeatable: tuple[str, ...] = ()
    enabled: bool = True


class McpClientSettings(msgspec.Struct, frozen=True):
    """A program of somebody else that may use tools of this node, by a token of its own (`planaria mcp token NAME`).

    Attributes:
        tools: names or patterns it is offered; none by default.
        grants: capabilities with scopes, as in an agent's record.
        records: patterns of paths it may read as resources, such as `notes/**`; none by default.
    """

    tools: tuple[str, ...] = ()
    grants: dict[str, Any] = {}
    records: tuple[str, ...] = ()


class McpSettings(msgspec.Struct, frozen=True):
    """The Model Context Protocol, on both sides."""

    servers: dict[str, McpServerSettings] = {}
    clients: dict[str, McpClientSettings] = {}
