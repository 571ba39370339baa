"""What tests of workers share."""

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from planaria.otp import CallError, ChildSpec, Node, Pid, child
from planaria.otp.isolation.limits import Limits, Worker
from planaria.otp.isolation.proxy import worker_of


def alive(os_pid: int) -> bool:
    """Whether an OS process exists and is no zombie."""
    try:
        with open(f"/proc/{os_pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before it was opened, or before it was read
        return False


async def start(node: Node, cls: type[Any], *args: Any, isolation: Any = "worker", **options: Any) -> Pid:
    """Start a server in a worker, linked to nobody."""
    spec: ChildSpec = child(cls, *args, isolation=isolation, **options)
    process = await node.run(spec.start_child)
    assert process is not None
    return process


async def end_of(node: Node, process: Pid, work: Callable[[], Awaitable[object]] | None = None) -> object:
    """The reason `process` ends with, while `work` (which may fail) makes it."""
    gone = node.wait_exit(process)
    if work is not None:
        with suppress(CallError):
            await work()
    return await gone


def os_pid_of(process: Pid) -> int:
    """The OS pid of its worker."""
    worker = worker_of(process)
    assert worker is not None and worker.os_pid != os.getpid()
    return worker.os_pid


def with_memory(amount: str) -> Worker:
    """A worker bound in memory."""
    return Worker(Limits(memory=amount))
