"""The connection to one MCP server, in an OS process of its own: `child(Connection, ..., isolation="worker")`.

The library it needs stays out of the node, and what the server sends is decoded here, in a process with limits. It
connects by itself, again after a while when the connection is lost, and says to its owner how it stands (`Changed`).
Each call is a task: a caller that dies, or is cancelled, cancels the call at the server.
"""

from typing import Any, ClassVar

import msgspec

from planaria.membrane.mcp.offer import Answer, Changed, Offer, Progress, Target
from planaria.membrane.sandbox.errors import SandboxError
from planaria.membrane.sandbox.staying import staying
from planaria.otp import (
    Deferred,
    Down,
    ExitSignal,
    GenServer,
    NoProcess,
    Pid,
    Ref,
    Task,
    TaskDone,
    call,
    demonitor,
    monitor,
    node_,
    reason_text,
    send,
    send_after,
)
from planaria.otp.kernel.lazy_module import LazyModule

sdk: Any = LazyModule("planaria.membrane.mcp.sdk")  # needs the extra, and is for the worker only
FIRST_REST, LONGEST_REST = 1.0, 60.0
"""Seconds before the next try to connect: doubled with each that fails."""
LONGEST_PROBLEM = 500
ENDED = "the server ended the connection"
MISSING = "the extra is not installed: pip install 'planaria[mcp]'"


class McpError(Exception):
    """A call that did not come to an answer; the message says why."""


class _Up(msgspec.Struct, frozen=True):
    client: Any
    offer: Offer


class _Heard(msgspec.Struct, frozen=True):
    """The server says that what it offers has changed."""


class _Again(msgspec.Struct, frozen=True):
    """Connect once more."""


class _Open(msgspec.Struct):
    deferred: Deferred[Answer]
    task: Any
    caller: Any


class Connection(GenServer):
    """One server. `owner` is told of changes by name, so that it may be restarted."""

    trap_exit: ClassVar[bool] = True

    async def init(self, target: Target, owner: str) -> None:
        """Begin to connect."""
        self.target = target
        self.owner = owner
        self.client: Any = None
        self.offer: Offer | None = None
        self.problem = "connecting"
        self.rest = FIRST_REST
        self.open: dict[Ref, _Open] = {}
        self.callers: dict[Ref, Ref] = {}  # monitors of callers: the task of each
        self.holder: Any = None
        self.looking: Any = None
        self._connect()

    # --- for the node ------------------------------------------------------------------------------------------------

    @call
    def state(self) -> Changed:
        """How it stands now."""
        return Changed(self.target.name, self.offer, "" if self.offer else self.problem)

    @call
    def call_tool(self, tool: str, arguments: dict[str, Any], effect: str = "") -> Deferred[Answer]:
        """Call a tool of the server.

        Raises:
            McpError: it is not connected, or the server refused or broke off.
        """
        return self._ask("call", tool, arguments, self._progress(tool), effect)

    @call
    def read(self, uri: str) -> Deferred[Answer]:
        """Read a resource; raises as `call_tool`."""
        return self._ask("read", uri)

    @call
    def prompt(self, name: str, arguments: dict[str, str]) -> Deferred[Answer]:
        """Have a prompt filled in; raises as `call_tool`."""
        return self._ask("prompt", name, arguments)

    # --- inside ---------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        match message:
            case _Up(client=client, offer=offer):
                self.client, self.offer, self.problem, self.rest = client, offer, "", FIRST_REST
                self._tell()
            case _Heard() if self.client is not None and self.looking is None:
                self.looking = Task.start_link(_look, self.client, label=f"{self.target.name} is looked at")
            case _Again():
                self._connect()
            case Progress():
                self._tell(message)
            case TaskDone(ref=ref, value=Offer() as offer) if (
                self.looking is not None and ref is self.looking
            ):
                self.looking, self.offer = None, offer
                self._tell()
            case Down(ref=ref) if self.looking is not None and ref is self.looking:
                self.looking = None  # the holder says what is wrong
            case TaskDone(ref=ref, value=value) if ref in self.open:
                self._close(ref, value)
            case Down(ref=ref, reason=reason) if ref in self.open:
                self._close(ref, McpError(f"the call broke off: {reason_text(reason)}"))
            case Down(ref=ref) if ref in self.callers:
                task = self.callers.pop(ref)
                found = self.open.pop(task, None)
                if found is not None:
                    found.task.cancel()
            case TaskDone(ref=ref, value=str() as why) if ref is self.holder:
                self._lost(why)
            case Down(ref=ref, reason=reason) if ref is self.holder:
                self._lost(reason_text(reason))
            case ExitSignal():
                pass  # of tasks, whose end is told otherwise
            case _:
                super().handle_info(message)

    def _connect(self) -> None:
        self.holder = Task.start_link(_hold, self.target, self.pid, label=f"{self.target.name} is connected")

    def _lost(self, why: str) -> None:
        self.holder = self.client = self.offer = None
        self.problem = why[:LONGEST_PROBLEM]
        for ref in list(self.open):
            found = self.open[ref]
            found.task.cancel()
            self._close(ref, McpError(f"the connection to {self.target.name} was lost: {self.problem}"))
        self._tell()
        send_after(self.rest, self.pid, _Again())
        self.rest = min(self.rest * 2, LONGEST_REST)

    def _tell(self, news: Progress | None = None) -> None:
        try:
            send(self.owner, news or self.state())
        except NoProcess:
            pass  # it asks when it starts

    def _ask(self, what: str, *arguments: Any) -> Deferred[Answer]:
        if self.client is None:
            return self.refuse(McpError(f"the server {self.target.name} is not connected: {self.problem}"))
        deferred: Deferred[Answer] = self.defer()
        task = Task.start_link(_answer, what, self.client, *arguments, label=f"{self.target.name} {what}")
        caller = self.caller()
        watched = None if caller is None else monitor(caller)
        self.open[task] = _Open(deferred, task, watched)
        if watched is not None:
            self.callers[watched] = task
        return deferred

    def _close(self, ref: Ref, value: object) -> None:
        found = self.open.pop(ref)
        if found.caller is not None:
            self.callers.pop(found.caller, None)
            demonitor(found.caller, flush=True)
        if isinstance(value, Answer):
            found.deferred.reply(value)
        else:
            found.deferred.fail(value if isinstance(value, McpError) else McpError(str(value)))

    def _progress(self, tool: str) -> Any:
        # The library calls from tasks of its own, which are no processes.
        node, me, server = node_(), self.pid, self.target.name

        def told(done: float, total: float | None, said: str) -> None:
            node.send(me, Progress(server, tool, done, total, said[:200]))

        return told


