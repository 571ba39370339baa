"""A mailbox with a limit, and what happens when it is full. Unbounded mailboxes do not know that this exists.

```python
child(Log, mailbox=bounded(1_000, "drop_oldest"))
spawn(work, mailbox=bounded(10, "refuse"))
limit_mailbox(bounded(100, "shed", priority=rank))      # the running process, its own
```

How it hooks in: `Process.queue` holds what waits behind the oldest message. Of a bounded process it is a
`BoundedQueue`, which is there from the start, applies the policy in `append` and lets senders in who wait in
`popleft`. The code every message goes through is the same for all.
What the kernel itself sends (exit signals, `Down`, task results, timers, system requests) always gets in
(`deliver_kernel`); it counts as a message that waits.
Does badly: `shed`, and `drop_oldest` where many of the kernel's messages wait, look at every message that waits.
Source: Erlang has no bounded mailboxes; the policies are those of its logger's overload protection and of `jobs`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

from planaria.otp.kernel.event import MessageShed
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, Process, Request, wake
from planaria.otp.kernel.reason import MailboxFull

type Policy = Literal["block", "refuse", "drop_oldest", "drop_newest", "shed"]

POLICIES = ("block", "refuse", "drop_oldest", "drop_newest", "shed")
ORDINARY = ("call", "cast", "info")
"""The kinds of message a policy may turn away."""
CROWD = 64
"""Senders who wait before those who have given up are looked for."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as the priority function of a `shed` mailbox sees it.

    Attributes:
        kind: `call`, `cast` or `info`.
        what: the handler's name; of an info message, the message.
        args, kwargs: what the handler would be given.
        sender: who sent it; None for code outside.
    """

    kind: str
    what: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    sender: Process | None


@dataclass(frozen=True, slots=True)
class Bound:
    """How many messages may wait, and who yields when there are more; see `bounded`."""

    limit: int
    policy: Policy
    priority: Callable[[Letter], float] | None = None


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    """A bounded mailbox at this moment; the counters run from the start of the process."""

    limit: int
    policy: Policy
    dropped: int
    """Messages that were lost: shed from the mailbox, or never let in."""
    refused: int
    """Messages whose sender got `MailboxFull` instead."""
    waited: int
    """Messages whose sender had to wait for room."""
    waiting: int
    """Senders who wait for room now."""


def bounded(
    limit: int, policy: Policy = "block", *, priority: Callable[[Letter], float] | None = None
) -> Bound:
    """At most `limit` messages wait; the one in hand does not count.

    Of a process in a worker a quarter of that, at least 1, may wait in the worker besides.

    Args:
        limit: at least 1.
        policy: what happens to a message that comes when the mailbox is full:
            `block`: whoever awaits waits for room (calls, `send_when_room`, `Handler.when_room`), in order of
            arrival; a plain `send` or cast cannot wait and raises `MailboxFull`.
            `refuse`: the sender gets `MailboxFull`.
            `drop_oldest`: the message that waited longest is dropped for it.
            `drop_newest`: it is dropped.
            `shed`: the one with the lowest priority is dropped, of equals the youngest.
            A call that is dropped fails at its caller at once with `MailboxFull`.
        priority: for `shed`: the rank of a message, asked once for each; a number, higher is worth more. Runs while
            the message is sent: quick, without side effects. What it raises is raised at the sender, as is a
            `TypeError` for what is no number.
    Raises:
        ValueError: a limit below 1, an unknown policy, `shed` without priority or priority without `shed`.
    """
    if limit < 1:
        raise ValueError(f"a mailbox for {limit} messages cannot take any: give a limit of at least 1")
    if policy not in POLICIES:
        raise ValueError(f"unknown mailbox policy {policy!r}; there are: {', '.join(POLICIES)}")
    if (policy == "shed") != (priority is not None):
        mend = "give priority=..., a function of the message" if priority is None else "leave priority out"
        raise ValueError(f"only the policy 'shed' has a priority, and it needs one: for {policy!r} {mend}")
    return Bound(limit, policy, priority)


class Parked:
    """A message that waits outside a full mailbox, with its sender."""

    __slots__ = ("done", "envelope", "notify", "sender")

    def __init__(
        self, envelope: Envelope, sender: Process | None, notify: Callable[[], None] | None = None
    ) -> None:
        self.envelope = envelope
        self.sender = sender
        self.notify = notify  # for senders that are not processes
        self.done = False

    @property
    def void(self) -> bool:
        """Nobody wants it delivered any more: the sender gave up, or died before it was sent."""
        if self.done or (self.sender is not None and self.sender.status == DEAD):
            return True
        return self.envelope[0] == "call" and bool(self.envelope[1].done)

    def release(self) -> None:
        """Let the sender go on. A caller goes on waiting for its answer."""
        self.done = True
        if self.notify is not None:
            self.notify()
        elif self.sender is not None and self.sender.wait is self:
            wake(self.sender, None)


class BoundedQueue(deque[Envelope]):
    """What waits behind the oldest message of a bounded process. See the module."""

    def __init__(self, process: Process, bound: Bound) -> None:
        super().__init__()
        self.process = process
        self.bound = bound
        self.behind = bound.limit - 1  # the oldest message lies in `process.pending`
        self.parked: deque[Parked] = deque()
        self.ranks: dict[int, float] = {}
        self.crowded = CROWD
        self.dropped = self.refused = self.waited = 0

    def __bool__(self) -> bool:
        """True: an empty queue is not thrown away."""
        return True

    @property
    def full(self) -> bool:
        """Whether an ordinary message would find no room."""
        return self.process.pending is not None and len(self) >= self.behind

    def append(self, envelope: Envelope) -> None:
        """Take one more message, by the policy if there is no room.

        Raises:
            MailboxFull: it is not taken, and the sender is to know.
        """
        if self.bound.policy == "shed" and envelope[0] in ORDINARY:
            self._rank(envelope)
        if len(self) < self.behind or envelope[0] not in ORDINARY:
            super().append(envelope)
        else:
            self._overflow(envelope)

    def popleft(self) -> Envelope:
        """The next message, None if there is none; a sender who waits takes the place that became free."""
        if self.parked and len(self) <= self.behind:  # not if the kernel's own messages fill it
            self._let_in()
        if self.ranks:
            self._forget_ranks()
        return super().popleft() if len(self) else None  # type: ignore[return-value]

    def __delitem__(self, index: Any) -> None:
        """Take a message out of order, for selective receive."""
        super().__delitem__(index)
        if self.parked and len(self) < self.behind:
            self._let_in()

    def extend(self, envelopes: Iterable[Envelope]) -> None:
        """Take the kernel's own messages, whatever the limit."""
        for envelope in envelopes:
            self.ranks[envelope[3]] = inf
            super().append(envelope)

    def park(self, parked: Parked) -> None:
        """Let a sender wait for room."""
        if self.bound.policy == "shed":
            self._rank(parked.envelope)
        self.waited += 1
        self.parked.append(parked)
        if len(self.parked) >= self.crowded:  # most have given up, perhaps
            self.parked = deque(each for each in self.parked if not each.void)
            self.crowded = max(CROWD, 2 * len(self.parked))

    def info(self) -> MailboxInfo:
        """The counters, for those who look."""
        waiting = sum(not parked.void for parked in self.parked)
        return MailboxInfo(
            self.bound.limit, self.bound.policy, self.dropped, self.refused, self.waited, waiting
        )

    def _let_in(self) -> None:
        while self.parked:
            parked = self.parked.popleft()
            if not parked.void:
                super().append(parked.envelope)
                parked.release()
                return

    # --- no room ------------------------------------------------------------------------------------------------

    def _overflow(self, envelope: Envelope) -> None:
        policy = self.bound.policy
        if policy == "block" and envelope[0] == "call":
            self.park(Parked(envelope, envelope[2]))  # its caller waits anyway
        elif policy in ("block", "refuse"):
            self.refused += 1
            self._tell(envelope, "refused", self.refused)
            raise MailboxFull(self.process, self.bound.limit)
        else:
            victim = envelope
            if policy == "drop_oldest":
                victim = self._oldest(envelope)
            elif policy == "shed":
                victim = self._least(envelope)
            if victim is not envelope:
                self._remove(victim)
                if self.process.pending is None:
                    self.process.pending = envelope
                else:
                    super().append(envelope)
            self._drop(victim, new=victim is envelope)

    def _oldest(self, newest: Envelope) -> Envelope:
        pending = self.process.pending
        if pending is not None and self._may_go(pending):
            return pending
        return next(filter(self._may_go, self), newest)

    def _may_go(self, envelope: Envelope) -> bool:
        return envelope[0] in ORDINARY and self.ranks.get(envelope[3]) != inf

    def _least(self, newest: Envelope) -> Envelope:
        pending = self.process.pending
        if pending is not None and pending[0] in ORDINARY and pending[3] not in self.ranks:
            self._rank_late(pending)
        least, lowest = newest, self.ranks[newest[3]]
        for each in (*reversed(self), pending):  # from the youngest: of equals it goes
            if each is not None and self.ranks.get(each[3], inf) < lowest:
                least, lowest = each, self.ranks[each[3]]
        return least

    def _rank(self, envelope: Envelope) -> None:
        if self.bound.priority is not None:
            rank = self.bound.priority(_letter(envelope))
            if not isinstance(rank, int | float) or rank != rank:
                raise TypeError(
                    f"the priority of {_letter(envelope)} in {self.process!r} is {rank!r}, no number"
                )
            self.ranks[envelope[3]] = rank

    def _rank_late(self, pending: Envelope) -> None:
        """Rank a message that found the mailbox empty, so that nobody asked."""
        try:
            self._rank(pending)
        except Exception:  # it is not the fault of the sender whose message is to find room now
            log.exception("the priority of a message to %r failed: it goes first", self.process)
            self.ranks[pending[3]] = -inf

    def _forget_ranks(self) -> None:
        pending = self.process.pending
        if pending is not None:
            self.ranks.pop(pending[3], None)
        if len(self.ranks) > 2 * self.bound.limit:  # of messages taken out of order
            waiting = {each[3] for each in self}
            self.ranks = {number: rank for number, rank in self.ranks.items() if number in waiting}

    def _remove(self, victim: Envelope) -> None:
        self.ranks.pop(victim[3], None)
        if victim is self.process.pending:
            self.process.pending = super().popleft() if len(self) else None
            return
        for index, each in enumerate(self):
            if each is victim:
                super().__delitem__(index)
                return

    def _drop(self, victim: Envelope, *, new: bool) -> None:
        self.ranks.pop(victim[3], None)
        self.dropped += 1
        self._tell(victim, "dropped", self.dropped)
        if victim[0] == "call":
            error = MailboxFull(self.process, self.bound.limit)
            if new:
                raise error
            victim[1].fail(error)

    def _tell(self, envelope: Envelope, what: Literal["dropped", "refused"], count: int) -> None:
        process = self.process
        if process.node.listeners:
            process.node.emit(
                MessageShed(process, envelope[0], envelope[1], envelope[2], what, self.bound.policy)
            )
        if count & (count - 1) == 0:  # the first, the second, the fourth: a flood does not flood the log
            log.warning(
                "the mailbox of %r is full (%d messages, policy %s): %d %s so far",
                process, self.bound.limit, self.bound.policy, count, what,
            )  # fmt: skip

    def close(self, process: Process) -> None:
        """The process is dead: callers who waited for room are told, other senders go on."""
        parked, self.parked = self.parked, deque()
        for each in parked:
            if each.void:
                continue
            if each.envelope[0] == "call":
                request: Request = each.envelope[1]
                request.fail(process.node.call_failure(request, process, process.reason))
            each.release()


def limit_process(process: Process, bound: Bound) -> None:
    """Give a process a bounded mailbox, or another bound. What waits already stays, however much it is."""
    before = process.queue
    queue = BoundedQueue(process, bound)
    if before is not None:
        deque.extend(queue, before)
        if isinstance(before, BoundedQueue):
            queue.parked, queue.ranks = before.parked, before.ranks
            queue.dropped, queue.refused, queue.waited = before.dropped, before.refused, before.waited
            if process.on_death is not None:
                process.on_death.remove(before.close)
    process.queue = queue
    if process.on_death is None:
        process.on_death = []
    process.on_death.append(queue.close)


def mailbox_info(process: Process) -> MailboxInfo | None:
    """The bound of a living process and its counters; None if it has none."""
    return process.queue.info() if isinstance(process.queue, BoundedQueue) else None


def _letter(envelope: Envelope) -> Letter:
    kind, body, sender = envelope[:3]
    if kind == "call":
        return Letter(kind, body.handler, body.args, body.kwargs, sender)
    if kind == "cast":
        return Letter(kind, body[0], body[1], body[2], sender)
    return Letter(kind, body, (), {}, sender)
