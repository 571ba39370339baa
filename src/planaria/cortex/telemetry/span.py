"""Spans: a piece of work with a start, an end and attributes; and points, which have no length.

    with span("tool.call", {"gen_ai.tool.name": name}, trace_id=context.trace_id, under=f"turn:{turn}") as s:
        outcome = await run()
        s.set("outcome", outcome.branch)

    turn = begin_span("turn", {...}, trace_id=trace, key=f"turn:{id}")   # over several messages of one process
    ...
    turn.stop()                                                          # or turn.fail("timeout", "no answer")

    emit("telemetry.dropped", {"planaria.count": 3})

A span is over when its block is left; an exception (a kill, too) makes it `SpanFailed` with the error's class, and goes
on. Spans nest within the code of one process, also across `await`; between processes they are tied by `trace_id` and
by `key` and `under`. Without a handler attached to the node nothing is made: a few dozen bytecodes.
Names and attributes: `conventions.py`, in the words of OpenTelemetry where it has them. Attributes of one span have
the same names whether it works or not; a value that is not known yet is left out and `set` when it is.
Source: `:telemetry.span`, OpenTelemetry. Differs: code in another thread or OS process (a worker) is heard by nobody.
"""

import functools
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar
from threading import get_ident
from types import TracebackType
from typing import Any, Self

from planaria.cortex.telemetry.handlers import Handlers
from planaria.cortex.telemetry.signal import Attributes, Point, SpanFailed, SpanStarted, SpanStopped, Value
from planaria.otp import Node, Pid
from planaria.otp.kernel.process import running

LONGEST_ERROR = 500
"""Characters of an error's text that are kept."""


class Span:
    """One piece of work. Made by `span` and `begin_span`."""

    name: str
    id: int
    parent: int
    key: str
    under: str
    trace_id: str
    process: Pid | None
    attributes: dict[str, Value]
    at: float
    over: bool

    __slots__ = (
        *("_before", "_begun", "_handlers", "at", "attributes", "id", "key", "name", "over", "parent"),
        *("process", "trace_id", "under"),
    )

    def __init__(
        self,
        handlers: Handlers,
        process: Pid | None,
        around: "Span | None",
        name: str,
        attributes: Attributes | None,
        trace_id: str,
        key: str,
        under: str,
    ) -> None:
        clock = handlers.node.clock
        handlers.last_span = self.id = handlers.last_span + 1
        self._handlers = handlers
        self.name = name
        self.attributes = {} if attributes is None else dict(attributes)
        self.process = process
        self.key = key
        self.over = False
        if around is not None:
            self.parent = around.id
            under = under or around.key
            self.trace_id = trace_id or around.trace_id
        else:
            self.parent = 0
            if not trace_id and process is not None and process.current is not None:
                trace_id = process.current[4] or ""
            self.trace_id = trace_id
        self.under = under
        self.at = clock.wall()
        self._begun = clock.now()
        if handlers.starts:
            handlers.started(
                SpanStarted(
                    name=name,
                    id=self.id,
                    parent=self.parent,
                    key=key,
                    under=under,
                    trace_id=self.trace_id,
                    process=process,
                    attributes=self.attributes,
                    at=self.at,
                )
            )

    def set(self, name: str, value: Value) -> None:
        """Set an attribute that was not known at the start; nothing, once it is over."""
        if not self.over:
            self.attributes[name] = value

    def update(self, attributes: Attributes) -> None:
        """Set several attributes; nothing, once it is over."""
        if not self.over:
            self.attributes.update(attributes)

    def stop(self) -> None:
        """The work is over. Only the first end of a span counts."""
        if self.over:
            return
        self.over = True
        self._handlers.ended(
            SpanStopped(
                name=self.name,
                id=self.id,
                parent=self.parent,
                key=self.key,
                under=self.under,
                trace_id=self.trace_id,
                process=self.process,
                attributes=self.attributes,
                at=self.at,
                duration=self._handlers.node.clock.now() - self._begun,
            )
        )

    def fail(self, error_type: str, error: str = "") -> None:
        """The work is over and has failed, without an exception that says so.

        Args:
            error_type: a class or code of few values, as it becomes a label: `timeout`, `ProviderError`.
            error: what a person reads.
        """
        if self.over:
            return
        self.over = True
        self._handlers.ended(
            SpanFailed(
                name=self.name,
                id=self.id,
                parent=self.parent,
                key=self.key,
                under=self.under,
                trace_id=self.trace_id,
                process=self.process,
                attributes=self.attributes,
                at=self.at,
                duration=self._handlers.node.clock.now() - self._begun,
                error_type=error_type,
                error=error[:LONGEST_ERROR],
            )
        )

    def __enter__(self) -> Self:
        self._before = _current.get()
        _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Not `reset`: code that is torn down may leave its block in another context than it entered it in.
        _current.set(self._before)
        if kind is None:
            self.stop()
        else:
            self.fail(kind.__name__, str(error))


