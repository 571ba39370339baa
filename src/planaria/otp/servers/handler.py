"""`@call` and `@cast`: one method is the handler inside the server and, reached through the class, its client function.

```python
class Counter(GenServer):
    @call
    def add(self, by: int = 1) -> int: ...

await Counter.add(pid, by=5)          # the client function: typed arguments, typed answer
self.add(5)                           # inside the server: the plain method
```
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Protocol, overload

from planaria.otp.kernel.ambient import Server
from planaria.otp.kernel.mailbox import deliver
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, RUNNING, WAITING, Process, Request, running
from planaria.otp.kernel.reason import CallError, Killed, NoProcess, NotAProcess
from planaria.otp.kernel.room import deliver_when_room
from planaria.otp.kernel.scheduler import run_now, suspend

DEFAULT_TIMEOUT = 5.0
"""Seconds a call waits for its answer, as in OTP."""


class Deferred[R](Protocol):
    """The right to answer one call later, from any process; what `self.defer()` gives."""

    def reply(self, value: R) -> None:
        """Answer the caller; only the first answer counts."""
        ...

    def fail(self, error: BaseException) -> None:
        """Let the call raise `error` at the caller."""
        ...


class Remote[**P, R]:
    """The client function of one `@call` handler."""

    __slots__ = ("handler", "owner", "timeout")

    def __init__(self, owner: type, handler: str, timeout: float | None = DEFAULT_TIMEOUT) -> None:
        self.owner = owner
        self.handler = handler
        self.timeout = timeout

    def __repr__(self) -> str:
        return f"<call {self.owner.__qualname__}.{self.handler}>"

    def within(self, seconds: float | None) -> Remote[P, R]:
        """The same function with its own deadline; None waits for ever."""
        return Remote(self.owner, self.handler, seconds)

    async def __call__(self, server: Server, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Ask `server` and wait for the answer.

        Raises:
            NoProcess: nobody is there.
            CallTimeout: no answer in time; the request may still be handled.
            ServerExited: the server ended first.
        """
        me = running.process
        if me is None:
            return await self._from_outside(server, args, kwargs)
        if me.status == DEAD:
            raise Killed
        target = server if isinstance(server, Process) else me.node.names.get(server)
        if target is None or target.status == DEAD:
            raise NoProcess(server)
        if target is me:
            raise CallError(server, "calling_self", f"{me} called itself; call the method on self instead")
        node = target.node
        request = Request(self.handler, args, kwargs, me, target)
        current = me.current
        envelope: Envelope
        if current is None:
            envelope = ("call", request, me, node.next_id(), None, 0, node.now)
        else:
            envelope = ("call", request, me, node.next_id(), current[4], current[3], node.now)
        if target.status == WAITING and run_now(target, envelope):
            if me.status != RUNNING:
                raise Killed
            if request.done:
                if request.error is not None:
                    raise request.error
                return request.value  # type: ignore[no-any-return]
        else:
            deliver(target, envelope)
        if self.timeout is not None:
            me.node.timers.limit(request, self.timeout)
        me.wait = request
        try:
            await suspend()
        finally:
            request.abandon()
        if request.error is not None:
            raise request.error
        return request.value  # type: ignore[no-any-return]

    async def _from_outside(self, server: Server, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        if isinstance(server, str):
            raise NotAProcess(
                f"outside a process a name means nothing: use node[{server!r}], or node.run(...)"
            )
        if server.status == DEAD:
            raise NoProcess(server)
        node = server.node
        request = Request(self.handler, args, kwargs, None, server)
        future: asyncio.Future[None] = node.scheduler.loop.create_future()

        def answered() -> None:
            if not future.done():
                future.set_result(None)

        request.notify = answered
        deliver(server, ("call", request, None, node.next_id(), None, 0, node.now))
        if self.timeout is not None:
            node.timers.limit(request, self.timeout)
        try:
            await future
        finally:
            request.abandon()
        if request.error is not None:
            raise request.error
        return request.value  # type: ignore[no-any-return]


class Cast[**P]:
    """The client function of one `@cast` handler."""

    __slots__ = ("handler", "owner")

    def __init__(self, owner: type, handler: str) -> None:
        self.owner = owner
        self.handler = handler

    def __repr__(self) -> str:
        return f"<cast {self.owner.__qualname__}.{self.handler}>"

    def __call__(self, server: Server, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Send and return at once. Whether anybody is there is not asked (as gen_server:cast).

        Raises:
            MailboxFull: its mailbox is bounded and refuses; `when_room` waits instead.
        """
        me = running.process
        if isinstance(server, Process):
            target: Process | None = server
        elif me is None:
            raise NotAProcess(f"outside a process a name means nothing: use node[{server!r}]")
        else:
            target = me.node.names.get(server)
        if target is None:
            return
        node = target.node
        body = (self.handler, args, kwargs)
        if me is None:
            deliver(target, ("cast", body, None, node.next_id(), None, 0, node.now))
            return
        if me.status == DEAD:
            raise Killed
        current = me.current
        if current is None:
            deliver(target, ("cast", body, me, node.next_id(), None, 0, node.now))
        else:
            deliver(target, ("cast", body, me, node.next_id(), current[4], current[3], node.now))

    async def when_room(self, server: Server, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Like calling it, but wait until the mailbox of `server` has room; see `send_when_room`."""
        if isinstance(server, Process):
            target: Process | None = server
        elif running.process is None:
            raise NotAProcess(f"outside a process a name means nothing: use node[{server!r}]")
        else:
            target = running.process.node.names.get(server)
        if target is not None:
            await deliver_when_room(target, "cast", (self.handler, args, kwargs))


class CallHandler[**P, R, B]:
    """What `@call` puts into the class: `R` is the answer, `B` what the bound method itself returns."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__doc__ = fn.__doc__
        self.remote: Remote[P, R] | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self.remote = Remote(owner, name, getattr(owner, "call_timeout", DEFAULT_TIMEOUT))

    @overload
    def __get__(self, obj: None, owner: type) -> Remote[P, R]: ...
    @overload
    def __get__(self, obj: object, owner: type) -> Callable[P, B]: ...
    def __get__(self, obj: object, owner: type) -> Any:
        return self.remote if obj is None else self.fn.__get__(obj, owner)


class CastHandler[**P, B]:
    """What `@cast` puts into the class."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn
        self.__doc__ = fn.__doc__
        self.remote: Cast[P] | None = None

    def __set_name__(self, owner: type, name: str) -> None:
        self.remote = Cast(owner, name)

    @overload
    def __get__(self, obj: None, owner: type) -> Cast[P]: ...
    @overload
    def __get__(self, obj: object, owner: type) -> Callable[P, B]: ...
    def __get__(self, obj: object, owner: type) -> Any:
        return self.remote if obj is None else self.fn.__get__(obj, owner)


type Async[R] = Coroutine[Any, Any, R]


@overload
def call[S, **P, R](
    fn: Callable[Concatenate[S, P], Async[Deferred[R]]],
) -> CallHandler[P, R, Async[Deferred[R]]]: ...
@overload
def call[S, **P, R](fn: Callable[Concatenate[S, P], Deferred[R]]) -> CallHandler[P, R, Deferred[R]]: ...
@overload
def call[S, **P, R](
    fn: Callable[Concatenate[S, P], Async[R | Deferred[R]]],
) -> CallHandler[P, R, Async[R]]: ...
@overload
def call[S, **P, R](fn: Callable[Concatenate[S, P], R | Deferred[R]]) -> CallHandler[P, R, R]: ...
def call(fn: Any) -> Any:
    """Mark a method as a call: a request whose return value is the answer."""
    return CallHandler(fn)


def cast[S, **P, B](fn: Callable[Concatenate[S, P], B]) -> CastHandler[P, B]:
    """Mark a method as a cast: a request without an answer; what it returns is dropped."""
    return CastHandler(fn)
