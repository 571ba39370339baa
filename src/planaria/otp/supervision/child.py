"""Child specifications: how a supervisor starts, restarts and stops one process. They read like the tree they make.

```python
supervisor(
    child(Journal, settings.journal),
    supervisor(child(Index), child(Watcher), strategy="rest_for_one", name="records"),
    dynamic(name="agents"),
    name="node", strategy="one_for_one", max_restarts=3, within=5.0,
)
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from planaria.otp.isolation.choice import Isolation, class_apart, worker_for
from planaria.otp.isolation.lazy import proxy
from planaria.otp.isolation.limits import Limits
from planaria.otp.kernel.ambient import spawn, spawn_link
from planaria.otp.kernel.bounded import Bound
from planaria.otp.kernel.process import Process, Request, name_of
from planaria.otp.kernel.versions import latest, superseded
from planaria.otp.servers.gen_server import begin_server, started
from planaria.otp.servers.system import ServerBody

type Restart = Literal["permanent", "transient", "temporary"]
type ShutdownTime = float | Literal["infinity", "brutal_kill"]
type ChildKind = Literal["worker", "supervisor"]


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child.

    Attributes:
        id: unique among its siblings.
        start: starts the process linked to the running one and returns it, or None if it declined; raises
            `StartFailed`. With `link=False` it is a root.
        restart: `permanent` always restarted, `transient` after an abnormal end, `temporary` never.
        shutdown: seconds it may take to end when asked; `"infinity"`, or `"brutal_kill"`: not asked.
        kind: whether it has children of its own.
        significant: its own end may end the supervisor (see `auto_shutdown`); never a permanent child's.
    Raises:
        ValueError: an unknown word, a negative time, or a permanent child that is significant.
    """

    id: object
    start: Callable[..., Awaitable[Process | None]] = field(repr=False)
    restart: Restart = "permanent"
    shutdown: ShutdownTime = 5.0
    kind: ChildKind = "worker"
    significant: bool = False

    def __post_init__(self) -> None:
        shutdown = self.shutdown
        if self.restart not in ("permanent", "transient", "temporary"):
            wrong = f"restart={self.restart!r}: it is 'permanent', 'transient' or 'temporary'"
        elif isinstance(shutdown, str) and shutdown not in ("infinity", "brutal_kill"):
            wrong = f"shutdown={shutdown!r}: it is seconds, 'infinity' or 'brutal_kill'"
        elif not isinstance(shutdown, str) and shutdown < 0:
            wrong = f"shutdown={shutdown!r}: it is 0 or more seconds, 'infinity' or 'brutal_kill'"
        elif self.significant and self.restart == "permanent":
            wrong = (
                "it is significant, so make it transient or temporary: a permanent child never ends for good"
            )
        else:
            return
        raise ValueError(f"child {self.id!r}: {wrong}")

    async def start_child(self) -> Process | None:
        """Start it as a root: linked to nobody."""
        return await self.start(link=False)


def child(
    cls: type[ServerBody],
    /,
    *args: Any,
    id: object = None,
    name: str | None = None,
    label: str | None = None,
    restart: Restart = "permanent",
    shutdown: ShutdownTime = 5.0,
    significant: bool = False,
    start_timeout: float | None = None,
    mailbox: Bound | None = None,
    isolation: Isolation | None = None,
    limits: Limits | None = None,
) -> ChildSpec:
    """A server as a child.

    Args:
        cls: its class; `args` are for its `init`.
        id: defaults to the name, else the class's name.
        name: registered before `init`, at every start: others address it by name across restarts.
        label: what people see; defaults to the name, else the class's name.
        start_timeout: seconds for `init`; None: no limit.
        mailbox: how many messages may wait and what happens to more, see `bounded`. None: any number.
        isolation: `"worker"` runs it in an OS process of its own, `"thread"` its plain callbacks in a thread; pid,
            calls, links and monitors stay the same. `Worker(...)` says more about the OS process.
        limits: what its worker may use.
    """
    serves = class_apart(cls, isolation, limits)

    def begin(link: bool) -> Request:
        chosen = serves
        if superseded:
            newest = latest(cls)
            if newest is not cls:
                chosen = class_apart(newest, isolation, limits)
        return begin_server(chosen, args, {}, name, label, start_timeout, mailbox, link)

    async def start(*, link: bool = True) -> Process | None:
        return await started(begin(link))

    start.begin = begin  # type: ignore[attr-defined]  # the quick way for supervisors
    return ChildSpec(id or name or cls.__qualname__, start, restart, shutdown, "worker", significant)


def task_child(
    fn: Callable[..., Awaitable[object]],
    /,
    *args: Any,
    id: object = None,
    name: str | None = None,
    label: str | None = None,
    restart: Restart = "permanent",
    shutdown: ShutdownTime = 5.0,
    significant: bool = False,
    mailbox: Bound | None = None,
    isolation: Isolation | None = None,
    limits: Limits | None = None,
) -> ChildSpec:
    """A plain async function as a child: a server loop, a watcher. Its return is a normal end.

    With `isolation="worker"` it runs in an OS process of its own; it may be a plain function then.
    """
    what = label or name or name_of(fn)
    worker = worker_for(isolation, limits)
    if isolation == "thread":
        raise ValueError("isolation='thread' is for servers; let the function say run_blocking(...)")

    async def start(*, link: bool = True) -> Process | None:
        if worker is not None:
            return proxy.spawn_in_worker(
                fn, *args, worker=worker, name=name, label=what, link=link, mailbox=mailbox
            )
        begin = spawn_link if link else spawn
        return begin(latest(fn), *args, name=name, label=what, mailbox=mailbox)

    return ChildSpec(id or what, start, restart, shutdown, "worker", significant)