class _NoSpan(Span):
    """What `span` gives while nobody listens. One for all, as it remembers nothing."""

    __slots__ = ()

    def __init__(self) -> None:
        self.id = self.parent = 0
        self.name = self.key = self.under = self.trace_id = ""
        self.attributes = {}  # nobody writes to it
        self.process = None
        self.over = True
        self.at = 0.0

    def set(self, name: str, value: Value) -> None:
        pass

    def update(self, attributes: Attributes) -> None:
        pass

    def stop(self) -> None:
        pass

    def fail(self, error_type: str, error: str = "") -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


NO_SPAN = _NoSpan()
_current: ContextVar[Span | None] = ContextVar("span", default=None)


def span(
    name: str,
    attributes: Attributes | None = None,
    *,
    trace_id: str = "",
    key: str = "",
    under: str = "",
    node: Node | None = None,
) -> Span:
    """A span for a `with` block: what is opened inside it, in the same process, is its child.

    Args:
        name: from the table in `conventions.py`.
        attributes: those known now.
        trace_id: the run of causes; by default that of the span around it, else of the message in hand.
        key: what spans of other processes may name as theirs: unique, the same after a restart (`turn:01J…`).
        under: the key of the span that led to this one, in whatever process that is.
        node: whose handlers; code in a process leaves it out, code outside of any must give it to be heard.
    """
    process = running.process
    if process is not None:
        node = process.node
    elif node is None:
        return NO_SPAN
    handlers: Handlers | None = node.telemetry
    if handlers is None:
        return NO_SPAN
    names = handlers.names
    if (names is not None and name not in names) or get_ident() != handlers.thread:
        return NO_SPAN
    around = _current.get()
    # A call may run at once on its caller's stack: the span around it there is another process's.
    if around is not None and (around.process is not process or around.over):
        around = None
    return Span(handlers, process, around, name, attributes, trace_id, key, under)


def begin_span(
    name: str,
    attributes: Attributes | None = None,
    *,
    trace_id: str = "",
    key: str = "",
    under: str = "",
    node: Node | None = None,
) -> Span:
    """A span that its owner ends itself, with `stop` or `fail`: for work that takes several messages.

    Arguments as for `span`. It is around nothing: its children name its `key`. Killed before it ends, it is told by
    nobody; whoever takes the work up begins one with the same key.
    """
    return span(name, attributes, trace_id=trace_id, key=key, under=under, node=node)


def spanned[**P, R](
    name: str, attributes: Attributes | None = None
) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Decorates an async function: each call of it is a span."""

    def decorate(function: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        @functools.wraps(function)
        async def in_span(*args: P.args, **kwargs: P.kwargs) -> R:
            with span(name, attributes):
                return await function(*args, **kwargs)

        return in_span

    return decorate


def emit(
    name: str, attributes: Attributes | None = None, *, trace_id: str = "", node: Node | None = None
) -> None:
    """Tell of something that has no length. Arguments as for `span`."""
    process = running.process
    if process is not None:
        node = process.node
    elif node is None:
        return
    handlers: Handlers | None = node.telemetry
    if handlers is None or (handlers.names is not None and name not in handlers.names):
        return
    if get_ident() != handlers.thread:
        return
    if not trace_id and process is not None and process.current is not None:
        trace_id = process.current[4] or ""
    handlers.ended(
        Point(
            name=name,
            trace_id=trace_id,
            process=process,
            attributes=dict(attributes) if attributes is not None else {},
            at=node.clock.wall(),
        )
    )
