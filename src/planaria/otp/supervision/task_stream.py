"""Work on many items at once, a bounded number at a time: a task for each item, their outcomes as a stream.

```python
async for outcome in task_stream(fetch, urls, concurrency=4, timeout=10.0, on_timeout="kill"):
    match outcome:
        case TaskDone(value=page): ...
        case Down(reason=reason): ...        # "timeout", or why it crashed; only where tasks are not linked
```

Items are taken from their iterable as places become free, and no task is started while as many outcomes wait to be
taken: a slow consumer slows the work down. Whatever still runs when the loop is left, or the owner ends, is killed.
Source: Elixir's Task.async_stream, Task.Supervisor.async_stream and async_stream_nolink. Differs: at most twice
`concurrency` items are under way, those that wait for an earlier one in an ordered stream counted.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any, Literal

from planaria.otp.kernel.ambient import Server, self_
from planaria.otp.kernel.message import Down
from planaria.otp.kernel.process import Process, wake
from planaria.otp.kernel.runner import suspend
from planaria.otp.kernel.timers import TimerRef
from planaria.otp.supervision.task import Outcome, TaskRef, begin_task

type OnTimeout = Literal["exit", "kill"]


class _StreamTask(TaskRef):
    """A task whose outcome goes to its stream instead of the mailbox."""

    __slots__ = ("place", "stream", "timer")

    def __init__(self, stream: _Stream, place: int) -> None:
        super().__init__(stream.owner)
        self.stream = stream
        self.place = place
        self.timer: TimerRef | None = None

    def _deliver(self, outcome: Outcome) -> None:
        self.stream.finished(self, outcome)


class _Stream:
    """The tasks under way and the outcomes not yet taken."""

    def __init__(
        self,
        owner: Process,
        items: Iterator[Any],
        begin: Callable[[_StreamTask, Any], None],
        concurrency: int,
        timeout: float | None,
        on_timeout: OnTimeout,
    ) -> None:
        self.owner = owner
        self.items = items
        self.begin = begin
        self.concurrency = concurrency
        self.timeout = timeout
        self.on_timeout = on_timeout
        self.running: set[_StreamTask] = set()
        self.outcomes: dict[int, Outcome] = {}
        self.started = 0
        self.exhausted = False
        self.late: _StreamTask | None = None

    def fill(self) -> None:
        """Start tasks for the next items while there are places."""
        while (
            not self.exhausted
            and len(self.running) < self.concurrency
            and len(self.running) + len(self.outcomes) < 2 * self.concurrency
        ):
            try:
                item = next(self.items)
            except StopIteration:
                self.exhausted = True
                return
            task = _StreamTask(self, self.started)
            self.started += 1
            self.running.add(task)
            self.begin(task, item)
            if self.timeout is not None and task in self.running:
                task.timer = self.owner.node.timers.plan(self.timeout, partial(self._expired, task))

    def finished(self, task: _StreamTask, outcome: Outcome) -> None:
        """A task has ended."""
        self.running.discard(task)
        if task.timer is not None:
            self.owner.node.timers.cancel(task.timer)
        self.outcomes[task.place] = outcome
        self._wake()

    def _expired(self, task: _StreamTask) -> None:
        if task not in self.running:
            return
        if self.on_timeout == "exit":
            self.late = self.late or task
            self._wake()
        else:
            task.cancel()
            self.finished(task, Down(task, task.pid, "timeout"))

    def _wake(self) -> None:
        if self.owner.wait is self:
            wake(self.owner, None)

    def close(self, _: object = None) -> None:
        """Kill what still runs. May be called from anywhere, by the end of the owner too."""
        for task in sorted(self.running, key=lambda task: task.place):
            if task.timer is not None:
                self.owner.node.timers.cancel(task.timer)
            task.cancel()
        self.running.clear()


async def task_stream(
    fn: Callable[..., Awaitable[object]],
    items: Iterable[Any],
    *args: Any,
    concurrency: int = 8,
    ordered: bool = True,
    timeout: float | None = 5.0,
    on_timeout: OnTimeout = "exit",
    under: Server | None = None,
    link: bool = True,
    label: str | None = None,
) -> AsyncGenerator[Outcome]:
    """Run `fn(item, *args)` as a task for each item and yield the outcomes.

    Args:
        items: taken one by one, as places become free.
        concurrency: how many tasks run at a time, at least 1.
        ordered: outcomes in the order of the items; otherwise as they come.
        timeout: seconds each task may take; None: as long as it likes.
        on_timeout: `"exit"` raises in the owner, `"kill"` kills that task alone, whose outcome is a `Down` with
            reason `timeout`.
        under: the dynamic supervisor whose children they are; None: the owner's own.
        link: whether the crash of a task is the owner's; if not it is a `Down` among the outcomes.
    Raises:
        TimeoutError: a task took longer than `timeout`; all others are killed.
        ValueError: a concurrency below 1, an unknown `on_timeout`.
    """
    if concurrency < 1:
        raise ValueError(f"concurrency={concurrency!r}: at least 1 task must run")
    if on_timeout not in ("exit", "kill"):
        raise ValueError(f"on_timeout={on_timeout!r}: it is 'exit' or 'kill'")
    me = self_()

    def begin(task: _StreamTask, item: Any) -> None:
        begin_task(task, fn, (item, *args), label=label, under=under, link=link)

    state = _Stream(me, iter(items), begin, concurrency, timeout, on_timeout)
    if me.on_death is None:
        me.on_death = []
    me.on_death.append(state.close)
    taken = 0
    try:
        while True:
            state.fill()
            if state.late is not None:
                raise TimeoutError(f"the task for item {state.late.place} took more than {timeout:g} s")
            place = taken if ordered else next(iter(state.outcomes), taken)
            if place in state.outcomes:
                taken += 1
                yield state.outcomes.pop(place)
            elif not state.running:
                return
            else:
                me.wait = state
                await suspend()
    finally:
        state.close()
        if me.on_death is not None and state.close in me.on_death:
            me.on_death.remove(state.close)
