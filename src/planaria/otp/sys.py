"""System requests: look into, hold and change any server from outside, without its callbacks doing anything for it.

```python
from planaria.otp import sys

await sys.get_state(pid)                                     # {"count": 3}
await sys.replace_state(pid, lambda state: state | {"count": 0})
await sys.suspend(pid)                                       # messages wait; calls to it time out
await sys.resume(pid)                                        # and are handled now, in order
```

For `GenServer`, `StateMachine`, supervisors and what is made of them, addressed by pid or, in a process, by name. Each
takes its turn in the mailbox: a busy server answers when it is done with what it has in hand. Usable in a process and
outside. Answers hold the server's own objects, not copies: look at them, change them by `replace_state`.

Every request raises what a call raises: `NoProcess`, `CallTimeout` (`timeout` is in seconds, default 5, None waits for
ever), `ServerExited`, and `CallError` with the reason `calling_self`, or `not_a_server` for a plain function.
Source: OTP's sys. Differs: what is traced or logged by `sys` there is for `planaria.otp.observe` here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from planaria.otp.kernel.ambient import Server, resolve, self_
from planaria.otp.kernel.mailbox import deliver_kernel
from planaria.otp.kernel.process import DEAD, Process, Request, new_request, running
from planaria.otp.kernel.reason import CallError, NoProcess, NotAProcess
from planaria.otp.kernel.runner import suspend as suspend_code
from planaria.otp.servers.remote import DEFAULT_TIMEOUT
from planaria.otp.servers.state_machine import MachineState
from planaria.otp.servers.system import (
    CodeChangeFailed,
    NotSuspended,
    Operation,
    Statistics,
    Status,
    SystemMessage,
)

__all__ = [
    "CodeChangeFailed",
    "MachineState",
    "NotSuspended",
    "Statistics",
    "Status",
    "change_code",
    "get_state",
    "get_status",
    "replace_state",
    "resume",
    "statistics",
    "suspend",
    "terminate",
]


async def get_state(server: Server, *, timeout: float | None = DEFAULT_TIMEOUT) -> Any:
    """The state: attributes by name; of a state machine a `MachineState`; or what its `get_state` hook gives."""
    return await _ask(server, "get_state", None, timeout)


async def replace_state(
    server: Server, change: Callable[[Any], Any], *, timeout: float | None = DEFAULT_TIMEOUT
) -> Any:
    """Let the server go on with `change(state)`, which is returned. What `change` raises is raised here."""
    return await _ask(server, "replace_state", change, timeout)


async def suspend(server: Server, *, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """Let the server handle nothing but system requests until resumed; its messages wait, in order.

    Its parent's exit, untrapped exit signals, kills and `stop` still end it. A suspended supervisor restarts nothing.
    """
    await _ask(server, "suspend", None, timeout)


async def resume(server: Server, *, timeout: float | None = DEFAULT_TIMEOUT) -> None:
    """Let a suspended server go on with the messages that have waited."""
    await _ask(server, "resume", None, timeout)


async def get_status(server: Server, *, timeout: float | None = DEFAULT_TIMEOUT) -> Status:
    """Its class, parent and state, and whether it is suspended."""
    status: Status = await _ask(server, "get_status", None, timeout)
    return status


async def change_code(
    server: Server, old_version: object, extra: object = None, *, timeout: float | None = DEFAULT_TIMEOUT
) -> None:
    """Run the `code_change(old_version, extra)` of a suspended server.

    Raises:
        NotSuspended: it runs.
        CodeChangeFailed: it refused (`raise Stop(reason)`) or raised. It stays suspended, its attributes are what
            they were; objects they hold may have changed.
    """
    await _ask(server, "change_code", (old_version, extra), timeout)


async def terminate(
    server: Server, reason: object = "shutdown", *, timeout: float | None = DEFAULT_TIMEOUT
) -> None:
    """Make the server end with `reason`, through its `terminate`; does not wait for that (`stop` does)."""
    await _ask(server, "terminate", reason, timeout)


async def statistics(
    server: Server, on: bool | None = None, *, timeout: float | None = DEFAULT_TIMEOUT
) -> Statistics | None:
    """Count messages: `on=True` begins, False ends it, None only asks. None is answered while nothing is counted.

    A server whose messages are not counted pays nothing.
    """
    counted: Statistics | None = await _ask(server, "statistics", on, timeout)
    return counted


async def _ask(server: Server, operation: Operation, argument: object, timeout: float | None) -> Any:
    me = running.process
    if me is None and isinstance(server, str):
        raise NotAProcess(f"outside a process a name means nothing: use node[{server!r}]")
    target = resolve(server)
    if target.status == DEAD:
        raise NoProcess(server)
    if target is me:
        raise CallError(server, "calling_self", f"{me} asked itself; use its own attributes and methods")
    if target.body is None:
        text = f"{target!r} is a plain function: system requests are for servers"
        raise CallError(server, "not_a_server", text)
    if me is not None:
        self_()  # raises Killed in the code of the dead
    request = new_request("sys", (operation,), {}, me, target)
    # So that whoever asks hears of it if the server ends first, wherever the request is then.
    if target.calls is None:
        target.calls = set()
    target.calls.add(request)
    waiting = None if me is not None else _outside(request, target)
    deliver_kernel(target, "system", SystemMessage(operation, argument, request), me)
    if timeout is not None:
        target.node.timers.limit(request, timeout)
    try:
        if waiting is not None:
            await waiting
        elif not request.done and me is not None:
            me.wait = request
            await suspend_code()
    finally:
        request.abandon()
    if request.error is not None:
        raise request.error
    return request.value


def _outside(request: Request, target: Process) -> asyncio.Future[None]:
    """A future of the answer, for code that is no process."""
    future: asyncio.Future[None] = target.node.scheduler.loop.create_future()

    def answered() -> None:
        if not future.done():
            future.set_result(None)

    request.notify = answered
    return future
