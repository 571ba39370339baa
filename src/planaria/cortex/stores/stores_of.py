"""Makes the stores of one journal through the life of a node, one for each `Journal` process."""

from collections.abc import Callable

from planaria.cortex.store import EventStore, Fence


class Stores:
    """Given to the `Journal` in place of a store, so that what one process of it has learned outlives it.

    Args:
        make: gives a new store, not open.

    Attributes:
        fence: the node's own lease, which every append is written under.
        settled: whether the node has been up with it. Before, a journal that cannot be opened refuses the start, in a
            sentence. Afterwards it waits for a person to mend the cause, as ending the node would take away what still
            works, and restarting it would not help.
    """

    def __init__(self, make: Callable[[], EventStore]) -> None:
        self._make = make
        self.settled = False
        self.fence: Fence | None = None

    def __call__(self) -> EventStore:
        """A new store, not open."""
        return self._make()
