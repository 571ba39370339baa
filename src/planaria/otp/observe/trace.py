"""Live trace: what one process, or all that match a pattern, receive, send, answer, become, start and end with.

```python
tracer = Tracer(node)
with tracer.trace("worker*", size=1000) as trace:
    ...
    trace.events[-1]          # {"event": "received", "pid": "<n.7>", "message": "add(1)", ...}
```

While nothing is traced it costs nothing: a trace puts a recorder in the place of the node's memory of consumed
messages, to which every message goes anyway, and takes it away at the end. What a process did with a message is read
when the next one is handled or the turn ends. Use it in the loop's thread.
Does badly: a message is seen as sent when its receiver takes it, so what nobody takes is not; while a trace runs, every
message of the node costs a little more.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Self

from planaria.otp.kernel.event import KernelEvent, ProcessExited, ProcessStarted
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, Process, Request
from planaria.otp.observe.show import Show, message_text, pid_text, show
from planaria.otp.observe.views import matches, matching, reason_view, state_view

log = logging.getLogger(__name__)

__all__ = ["Trace", "TraceEvent", "Tracer"]

type TraceEvent = dict[str, Any]

PATIENCE = 0.05
"""Seconds between two looks at processes that are still at work on a message."""


class Trace:
    """One trace under way; a context manager that ends it.

    Attributes:
        events: what was seen, oldest first; the oldest go when there are more than `size`.
        dropped: how many have gone.
    """

    def __init__(
        self, tracer: Tracer, pattern: str, size: int, tell: Callable[[TraceEvent], None] | None
    ) -> None:
        self.pattern = pattern
        self.events: deque[TraceEvent] = deque(maxlen=size)
        self.dropped = 0
        self.processes: set[Process] = set()
        self._tracer = tracer
        self._tell = tell

    def stop(self) -> None:
        """End it; what was seen stays. From any thread, more than once."""
        self._tracer.end(self)

    def add(self, event: TraceEvent) -> None:
        """Keep one event."""
        if len(self.events) == self.events.maxlen:
            self.dropped += 1
        self.events.append(event)
        if self._tell is not None:
            self._tell(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Work:
    """One message in the hands of a traced process."""

    __slots__ = ("before", "envelope", "replied")

    def __init__(self, envelope: Envelope, before: dict[str, str]) -> None:
        self.envelope = envelope
        self.before: dict[str, str] | None = before
        self.replied = type(envelope[1]) is not Request


class _Recorder(deque[Envelope]):
    """Stands in for the node's memory of consumed messages."""

    def __init__(self, memory: deque[Envelope], saw: Callable[[Envelope], None]) -> None:
        super().__init__(memory, memory.maxlen)
        self.memory = memory
        self.saw = saw

    def append(self, envelope: Envelope, /) -> None:
        super().append(envelope)
        self.memory.append(envelope)
        try:
            self.saw(envelope)
        except Exception:  # who looks must not end what is looked at
            log.exception("a trace could not show a message")

    def pop(self) -> Envelope:  # type: ignore[override]
        self.memory.pop()
        return super().pop()


