"""Where the time of one measurement goes: which function runs, asked every millisecond of processor time.

Cheap enough not to change what it looks at, as a tracing profiler would. What C does (a deque, a dict, a context)
counts for the Python function that called it; the collector is timed apart. Does badly: a look happens where the
interpreter next listens to signals, so short functions without calls are charged to their callers. Compiled code has
no frames: it counts for whatever interpreted function called it.
"""

import gc
import signal
from collections import Counter
from pathlib import Path
from time import process_time
from types import FrameType
from typing import Self

EVERY = 0.001
"""Seconds of processor time from one look to the next."""
ENTRY = 8
"""Bytes of code within which a function has done nothing yet."""
SHOWN = 8


class Profile:
    """A context manager; afterwards `str()` of it says who took how much."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.collecting = 0.0
        self.elapsed = 0.0
        self._since = 0.0

    def __enter__(self) -> Self:
        self.elapsed = -process_time()
        gc.callbacks.append(self._collected)
        signal.signal(signal.SIGPROF, self._look)
        signal.setitimer(signal.ITIMER_PROF, EVERY, EVERY)
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        gc.callbacks.remove(self._collected)
        self.elapsed += process_time()

    def __str__(self) -> str:
        collector = self.collecting / self.elapsed
        share = (1 - collector) / max(1, self.seen.total())
        parts = [(count * share, where) for where, count in self.seen.items()]
        if collector > 0.005:
            parts.append((collector, "garbage collector"))
        parts.sort(reverse=True)
        return "; ".join(f"{part:.0%} {where}" for part, where in parts[:SHOWN])

    def _look(self, number: int, frame: FrameType | None) -> None:
        if frame is not None:
            if frame.f_lasti <= ENTRY and frame.f_back is not None:
                frame = frame.f_back  # only just called: the time went before
            code = frame.f_code
            self.seen[f"{Path(code.co_filename).stem}.{code.co_qualname}"] += 1

    def _collected(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._since = process_time()
        else:
            self.collecting += process_time() - self._since
