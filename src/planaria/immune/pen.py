"""Writes what a server has to say into the journal, in order and behind its back: a server that waits answers nobody.

    self.pen = Pen()
    self.pen.write([event])                    # returns at once
    if self.pen.heard(message): return         # in handle_info, which gets the messages of its task

While the journal is away it waits. An event that is there already is left out; one that can never be written is logged.
"""

import logging
from collections.abc import Sequence

import msgspec

from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import NewEvent, new_id
from planaria.cortex.journal import Journal
from planaria.cortex.patience import patiently
from planaria.otp import Down, Server, Task, TaskDone, TaskRef

MOST_WAITING = 1000
"""Appends that may wait; the oldest beyond are let go of, and logged."""

log = logging.getLogger(__name__)


class Pen:
    """One append at a time, in the order given. Part of the process that makes it."""

    def __init__(self, journal: Server = "journal", label: str = "write") -> None:
        self._journal = journal
        self._label = label
        self._waiting: list[tuple[NewEvent, ...]] = []
        self._task: TaskRef | None = None

    def write(self, events: Sequence[NewEvent]) -> None:
        """Write these in one append, after those given before."""
        named = (event if event.id else _named(event) for event in events)
        self._waiting.append(tuple(named))
        if len(self._waiting) > MOST_WAITING:
            del self._waiting[1 if self._task is not None else 0]
            log.error("%s: the journal is away for too long; an event is lost", self._label)
        self._go_on()

    def heard(self, message: object) -> bool:
        """Whether a message was the task's."""
        match message:
            case TaskDone(ref=ref) | Down(ref=ref) if self._task is not None and ref is self._task:
                self._task = None
                del self._waiting[0]
                self._go_on()
                return True
            case _:
                return False

    def _go_on(self) -> None:
        if self._task is None and self._waiting:
            self._task = Task.start_link(write_once, self._waiting[0], self._journal, label=self._label)


def _named(event: NewEvent) -> NewEvent:
    """With an id, an append may be repeated."""
    return msgspec.structs.replace(event, id=new_id())


async def write_once(events: Sequence[NewEvent], journal: Server = "journal") -> None:
    """Write events, some of which may be there already; waits while the journal is away."""
    left = list(events)
    while left:
        try:
            await patiently(lambda: Journal.append(journal, left))
            return
        except EventRefused as error:
            known = [event for event in left if event.id == error.duplicate_of]
            if not known:
                log.error("%s cannot be written down: %s", left[0].kind, error.reason)
                return
            left.remove(known[0])
        except JournalUnavailable as error:
            log.error("%s cannot be written down: %s", left[0].kind, error)
            return
