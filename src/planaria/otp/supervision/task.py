"""Tasks: one piece of work in a process of its own, its result a message to whoever started it.

```python
ref = Task.start_link(fetch, url)                       # linked: its crash is the owner's
ref = Task.start(fetch, url, under="tasks:scout")       # a child of that supervisor: its crash is a `Down`
... handle_info(TaskDone(ref, value)) or handle_info(Down(ref, _, reason))
value = await ref.result()                              # or wait for it in place
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from planaria.otp.kernel.ambient import Server, self_, spawn_link, time_up
from planaria.otp.kernel.birth import announce, create
from planaria.otp.kernel.mailbox import deliver_kernel, take_where
from planaria.otp.kernel.message import Down, Envelope, Ref, TaskDone
from planaria.otp.kernel.process import DEAD, Monitor, Process, name_of, running, wake
from planaria.otp.kernel.reason import TaskFailed
from planaria.otp.kernel.scheduler import suspend
from planaria.otp.kernel.signals import signal, unwatch, watch
from planaria.otp.kernel.signals import unlink as unlink_processes
from planaria.otp.supervision.child import ChildSpec
from planaria.otp.supervision.dynamic_supervisor import DynamicSupervisor


class TaskRef(Ref):
    """Names one task, in the messages it causes too."""

    __slots__ = ("_linked", "_monitor", "owner", "pid")

    def __init__(self, owner: Process) -> None:
        self.owner = owner
        self.pid: Process
        self._linked = False
        self._monitor: Monitor | None = None

    def cancel(self) -> None:
        """Kill the task; no message about it follows, nor does an exit signal."""
        self._forget()
        signal(self.pid, None, "kill")

    def _forget(self) -> None:
        if self._monitor is not None:
            unwatch(self._monitor)
            self._monitor = None
        if self._linked:
            unlink_processes(self.owner, self.pid)
        take_where(self.owner, self._is_mine)

    def _is_mine(self, envelope: Envelope) -> bool:
        body = envelope[1]
        return isinstance(body, TaskDone | Down) and body.ref is self

    def _down(self, down: Down) -> None:
        self._monitor = None
        deliver_kernel(self.owner, "info", Down(self, down.process, down.reason))
        if self.owner.wait is self:
            wake(self.owner, None)

    def _done(self, value: object) -> None:
        if self._monitor is not None:
            unwatch(self._monitor)
            self._monitor = None
        if self._linked:
            unlink_processes(self.owner, self.pid)  # its normal end says nothing more
        deliver_kernel(self.owner, "info", TaskDone(self, value))
        if self.owner.wait is self:
            wake(self.owner, None)

    async def result(self, timeout: float | None = None) -> Any:
        """Wait in place for the value, in the process that started the task.

        Raises:
            TaskFailed: it ended without one.
            TimeoutError: after `timeout` seconds; the task goes on.
        """
        me = self_()
        if me is not self.owner:
            raise RuntimeError(f"only {self.owner}, which started the task, may await its result")
        timer = None
        try:
            while True:
                envelope = take_where(me, self._is_mine)
                if envelope is not None:
                    body = envelope[1]
                    if isinstance(body, TaskDone):
                        return body.value
                    raise TaskFailed(body.reason)
                if self._monitor is None and self.pid.status == DEAD:
                    raise TaskFailed(self.pid.reason)
                if timeout is not None and timer is None:
                    timer = me.node.timers.plan(timeout, lambda: time_up(me, self))
                me.wait = self
                await suspend()
        finally:
            if timer is not None:
                me.node.timers.cancel(timer)


class Task:
    """Starts tasks; see the module."""

    @staticmethod
    def start_link(fn: Callable[..., Awaitable[object]], *args: Any, label: str | None = None) -> TaskRef:
        """Run `fn(*args)` in a process linked to the running one."""
        ref = TaskRef(self_())
        ref._linked = True
        ref.pid = spawn_link(_work, ref, fn, args, label=label or name_of(fn))
        ref._monitor = watch(ref.pid, ref._down)
        return ref

    @staticmethod
    def start(
        fn: Callable[..., Awaitable[object]], *args: Any, under: Server, label: str | None = None
    ) -> TaskRef:
        """Run `fn(*args)` as a temporary child of the dynamic supervisor `under`, watched, not linked.

        Returns at once. If the supervisor is not there the owner gets a `Down` with reason `noproc`.
        """
        owner = self_()
        ref = TaskRef(owner)
        process = create(owner.node, label or name_of(fn))
        ref.pid = process
        ref._monitor = watch(process, ref._down)
        process.coro = _work(ref, fn, args)
        current = owner.current
        if current is not None:
            process.current = ("info", "task", owner, current[3], current[4], current[5], current[6])
        announce(process)
        adopt(under, process, owner)
        return ref


def adopt(under: Server, process: Process, owner: Process) -> None:
    """Make a new process a child of the dynamic supervisor `under` and let it run."""
    supervisor = owner.node.names.get(under) if isinstance(under, str) else under
    body = None if supervisor is None or supervisor.status == DEAD else supervisor.body
    if supervisor is None or not isinstance(body, DynamicSupervisor):
        if process.coro is not None:
            process.coro.close()
            process.coro = None
        signal(process, None, "noproc")
        return
    body.adopt(process, ChildSpec(process.label, _never, "temporary", "brutal_kill"))
    process.node.scheduler.enqueue(process)


async def _never(*, link: bool = True) -> Process | None:
    raise RuntimeError("a task is not restarted")


async def _work(ref: TaskRef, fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
    value = await fn(*args)
    if running.process is ref.pid and ref.pid.status != DEAD:
        ref._done(value)
