"""System requests as they arrive inside a server, and the body of a suspended one. The requests are `planaria.otp.sys`.

Source: OTP's sys and `sys:handle_system_msg`. A suspended process keeps its messages in order and answers system
requests; its parent's exit and a stop still end it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass
from types import CoroutineType
from typing import Any, Literal, Protocol

from planaria.otp.kernel.bounded import BoundedQueue
from planaria.otp.kernel.mailbox import take_where
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, RUNNING, Body, Process, Request
from planaria.otp.kernel.reason import Crash, Stop, reason_of, reason_text
from planaria.otp.kernel.runner import RECEIVE, pause, suspend
from planaria.otp.servers.wrapper import Wrapper, find_wrapper

type Work = Coroutine[Any, Any, None]
type Operation = Literal[
    "get_state",
    "replace_state",
    "suspend",
    "resume",
    "get_status",
    "change_code",
    "terminate",
    "statistics",
]


class SystemMessage:
    """The body of a system request: `operation` on the server, its `argument`, the right to answer."""

    __slots__ = ("argument", "operation", "request")

    def __init__(self, operation: Operation, argument: Any, request: Request) -> None:
        self.operation: Operation = operation
        self.argument = argument
        self.request = request

    def __repr__(self) -> str:
        return f"<system {self.operation}>"


class Terminate:
    """The body of the kernel message that asks a server to end (`stop`)."""

    __slots__ = ("reason", "taken")

    def __init__(self, reason: object) -> None:
        self.reason = reason
        self.taken = False
        """Whether the server has got to it."""

    def __repr__(self) -> str:
        return f"<stop {reason_text(self.reason)}>"


class ServerBody(Protocol):
    """A body that is a server: `GenServer`, `StateMachine` and what is made of them."""

    # `trap_exit` is not here: pyright takes the `trap_exit = True` of a subclass for another kind of variable.

    _kernel_process: Process

    def handle(self, envelope: Envelope) -> Work | None:
        """See `Body`."""
        ...

    def get_state(self) -> Any:
        """The state as a value."""
        ...

    def set_state(self, state: Any) -> None:
        """Take over a state such as `get_state` gives."""
        ...

    def code_change(self, old_version: object, extra: object) -> Any:
        """Make the state that of the present code."""
        ...

    def _kernel_code_changed(self, value: Any) -> None:
        """Take what `code_change` answered."""
        ...

    def _kernel_resumed(self) -> None:
        """The server goes on after a system request or a suspension."""
        ...


class CodeChangeFailed(Exception):
    """`code_change` did not succeed; the state is what it was.

    Attributes:
        reason: what it refused with (`raise Stop(reason)`), or the `Crash` of what it raised.
        refused: whether it refused.
    """

    def __init__(self, reason: object, *, refused: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refused = refused
        if isinstance(reason, Crash):
            self.__cause__ = reason.error

    def __str__(self) -> str:
        return f"code_change {'refused' if self.refused else 'raised'}: {reason_text(self.reason)}"


class NotSuspended(Exception):
    """Code is changed in suspended processes only: `await sys.suspend(pid)` first."""

    def __init__(self, process: object) -> None:
        super().__init__(f"{process!s} is not suspended: suspend it, change its code, resume it")


@dataclass(frozen=True, slots=True)
class Status:
    """What `sys.get_status` tells.

    Attributes:
        server: the class.
        parent: who started it with a link; None without.
        state: as `sys.get_state`.
    """

    process: Process
    server: str
    parent: Process | None
    suspended: bool
    state: Any


@dataclass(frozen=True, slots=True)
class Statistics:
    """What `sys.statistics` counted. Times are seconds on the node's monotonic clock.

    Attributes:
        messages_in: all of them; `by_kind` tells them apart.
        reductions: messages handled since the process started, counted or not.
    """

    since: float
    now: float
    reductions: int
    messages_in: int
    by_kind: dict[str, int]


def obey(server: ServerBody, message: SystemMessage) -> Work | None:
    """Do what a system request asks of a server that runs. Called by the servers for kernel messages."""
    match message.operation:
        case "suspend":
            return _suspend(server, message.request)
        case "change_code":
            message.request.fail(NotSuspended(server._kernel_process))
        case "resume":
            message.request.reply(None)
        case _:
            return _obey_always(server, message)
    return None


def _obey_always(server: ServerBody, message: SystemMessage) -> Work | None:
    """The requests that are answered alike whether the server runs or is suspended."""
    process = server._kernel_process
    request = message.request
    if message.operation == "terminate":
        request.reply(None)
        return server.handle(_envelope(process, Terminate(message.argument)))
    if message.operation == "statistics":
        return _statistics(process, message.argument, request)
    try:
        match message.operation:
            case "get_state":
                request.reply(server.get_state())
            case "replace_state":
                state = message.argument(server.get_state())
                server.set_state(state)
                request.reply(state)
            case "get_status":
                suspended = find_wrapper(process, Suspended) is not None
                name = type(server).__qualname__
                request.reply(Status(process, name, process.parent, suspended, server.get_state()))
            case _:
                raise AssertionError(message)
    except Exception as error:  # noqa: BLE001  the asker's function or a hook raised: theirs, not the server's end
        request.fail(error)
    return None


async def change_code(server: ServerBody, old_version: object, extra: object) -> None:
    """Run `code_change` as the running process, which is the server's or acts for it.

    Raises:
        CodeChangeFailed: the server has the state it had.
    """
    before = server.get_state()
    try:
        value = server.code_change(old_version, extra)
        if type(value) is CoroutineType:
            value = await value
        server._kernel_code_changed(value)
    except Stop as refusal:
        server.set_state(before)
        raise CodeChangeFailed(refusal.reason, refused=True) from refusal
    except Exception as error:
        server.set_state(before)
        raise CodeChangeFailed(reason_of(error), refused=False) from error


async def _suspend(server: ServerBody, request: Request) -> None:
    process = server._kernel_process
    assert process.body is not None
    process.body = suspended = Suspended(process, process.body, server)
    request.reply(None)
    if isinstance(process.queue, BoundedQueue):
        await suspended.stand_by()
    await pause()  # ends the activation: the next message goes to the new body


async def _statistics(process: Process, wanted: bool | None, request: Request) -> None:
    counting = find_wrapper(process, Counting)
    if wanted and counting is None:
        assert process.body is not None
        process.body = counting = Counting(process, process.body)
    elif wanted is False and counting is not None:
        counting.remove()
    request.reply(None if counting is None else counting.statistics())
    await pause()


def _envelope(process: Process, body: object) -> Envelope:
    node = process.node
    return ("system", body, None, node.next_id(), None, 0, node.now, process)


class Counting(Wrapper):
    """Counts the messages of a process."""

    __slots__ = ("kinds", "since")

    def __init__(self, process: Process, inner: Body) -> None:
        super().__init__(process, inner)
        self.since = process.node.now
        self.kinds: Counter[str] = Counter()

    def handle(self, envelope: Envelope) -> Work | None:
        """Count the message and hand it on."""
        self.kinds[envelope[0]] += 1
        return self.inner.handle(envelope)

    def statistics(self) -> Statistics:
        """What was counted so far."""
        process = self.process
        total = self.kinds.total()
        return Statistics(self.since, process.node.clock.now(), process.reductions, total, dict(self.kinds))


class Suspended(Wrapper):
    """Keeps the messages of a suspended process until it is resumed.

    Those of a bounded process stay in the mailbox, so that its limit holds: see `stand_by`.
    """

    __slots__ = ("held", "resumed", "server")

    def __init__(self, process: Process, inner: Body, server: ServerBody) -> None:
        super().__init__(process, inner)
        self.server = server
        self.held: deque[Envelope] = deque()
        self.resumed = False

    def handle(self, envelope: Envelope) -> Work | None:
        """Answer system requests, let the parent's exit and a stop through, keep the rest."""
        kind, body = envelope[0], envelope[1]
        if self.resumed:
            return self.inner.handle(envelope)
        if kind == "system":
            if type(body) is SystemMessage:
                return self._obey(body)
            if type(body) is Terminate:
                return self.inner.handle(envelope)
        elif kind == "exit" and body.sender is self.process.parent:
            return self.inner.handle(envelope)
        elif kind == "call":
            # Its caller must hear of it if the process ends before it is resumed.
            if self.process.calls is None:
                self.process.calls = set()
            self.process.calls.add(body)
        self.held.append(envelope)
        return None

    async def stand_by(self) -> None:
        """Until it is resumed take from the mailbox only what a suspended process answers, and leave the rest there."""
        process = self.process
        while not self.resumed:
            envelope = take_where(process, self._concerns)
            if envelope is not None and process.body is not None:
                process.current = envelope
                process.reductions += 1
                process.node.scheduler.remember(envelope)
                work = process.body.handle(envelope)
                if work is not None:
                    await work
                process.current = None
            if process.status == DEAD:
                return
            if process.status != RUNNING:  # held, for new code
                await suspend()
            elif envelope is None:
                process.wait = RECEIVE
                await suspend()

    def _concerns(self, envelope: Envelope) -> bool:
        kind, body = envelope[0], envelope[1]
        return kind == "system" or (kind == "exit" and body.sender is self.process.parent)

    def _obey(self, message: SystemMessage) -> Work | None:
        match message.operation:
            case "suspend":
                message.request.reply(None)
            case "resume":
                return self._resume(message.request)
            case "change_code":
                return self._change_code(message.argument, message.request)
            case _:
                return _obey_always(self.server, message)
        return None

    async def _resume(self, request: Request) -> None:
        process = self.process
        self.resumed = True
        self.remove()
        held, queue = self.held, process.queue
        if held:  # back to where they were: before whatever has come since
            if process.pending is not None:
                held.append(process.pending)
            process.pending = held.popleft()
            if queue is not None:
                queue.extendleft(reversed(held))
            elif held:
                process.queue = held
        self.server._kernel_resumed()
        request.reply(None)
        await pause()

    async def _change_code(self, argument: tuple[object, object], request: Request) -> None:
        try:
            await change_code(self.server, *argument)
        except CodeChangeFailed as error:  # as OTP: the server stays suspended
            request.fail(error)
        else:
            request.reply(None)
