"""What the projections have in common: they ask for nothing and hear nothing unless they say so."""

from typing import Any

from planaria.cortex.event import Event
from planaria.cortex.telemetry.signal import Signal


class Projected:
    """A projection that is given nothing; see `planaria.cortex.live.projection`."""

    kinds: frozenset[str] = frozenset()
    hears: tuple[type, ...] = ()
    spans: frozenset[str] = frozenset()
    kernel: tuple[type, ...] = ()

    def __init__(self) -> None:
        self.topics: set[str] = set()

    def event(self, event: Event) -> None:
        """Nothing."""

    def looked_back(self) -> None:
        """Nothing."""

    def heard(self, message: Any) -> None:
        """Nothing."""

    def signal(self, signal: Signal) -> None:
        """Nothing."""

    def kernel_event(self, event: Any) -> None:
        """Nothing."""
