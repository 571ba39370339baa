"""Watching a new version: when its processes crash more often than before, everything goes back by itself.

Measured in crashes per process and second. A crash is an end that a supervisor would mend: neither `normal`, `shutdown`
nor `killed`. The former rate is that of the version before while it was on probation itself; if nobody watched it,
what the supervisors remember: the restarts of the processes that moved, over the time their supervisors have run.
More often means: at least `min_crashes`, and more than chance explains (three standard deviations above what the
former rate makes one expect).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from planaria.otp.kernel.event import KernelEvent, ProcessExited, ProcessStarted
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.kernel.reason import is_orderly, reason_text
from planaria.otp.servers.wrapper import server_of


@dataclass(frozen=True, slots=True)
class CrashRate:
    """So many crashes in so many process-seconds."""

    crashes: int
    process_seconds: float

    def exceeds(self, former: CrashRate, min_crashes: int) -> bool:
        """Whether these are more than the former rate and chance explain."""
        if self.crashes < min_crashes:
            return False
        expected = 0.0
        if former.process_seconds > 0:
            expected = former.crashes / former.process_seconds * self.process_seconds
        return self.crashes > expected + 3 * math.sqrt(expected)


def remembered_rate(node: Node, processes: Iterable[Process]) -> CrashRate:
    """What the supervisors know: restarts of these processes, over the time their supervisors have run."""
    now = node.clock.now()
    crashes, seconds = 0, 0.0
    for process in processes:
        crashes += node.restarts.get(process, 0)
        parent = process.parent
        alive = parent is not None and parent.status != DEAD
        since = (
            min(parent.started_at, process.started_at) if parent is not None and alive else process.started_at
        )
        seconds += max(0.0, now - since)
    return CrashRate(crashes, seconds)


class Probation:
    """Counts the crashes of the processes of some classes, for `seconds`.

    Args:
        classes: of the new version.
        give_up: called once with the reason, when there are too many.
    """

    def __init__(
        self,
        node: Node,
        classes: frozenset[type],
        former: CrashRate,
        seconds: float,
        min_crashes: int,
        give_up: Callable[[str], None],
    ) -> None:
        self.node = node
        self.classes = classes
        self.former = former
        self.min_crashes = min_crashes
        self.give_up = give_up
        self.crashes = 0
        self._area = 0.0
        self._since = node.clock.now()
        self._living = {process for process in node.table.values() if self._concerns(process)}
        self._unsubscribe = node.subscribe_events(self._note)
        self._timer = node.timers.plan(seconds, self.end)
        self.ended = False

    def rate(self) -> CrashRate:
        """What was counted so far."""
        self._advance()
        return CrashRate(self.crashes, self._area)

    def end(self) -> None:
        """Watch no longer."""
        if not self.ended:
            self._advance()
            self.ended = True
            self._unsubscribe()
            self.node.timers.cancel(self._timer)

    def _concerns(self, process: Process) -> bool:
        server = server_of(process)
        return server is not None and type(server) in self.classes

    def _advance(self) -> None:
        if not self.ended:
            now = self.node.clock.now()
            self._area += len(self._living) * (now - self._since)
            self._since = now

    def _note(self, event: KernelEvent) -> None:
        if isinstance(event, ProcessStarted):
            if self._concerns(event.process):
                self._advance()
                self._living.add(event.process)
        elif isinstance(event, ProcessExited) and self._concerns(event.process):
            self._advance()
            self._living.discard(event.process)  # whose init crashed was never in
            if not is_orderly(event.reason) and event.reason not in ("killed", "noproc"):
                self._count(event)

    def _count(self, event: ProcessExited) -> None:
        self.crashes += 1
        if self.rate().exceeds(self.former, self.min_crashes):
            self.end()
            self.give_up(
                f"{self.crashes} crashes in {self._area:.3g} process-seconds, before it were {self.former.crashes} in "
                f"{self.former.process_seconds:.3g}; the last: {reason_text(event.reason)}"
            )
