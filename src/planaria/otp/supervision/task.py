"""Tasks: one piece of work in a process of its own, its result a message to whoever started it.

```python
ref = Task.start_link(fetch, url)                       # linked: its crash is the owner's
ref = Task.start(fetch, url, under="tasks:scout")       # a child of that supervisor: its crash is a `Down`
... handle_info(TaskDone(ref, value)) or handle_info(Down(ref, _, reason))
value = await ref.result()                              # or wait for it in place
outcome = await ref.poll(0.5)                           # or look: TaskDone, Down, or None if it still works
```
Many at once, a bounded number at a time: `task_stream.py`.
Source: Elixir's Task: async, await, await_many, yield, yield_many, shutdown, ignore. Differs: waiting has no limit
unless one is given.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import lru_cache
from typing import Any

from planaria.otp.isolation.choice import Isolation, worker_for
from planaria.otp.isolation.lazy import run
from planaria.otp.isolation.limits import Limits, Worker
from planaria.otp.kernel.ambient import Server, now, self_, time_up
from planaria.otp.kernel.birth import announce, create
from planaria.otp.kernel.mailbox import deliver_kernel, take_where
from planaria.otp.kernel.message import Down, Envelope, Ref, TaskDone
from planaria.otp.kernel.process import DEAD, Monitor, Process, name_of, running, wake
from planaria.otp.kernel.reason import TaskFailed
from planaria.otp.kernel.runner import suspend
from planaria.otp.kernel.signals import signal, unwatch, watch
from planaria.otp.kernel.signals import unlink as unlink_processes
from planaria.otp.servers.wrapper import server_of
from planaria.otp.supervision.child import ChildSpec, ShutdownTime
from planaria.otp.supervision.dynamic_supervisor import DynamicSupervisor

type Outcome = TaskDone | Down
"""How a task ended: with a value, or without one and for which reason."""


class TaskRef(Ref):
    """Names one task, in the messages it causes too."""

    __slots__ = ("_dropped", "_linked", "_monitor", "owner", "pid")

    def __init__(self, owner: Process) -> None:
        self.owner = owner
        self.pid: Process
        self._linked = False
        self._dropped = False
        self._monitor: Monitor | None = None

    def cancel(self) -> None:
        """Kill the task; no message about it follows, nor does an exit signal (Task.shutdown with brutal_kill)."""
        self._forget()
        signal(self.pid, None, "kill")

    def ignore(self) -> Outcome | None:
        """Let the task go on by itself: no message about it follows, nor does an exit signal (Task.ignore).

        Returns:
            What has arrived already, which is taken out of the mailbox; None if it still works.
        """
        outcome = self._take()
        self._forget()
        return outcome

    def _forget(self) -> None:
        self._dropped = True
        if self._monitor is not None:
            unwatch(self._monitor)
            self._monitor = None
        self._unlink()
        take_where(self.owner, self._is_mine)

    def _unlink(self) -> None:
        if self._linked:
            unlink_processes(self.owner, self.pid)
            self._linked = False

    def _is_mine(self, envelope: Envelope) -> bool:
        body = envelope[1]
        return isinstance(body, TaskDone | Down) and body.ref is self

    def _take(self) -> Outcome | None:
        envelope = take_where(self.owner, self._is_mine)
        if envelope is not None:
            return envelope[1]  # type: ignore[no-any-return]
        if self._monitor is None and self.pid.status == DEAD:  # its message was taken before
            return Down(self, self.pid, self.pid.reason)
        return None

    def _down(self, down: Down) -> None:
        self._monitor = None
        self._deliver(Down(self, down.process, down.reason))

    def _done(self, value: object) -> None:
        if self._dropped:
            return
        if self._monitor is not None:
            unwatch(self._monitor)
            self._monitor = None
        self._unlink()  # its normal end says nothing more
        self._deliver(TaskDone(self, value))

    def _deliver(self, outcome: Outcome) -> None:
        deliver_kernel(self.owner, "info", outcome)
        if self.owner.wait is self:
            wake(self.owner, None)

    async def result(self, timeout: float | None = None) -> Any:
        """Wait in place for the value, in the process that started the task (Task.await).

        Raises:
            TaskFailed: it ended without one.
            TimeoutError: after `timeout` seconds; the task goes on.
        """
        outcome = await self.poll(timeout)
        if outcome is None:
            raise TimeoutError("time is up")
        if isinstance(outcome, Down):
            raise TaskFailed(outcome.reason)
        return outcome.value

    async def poll(self, timeout: float | None = 0.0) -> Outcome | None:
        """Wait in place for the end of the task, at most `timeout` seconds; None if it still works (Task.yield).

        Args:
            timeout: 0 only looks; None waits as long as it takes.
        """
        me = self_()
        if me is not self.owner:
            raise RuntimeError(f"only {self.owner}, which started the task, may await its result")
        timer = None
        try:
            while True:
                outcome = self._take()
                if outcome is not None:
                    return outcome
                if timeout is not None and timeout <= 0:
                    return None
                if timeout is not None and timer is None:
                    timer = me.node.timers.plan(timeout, lambda: time_up(me, self))
                me.wait = self
                try:
                    await suspend()
                except TimeoutError:
                    return self._take()
        finally:
            if timer is not None:
                me.node.timers.cancel(timer)

    async def shutdown(self, timeout: ShutdownTime = 5.0) -> Outcome | None:
        """Ask the task to end, wait, and kill it when the time is up (Task.shutdown).

        Args:
            timeout: seconds it may take; `"infinity"`, or `"brutal_kill"`: it is not asked.
        Returns:
            `TaskDone` if it came to its value all the same, `Down` if it ended for a reason of its own before; None
            if this ended it. No message about it follows.
        """
        outcome = self._take()
        ended_before = outcome is not None
        if not ended_before:
            self._unlink()
            asked = "kill" if timeout == "brutal_kill" else "shutdown"
            signal(self.pid, self.owner, asked)
            outcome = await self.poll(None if isinstance(timeout, str) else timeout)
            if outcome is None:
                signal(self.pid, self.owner, "kill")
                outcome = self._take()
        self._forget()
        if not ended_before and isinstance(outcome, Down) and outcome.reason in ("shutdown", "killed"):
            return None
        return outcome


async def await_many(tasks: Iterable[TaskRef], timeout: float | None = None) -> list[Any]:
    """The values of all tasks, in their order (Task.await_many).

    Raises:
        TaskFailed: one of them ended without; the others go on.
        TimeoutError: after `timeout` seconds for all together; those without a value go on.
    """
    until = None if timeout is None else now() + timeout
    return [await task.result(None if until is None else max(0.0, until - now())) for task in tasks]


async def poll_many(tasks: Iterable[TaskRef], timeout: float | None = 0.0) -> list[Outcome | None]:
    """How each task ended, in their order; None for those that still work after `timeout` seconds (Task.yield_many)."""
    until = None if timeout is None else now() + timeout
    return [await task.poll(None if until is None else max(0.0, until - now())) for task in tasks]


class Task:
    """Starts tasks; see the module."""

    @staticmethod
    def start_link(
        fn: Callable[..., Any],
        *args: Any,
        label: str | None = None,
        isolation: Isolation | None = None,
        limits: Limits | None = None,
    ) -> TaskRef:
        """Run `fn(*args)` in a process linked to the running one (Task.async).

        Args:
            isolation: `"worker"` runs `fn` in an OS process of its own, which dies with the task; it may be a plain
                function then, computing as long as it likes.
            limits: what that OS process may use.
        """
        worker = worker_for(isolation, limits)
        return begin_task(TaskRef(self_()), fn, args, label=label, under=None, link=True, worker=worker)

    @staticmethod
    def start(
        fn: Callable[..., Any],
        *args: Any,
        under: Server,
        label: str | None = None,
        link: bool = False,
        isolation: Isolation | None = None,
        limits: Limits | None = None,
    ) -> TaskRef:
        """Run `fn(*args)` as a temporary child of the dynamic supervisor `under`, watched.

        Elixir's Task.Supervisor.async_nolink. Returns at once. If the supervisor is not there the owner gets a `Down`
        with reason `noproc`; if it has as many children as it may, with `max_children`.

        Args:
            link: tie it to the running process too (Task.Supervisor.async).
            isolation, limits: as for `start_link`.
        """
        worker = None if isolation is None and limits is None else worker_for(isolation, limits)
        return begin_task(TaskRef(self_()), fn, args, label=label, under=under, link=link, worker=worker)


def begin_task[R: TaskRef](
    ref: R,
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    *,
    label: str | None,
    under: Server | None,
    link: bool,
    worker: Worker | None = None,
) -> R:
    """Run `fn(*args)` as the task `ref` of its owner, which is the running process."""
    owner = ref.owner
    ref._linked = link
    process = ref.pid = create(
        owner.node, label or name_of(fn), linked_to=owner if link else None, parent=owner if link else None
    )
    ref._monitor = watch(process, ref._down)
    if worker is None:
        process.coro = _work(ref, fn, args)
    else:
        process.coro = _work(ref, run.value_from_worker, (fn, args, worker, None, process.label))
    current = owner.current
    if current is not None:
        process.current = ("info", "task", owner, current[3], current[4], current[5], current[6], process)
    announce(process)
    if under is None:
        process.node.scheduler.enqueue(process)
    else:
        adopt(under, process, owner)
    return ref


def adopt(under: Server, process: Process, owner: Process) -> None:
    """Make a new process a child of the dynamic supervisor `under` and let it run; a suspended one takes it too."""
    supervisor = owner.node.names.get(under) if isinstance(under, str) else under
    body = None if supervisor is None or supervisor.status == DEAD else server_of(supervisor)
    if isinstance(body, DynamicSupervisor) and not body.full:
        body.adopt(process, _spec_of(process.label))
        process.node.scheduler.enqueue(process)
        return
    if process.coro is not None:
        process.coro.close()
        process.coro = None
    signal(process, None, "max_children" if isinstance(body, DynamicSupervisor) else "noproc")


@lru_cache(maxsize=256)
def _spec_of(label: str) -> ChildSpec:
    """How a task stands below its supervisor. Kept by label: a session starts the same few again and again."""
    return ChildSpec(label, _never, "temporary", "brutal_kill")


async def _never(*, link: bool = True) -> Process | None:
    raise RuntimeError("a task is not restarted")


async def _work(ref: TaskRef, fn: Callable[..., Awaitable[object]], args: tuple[Any, ...]) -> None:
    value = await fn(*args)
    if running.process is ref.pid and ref.pid.status != DEAD:
        ref._done(value)
