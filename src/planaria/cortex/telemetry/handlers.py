"""Who listens to the spans of a node. Each node has its own list; nothing is global.

    attach(seen.append)                     # in a process: until it ends, or `detach`
    attach(seen.append, node=node)          # outside: until `detach`

A handler runs at once, on the emitter's stack, so it only takes note: whoever has more to do sends itself a message
(`feed.py`). One that raises is detached, counted and told of: on the log, and as the point
`telemetry.handler_detached` to those that remain. The emitter notices nothing.
Source: Erlang's `:telemetry`. Differs: handlers belong to a node and go with the process that attached them.
"""

import logging
import secrets
from collections.abc import Callable
from threading import get_ident

from planaria.cortex.telemetry.signal import Attributes, Point, Signal, SpanFailed, SpanStarted, SpanStopped
from planaria.otp import Node, NotAProcess, Pid
from planaria.otp.kernel.process import running

type Handler = Callable[[Signal], object]

DETACHED = "telemetry.handler_detached"

log = logging.getLogger(__name__)


class Handlers:
    """The handlers of one node.

    Attributes:
        ends: are given the ends of spans, and points: each with the names it wants, None for all.
        starts: are given the starts too.
        names: what any of them wants; None for everything. What nobody wants is not made.
        detached: how many were taken off since they raised.
        last_span: the number of the newest span.
        thread: the event loop's, in which handlers run; what is told in another one is not heard.
        nonce: makes span numbers of this run of the node differ from those of another; 64 random bits.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.ends: tuple[tuple[Handler, frozenset[str] | None], ...] = ()
        self.starts: tuple[tuple[Handler, frozenset[str] | None], ...] = ()
        self.names: frozenset[str] | None = frozenset()
        self.detached = 0
        self.last_span = 0
        self.thread = get_ident()
        self.nonce = secrets.randbits(64)

    def add(self, handler: Handler, starts: bool, names: frozenset[str] | None) -> None:
        """Listen. A handler is in the list once."""
        self.remove(handler)
        self.ends = (*self.ends, (handler, names))
        if starts:
            self.starts = (*self.starts, (handler, names))
        self._sum_up()

    def remove(self, handler: Handler) -> bool:
        """Stop listening; False if it did not."""
        before = len(self.ends)
        self.ends = tuple(each for each in self.ends if each[0] != handler)
        self.starts = tuple(each for each in self.starts if each[0] != handler)
        self._sum_up()
        return len(self.ends) < before

    def _sum_up(self) -> None:
        wanted: set[str] = {DETACHED}
        for _, names in self.ends:
            if names is None:
                self.names = None
                return
            wanted |= names
        self.names = frozenset(wanted if self.ends else ())

    def started(self, signal: SpanStarted) -> None:
        """Hand on the start of a span."""
        self._tell(self.starts, signal)

    def ended(self, signal: SpanStopped | SpanFailed | Point) -> None:
        """Hand on the end of a span, or a point."""
        self._tell(self.ends, signal)

    def _tell(self, handlers: tuple[tuple[Handler, frozenset[str] | None], ...], signal: Signal) -> None:
        before, running.process = running.process, None  # a handler is nobody's process
        try:
            for handler, names in handlers:
                if names is None or signal.name in names:
                    try:
                        handler(signal)
                    except Exception as error:  # noqa: BLE001  event delivery: a broken handler must not hurt the emitter
                        self._detach(handler, signal, error)
        finally:
            running.process = before

    def _detach(self, handler: Handler, signal: Signal, error: Exception) -> None:
        if not self.remove(handler):
            return  # it raised again further down this very stack
        self.detached += 1
        name = _name(handler)
        log.error("the telemetry handler %s raised on %s and is detached", name, signal.name, exc_info=error)
        attributes: Attributes = {"planaria.telemetry.handler": name, "error.type": type(error).__name__}
        self.ended(
            Point(name=DETACHED, trace_id="", process=None, attributes=attributes, at=self.node.clock.wall())
        )


def handlers_of(node: Node) -> Handlers:
    """The handlers of a node."""
    known: Handlers | None = node.telemetry
    if known is None:
        known = node.telemetry = Handlers(node)
    return known


def attach(
    handler: Handler,
    *,
    starts: bool = False,
    names: frozenset[str] | None = None,
    node: Node | None = None,
) -> None:
    """Give `handler` the ends of spans and the points from now on; called by a process, until that ends.

    Args:
        handler: quick; it must not block, await or change what it is given.
        starts: give it the starts of spans too.
        names: only these spans and points; None for all. A span that no handler wants costs as if nobody listened.
        node: whose; in a process by default its own.
    Raises:
        NotAProcess: called outside any process without `node`.
    """
    owner = running.process
    if node is None:
        if owner is None:
            raise NotAProcess("which node? call this in a process, or give `node`")
        node = owner.node
    handlers = handlers_of(node)
    handlers.add(handler, starts, names)
    if owner is not None and owner.node is node:
        _with_its_owner(owner, handlers, handler)


def detach(handler: Handler, *, node: Node | None = None) -> bool:
    """Give `handler` nothing more; False if it was not attached (any more)."""
    owner = running.process
    if node is None:
        if owner is None:
            raise NotAProcess("which node? call this in a process, or give `node`")
        node = owner.node
    return handlers_of(node).remove(handler)


def _with_its_owner(owner: Pid, handlers: Handlers, handler: Handler) -> None:
    if owner.on_death is None:
        owner.on_death = []

    def gone(_: Pid) -> None:
        handlers.remove(handler)

    owner.on_death.append(gone)


def _name(handler: Handler) -> str:
    return str(getattr(handler, "__qualname__", type(handler).__qualname__))
