"""Bodies that stand before a server's own: while a process is suspended, or its messages are counted.

A wrapper handles the messages of the process in place of the server and hands on those it likes. Wrappers form a
chain, outermost first, which ends in the server; a process without one pays nothing.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, ClassVar

from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import Body, Process


class Wrapper:
    """Stands before `inner`; subclasses override `handle`."""

    __slots__ = ("inner", "process")

    _kernel_direct: ClassVar[None] = None  # the scheduler calls no handler past a wrapper

    def __init__(self, process: Process, inner: Body) -> None:
        self.process = process
        self.inner = inner

    def handle(self, envelope: Envelope) -> Coroutine[Any, Any, None] | None:
        """Handle one message of the process; here: hand it on."""
        return self.inner.handle(envelope)

    def remove(self) -> None:
        """Step out of the chain, wherever in it this stands."""
        process = self.process
        if process.body is self:
            process.body = self.inner
            return
        body = process.body
        while isinstance(body, Wrapper):
            if body.inner is self:
                body.inner = self.inner
                return
            body = body.inner


def find_wrapper[W: Wrapper](process: Process, kind: type[W]) -> W | None:
    """The outermost wrapper of that class, if the process has one."""
    body = process.body
    while isinstance(body, Wrapper):
        if isinstance(body, kind):
            return body
        body = body.inner
    return None


def server_of(process: Process) -> Body | None:
    """The server behind all wrappers; None for a plain function."""
    body = process.body
    while isinstance(body, Wrapper):
        body = body.inner
    return body
