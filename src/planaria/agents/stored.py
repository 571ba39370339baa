"""Events in a file: one JSON object a line, as `planaria journal export` writes them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from planaria.cortex.event import Event


class NotStored(ValueError):
    """A file is no stored run; the text names the line and what is wrong with it."""


def read_events(path: Path) -> list[Event]:
    """The events of a file, in the order of their places.

    Raises:
        NotStored: a line is no event, or there is none.
        OSError: it cannot be read.
    """
    with path.open("rb") as lines:
        events = list(_events(lines, path))
    if not events:
        raise NotStored(f"{path} holds no events; write one with `planaria journal export`")
    return sorted(events, key=lambda event: event.seq)


def _events(lines: Iterable[bytes], path: Path) -> Iterator[Event]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
            if isinstance(value, dict) and "kind" not in value:
                continue  # a word about the file itself
            yield msgspec.convert(value, Event)
        except msgspec.DecodeError as error:
            raise NotStored(f"{path}:{number}: no event: {error}") from error


def sessions_of(events: Iterable[Event]) -> list[str]:
    """The sessions of agents among the events, sorted."""
    return sorted({event.session for event in events if event.session.startswith("session:")})
