"""A bounded queue that is fair between flows: each gets an equal share of the work, however much it asks for.

Source: self-clocked fair queuing (Golestani 1994), with the longest-queue drop of McKenney's stochastic fairness
queuing. Each ticket is tagged with the time at which its flow would be served if all flows had their share; the
smallest tag is next, and is the time from then on. So a flow that waits for nothing need not be remembered once time
has reached its last tag, and flows that come new, however many, never hold up one that waits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import heapify, heappop, heappush


@dataclass(slots=True, order=True)
class Ticket[T]:
    """One place in the queue; ordered by its tag, then by when it came."""

    tag: float
    number: int
    flow: str
    cost: float
    item: T


class FairQueue[T]:
    """The queue.

    Args:
        most: tickets that may wait.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._heap: list[Ticket[T]] = []
        self._last: dict[str, float] = {}  # flow -> the tag of its newest ticket
        self._waiting: dict[str, int] = {}
        self._time = 0.0
        self._number = 0

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[Ticket[T]]:
        return iter(sorted(self._heap))

    @property
    def flows(self) -> dict[str, int]:
        """How many tickets of each flow wait."""
        return dict(self._waiting)

    def push(self, flow: str, cost: float, item: T) -> Ticket[T] | None:
        """Queue up; the ticket that is refused, this one or another, or None if there was room.

        In a full queue the flow with most tickets gives up its last one, if the newcomer's flow has at least two fewer.
        """
        refused: Ticket[T] | None = None
        self._number += 1
        if len(self._heap) >= self.most:
            longest = max(self._waiting, key=lambda name: self._waiting[name], default=flow)
            if self._waiting.get(longest, 0) < self._waiting.get(flow, 0) + 2:
                return Ticket(0.0, self._number, flow, cost, item)
            refused = max(ticket for ticket in self._heap if ticket.flow == longest)
            self._drop(refused)
            self._last[longest] = refused.tag - refused.cost
        tag = max(self._time, self._last.get(flow, 0.0)) + cost
        self._last[flow] = tag
        self._waiting[flow] = self._waiting.get(flow, 0) + 1
        heappush(self._heap, Ticket(tag, self._number, flow, cost, item))
        return refused

    def first(self) -> Ticket[T] | None:
        """Whose turn it is; it stays in the queue."""
        return self._heap[0] if self._heap else None

    def pop(self) -> Ticket[T]:
        """Take out whose turn it is."""
        ticket = heappop(self._heap)
        self._time = max(self._time, ticket.tag)
        self._less(ticket.flow)
        self._forget()
        return ticket

    def remove(self, wanted: Callable[[T], bool]) -> list[Ticket[T]]:
        """Take out all that are `wanted`, in order."""
        gone = sorted(ticket for ticket in self._heap if wanted(ticket.item))
        for ticket in gone:
            self._drop(ticket)
        self._forget()
        return gone

    def _drop(self, ticket: Ticket[T]) -> None:
        self._heap = [other for other in self._heap if other is not ticket]
        heapify(self._heap)
        self._less(ticket.flow)

    def _less(self, flow: str) -> None:
        left = self._waiting[flow] - 1
        if left:
            self._waiting[flow] = left
        else:
            del self._waiting[flow]

    def _forget(self) -> None:
        if not self._heap:
            self._last.clear()
            self._time = 0.0
        elif len(self._last) > 2 * len(self._waiting) + 16:
            self._last = {
                flow: tag for flow, tag in self._last.items() if tag > self._time or flow in self._waiting
            }
