"""This node's tools and records for an MCP client: a program beside the node, which asks it over the control socket.

Needs the extra `mcp`. It has no rights of its own: every request carries the client's name and token, and the node's
gate decides. Its library and what a client sends it stay out of the node.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import mcp.types as types
import uvicorn
from mcp.server.auth.provider import AccessToken, TokenVerifier
from mcp.server.auth.settings import AuthSettings
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from planaria import __version__
from planaria.cli.client import Client
from planaria.cli.errors import CliError

INVALID_PARAMS = -32602
LONGEST = 3700.0
"""Seconds a call may take; the node has a shorter limit of its own."""

type About = ServerRequestContext[Any]


class Door:
    """Asks the node, in a thread for each request; a request that is cancelled is dropped, which ends its call."""

    def __init__(self, garden: Path, client: str, token: str) -> None:
        self.garden = garden
        self.client = client
        self.token = token

    async def ask(self, method: str, **params: Any) -> Any:
        """One answer of the node.

        Raises:
            MCPError: the node refused, or is away.
        """
        try:
            connection = await anyio.to_thread.run_sync(Client, self.garden)
            with closing(connection):
                return await anyio.to_thread.run_sync(
                    lambda: connection.ask(
                        method, within=LONGEST, client=self.client, token=self.token, **params
                    ),
                    abandon_on_cancel=True,
                )
        except CliError as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error


def server(door_of: Any) -> Server[Any]:
    """The server.

    Args:
        door_of: from the context of a request to the `Door` of whoever sent it.
    """

    async def list_tools(about: About, params: Any) -> types.ListToolsResult:
        served = await door_of(about).ask("mcp.served")
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=each["name"],
                    description=each["description"],
                    input_schema=each["schema"],
                    annotations=types.ToolAnnotations(idempotent_hint=each["repeatable"]),
                )
                for each in served["tools"]
            ]
        )

    async def call_tool(about: About, params: types.CallToolRequestParams) -> types.CallToolResult:
        result = await door_of(about).ask("mcp.use", tool=params.name, arguments=params.arguments or {})
        value = result.get("value")
        return types.CallToolResult(
            content=[types.TextContent(type="text", text=result["text"])],
            structured_content=value if isinstance(value, dict) else None,
            is_error=bool(result.get("failed")),
        )

    async def list_resources(about: About, params: Any) -> types.ListResourcesResult:
        served = await door_of(about).ask("mcp.served")
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=each["uri"], name=each["name"], mime_type="text/markdown")
                for each in served["records"]
            ]
        )

    async def read_resource(
        about: About, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        uri = str(params.uri)
        result = await door_of(about).ask("mcp.use", uri=uri)
        text = types.TextResourceContents(uri=uri, mime_type="text/markdown", text=result["text"])
        return types.ReadResourceResult(contents=[text])

    return Server(
        "planaria",
        version=__version__,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        on_list_resources=list_resources,
        on_read_resource=read_resource,
    )


async def over_stdio(garden: Path, client: str, token: str) -> None:
    """Serve one client, which started this program."""
    door = Door(garden, client, token)
    made = server(lambda about: door)
    async with stdio_server() as (reading, writing):
        await made.run(reading, writing, made.create_initialization_options())


class Verifier(TokenVerifier):
    """Takes `<client>:<token>` as a bearer token; the node says whether it is one."""

    def __init__(self, garden: Path) -> None:
        self.garden = garden

    async def verify_token(self, token: str) -> AccessToken | None:
        """Who it is; None: nobody."""
        client, _, secret = token.partition(":")
        try:
            await Door(self.garden, client, secret).ask("mcp.served")
        except MCPError:
            return None
        return AccessToken(token=token, client_id=client, scopes=[])


def over_http(garden: Path, port: int) -> None:
    """Serve all clients over streamable HTTP on this machine, each by its token."""

    def door_of(about: About) -> Door:
        assert about.request is not None
        user = about.request.user  # set by the library's middleware, which has let nobody else through
        client, _, secret = user.access_token.token.partition(":")
        return Door(garden, client, secret)

    place = f"http://127.0.0.1:{port}"
    app = server(door_of).streamable_http_app(
        token_verifier=Verifier(garden),
        auth=AuthSettings(
            issuer_url=place,  # type: ignore[arg-type]
            resource_server_url=f"{place}/mcp",  # type: ignore[arg-type]
            validate_token_resource=False,  # the node knows its tokens
        ),
    )
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


def run_stdio(garden: Path, client: str, token: str) -> None:
    """Blocking; ends with its standard input."""
    anyio.run(over_stdio, garden, client, token)
