"""Programs of others that use this node through MCP: who they are, what they may, and their calls through the gate.

A process, named `mcp_clients`. A client is declared in `planaria.toml` (`[mcp.clients.NAME]`), and proves itself with a
token that was made here and is kept sealed. Its calls are journaled in the session `mcp:<client>`; its authority is
that of its declaration and nothing more. What speaks the protocol is a program of its own, `planaria mcp serve`.
"""

import hmac
import secrets
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from planaria.config.mcp import McpClientSettings, McpSettings
from planaria.config.secret import Secret
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import new_id
from planaria.cortex.secrets import Secrets
from planaria.membrane import grants
from planaria.membrane.authority import Authority
from planaria.membrane.gate.gate import Gate, spoken
from planaria.membrane.tool import Context, Done
from planaria.otp import (
    CallError,
    Deferred,
    Down,
    ExitSignal,
    GenServer,
    Ref,
    Task,
    TaskDone,
    call,
    demonitor,
    monitor,
    reason_text,
)
from planaria.records.errors import Problem
from planaria.records.library import Library

NAME = "mcp_clients"
RECORD = "record:///"
"""What the address of a record begins with."""


class ClientRefused(Exception):
    """Not a client, not its token, or not for it. The message says so without saying more to strangers."""


class ServedTool(msgspec.Struct, frozen=True):
    """A tool a client is offered."""

    name: str
    description: str
    schema: dict[str, Any]
    repeatable: bool


class ServedRecord(msgspec.Struct, frozen=True):
    """A record a client may read."""

    uri: str
    name: str


class Served(msgspec.Struct, frozen=True):
    """All a client is offered now."""

    tools: tuple[ServedTool, ...]
    records: tuple[ServedRecord, ...]


class Result(msgspec.Struct, frozen=True):
    """What a call came to: in words, and as a value."""

    text: str
    value: Any = None
    failed: bool = False


class _Open(msgspec.Struct):
    deferred: Deferred[Any]
    task: Any
    watched: Any


