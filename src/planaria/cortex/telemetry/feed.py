"""From a handler to a process: signals are put aside where they happen and taken in handfuls by their reader.

    self.feed = Feed(self_(), limit=10_000)
    attach(self.feed)
    ...
    def handle_info(self, message):
        if message is READY: fold(self.feed.take())

One message for many signals, so a busy node pays for a list's `append`: the message comes `delay` seconds after the
first of them, for all that came meanwhile. What does not fit is dropped and counted.
"""

from collections import deque
from typing import Any, Final

from planaria.otp import MailboxFull, Pid

READY: Final = object()
"""Sent to the reader once, until it has taken what is there."""


class Feed:
    """A bounded line of signals (or kernel events) for one process.

    Args:
        reader: is sent `READY` when there is something to take; None: it looks by itself.
        delay: seconds to collect before that; 0.0 sends it at once.
        limit: signals that may wait; the newest are dropped beyond.

    Attributes:
        dropped: how many did not fit, since the start.
    """

    def __init__(self, reader: Pid | None, limit: int, delay: float = 0.0) -> None:
        self._reader = reader
        self._limit = limit
        self._delay = delay
        self._waiting: deque[Any] = deque()
        self._told = reader is None
        self.dropped = 0

    def __call__(self, signal: Any) -> None:
        """Put one aside."""
        if len(self._waiting) >= self._limit:
            self.dropped += 1
            return
        self._waiting.append(signal)
        if not self._told:
            self._arm()

    def _arm(self) -> None:
        self._told = True
        if self._delay > 0 and self._reader is not None:
            self._reader.node.timers.plan(self._delay, self._tell)
        else:
            self._tell()

    def _tell(self) -> None:
        if self._delay > 0:
            self._told = False  # what was taken meanwhile without being told is no matter
        if self._reader is not None:
            try:
                self._reader.node.send(self._reader, READY)
            except MailboxFull:
                self._told = False  # the next one tells

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, most: int | None = None) -> list[Any]:
        """The oldest that wait, at most `most` of them; what is left is told of again."""
        waiting = self._waiting
        if most is None or most >= len(waiting):
            taken = list(waiting)
            waiting.clear()
            if not self._delay:
                self._told = self._reader is None
            return taken
        taken = [waiting.popleft() for _ in range(most)]
        if self._reader is not None:
            self._arm()
        return taken