class Tracer:
    """The traces of one node.

    Args:
        show: how values become text.
    """

    def __init__(self, node: Node, show: Show = show) -> None:
        self.node = node
        self.show = show
        self.traces: list[Trace] = []
        self._recorder: _Recorder | None = None
        self._work: dict[Process, list[_Work]] = {}
        self._looking = False
        self._unsubscribe: Callable[[], None] | None = None

    def trace(
        self,
        what: Process | str,
        *,
        size: int = 1000,
        tell: Callable[[TraceEvent], None] | None = None,
    ) -> Trace:
        """Begin to trace a process, or all whose name, label, class or pid matches a glob; new ones included.

        Args:
            size: events kept.
            tell: called with each event, in the loop; must not block.
        Raises:
            RuntimeError: the node watches its messages for changes, and only one of the two can see them.
        """
        if getattr(self.node, "message_watch", None) is not None:
            raise RuntimeError("debug_messages is on: it and a trace cannot both see every message")
        trace = Trace(self, str(what) if isinstance(what, Process) else what, size, tell)
        found = [what] if isinstance(what, Process) else matching(self.node, what)
        trace.processes.update(found)
        self.traces.append(trace)
        if self._recorder is None:
            self._install()
        return trace

    def end(self, trace: Trace) -> None:
        """See `Trace.stop`."""
        if trace in self.traces:
            self.traces.remove(trace)
            if not self.traces:
                self._remove()

    def close(self) -> None:
        """End every trace."""
        for trace in tuple(self.traces):
            self.end(trace)

    def _install(self) -> None:
        node = self.node
        self._recorder = recorder = _Recorder(node.recent, self._saw)
        node.recent = recorder
        node.scheduler.remember = recorder.append
        self._unsubscribe = node.subscribe_events(self._event)

    def _remove(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            self.node.recent = recorder.memory
            self.node.scheduler.remember = recorder.memory.append
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._work.clear()

    # --- what is seen -----------------------------------------------------------------------------------------

    def _saw(self, envelope: Envelope) -> None:
        """A process takes a message: called by the kernel for every message of the node."""
        self._look()
        target, sender = envelope[7], envelope[2]
        for work in self._work.get(target, ()):
            if work.envelope is envelope:  # it had been put aside, and is taken up again
                work.before = state_view(target, self.show)
                self._look_soon()
                return
        for trace in tuple(self.traces):
            if sender is not None and sender in trace.processes:
                trace.add(self._message("sent", sender, envelope) | {"to": pid_text(target)})
            if target in trace.processes:
                trace.add(self._message("received", target, envelope) | {"from": pid_text(sender)})
                works = self._work.setdefault(target, [])
                if not works or works[-1].envelope is not envelope:
                    works.append(_Work(envelope, state_view(target, self.show)))
                self._look_soon()

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self.node.scheduler.loop.call_soon(self._look_again)

    def _look_again(self) -> None:
        self._look()
        if self._work and self._recorder is not None:
            self.node.scheduler.loop.call_later(PATIENCE, self._look_again)
        else:
            self._looking = False

    def _look(self) -> None:
        """Tell what has become of the messages that were in hand."""
        for process, work in tuple(self._work.items()):
            rest: list[_Work] = []
            for each in work:
                request = each.envelope[1]
                if not each.replied and request.done:
                    each.replied = True
                    self._tell(process, self._reply(process, each.envelope, request))
                if process.current is each.envelope and process.status != DEAD:
                    rest.append(each)
                    continue
                self._changed(process, each)
                if not each.replied and process.status != DEAD:
                    rest.append(each)  # put aside, to be answered later
            if rest:
                self._work[process] = rest
            else:
                del self._work[process]

    def _changed(self, process: Process, work: _Work) -> None:
        """Tell the state after a message, once."""
        before, work.before = work.before, None
        if process.status == DEAD or before is None:
            return
        after = state_view(process, self.show)
        changed = {
            name: [before.get(name), after.get(name)]
            for name in {**before, **after}
            if before.get(name) != after.get(name)
        }
        if changed:
            event = self._about("state", process) | {"id": work.envelope[3], "changed": changed}
            self._tell(process, event)

    def _event(self, event: KernelEvent) -> None:
        """A kernel event: processes that begin and end."""
        if isinstance(event, ProcessStarted):
            process = event.process
            for trace in tuple(self.traces):
                if process.parent in trace.processes and process.parent is not None:
                    trace.add(self._about("spawned", process.parent) | {"child": pid_text(process)})
                if process not in trace.processes and matches(process, trace.pattern):
                    trace.processes.add(process)
                    trace.add(self._about("started", process))
        elif isinstance(event, ProcessExited):
            process = event.process
            self._look()
            for trace in tuple(self.traces):
                if process in trace.processes:
                    trace.processes.discard(process)
                    trace.add(self._about("exited", process) | {"reason": reason_view(event.reason)})

    def _tell(self, process: Process, event: TraceEvent) -> None:
        for trace in tuple(self.traces):
            if process in trace.processes:
                trace.add(event)

    def _about(self, what: str, process: Process) -> TraceEvent:
        return {
            "event": what,
            "at": time.time(),
            "pid": str(process),
            "name": process.name,
            "label": process.label,
        }

    def _message(self, what: str, process: Process, envelope: Envelope) -> TraceEvent:
        return self._about(what, process) | {
            "kind": envelope[0],
            "message": message_text(envelope, self.show),
            "id": envelope[3],
            "cause": envelope[5],
            "waited": max(0.0, self.node.now - envelope[6]),
        }

    def _reply(self, process: Process, envelope: Envelope, request: Request) -> TraceEvent:
        answer = (
            {"value": self.show("", request.value, 300)}
            if request.error is None
            else {"error": self.show("", request.error, 300)}
        )
        about = self._about("replied", process) | {"id": envelope[3], "to": pid_text(request.caller)}
        return about | answer