class McpClients(GenServer):
    """The door for clients."""

    trap_exit: ClassVar[bool] = True

    async def init(
        self,
        settings: McpSettings,
        garden: Path,
        gate: Gate,
        services: Mapping[type, object],
        keys: Secrets,
    ) -> None:
        """Read what clients may."""
        self.garden = garden
        self.gate = gate
        self.services = services
        self.keys = keys
        self.clients = dict(settings.clients)
        self.faults: dict[str, str] = {}
        self.authorities = {name: self._authority(name, given) for name, given in self.clients.items()}
        self.open: dict[Ref, _Open] = {}
        self.callers: dict[Ref, Ref] = {}

    @call
    def names(self) -> dict[str, str]:
        """The clients, each with what is wrong with its grants; empty: nothing."""
        return {name: self.faults.get(name, "") for name in self.clients}

    @call
    def token(self, client: str) -> Deferred[str]:
        """A new token for a client, in place of the one before; it is shown this once.

        Raises:
            ClientRefused: `planaria.toml` has no such client.
        """
        if client not in self.clients:
            return self.refuse(ClientRefused(f"planaria.toml has no [mcp.clients.{client}]; write it first"))
        return self._begin(_new_token, self.keys, client)

    @call
    def served(self, client: str, token: str) -> Deferred[Served]:
        """What a client is offered.

        Raises:
            ClientRefused: it is not who it says.
        """
        return self._begin(self._serve, client, token)

    @call
    def use(self, client: str, token: str, tool: str, arguments: dict[str, Any]) -> Deferred[Result]:
        """Call a tool for a client; raises as `served`. The call ends with who asked for it."""
        return self._begin(self._use, client, token, tool, arguments)

    @call
    def read(self, client: str, token: str, uri: str) -> Deferred[Result]:
        """Read a record for a client; raises as `served`."""
        return self._begin(self._read, client, token, uri)

    # --- in tasks --------------------------------------------------------------------------------------

    async def _serve(self, client: str, token: str) -> Served:
        given = await self._admitted(client, token)
        tools = tuple(
            ServedTool(each.name, each.description, each.parameters, each.idempotent)
            for each in self.gate.offered(self.authorities[client])
        )
        records: list[ServedRecord] = []
        if given.records:
            paths = (f"notes/{name}.md" for name in await Library.names("library", "notes"))
            records += [ServedRecord(RECORD + path, path) for path in paths if _may_read(given, path)]
        return Served(tools, tuple(records))

    async def _use(self, client: str, token: str, tool: str, arguments: dict[str, Any]) -> Result:
        await self._admitted(client, token)
        context = Context(
            caller=f"mcp:{client}",
            garden=self.garden,
            session=f"mcp:{client}",
            trace_id=new_id(),
            services=self.services,
        )
        outcome = await self.gate.call(tool, arguments, context, self.authorities[client])
        value = outcome.value if isinstance(outcome, Done) else None
        return Result(spoken(outcome), value, not isinstance(outcome, Done))

    async def _read(self, client: str, token: str, uri: str) -> Result:
        given = await self._admitted(client, token)
        path = uri.removeprefix(RECORD)
        if not uri.startswith(RECORD) or not _may_read(given, path):
            raise ClientRefused(f"{uri} is not for you")
        record = await Library.read("library", path)
        if isinstance(record, Problem):
            raise ClientRefused(f"{uri} cannot be read: {record.problem}")
        return Result(record.body)

    async def _admitted(self, client: str, token: str) -> McpClientSettings:
        kept = await self.keys.get(_key(client))
        # Compared in any case, so that the time it takes tells nothing.
        right = hmac.compare_digest((kept.reveal() if kept else "").encode(), token.encode())
        if kept is None or not right or client not in self.clients:
            raise ClientRefused(
                "no such client, or not its token; `planaria mcp token NAME` makes one for a client of planaria.toml"
            )
        if self.faults.get(client):
            raise ClientRefused(f"the grants of this client cannot be read: {self.faults[client]}")
        return self.clients[client]

    # --- inside ------------------------------------------------------------------------------------------

    def _authority(self, client: str, given: McpClientSettings) -> Authority:
        found, faults = grants.read_grants(given.grants, lambda name: f"planaria.toml [mcp.clients.{client}]")
        grave = [f"{fault.problem}; {fault.mend}" for fault in faults if not fault.mere]
        if grave:
            self.faults[client] = "; ".join(grave)
        return Authority(f"mcp:{client}", given.tools, found)

    def _begin(self, work: Any, *arguments: Any) -> Deferred[Any]:
        deferred = self.defer()
        task = Task.start_link(_guarded, work, *arguments, label="a client of MCP")
        caller = self.caller()
        watched = None if caller is None else monitor(caller)
        self.open[task] = _Open(deferred, task, watched)
        if watched is not None:
            self.callers[watched] = task
        return deferred

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=value) if ref in self.open:
                self._end(ref, value)
            case Down(ref=ref, reason=reason) if ref in self.open:
                self._end(ref, ClientRefused(f"it broke off: {reason_text(reason)}"))
            case Down(ref=ref) if ref in self.callers:
                found = self.open.pop(self.callers.pop(ref), None)
                if found is not None:
                    found.task.cancel()
            case ExitSignal():
                pass  # of tasks, whose end is told otherwise
            case _:
                super().handle_info(message)

    def _end(self, ref: Ref, value: Any) -> None:
        found = self.open.pop(ref)
        if found.watched is not None:
            self.callers.pop(found.watched, None)
            demonitor(found.watched, flush=True)
        if isinstance(value, ClientRefused):
            found.deferred.fail(value)
        else:
            found.deferred.reply(value)


async def _guarded(work: Any, *arguments: Any) -> Any:
    """The work's answer, or the refusal for who asked."""
    try:
        return await work(*arguments)
    except ClientRefused as error:
        return error
    except (JournalUnavailable, CallError) as error:
        return ClientRefused(f"this node cannot do it now: {error}")


async def _new_token(keys: Secrets, client: str) -> str:
    token = secrets.token_urlsafe(32)
    await keys.put(_key(client), Secret(token))
    return token


def _key(client: str) -> str:
    return f"mcp:client:{client}"


def _may_read(given: McpClientSettings, path: str) -> bool:
    """Whether one of the client's patterns takes a path; none takes one that leaves the garden or is hidden."""
    parts = path.split("/")
    if path.startswith("/") or any(part in ("", ".", "..") or part.startswith(".") for part in parts):
        return False
    return any(fnmatchcase(path, pattern.replace("**", "*")) for pattern in given.records)
