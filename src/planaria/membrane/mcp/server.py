"""One MCP server as this node sees it: a process that puts what the server offers into the gate, and keeps it true.

Its tools are `mcp.<server>.<tool>`, each behind the capability `mcp.call` with the scope `<server>/<tool>`; resources
and prompts come as two tools more, `mcp.<server>.read` and `.prompt`. What the server says is marked as from outside.
When the connection is lost its tools go, and come back with it. Started under the name `mcp:<server>`, beside the
connection's process `mcp_connection:<server>`; see `tree.py`.
Emits on the topic `mcp`: `Changed`, `Progress`.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import msgspec

from planaria.config.mcp import McpServerSettings
from planaria.membrane.capability import Touch
from planaria.membrane.gate.gate import Gate, ToolConflict
from planaria.membrane.mcp.connection import Connection, McpError
from planaria.membrane.mcp.offer import Answer, Changed, Offer, OfferedTool, Progress
from planaria.membrane.schema_arguments import SchemaArguments
from planaria.membrane.structured import BadSchema
from planaria.membrane.tool import FAILED, Context, Done, Failed, Outcome, Tool
from planaria.membrane.web.outside import outside, visible
from planaria.otp import CallError, GenServer, NoProcess, broadcast, call, cast

TOPIC = "mcp"
NEEDS = "mcp.call"
READ, PROMPT = "read", "prompt"
"""The tools for a server's resources and prompts."""
LONGEST_DESCRIPTION = 1_500
LONGEST_WORDS = 500
"""Characters of what a server says of one argument."""
DEEPEST = 100
"""Levels of a schema."""
MOST_LISTED = 30
"""Resources and prompts that are named in a tool's description."""
PATIENCE = 5.0
"""Seconds a call may take longer than its server is given, before the connection itself counts as gone."""
_SAFE = re.compile(r"[^A-Za-z0-9_-]+")


class McpView(msgspec.Struct, frozen=True):
    """A server for people.

    Attributes:
        where: the program, or the address.
        state: `ready` or `connecting`.
        problem: why it is not ready, and tools that cannot be offered.
        progress: how far its latest call is, such as `index 3/10`.
    """

    name: str
    where: str
    state: str
    problem: str = ""
    server: str = ""
    protocol: str = ""
    tools: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    progress: str = ""


def connection_name(server: str) -> str:
    """Registered name of a server's connection."""
    return f"mcp_connection:{server}"


def server_name(server: str) -> str:
    """Registered name of a server's process, and the source of its tools in the gate."""
    return f"mcp:{server}"


