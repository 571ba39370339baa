"""The mailbox of a process: putting messages in, taking them out, looking at those that wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from planaria.otp.kernel.message import Envelope, Kind
from planaria.otp.kernel.process import DEAD, READY, RECEIVING, WAITING, Process, wake

senders: list[Callable[..., object]] = []
"""Functions that have `deliver` written out, with the message as `envelope`; for those who watch what is sent."""


def deliver(target: Process, envelope: Envelope) -> None:
    """Put one message into the mailbox of `target`, waking it. The dead take nothing."""
    status = target.status
    if target.pending is None:
        if status == DEAD:
            return
        target.pending = envelope
    elif target.queue is None:
        target.queue = deque((envelope,))
    else:
        target.queue.append(envelope)
    if status == WAITING:
        scheduler = target.node.scheduler  # `enqueue`, written out
        target.status = READY
        scheduler.ready.append(target)
        if not scheduler.scheduled:
            scheduler.schedule()
    elif status == RECEIVING:
        wake(target, None)


def deliver_kernel(target: Process, kind: Kind, body: object, sender: Process | None = None) -> None:
    """Deliver a message of the kernel's own making."""
    node = target.node
    envelope: Envelope = (kind, body, sender, node.next_id(), None, 0, node.now, target)
    queue = target.queue
    if queue is None:
        if target.pending is not None or target.status == DEAD:
            deliver(target, envelope)
            return
        target.pending = envelope  # `deliver` and `wake`, written out
        status = target.status
        if status == RECEIVING:
            target.wait = None
            target.resume = None
        elif status != WAITING:
            return
        target.status = READY
        scheduler = node.scheduler
        scheduler.ready.append(target)
        if not scheduler.scheduled:
            scheduler.schedule()
        return
    queue.extend((envelope,))  # not `append`: a bounded mailbox always takes the kernel's own
    if target.pending is None:  # only a bounded mailbox has an empty queue
        target.pending = queue.popleft()
    if target.status == WAITING:
        target.node.scheduler.enqueue(target)
    elif target.status == RECEIVING:
        wake(target, None)


def take(process: Process) -> Envelope | None:
    """Remove and return the oldest message."""
    envelope = process.pending
    if envelope is not None:
        queue = process.queue
        if queue is None:
            process.pending = None
        else:
            process.pending = queue.popleft()
            if not queue:
                process.queue = None
    return envelope


def mailbox(process: Process) -> Iterator[Envelope]:
    """The messages that wait, oldest first."""
    if process.pending is not None:
        yield process.pending
        if process.queue is not None:
            yield from process.queue


def take_where(process: Process, matches: Callable[[Envelope], bool]) -> Envelope | None:
    """Remove and return the oldest message that matches, leaving the others in their order."""
    pending = process.pending
    if pending is None:
        return None
    if matches(pending):
        return take(process)
    queue = process.queue
    if queue is not None:
        for index, envelope in enumerate(queue):
            if matches(envelope):
                del queue[index]
                if not queue:
                    process.queue = None
                return envelope
    return None


def queue_length(process: Process) -> int:
    """How many messages wait."""
    if process.pending is None:
        return 0
    return 1 if process.queue is None else 1 + len(process.queue)
