"""The official MCP library, in the words of `offer.py`.

Needs the extra `mcp`; imported in the OS process of a connection only.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import mcp
import mcp.types as types
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost

from planaria import __version__
from planaria.membrane.mcp.offer import Answer, Offer, OfferedPrompt, OfferedResource, OfferedTool, Target

MOST = 1_000
"""Tools, resources and prompts that are taken of each; one that offers more is cut."""
LONGEST = 4_000
"""Characters of a description."""
PAGES = 50
PING_EVERY = 30.0
"""Seconds."""

type Heard = Callable[[], None]


@asynccontextmanager
async def connected(target: Target, heard: Heard) -> AsyncGenerator[mcp.Client]:
    """A connection to a server, up while the block lasts.

    Args:
        heard: called when the server says that what it offers has changed.
    """

    async def handle(message: Any) -> None:
        if isinstance(
            message,
            types.ToolListChangedNotification
            | types.ResourceListChangedNotification
            | types.PromptListChangedNotification,
        ):
            heard()

    about = types.Implementation(name="planaria", version=__version__)
    async with _transport(target) as transport:
        client = mcp.Client(
            transport, client_info=about, message_handler=handle, read_timeout_seconds=target.timeout
        )
        async with client:
            yield client


@asynccontextmanager
async def _transport(target: Target) -> AsyncGenerator[Any]:
    if target.command:
        program, *arguments = target.command
        # The library adds PATH, HOME and the like, and nothing of a key.
        yield mcp.StdioServerParameters(
            command=program, args=arguments, env=dict(target.env) or None, cwd=target.folder or None
        )
        return
    limits = httpx2.Timeout(target.timeout, connect=10.0)
    async with httpx2.AsyncClient(
        headers=dict(target.headers), timeout=limits, follow_redirects=False
    ) as http:
        yield streamable_http_client(target.url, http_client=http)


async def watch(client: mcp.Client, heard: Heard) -> None:
    """Stay while the connection is up; what is offered may change on the way.

    Servers of 2026 and later tell on a stream that is asked for, and its end is theirs. Earlier ones tell unasked
    (`connected` hears it); they are asked now and then whether they are still there.
    """
    try:
        async with client.listen(
            tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
        ) as changes:
            async for _ in changes:
                heard()
        return
    except ListenNotSupportedError:
        pass
    except mcp.MCPError as error:
        if error.error.code != types.METHOD_NOT_FOUND:
            raise
    while True:
        await anyio.sleep(PING_EVERY)
        await client.list_tools(cache_mode="refresh")


async def look(client: mcp.Client) -> Offer:
    """What the server offers now; what it does not know is not asked for."""
    can = client.server_capabilities
    tools = await _all(client.list_tools, "tools") if can is None or can.tools else []
    resources = await _all(client.list_resources, "resources") if can is not None and can.resources else []
    templates = (
        await _all(client.list_resource_templates, "resource_templates")
        if can is not None and can.resources
        else []
    )
    prompts = await _all(client.list_prompts, "prompts") if can is not None and can.prompts else []
    about = client.server_info
    return Offer(
        about.name if about else "",
        about.version if about else "",
        str(client.protocol_version or ""),
        (client.instructions or "")[:LONGEST],
        tuple(_tool(each) for each in tools),
        (*map(_resource, resources), *map(_template, templates)),
        tuple(_prompt(each) for each in prompts),
    )


async def call(
    client: mcp.Client,
    name: str,
    arguments: dict[str, Any],
    tell: Callable[[float, float | None, str], None],
    effect: str,
) -> Answer:
    """Call a tool.

    Args:
        tell: told how far it is.
        effect: what an effect that must not happen twice is keyed by; handed on as `planaria/effect` beside the call.
    """

    async def told(progress: float, total: float | None, message: str | None) -> None:
        tell(progress, total, message or "")

    meta: Any = {"planaria/effect": effect} if effect else None
    result = await client.call_tool(name, arguments, progress_callback=told, meta=meta)
    return Answer(text_of(result.content), result.structured_content, bool(result.is_error))


async def read(client: mcp.Client, uri: str) -> Answer:
    """Read a resource."""
    result = await client.read_resource(uri)
    parts = [
        each.text
        if isinstance(each, types.TextResourceContents)
        else _blob(each.mime_type, len(getattr(each, "blob", "")))
        for each in result.contents
    ]
    return Answer("\n\n".join(parts))


async def prompt(client: mcp.Client, name: str, arguments: dict[str, str]) -> Answer:
    """Have a prompt filled in."""
    result = await client.get_prompt(name, arguments)
    return Answer("\n\n".join(f"{each.role}: {text_of([each.content])}" for each in result.messages))


def text_of(parts: Any) -> str:
    """The parts of an answer as text."""
    said: list[str] = []
    for part in parts:
        match part:
            case types.TextContent():
                said.append(part.text)
            case types.ImageContent() | types.AudioContent():
                said.append(_blob(part.mime_type, len(part.data)))
            case types.EmbeddedResource(resource=types.TextResourceContents() as inner):
                said.append(f"{inner.uri}:\n{inner.text}")
            case types.EmbeddedResource(resource=inner):
                said.append(f"{inner.uri}: {_blob(inner.mime_type, len(getattr(inner, 'blob', '')))}")
            case types.ResourceLink():
                said.append(f"{part.name}: {part.uri}")
            case _:
                said.append(f"[{type(part).__name__}]")
    return "\n\n".join(said)


def _blob(media_type: str | None, characters: int) -> str:
    return f"[{media_type or 'data'}, {characters * 3 // 4} bytes]"


async def _all(ask: Callable[..., Awaitable[Any]], field: str) -> list[Any]:
    """All pages of a list."""
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(PAGES):
        page = await ask(cursor=cursor)
        found += getattr(page, field)
        cursor = page.next_cursor
        if not cursor or len(found) >= MOST:
            break
    return found[:MOST]


def _tool(tool: types.Tool) -> OfferedTool:
    hints = tool.annotations
    repeatable = bool(hints and (hints.read_only_hint or hints.idempotent_hint))
    return OfferedTool(
        tool.name, (tool.description or "")[:LONGEST], dict(tool.input_schema), tool.title or "", repeatable
    )


def _resource(each: types.Resource) -> OfferedResource:
    return OfferedResource(str(each.uri), each.name, (each.description or "")[:LONGEST], each.mime_type or "")


def _template(each: types.ResourceTemplate) -> OfferedResource:
    return OfferedResource(
        each.uri_template, each.name, (each.description or "")[:LONGEST], each.mime_type or "", True
    )


def _prompt(each: types.Prompt) -> OfferedPrompt:
    given = sorted(each.arguments or (), key=lambda argument: not argument.required)
    return OfferedPrompt(each.name, (each.description or "")[:LONGEST], tuple(a.name for a in given))


FAULTS: tuple[type[BaseException], ...] = (
    *(mcp.MCPError, SubscriptionLost, TimeoutError, httpx2.HTTPError, OSError),
    *(anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream),
)
"""What goes wrong with a server of others."""
