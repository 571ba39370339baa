"""`@call` and `@cast`: one method is the handler inside the server and, reached through the class, its client function.

```python
class Counter(GenServer):
    @call
    def add(self, by: int = 1) -> int: ...

await Counter.add(pid, by=5)          # the client function: typed arguments, typed answer
self.add(5)                           # inside the server: the plain method
```

What stands in the class is a plain function that tells the two apart by its first argument: the interpreter finds a
function in a class without running Python code, which a descriptor of our own would cost (measured: 7 against 80 ns).
To a type checker it is a `CallHandler` or `CastHandler`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, Protocol, overload

from planaria.otp.kernel.compiled import COMPILED
from planaria.otp.kernel.mailbox import deliver, senders
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, RECEIVING, Process, running
from planaria.otp.kernel.reason import Killed
from planaria.otp.servers.delivery import put_cast
from planaria.otp.servers.remote import DEFAULT_TIMEOUT, NO_KEYWORDS, Cast, Remote, ask, ask_compiled


class Deferred[R](Protocol):
    """The right to answer one call later, from any process; what `self.defer()` gives."""

    def reply(self, value: R) -> None:
        """Answer the caller; only the first answer counts."""
        ...

    def fail(self, error: BaseException) -> None:
        """Let the call raise `error` at the caller."""
        ...


class CallHandler[**P, R, B](Protocol):
    """What `@call` puts into the class: `R` is the answer, `B` what the bound method itself returns."""

    @overload
    def __get__(self, obj: None, owner: type) -> Remote[P, R]: ...
    @overload
    def __get__(self, obj: object, owner: type) -> Callable[P, B]: ...


class CastHandler[**P, B](Protocol):
    """What `@cast` puts into the class."""

    @overload
    def __get__(self, obj: None, owner: type) -> Cast[P]: ...
    @overload
    def __get__(self, obj: object, owner: type) -> Callable[P, B]: ...


ADDRESSES = (str, Process)  # not `str | Process`: that would be made anew at each use


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
    remote: Remote[..., Any] = Remote(fn, fn.__name__)
    send = ask_compiled if COMPILED else ask

    def client(server: Any, /, *args: Any, **kwargs: Any) -> Any:
        if type(server) is Process or isinstance(server, ADDRESSES):
            return send(remote, server, args, kwargs)
        return fn(server, *args, **kwargs)  # inside the server: the method itself

    _dress(client, fn, remote)
    client.within = remote.within  # type: ignore[attr-defined]
    return client


def cast[S, **P, B](fn: Callable[Concatenate[S, P], B]) -> CastHandler[P, B]:
    """Mark a method as a cast: a request without an answer; what it returns is dropped."""
    remote: Cast[...] = Cast(fn, fn.__name__)

    def client(server: Any, /, *args: Any, **kwargs: Any) -> Any:
        # `Cast.__call__` for the usual case, written out: a call more would be a tenth of a cast.
        me = running.process
        if type(server) is not Process or me is None:
            if isinstance(server, ADDRESSES):
                remote(server, *args, **kwargs)
                return None
            return fn(server, *args, **kwargs)  # inside the server: the method itself
        if me.status == DEAD:
            raise Killed
        node = server.node
        current = me.current
        body = (remote.handler, args, kwargs or NO_KEYWORDS)
        envelope: Envelope
        if current is None:
            envelope = ("cast", body, me, node.next_id(), None, 0, node.now, server)
        else:
            envelope = ("cast", body, me, node.next_id(), current[4], current[3], node.now, server)
        queue = server.queue
        if queue is not None and server.pending is not None and server.status != RECEIVING:
            queue.append(envelope)
        else:
            deliver(server, envelope)
        return None

    def compiled_client(server: Any, /, *args: Any, **kwargs: Any) -> Any:
        if type(server) is Process and put_cast(remote.handler, server, args, kwargs or NO_KEYWORDS):
            return None
        if isinstance(server, ADDRESSES):
            remote(server, *args, **kwargs)
            return None
        return fn(server, *args, **kwargs)

    chosen: Any = compiled_client if COMPILED else client
    _dress(chosen, fn, remote)
    chosen.when_room = remote.when_room
    return chosen  # type: ignore[no-any-return]


def _dress(client: Callable[..., Any], fn: Callable[..., Any], remote: Remote[..., Any] | Cast[...]) -> None:
    update_wrapper(client, fn)
    client.remote = remote  # type: ignore[attr-defined]


def handlers_of(cls: type) -> dict[str, Callable[..., Any]]:
    """The handlers of a server's class by name, those of its bases included; called when a class is made."""
    handlers: dict[str, Callable[..., Any]] = {}
    for base in reversed(cls.__mro__):
        for name, value in vars(base).items():
            remote = getattr(value, "remote", None)
            if isinstance(remote, Remote | Cast):
                handlers[name] = remote.fn
                if remote.owner is None:
                    remote.owner = base
                    remote.handler = name
                    if isinstance(remote, Remote):
                        remote.timeout = getattr(base, "call_timeout", DEFAULT_TIMEOUT)
            elif name in handlers and callable(value):
                handlers[name] = value  # overridden by a plain method: still the handler
    return handlers


_any_cast: Any = cast(lambda _: None)
senders.append(_any_cast)  # all casts share one code
