"""A supervisor for tasks, and the ways to start them below it. Elixir's Task.Supervisor.

```python
task_supervisor(name="tasks")                               # in the tree
ref = TaskSupervisor.start("tasks", fetch, url)             # its crash is a Down for whoever started it
ref = TaskSupervisor.start("tasks", fetch, url, link=True)  # its crash is the owner's
await TaskSupervisor.start_child("tasks", send_mail, to)    # nobody waits for it
async for outcome in TaskSupervisor.stream("tasks", fetch, urls): ...
```
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from typing import Any

from planaria.otp.kernel.ambient import Server
from planaria.otp.kernel.process import Process
from planaria.otp.supervision.child import ChildSpec, Restart, ShutdownTime, task_child
from planaria.otp.supervision.dynamic_supervisor import DynamicSupervisor, dynamic
from planaria.otp.supervision.task import Outcome, Task, TaskRef
from planaria.otp.supervision.task_stream import OnTimeout, task_stream


def task_supervisor(
    *,
    name: str | None = None,
    id: object = None,
    max_children: int | None = None,
    max_restarts: int = 3,
    within: float = 5.0,
    restart: Restart = "permanent",
    shutdown: ShutdownTime = "infinity",
) -> ChildSpec:
    """A supervisor of tasks as a child: a dynamic supervisor.

    Args:
        max_children: tasks at a time; one more ends at once, with reason `max_children`.
        max_restarts, within: for children that are restarted, see `TaskSupervisor.start_child`.
    """
    return dynamic(
        name=name,
        id=id or name or "tasks",
        max_children=max_children,
        max_restarts=max_restarts,
        within=within,
        restart=restart,
        shutdown=shutdown,
    )


class TaskSupervisor:
    """Tasks below a supervisor; see the module."""

    @staticmethod
    def start(
        supervisor: Server,
        fn: Callable[..., Awaitable[object]],
        *args: Any,
        link: bool = False,
        label: str | None = None,
    ) -> TaskRef:
        """Start a task whose outcome the running process gets (async_nolink; with `link`, async)."""
        return Task.start(fn, *args, under=supervisor, link=link, label=label)

    @staticmethod
    async def start_child(
        supervisor: Server,
        fn: Callable[..., Awaitable[object]],
        *args: Any,
        restart: Restart = "temporary",
        shutdown: ShutdownTime = 5.0,
        label: str | None = None,
    ) -> Process:
        """Start a task nobody waits for; with `restart="transient"` it is run again until it succeeds.

        Raises:
            StartFailed: `max_children`: there are as many as may be.
        """
        spec = task_child(fn, *args, restart=restart, shutdown=shutdown, label=label)
        process = await DynamicSupervisor.start_child(supervisor, spec)
        assert process is not None  # a function does not decline
        return process

    @staticmethod
    def stream(
        supervisor: Server,
        fn: Callable[..., Awaitable[object]],
        items: Iterable[Any],
        *args: Any,
        concurrency: int = 8,
        ordered: bool = True,
        timeout: float | None = 5.0,
        on_timeout: OnTimeout = "exit",
        link: bool = False,
    ) -> AsyncGenerator[Outcome]:
        """`task_stream` with the tasks below a supervisor (async_stream_nolink; with `link`, async_stream)."""
        return task_stream(
            fn,
            items,
            *args,
            concurrency=concurrency,
            ordered=ordered,
            timeout=timeout,
            on_timeout=on_timeout,
            under=supervisor,
            link=link,
        )

    @staticmethod
    async def children(supervisor: Server) -> list[Process]:
        """The tasks that run now."""
        return [info.process for info in await DynamicSupervisor.which_children(supervisor) if info.process]

    @staticmethod
    async def terminate_child(supervisor: Server, process: Process) -> None:
        """End one task; see `DynamicSupervisor.terminate_child`."""
        await DynamicSupervisor.terminate_child(supervisor, process)
