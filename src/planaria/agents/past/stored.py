"""Runs in files, as `planaria journal export` writes them."""

from collections.abc import Coroutine, Iterable
from pathlib import Path
from typing import Any

from planaria.agents.kinship import is_child
from planaria.cortex.event import Event
from planaria.cortex.upkeep import portable


def read_run(path: Path) -> list[Event]:
    """The events of a file, in the order of their places.

    Raises:
        Unfit: it is no export, or was cut short.
        OSError: it cannot be read.
    """
    with path.open("rb") as lines:
        return [event for _, event in portable.read_events(str(path), lines)]


def sessions_of(events: Iterable[Event]) -> list[str]:
    """The sessions of agents among the events, sorted; their children only if there are no others."""
    found = sorted({event.session for event in events if event.session.startswith("session:")})
    return [each for each in found if not is_child(each)] or found


def at_once[T](work: Coroutine[Any, Any, T]) -> T:
    """The result of work on a `StoredSource`: its events are in memory, so it waits for nothing and needs no loop."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("reading events in memory waited for something")
