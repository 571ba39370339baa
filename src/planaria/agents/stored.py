"""Runs in files, as `planaria journal export` writes them."""

from collections.abc import Iterable
from pathlib import Path

from planaria.cortex import portable
from planaria.cortex.event import Event


def read_run(path: Path) -> list[Event]:
    """The events of a file, in the order of their places.

    Raises:
        Unfit: it is no export, or was cut short.
        OSError: it cannot be read.
    """
    with path.open("rb") as lines:
        return [event for _, event in portable.read_events(str(path), lines)]


def sessions_of(events: Iterable[Event]) -> list[str]:
    """The sessions of agents among the events, sorted."""
    return sorted({event.session for event in events if event.session.startswith("session:")})
