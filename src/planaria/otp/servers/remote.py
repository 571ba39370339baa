"""The client side of a server's handlers: how a call and a cast leave the process that makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from planaria.otp.kernel.ambient import Server, self_
from planaria.otp.kernel.mailbox import deliver
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, RUNNING, WAITING, Process, Request, new_request, running
from planaria.otp.kernel.reason import CallError, Killed, NoProcess, NotAProcess
from planaria.otp.kernel.room import deliver_when_room
from planaria.otp.kernel.runner import suspend
from planaria.otp.servers.delivery import OUTSIDE, PENDING, put_call

DEFAULT_TIMEOUT = 5.0
"""Seconds a call waits for its answer, as in OTP."""

NO_KEYWORDS: dict[str, Any] = {}
"""The keyword arguments of messages that have none. One for all: a dictionary each is a third of a small message."""


class Remote[**P, R]:
    """The client function of one `@call` handler."""

    __slots__ = ("fn", "handler", "owner", "timeout")

    def __init__(
        self,
        fn: Callable[..., Any],
        handler: str,
        owner: type | None = None,
        timeout: float | None = DEFAULT_TIMEOUT,
    ) -> None:
        self.fn = fn
        self.handler = handler
        self.owner = owner
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"<call {_qualified(self.owner, self.handler)}>"

    def within(self, seconds: float | None) -> Remote[P, R]:
        """The same function with its own deadline; None waits for ever."""
        return Remote(self.fn, self.handler, self.owner, seconds)

    async def __call__(self, server: Server, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask `server` and wait for the answer.

        Raises:
            NoProcess: nobody is there.
            CallTimeout: no answer in time; the request may still be handled.
            ServerExited: the server ended first.
            MailboxFull: its mailbox is bounded and refuses.
        """
        return await ask(self, server, args, kwargs)  # type: ignore[no-any-return]


async def ask(remote: Remote[..., Any], server: Server, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Do a call; see `Remote.__call__`."""
    me = running.process
    if me is None:
        return await _ask_from_outside(remote, server, args, kwargs)
    if me.status == DEAD:
        raise Killed
    target = server if isinstance(server, Process) else me.node.names.get(server)
    if target is None or target.status == DEAD:
        raise NoProcess(server)
    if target is me:
        raise CallError(server, "calling_self", f"{me} called itself; call the method on self instead")
    node = target.node
    request = Request()
    request.handler = remote.handler
    request.args = args
    request.kwargs = kwargs
    request.caller = me
    request.target = target
    current = me.current
    envelope: Envelope
    if current is None:
        envelope = ("call", request, me, node.next_id(), None, 0, node.now, target)
    else:
        envelope = ("call", request, me, node.next_id(), current[4], current[3], node.now, target)
    if target.status == WAITING and node.scheduler.run_now(target, envelope):
        if me.status != RUNNING:
            raise Killed
        if request.done:
            if request.error is not None:
                raise request.error
            return request.value
    else:
        deliver(target, envelope)
    if remote.timeout is not None:
        me.node.timers.limit(request, remote.timeout)
    me.wait = request
    try:
        await suspend()
    finally:
        request.abandon()
    if request.error is not None:
        raise request.error
    return request.value


async def ask_compiled(
    remote: Remote[..., Any], server: Server, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """`ask` where the kernel is compiled: one step into it and, if the answer takes its time, one wait."""
    answer = put_call(remote.handler, remote.timeout, server, args, kwargs)
    if answer is not PENDING:
        return answer if answer is not OUTSIDE else await _ask_from_outside(remote, server, args, kwargs)
    request: Any = self_().wait
    try:
        await suspend()
    finally:
        request.abandon()
    if request.error is not None:
        raise request.error
    return request.value


async def _ask_from_outside(
    remote: Remote[..., Any], server: Server, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    if isinstance(server, str):
        raise NotAProcess(f"outside a process a name means nothing: use node[{server!r}], or node.run(...)")
    if server.status == DEAD:
        raise NoProcess(server)
    node = server.node
    future: asyncio.Future[None] = node.scheduler.loop.create_future()

    def answered() -> None:
        if not future.done():
            future.set_result(None)

    request = new_request(remote.handler, args, kwargs, None, server)
    request.notify = answered
    deliver(server, ("call", request, None, node.next_id(), None, 0, node.now, server))
    if remote.timeout is not None:
        node.timers.limit(request, remote.timeout)
    try:
        await future
    finally:
        request.abandon()
    if request.error is not None:
        raise request.error
    return request.value


class Cast[**P]:
    """The client function of one `@cast` handler."""

    __slots__ = ("fn", "handler", "owner")

    def __init__(self, fn: Callable[..., Any], handler: str, owner: type | None = None) -> None:
        self.fn = fn
        self.handler = handler
        self.owner = owner

    def __repr__(self) -> str:
        return f"<cast {_qualified(self.owner, self.handler)}>"

    def __call__(self, server: Server, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Send and return at once. Whether anybody is there is not asked (as gen_server:cast).

        Raises:
            MailboxFull: its mailbox is bounded and refuses; `when_room` waits instead.
        """
        target = addressee(server)
        if target is None:
            return
        me = running.process
        node = target.node
        body = (self.handler, args, kwargs or NO_KEYWORDS)
        if me is None:
            deliver(target, ("cast", body, None, node.next_id(), None, 0, node.now, target))
            return
        if me.status == DEAD:
            raise Killed
        current = me.current
        if current is None:
            deliver(target, ("cast", body, me, node.next_id(), None, 0, node.now, target))
        else:
            deliver(target, ("cast", body, me, node.next_id(), current[4], current[3], node.now, target))

    async def when_room(self, server: Server, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Like calling it, but wait until the mailbox of `server` has room; see `send_when_room`."""
        target = addressee(server)
        if target is not None:
            await deliver_when_room(target, "cast", (self.handler, args, kwargs))


def remote_of[**P, R](client: Remote[P, R]) -> Remote[P, R]:
    """The `Remote` behind a client function, for those who make the request themselves."""
    return getattr(client, "remote", client)


def addressee(server: Server) -> Process | None:
    """Whom a cast reaches: a name nobody has is nobody.

    Raises:
        NotAProcess: a name, in code outside any process.
    """
    if isinstance(server, Process):
        return server
    me = running.process
    if me is None:
        raise NotAProcess(f"outside a process a name means nothing: use node[{server!r}]")
    return me.node.names.get(server)


def _qualified(owner: type | None, handler: str) -> str:
    return handler if owner is None else f"{owner.__qualname__}.{handler}"
