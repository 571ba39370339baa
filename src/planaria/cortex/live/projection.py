"""A projection: what keeps one table of the live store up to date."""

from typing import Any, Protocol

from planaria.cortex.event import Event
from planaria.cortex.live.table import Table
from planaria.cortex.telemetry.signal import Signal


class Projection(Protocol):
    """Keeps one table. Its methods run in the process of the live store: quick, pure but for the table, never raising.

    Attributes:
        table: what it keeps.
        kinds: of journal events it is given, live and from the look back, in order.
        topics: broadcasts it hears; it may add to them and take away.
        hears: classes of messages on those topics it is given.
        spans: names of spans and points it is given.
        kernel: classes of kernel events it is given; of the starts and exits of processes those that have a name.
    """

    @property
    def table(self) -> Table[Any]: ...
    @property
    def kinds(self) -> frozenset[str]: ...
    @property
    def topics(self) -> set[str]: ...
    @property
    def hears(self) -> tuple[type, ...]: ...
    @property
    def spans(self) -> frozenset[str]: ...
    @property
    def kernel(self) -> tuple[type, ...]: ...

    def event(self, event: Event) -> None:
        """Take in one event of the journal."""
        ...

    def looked_back(self) -> None:
        """The events of the look back are all taken in; from now on they come as they happen."""
        ...

    def heard(self, message: Any) -> None:
        """Take in one broadcast."""
        ...

    def signal(self, signal: Signal) -> None:
        """Take in the end of a span, or a point."""
        ...

    def kernel_event(self, event: Any) -> None:
        """Take in one kernel event."""
        ...
