"""Methods about MCP: the servers this node uses, and what `planaria mcp serve` asks for the clients of this node."""

from typing import Any

import msgspec

from planaria.membrane.mcp.clients import NAME, ClientRefused, McpClients, Result, Served
from planaria.membrane.mcp.server import McpServer, McpView, server_name
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import CallError, NoProcess

LONGEST_CALL = 3600.0
"""Seconds a tool may take for a client."""


class WhichClient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client by its name."""

    client: str


class Showing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A client and its token."""

    client: str
    token: str

    def __repr__(self) -> str:
        return f"Showing({self.client!r}, ***)"


class Using(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call of a client; or, with `uri`, a record it reads."""

    client: str
    token: str
    tool: str = ""
    arguments: dict[str, Any] = {}
    uri: str = ""

    def __repr__(self) -> str:
        return f"Using({self.client!r}, ***, {self.tool or self.uri!r})"


class McpList(msgspec.Struct, frozen=True):
    """Servers, and clients with what is wrong with their grants."""

    servers: list[McpView]
    clients: dict[str, str]


async def list_(params: Nothing, services: Services, channel: Channel) -> McpList:
    """What there is on both sides."""
    servers: list[McpView] = []
    for name, given in services.settings.mcp.servers.items():
        where = given.url or " ".join(given.command)
        if not given.enabled:
            servers.append(McpView(name, where, "off"))
            continue
        try:
            servers.append(await McpServer.view(server_name(name)))
        except CallError as error:
            servers.append(McpView(name, where, "restarting", str(error)))
    clients: dict[str, str] = {}
    if services.settings.mcp.clients:
        try:
            clients = await McpClients.names(NAME)
        except CallError as error:
            clients = dict.fromkeys(services.settings.mcp.clients, str(error))
    return McpList(servers, clients)


async def token(params: WhichClient, services: Services, channel: Channel) -> dict[str, str]:
    """A new token for a client."""
    return {"client": params.client, "token": await _asked(McpClients.token(NAME, params.client))}


async def served(params: Showing, services: Services, channel: Channel) -> Served:
    """What a client is offered."""
    found: Served = await _asked(McpClients.served(NAME, params.client, params.token))
    return found


async def use(params: Using, services: Services, channel: Channel) -> Result:
    """Call a tool, or read a record, for a client."""
    if params.uri:
        read: Result = await _asked(McpClients.read(NAME, params.client, params.token, params.uri))
        return read
    using = McpClients.use.within(LONGEST_CALL)
    result: Result = await _asked(using(NAME, params.client, params.token, params.tool, params.arguments))
    return result


async def _asked(asked: Any) -> Any:
    try:
        return await asked
    except ClientRefused as error:
        raise ControlError("refused", str(error)) from error
    except NoProcess as error:
        mend = "declare clients in planaria.toml: [mcp.clients.NAME]"
        raise ControlError("not_found", "this node serves no clients through MCP", mend) from error
