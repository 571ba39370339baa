"""How much of the time that passes a thread must answer for: what it computes, and what it sleeps or waits by itself.

Not what others take from it: a machine that sleeps, a program that is stopped, processors and an interpreter's lock
that others use, a disk that is slow. A thread that gets a tenth of a processor is charged a tenth of a second a second.
Does badly: only Linux tells all of it. Elsewhere every second that passes is charged.
"""

from __future__ import annotations

import threading
import time

__all__ = ["Charge"]

COMPUTES = 0.1
"""Above this share of a processor a thread computes, and its pauses are those that others force on it."""


class Charge:
    """Made in the thread it is about; asked in another.

    Args:
        pause: seconds between two looks.
        late: seconds above which a look is so late that nobody can say what the thread did meanwhile.
    """

    def __init__(self, pause: float, late: float) -> None:
        clock_of = getattr(time, "pthread_getcpuclockid", None)
        self._clock: int | None = None if clock_of is None else clock_of(threading.get_ident())
        self._place = f"/proc/self/task/{threading.get_native_id()}"
        self._late = pause + late
        self._waited: float | None = None
        self.at = time.monotonic()
        """When it was looked last."""
        self.cpu = self._cpu_time() or 0.0
        """Seconds of processor time the thread had used then."""

    @property
    def known(self) -> bool:
        """Whether the system tells processor time for each thread."""
        return self._clock is not None

    def used(self) -> float:
        """Seconds of processor time the thread has used."""
        found = self._cpu_time()
        return self.cpu if found is None else found

    def look(self, closely: bool) -> float:
        """The seconds to be charged since the last look.

        Args:
            closely: ask the system what the thread did; else everything that passed is charged.
        """
        now, cpu = time.monotonic(), self.used()
        passed, used = now - self.at, cpu - self.cpu
        self.at, self.cpu = now, cpu
        if not closely or self._clock is None:
            self._waited = None
            return passed
        if used > 0.9 * passed:
            return passed
        if passed > self._late and used < passed / 2:
            self._waited = None
            return used
        sleeps, waited = self._state()
        before, self._waited = self._waited, waited
        if used > COMPUTES * passed or not sleeps or before is None or waited is None:
            return used
        return used + max(0.0, passed - used - (waited - before))

    def _state(self) -> tuple[bool, float | None]:
        """Whether the thread sleeps, and the seconds it has waited for a processor until now."""
        try:
            with open(f"{self._place}/stat", "rb") as file:
                # `S` sleeps; `R` computes or wants to, `D` waits for a disk, `T` is stopped.
                sleeps = file.read().rpartition(b")")[2].split()[0] == b"S"
            with open(f"{self._place}/schedstat", "rb") as file:
                return sleeps, int(file.read().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):  # no Linux, or one that does not count it
            return True, 0.0

    def _cpu_time(self) -> float | None:
        if self._clock is None:
            return None
        try:
            return time.clock_gettime(self._clock)
        except OSError:  # the thread has ended
            return None
