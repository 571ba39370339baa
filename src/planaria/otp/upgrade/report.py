"""What an upgrade or a rollback did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planaria.otp.kernel.process import Process


@dataclass(frozen=True, slots=True)
class Pauses:
    """How long processes were held, in seconds of the machine; 0 where none was."""

    p50: float
    p99: float
    longest: float


@dataclass(frozen=True, slots=True)
class Report:
    """What was done.

    Attributes:
        modules: in the order in which their imports ended.
        version: now in force, of the module that was named first.
        moved: how many processes changed their code.
        late: those that had a message in hand all the time; they move when they are done with it.
        left: those that go on with the old code: plain functions in the middle of it, servers in threads. The next
            load kills whom it finds on it still.
        killed: those ended because they ran the version before last, or could not go back.
        seconds: of the machine, checks included.
    """

    modules: tuple[str, ...]
    version: int
    moved: int
    late: tuple[Process, ...]
    left: tuple[Process, ...]
    killed: tuple[Process, ...]
    seconds: float
    pauses: Pauses


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """One version of a module. `digest` is the SHA-256 of its source, None for what the first import gave."""

    name: str
    number: int
    in_force: bool
    loaded_at: float
    digest: str | None


def pauses_of(seconds: Sequence[float]) -> Pauses:
    """Median, 99th percentile and maximum."""
    if not seconds:
        return Pauses(0.0, 0.0, 0.0)
    ordered = sorted(seconds)
    last = len(ordered) - 1
    return Pauses(ordered[last // 2], ordered[int(last * 0.99)], ordered[last])
