"""Where a child runs: at home, in a worker, or in a thread of its own. A property of the child, not of its code."""

from __future__ import annotations

from typing import Literal

from planaria.otp.isolation.lazy import proxy, thread
from planaria.otp.isolation.limits import Limits, Worker
from planaria.otp.servers.system import ServerBody

type Isolation = Literal["worker", "thread"] | Worker
"""`"worker"`: an OS process from the node's pool; `Worker(...)`: the same, set up; `"thread"`: see `thread.py`."""


def class_apart(
    cls: type[ServerBody], isolation: Isolation | None, limits: Limits | None = None
) -> type[ServerBody]:
    """The class to start in the place of `cls`, so that it runs where `isolation` says.

    Raises:
        ValueError, TypeError: an unknown isolation; limits without a worker.
    """
    worker = worker_for(isolation, limits)
    if worker is not None:
        return proxy.isolated(cls, worker)
    return thread.in_thread(cls) if isolation == "thread" else cls


def worker_for(isolation: Isolation | None, limits: Limits | None = None) -> Worker | None:
    """How the worker is set up that `isolation` asks for; None if it asks for none."""
    if limits is not None and not isinstance(limits, Limits):
        raise TypeError(f"limits={limits!r}: write Limits(memory='512 MB', cpu=10, files=256)")
    if isinstance(isolation, Worker):
        if limits is None:
            return isolation
        if isolation.limits != Limits():
            raise ValueError("limits are given twice: in Worker(...) and beside it")
        return Worker(limits, isolation.env, isolation.admits)
    if isolation == "worker":
        return Worker() if limits is None else Worker(limits)
    if isolation is not None and isolation != "thread":
        raise ValueError(f"isolation={isolation!r}: it is 'worker', 'thread', Worker(...) or None")
    if limits is not None:
        raise ValueError("limits bind an OS process: they need isolation='worker'")
    return None
