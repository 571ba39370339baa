"""Places in the journal that payloads name, when events are written into another journal, where they have new ones."""

from array import array
from bisect import bisect_right
from collections.abc import Callable

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.event_type import event_types


class Places:
    """Which place in the journal each event of a file came to.

    Args:
        newest: the last place that is taken in the journal.
    """

    def __init__(self, newest: int) -> None:
        self._types = event_types()
        self._old, self._new = array("q"), array("q")
        self._newest = newest
        self._same = True

    def note(self, old: int, new: int) -> None:
        """Take in where an event of the file is in the journal. In the order of the file."""
        self._old.append(old)
        self._new.append(new)
        self._newest = max(self._newest, new)
        self._same = self._same and old == new

    def of(self, place: int) -> int:
        """Where the journal has what the file has up to a place: its last event's place; 0 if it has none."""
        found = bisect_right(self._old, place)
        return self._new[found - 1] if found else 0

    def stay(self, first: int, last: int, events: int) -> bool:
        """Whether so many events between two places of the file are certain to get the same ones here."""
        end = self._new[-1] if self._new else 0
        return self._same and self._newest == end and first == end + 1 and last == end + events

    def moved(self, event: Event, staying: int | None = None) -> Event:
        """The event as it names places of the journal; what it names must be written.

        Args:
            staying: from here on places of the file are certain to be the same in the journal.
        """
        return self._changed(
            event, lambda place: place if staying is not None and place >= staying else self.of(place)
        )

    def without(self, event: Event) -> Event:
        """The event without the places it names, to be compared."""
        return self._changed(event, lambda place: 0)

    def furthest(self, event: Event) -> int:
        """The last place the event names, 0 if it names none."""
        named = [0]

        def look(place: int) -> int:
            named.append(place)
            return place

        self._changed(event, look)
        return max(named)

    def _changed(self, event: Event, place: Callable[[int], int]) -> Event:
        known = self._types.get(event.kind)
        if known is None or event.state != "whole":
            return event
        payload = known.moved(event.payload, place)
        return event if payload is event.payload else msgspec.structs.replace(event, payload=payload)