async def _hold(target: Target, owner: Pid) -> str:
    """Be connected until told to end or until it is lost; why it ended."""
    try:
        faults: tuple[type[BaseException], ...] = sdk.FAULTS
    except ModuleNotFoundError:
        return MISSING
    if target.policy is None:
        return await _stay(target, owner, faults)
    if target.problem:
        return target.problem
    try:
        async with staying(target.command, target.policy) as held:
            inside = msgspec.structs.replace(target, command=held.command, env=held.environment)
            why = await _stay(inside, owner, faults)
            return f"{why}; {said}" if (said := held.why()) else why
    except SandboxError as error:
        return f"{error}; or write sandbox = false to [mcp.servers.{target.name}]: then it runs as you"


async def _stay(target: Target, owner: Pid, faults: tuple[type[BaseException], ...]) -> str:
    try:
        node = node_()

        def heard() -> None:
            node.send(owner, _Heard())

        async with sdk.connected(target, heard) as client:
            send(owner, _Up(client, await sdk.look(client)))
            await sdk.watch(client, heard)
        return ENDED
    except faults as error:
        return _said(error)
    except BaseExceptionGroup as group:
        # The library's tasks raise in groups; what is no fault of the connection ends this process.
        known, others = group.split(faults)
        if others is not None:
            raise
        assert known is not None
        return _said(known)


def _said(error: BaseException) -> str:
    """The faults in a group, in a line."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(dict.fromkeys(_said(each) for each in error.exceptions))
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def _look(client: Any) -> Offer:
    offer: Offer = await sdk.look(client)
    return offer


async def _answer(what: str, client: Any, *arguments: Any) -> Answer | McpError:
    try:
        answer: Answer = await getattr(sdk, what)(client, *arguments)
    except sdk.FAULTS as error:
        return McpError(_said(error))
    return answer
