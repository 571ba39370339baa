"""One call to many servers at once.

```python
answers, failed = await multi_call(Counter.add.within(1.0), ["left", "right"], 5)
```
"""

from __future__ import annotations

from collections.abc import Iterable

from planaria.otp.kernel.ambient import Server, self_
from planaria.otp.kernel.mailbox import deliver
from planaria.otp.kernel.process import DEAD, Process, Request, new_request
from planaria.otp.kernel.reason import CallError, MailboxFull
from planaria.otp.kernel.runner import suspend
from planaria.otp.servers.remote import Remote, remote_of


async def multi_call[**P, R](
    call: Remote[P, R], servers: Iterable[Server], *args: P.args, **kwargs: P.kwargs
) -> tuple[list[tuple[Server, R]], list[tuple[Server, object]]]:
    """Ask all `servers` at once and wait for all answers, for the call's own time in all.

    Returns:
        (answers, failures), each in the order of `servers`: the server with its answer, or with why there is none:
        `"noproc"`, `"timeout"`, the reason it ended with, or the exception its handler answered with, or that the
        priority function of its mailbox raised.
    Source: gen_server:multi_call, which asks one name on many nodes.
    """
    me = self_()
    node = me.node
    remote = remote_of(call)
    asked: list[tuple[Server, Request | None]] = []
    current = me.current
    trace, cause = (None, 0) if current is None else (current[4], current[3])
    for server in servers:
        target = server if isinstance(server, Process) else node.names.get(server)
        if target is None or target.status == DEAD:
            asked.append((server, None))
            continue
        request = new_request(remote.handler, args, kwargs, me, target)
        asked.append((server, request))
        if target is me:
            request.fail(CallError(server, "calling_self", f"{me} called itself"))
            continue
        try:
            deliver(target, ("call", request, me, node.next_id(), trace, cause, node.now, target))
        except MailboxFull as full:
            request.fail(full)
            continue
        except Exception as error:  # noqa: BLE001  of the priority function of that server's mailbox: its failure alone
            request.fail(error)
            continue
        if remote.timeout is not None:
            node.timers.limit(request, remote.timeout)
    answers: list[tuple[Server, R]] = []
    failures: list[tuple[Server, object]] = []
    try:
        for server, request_or_none in asked:
            if request_or_none is None:
                failures.append((server, "noproc"))
                continue
            request = request_or_none
            if not request.done:
                me.wait = request
                await suspend()
            if request.error is None:
                answers.append((server, request.value))
            else:
                failures.append(
                    (server, request.error.why if isinstance(request.error, CallError) else request.error)
                )
    finally:
        for _, each in asked:
            if each is not None:
                each.abandon()
    return answers, failures
