"""Sending to a mailbox that may be full: waiting for room, and giving the running process a bounded mailbox."""

from __future__ import annotations

import asyncio
from functools import partial

from planaria.otp.kernel.ambient import Server, resolve, self_
from planaria.otp.kernel.bounded import Bound, BoundedQueue, Parked, limit_process
from planaria.otp.kernel.mailbox import deliver
from planaria.otp.kernel.message import Envelope, Kind
from planaria.otp.kernel.process import Process, running
from planaria.otp.kernel.reason import MailboxFull, NotAProcess
from planaria.otp.kernel.runner import suspend


def limit_mailbox(bound: Bound) -> None:
    """Bound the mailbox of the running process; see `bounded`. What waits already stays."""
    limit_process(self_(), bound)


async def send_when_room(to: Server, message: object) -> None:
    """Like `send`, but waits until the mailbox has room, whatever its policy. At once if it is unbounded.

    Those who wait get in by order of arrival. Bound the wait with `async with timeout(seconds)`; who gives up, or
    is killed, has not sent. Works in code outside too, with a pid.

    Raises:
        NoProcess: for a name nobody has.
        MailboxFull: the mailbox is the running process's own, which makes no room while it waits.
    """
    await deliver_when_room(_target(to), "info", message)


async def deliver_when_room(target: Process, kind: Kind, body: object) -> None:
    """Deliver a message of the running process, or of code outside, once the mailbox of `target` has room."""
    me = None if running.process is None else self_()
    node = target.node
    current = None if me is None else me.current
    trace, cause = (None, 0) if current is None else (current[4], current[3])
    envelope: Envelope = (kind, body, me, node.next_id(), trace, cause, node.now, target)
    queue = target.queue
    if not isinstance(queue, BoundedQueue) or not queue.full:
        deliver(target, envelope)
        return
    if me is target:
        raise MailboxFull(target, queue.bound.limit)
    if me is not None:
        parked = Parked(envelope, me)
        queue.park(parked)
        me.wait = parked
        try:
            await suspend()
        finally:
            parked.done = True
        return
    future: asyncio.Future[None] = node.scheduler.loop.create_future()
    parked = Parked(envelope, None, partial(_finish, future))
    queue.park(parked)
    try:
        await future
    finally:
        parked.done = True


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _target(server: Server) -> Process:
    if running.process is None and isinstance(server, str):
        raise NotAProcess(f"outside a process a name means nothing: use node[{server!r}], or node.run(...)")
    return resolve(server)
