"""Holding processes between two messages: nothing is lost, messages wait in the mailbox, kills and links work.

A process between messages is put into the status of one that waits for something only the holder knows. One that
has a message in hand gets a *gate* for a body: its code finishes, and the next message meets the gate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from operator import is_
from typing import Any

from planaria.otp.kernel.mailbox import deliver_kernel, mailbox, take_where
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, READY, SUSPENDED, WAITING, Process, Request
from planaria.otp.servers.wrapper import Wrapper

type Work = Coroutine[Any, Any, None]
type Arrival = bool | Work

HELD = object()
"""What a held process waits for."""
NUDGE = object()
"""A message to a process with a gate, so that the end of the message before is noticed."""


def between_messages(process: Process) -> bool:
    """Whether no code of the process is under way."""
    return process.status == WAITING or (process.status == READY and process.coro is None)


def is_held(process: Process) -> bool:
    """Whether `hold` stopped it."""
    return process.wait is HELD and process.status != DEAD


def hold(process: Process) -> None:
    """Stop a process that is between messages."""
    process.status = SUSPENDED
    process.wait = HELD
    process.current = None


def release(process: Process) -> None:
    """Let a held process go on with what has come meanwhile."""
    if process.wait is not HELD or process.status == DEAD:
        return
    process.wait = None
    take_where(process, _is_nudge)
    if process.pending is None and process.coro is None:
        process.status = WAITING
    else:
        process.node.scheduler.enqueue(process)


def _is_nudge(envelope: Envelope) -> bool:
    return envelope[1] is NUDGE


class Gate(Wrapper):
    """Stands before the body of a process that was busy: the first message after the one in hand meets it.

    It is seldom there for longer than one message, and passes for the body where somebody looks for one.
    """

    __slots__ = ("arrived", "opened", "serves")

    def __init__(
        self, process: Process, arrived: Callable[[Process], Arrival], *, serves: bool = False
    ) -> None:
        """Args:
        arrived: called between two messages, when the gate has been taken away. True: the process goes on;
            False: it was held; a coroutine does the rest in the process, which then goes on.
        serves: let through what waits before the nudge.
        """
        assert process.body is not None
        super().__init__(process, process.body)
        self.arrived = arrived
        self.opened = False
        self.serves = serves
        process.body = self
        deliver_kernel(process, "system", NUDGE)

    @property  # type: ignore[misc]  # object's can be assigned to; this one need not
    def __class__(self) -> type[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self.inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def handle(self, envelope: Envelope) -> Work | None:
        """The next message has come."""
        process = self.process
        is_nudge = envelope[1] is NUDGE
        if self.serves and not is_nudge:
            return self.inner.handle(envelope)
        if not self.opened:
            self.open()
            outcome = self.arrived(process)
            if outcome is False:
                if not is_nudge:
                    _put_back(process, envelope)
                return None
            if outcome is not True:
                return _finish(outcome, process, envelope)
        # Whoever activates a process goes on asking the body it had, to the end of the activation.
        assert process.body is not None
        return None if is_nudge else process.body.handle(envelope)

    def open(self) -> None:
        """Take the gate away, perhaps before the process arrives."""
        self.opened = True
        self.remove()
        take_where(self.process, _is_nudge)


async def _finish(work: Work, process: Process, envelope: Envelope) -> None:
    await work
    assert process.body is not None
    following = None if envelope[1] is NUDGE else process.body.handle(envelope)
    if following is not None:
        await following


def serve_first(process: Process, request: Request) -> None:
    """Put a call before all else in the mailbox of a process with a gate, and the nudge behind it.

    What its caller sent earlier stays before it: messages of one sender keep their order.
    """
    caller = request.caller
    before: list[Envelope] = []
    for envelope in list(mailbox(process)):
        if envelope[1] is request or (caller is not None and envelope[2] is caller):
            before.append(envelope)
            if envelope[1] is request:
                break
    else:
        return  # the call is not in the mailbox any more: it is put aside, to be answered later
    nudge = take_where(process, _is_nudge)
    for envelope in before:
        take_where(process, partial(is_, envelope))
    if nudge is not None:
        before.append(nudge)
    for envelope in reversed(before):
        _push(process, envelope)


def _push(process: Process, envelope: Envelope) -> None:
    """Make a message the next one."""
    if process.pending is not None:
        if process.queue is None:
            process.queue = deque()
        process.queue.appendleft(process.pending)
    process.pending = envelope


def _put_back(process: Process, envelope: Envelope) -> None:
    """Make a message the next again, as if it had never been taken."""
    _push(process, envelope)
    process.reductions -= 1
    recent = process.node.recent
    if recent and recent[-1] is envelope:
        recent.pop()
