"""The events of a state machine in the order gen_statem handles them: inserted, replayed, those of before.

Pure: no process, no clock. An entry is an event with the envelope it came in, so that what its handler sends belongs
to the message that caused it, however late it is replayed.
"""

from __future__ import annotations

from collections import deque

from planaria.otp.kernel.message import Envelope
from planaria.otp.servers.events import Event

type Entry = tuple[Event, Envelope]


class EventQueue:
    """What waits inside the machine: events to handle now, and postponed ones."""

    __slots__ = ("postponed", "waiting")

    def __init__(self) -> None:
        self.waiting: deque[Entry] = deque()
        self.postponed: list[Entry] = []

    def put(self, entry: Entry) -> None:
        """Add the newest event: one that was received, or a timeout of 0 seconds."""
        self.waiting.append(entry)

    def take(self) -> Entry | None:
        """The next event to handle."""
        return self.waiting.popleft() if self.waiting else None

    def done(self, entry: Entry, inserted: list[Entry], *, postpone: bool, changed: bool) -> None:
        """An event has been handled.

        Args:
            inserted: events to handle before all others, in this order.
            postpone: it is put aside.
            changed: the state is another now: all postponed events are replayed, in the order they came.
        """
        if postpone:
            self.postponed.append(entry)
        if changed and self.postponed:
            self.waiting.extendleft(reversed(self.postponed))
            self.postponed.clear()
        if inserted:
            self.waiting.extendleft(reversed(inserted))
