"""Looking into a worker: what its process does now, also while it computes or hangs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from planaria.otp.isolation.errors import WorkerBroken
from planaria.otp.isolation.proxy import worker_of
from planaria.otp.kernel.introspection import Frame
from planaria.otp.kernel.process import Process


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A process that runs in a worker, at this moment, as the worker tells it. Texts are what people read.

    Attributes:
        os_pid: of the worker.
        status: waiting, ready, running, suspended or dead.
        queued: messages in the mailbox over there, oldest first, at most 100; those not shipped yet wait at home and
            are in `Node.messages`.
        current: the message in hand.
        awaits: where its code waits, outermost first.
        stack: what the worker's main thread executes, outermost first.
        state: attributes of the server, or local variables of the function.
        memory: bytes of private memory in use.
        cpu: seconds of processor time used.
        processes: how many the worker's own node has.
    """

    os_pid: int
    status: str
    queued: list[str]
    current: str | None
    awaits: list[Frame]
    stack: list[Frame]
    state: dict[str, str]
    reductions: int
    memory: int
    cpu: float
    processes: int


def look_into(process: Process, timeout: float = 1.0) -> WorkerInfo:
    """Ask the worker behind `process`; blocks, so from a thread other than the event loop's.

    Args:
        timeout: seconds.
    Raises:
        ValueError: it does not run in a worker.
        TimeoutError: the worker does not answer: it is stopped, or a C call keeps its interpreter.
        ProcessLookupError: it has ended.
    """
    worker = worker_of(process)
    if worker is None:
        raise ValueError(f"{process!r} does not run in a worker; look at it with node.info")
    told = worker.ask(timeout)
    try:
        return WorkerInfo(
            os_pid=int(told["os_pid"]),
            status=str(told.get("status", "waiting")),
            queued=[str(each) for each in told.get("queued", ())],
            current=None if told.get("current") is None else str(told["current"]),
            awaits=_frames(told.get("awaits", ())),
            stack=_frames(told.get("stack", ())),
            state={str(k): str(v) for k, v in told.get("state", {}).items()},
            reductions=int(told.get("reductions", 0)),
            memory=int(told["memory"]),
            cpu=float(told["cpu"]),
            processes=int(told["processes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WorkerBroken(f"{worker!r} told nonsense about itself: {error}") from None


async def inspect_worker(process: Process, timeout: float = 1.0) -> WorkerInfo:
    """`look_into` without blocking the event loop."""
    return await process.node.run_blocking(look_into, process, timeout)


def _frames(told: Any) -> list[Frame]:
    return [Frame(str(file), int(line), str(function)) for file, line, function in told]
