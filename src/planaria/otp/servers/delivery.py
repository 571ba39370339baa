"""A call and a cast in one step each, for the compiled kernel: there, what is cheap is to cross into it once.

In plain Python `remote.ask` and `handler.cast` do the same, written out, since a function more would cost a tenth.
"""

from __future__ import annotations

from typing import Any

from planaria.otp.kernel.mailbox import deliver
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, RUNNING, WAITING, Process, Request, running
from planaria.otp.kernel.reason import CallError, Killed, NoProcess


class _Mark:
    __slots__ = ()


PENDING = _Mark()
"""No answer yet: the request is what the caller waits for now."""
OUTSIDE = _Mark()
"""The caller is no process."""


def put_call(
    handler: str, timeout: float | None, server: Process | str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Send a request; its answer if there is one already, else `PENDING` or `OUTSIDE`. Raises what the call raises."""
    me = running.process
    if me is None:
        return OUTSIDE
    if me.status == DEAD:
        raise Killed
    target = server if isinstance(server, Process) else me.node.names.get(server)
    if target is None or target.status == DEAD:
        raise NoProcess(server)
    if target is me:
        raise CallError(server, "calling_self", f"{me} called itself; call the method on self instead")
    node = target.node
    request = Request()
    request.handler = handler
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
    if timeout is not None:
        me.node.timers.limit(request, timeout)
    me.wait = request
    return PENDING


def put_cast(handler: str, server: Process, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Send a cast; False, and nothing done, for code outside any process."""
    me = running.process
    if me is None:
        return False
    if me.status == DEAD:
        raise Killed
    node = server.node
    current = me.current
    body = (handler, args, kwargs)
    if current is None:
        deliver(server, ("cast", body, me, node.next_id(), None, 0, node.now, server))
    else:
        deliver(server, ("cast", body, me, node.next_id(), current[4], current[3], node.now, server))
    return True