class McpServer(GenServer):
    """One server."""

    trap_exit: ClassVar[bool] = True  # its tools go when it ends

    async def init(self, name: str, settings: McpServerSettings, gate: Gate) -> None:
        """Learn how it stands."""
        self.name = name
        self.settings = settings
        self.gate = gate
        self.now = Changed(name, None, "connecting")
        self.faults: list[str] = []
        self.progress = ""
        self.continue_with("ask")

    async def handle_continue(self, what: object) -> None:
        """The connection may have been there before: it is asked once, later it tells."""
        try:
            self._take(await Connection.state(connection_name(self.name)))
        except CallError:
            pass  # it tells when it is up

    @call
    def view(self) -> McpView:
        """How it stands, for people."""
        offer = self.now.offer or Offer()
        return McpView(
            self.name,
            self.settings.url or " ".join(self.settings.command),
            "ready" if self.now.offer else "connecting",
            "; ".join((self.now.problem, *self.faults)).strip("; "),
            offer.server,
            offer.protocol,
            tuple(each.name for each in self.gate.tools() if each.source == server_name(self.name)),
            tuple(each.uri for each in offer.resources),
            tuple(each.name for each in offer.prompts),
            self.progress,
        )

    @cast
    def refresh(self) -> None:
        """Ask once more how it stands."""
        self.continue_with("ask")

    def handle_info(self, message: Any) -> None:
        match message:
            case Changed():
                self._take(message)
            case Progress():
                total = f"/{message.total:g}" if message.total else ""
                self.progress = f"{message.tool} {message.done:g}{total} {message.said}".strip()
                broadcast(TOPIC, message)
            case _:
                super().handle_info(message)

    def terminate(self, reason: object) -> None:
        """Its tools are on offer no longer."""
        self.gate.put(server_name(self.name), [])

    def _take(self, now: Changed) -> None:
        self.now, self.faults, self.progress = now, [], ""
        tools = list(self._tools(now.offer)) if now.offer is not None else []
        try:
            self.gate.put(server_name(self.name), tools)
        except ToolConflict as error:
            self.gate.put(server_name(self.name), [])
            self.faults.append(str(error))
        broadcast(TOPIC, now)

    def _tools(self, offer: Offer) -> Iterator[Tool]:
        taken: set[str] = set()
        for each in offer.tools:
            plain = _SAFE.sub("_", each.name).strip("_")
            if not any(fnmatchcase(each.name, pattern) for pattern in self.settings.tools):
                continue
            if not plain or plain in taken or plain in (READ, PROMPT):
                self.faults.append(f"the tool {each.name!r} cannot be offered: its name is taken or empty")
                continue
            try:
                tool = self._tool(each, plain)
            except BadSchema as error:
                self.faults.append(f"the tool {each.name!r} cannot be offered: {error}")
                continue
            taken.add(plain)
            yield tool
        if offer.resources:
            names = ", ".join(f"{r.uri} ({r.name})" for r in offer.resources[:MOST_LISTED])
            yield self._own(READ, f"Read a resource of the MCP server {self.name}. There are: {names}", "uri")
        if offer.prompts:
            names = ", ".join(f"{p.name}({', '.join(p.arguments)})" for p in offer.prompts[:MOST_LISTED])
            yield self._own(PROMPT, f"A prompt of the MCP server {self.name}, filled in: {names}", "name")

    def _tool(self, offered: OfferedTool, plain: str) -> Tool:
        full = f"mcp.{self.name}.{plain}"
        repeatable = any(fnmatchcase(offered.name, each) for each in self.settings.repeatable)
        told = f"{offered.name}: {offered.description or offered.title}"[:LONGEST_DESCRIPTION]
        words = outside(told, server_name(self.name))
        return Tool(
            full,
            f"A tool of the MCP server {self.name}. It describes itself:\n{words}",
            SchemaArguments(full, told_plainly(offered.schema)),
            ("ok", FAILED),
            frozenset({NEEDS}),
            self._calling(offered.name),
            "retry" if repeatable else "ask",
            polling=any(fnmatchcase(offered.name, each) for each in self.settings.polling),
            touches=self._touches(plain),
            source=server_name(self.name),
            breaker=server_name(self.name),
        )

    def _own(self, plain: str, description: str, argument: str) -> Tool:
        full = f"mcp.{self.name}.{plain}"
        properties: dict[str, Any] = {argument: {"type": "string"}}
        if plain == PROMPT:
            properties["arguments"] = {"type": "object", "additionalProperties": {"type": "string"}}
        schema = {"type": "object", "properties": properties, "required": [argument]}
        return Tool(
            full,
            outside(description[:LONGEST_DESCRIPTION], server_name(self.name)),
            SchemaArguments(full, schema),
            ("ok", FAILED),
            frozenset({NEEDS}),
            self._reading() if plain == READ else self._prompting(),
            "retry",
            touches=self._touches(plain),
            source=server_name(self.name),
            breaker=server_name(self.name),
        )

    def _touches(self, plain: str) -> Any:
        touched = (Touch(NEEDS, f"{self.name}/{plain}"),)

        def touches(bound: Mapping[str, Any]) -> tuple[Touch, ...]:
            return touched

        return touches

    def _calling(self, tool: str) -> Any:
        server, within = self.name, self.settings.timeout + PATIENCE

        async def function(context: Context, /, **arguments: Any) -> Outcome:
            ask = Connection.call_tool.within(within)
            return await _outcome(server, ask(connection_name(server), tool, arguments, context.effect))

        return function

    def _reading(self) -> Any:
        server, within = self.name, self.settings.timeout + PATIENCE

        async def function(context: Context, /, uri: str) -> Outcome:
            return await _outcome(server, Connection.read.within(within)(connection_name(server), uri))

        return function

    def _prompting(self) -> Any:
        server, within = self.name, self.settings.timeout + PATIENCE

        async def function(
            context: Context, /, name: str, arguments: dict[str, str] | None = None
        ) -> Outcome:
            ask = Connection.prompt.within(within)
            return await _outcome(server, ask(connection_name(server), name, arguments or {}))

        return function


def told_plainly(schema: Any, depth: int = 0) -> Any:
    """A server's schema as a model is shown it: its words without what is hidden in them, and not long.

    Raises:
        BadSchema: it is nested too deep.
    """
    if depth > DEEPEST:
        raise BadSchema("its schema is nested too deep")
    match schema:
        case dict():
            return {
                name: visible(each)[:LONGEST_WORDS]
                if name in ("title", "description") and isinstance(each, str)
                else told_plainly(each, depth + 1)
                for name, each in schema.items()
                if name != "$comment" or not isinstance(each, str)
            }
        case list():
            return [told_plainly(each, depth + 1) for each in schema]
        case _:
            return schema


async def _outcome(server: str, asked: Any) -> Outcome:
    """What an answer of the server comes to."""
    try:
        answer: Answer = await asked
    except McpError as error:
        return Failed(outside(str(error), server_name(server)), retry=True)
    except NoProcess:
        return Failed(f"the MCP server {server} is being restarted", retry=True)
    text = outside(answer.text, server_name(server))
    if answer.failed:
        return Failed(text)
    return Done(answer.text if answer.value is None else answer.value, text=text)
