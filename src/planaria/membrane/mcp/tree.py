"""The subtree of MCP: for each server its connection, in an OS process of its own, and who offers its tools."""

from collections.abc import Mapping
from pathlib import Path

from planaria.config.mcp import McpServerSettings, McpSettings
from planaria.cortex.secrets import Secrets
from planaria.membrane.gate.gate import Gate
from planaria.membrane.mcp.clients import NAME, McpClients
from planaria.membrane.mcp.connection import Connection, McpError
from planaria.membrane.mcp.hold import program_of
from planaria.membrane.mcp.offer import Target
from planaria.membrane.mcp.server import McpServer, connection_name, server_name
from planaria.membrane.sandbox.policy import SandboxPolicy
from planaria.otp import ChildSpec, child, supervisor
from planaria.otp.isolation.limits import Limits, Worker

MEMORY = "1 GB"
"""What the process of one connection may use."""


def tree(
    settings: McpSettings,
    garden: Path,
    gate: Gate,
    environ: Mapping[str, str],
    services: Mapping[type, object],
    keys: Secrets,
) -> list[ChildSpec]:
    """One subtree for all; none if there are neither servers nor clients.

    Args:
        environ: where the variables are looked up that servers are given.
        services: what tools find when a client calls them; a `SandboxPolicy` among them is what programs start from.
        keys: has the tokens of clients.
    """
    found = services.get(SandboxPolicy)
    basis = found if isinstance(found, SandboxPolicy) else SandboxPolicy()
    servers = [
        supervisor(
            child(
                Connection,
                target_of(name, given, garden, environ, basis),
                server_name(name),
                name=connection_name(name),
                isolation=Worker(Limits(memory=MEMORY), admits=(McpError,)),
            ),
            child(McpServer, name, given, gate, name=server_name(name)),
            name=f"mcp_server:{name}",
            strategy="rest_for_one",  # tools of a connection that is gone are gone
            max_restarts=20,
            within=60.0,
        )
        for name, given in settings.servers.items()
        if given.enabled
    ]
    clients = (
        [child(McpClients, settings, garden, gate, services, keys, name=NAME)] if settings.clients else []
    )
    if not servers and not clients:
        return []
    return [supervisor(*servers, *clients, name="mcp", max_restarts=20, within=60.0)]


def target_of(
    name: str,
    given: McpServerSettings,
    garden: Path,
    environ: Mapping[str, str],
    basis: SandboxPolicy = SandboxPolicy(),  # noqa: B008 - frozen
) -> Target:
    """Where a server is, with what it is given."""
    token = environ.get(given.token_env or "", "")
    held = None
    if given.command and given.sandbox:
        held = program_of(name, given, garden.resolve(), environ, basis)
    return Target(
        name,
        held.command if held else given.command,
        str(garden),
        {variable: environ[variable] for variable in given.env if variable in environ},
        given.url or "",
        {"Authorization": f"Bearer {token}"} if token else {},
        given.timeout,
        held.policy if held else None,
        held.problem if held else "",
    )
