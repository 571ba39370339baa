"""Which projection is given what. What none of them can take in is counted and said once; the rest goes on."""

import logging
from collections.abc import Sequence
from typing import Any

from planaria.cortex.event import Event
from planaria.cortex.live.projection import Projection

log = logging.getLogger(__name__)


class Intake:
    """Hands what comes to the projections that asked for it.

    Attributes:
        kinds: of journal events that are wanted.
        spans: names of spans and points that are wanted.
        classes: of broadcasts that are wanted.
        kernel: classes of kernel events that are wanted.
        faults: how often a projection could not take something in.
    """

    def __init__(self, projections: Sequence[Projection]) -> None:
        self.kinds: dict[str, list[Projection]] = {}
        self.spans: dict[str, list[Projection]] = {}
        self.classes: dict[type, list[Projection]] = {}
        self.kernel: dict[type, list[Projection]] = {}
        self.faults = 0
        self._faulty: set[str] = set()  # said once each
        for projection in projections:
            for kind in projection.kinds:
                self.kinds.setdefault(kind, []).append(projection)
            for name in projection.spans:
                self.spans.setdefault(name, []).append(projection)
            for cls in projection.hears:
                self.classes.setdefault(cls, []).append(projection)
            for cls in projection.kernel:
                self.kernel.setdefault(cls, []).append(projection)

    def event(self, event: Event) -> None:
        """An event of the journal."""
        try:
            for projection in self.kinds.get(event.kind, ()):
                projection.event(event)
        except Exception as error:  # noqa: BLE001  event delivery: what is in the journal would crash each restart anew
            self._fault(event.kind, error)

    def other(self, what: Any) -> None:
        """A broadcast, a kernel event, the end of a span, or a point."""
        cls = type(what)
        try:
            if cls in self.classes:
                for projection in self.classes[cls]:
                    projection.heard(what)
            elif cls in self.kernel:
                for projection in self.kernel[cls]:
                    projection.kernel_event(what)
            else:
                for projection in self.spans.get(what.name, ()):
                    projection.signal(what)
        except Exception as error:  # noqa: BLE001  event delivery, as above
            self._fault(cls.__name__, error)

    def _fault(self, name: str, error: Exception) -> None:
        self.faults += 1
        if name not in self._faulty:
            self._faulty.add(name)
            log.error("the live store cannot take in %s; it goes on without", name, exc_info=error)
