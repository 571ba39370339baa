"""One function in a worker, its value awaited: for work that computes, and may have to be killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from planaria.otp.isolation.limits import Worker
from planaria.otp.isolation.proxy import begin_function
from planaria.otp.kernel.ambient import self_, time_up
from planaria.otp.kernel.process import DEAD, Process, Request, wake
from planaria.otp.kernel.reason import Crash, Exit, TaskFailed
from planaria.otp.kernel.runner import suspend
from planaria.otp.kernel.signals import die, unwatch, watch


async def run_in_worker(
    fn: Callable[..., Any],
    *args: Any,
    worker: Worker | None = None,
    timeout: float | None = None,
    label: str | None = None,
) -> Any:
    """Run `fn(*args)` in an OS process of its own and return what it returns; call it from a process.

    The worker is killed when the caller is cancelled, killed, or out of patience. `fn` is a plain or an async function
    at the top of a module; it runs as a process and may use what processes use.

    Args:
        worker: its limits and environment.
        timeout: seconds by the node's clock.
    Raises:
        TaskFailed: it ended without a value: `"killed"`, `"out_of_memory"`, `"cpu_limit"`, `Signal(11)` …
        TimeoutError: the time was up.
        Exception: what `fn` raised, with its traceback as cause.
        TypeError, Unsendable: a worker cannot find `fn`, or its arguments cannot be pickled.
    """
    try:
        return await value_from_worker(fn, args, worker or Worker(), timeout, label)
    except Exit as end:
        reason = end.reason
        if isinstance(reason, Crash):
            raise reason.error from reason.error.__cause__
        raise TaskFailed(reason) from None


async def value_from_worker(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    worker: Worker,
    timeout: float | None = None,
    label: str | None = None,
) -> Any:
    """Like `run_in_worker`; raises `Exit` with the reason the function's process ended with.

    So a task whose code this is ends as its function did.
    """
    me = self_()
    token = object()

    def woken(_: object) -> None:
        if me.wait is token:
            wake(me, None)

    answers: list[Request] = []

    def answered(request: Request) -> None:
        request.notify = None  # it knows itself; its value shall not wait for the garbage collector
        answers.append(request)
        woken(None)

    process: Process = begin_function(fn, args, worker, label=label, answer=answered)
    process.parent = me
    watching = watch(process, woken)
    timer = None if timeout is None else me.node.timers.plan(timeout, lambda: time_up(me, token))
    try:
        while not answers and process.status != DEAD:
            me.wait = token
            await suspend()
    finally:
        unwatch(watching)
        if timer is not None:
            me.node.timers.cancel(timer)
        if process.status != DEAD:
            die(process, "normal" if answers else "killed")
    if answers and answers[0].error is None:
        return answers[0].value
    if process.reason in ("normal", None) and answers:
        raise Exit(Crash(answers[0].error or TaskFailed(process.reason)))
    raise Exit(process.reason)
