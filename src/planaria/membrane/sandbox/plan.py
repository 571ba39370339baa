"""What the node tells the keeper, and what the keeper reports, on descriptors. Standard library only.

Both are the same Python, so `marshal` is spoken: it costs nothing to import.
"""

import marshal
import os
from typing import Any, NamedTuple


class Limits(NamedTuple):
    """As in `SandboxPolicy`."""

    memory_bytes: int
    processes: int
    cpu_seconds: float
    wall_seconds: float
    file_bytes: int
    disk_bytes: int
    temporary_bytes: int


class Relay(NamedTuple):
    """How the program reaches the proxy: a small program inside, and the proxy's socket outside."""

    python: str
    script: str
    socket: str


class Plan(NamedTuple):
    """One run. Paths are absolute; `report` and `answer` are descriptors the keeper was given."""

    parent: int
    backend: str
    bwrap: str
    argv: list[str]
    environment: dict[str, str]
    folder: str
    read: list[str]
    write: list[str]
    kept: list[str]
    over: list[str]
    hidden: list[str]
    below: list[str]
    dotted: bool
    system: list[str]
    limits: Limits
    report: int
    answer: int | None
    relay: Relay | None


class Report(NamedTuple):
    """How it went. `refused`: why nothing was run; `broken`: why nobody knows how it ended."""

    exit_code: int = -1
    killed_by: str | None = None
    wall: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    memory: str = ""
    processes: str = ""
    cpu_held: str = ""
    disk: str = ""
    weaker: tuple[str, ...] = ()
    refused: str = ""
    broken: str = ""


def write_plan(plan: Plan) -> bytes:
    """For `read_plan`."""
    told = plan._asdict() | {"limits": tuple(plan.limits), "relay": tuple(plan.relay) if plan.relay else None}
    return marshal.dumps(told)


def read_plan(descriptor: int) -> Plan:
    """The plan in a file that is open; closes it."""
    told = _load(descriptor)
    told["limits"] = Limits(*told["limits"])
    told["relay"] = Relay(*told["relay"]) if told["relay"] else None
    return Plan(**told)


def write_report(descriptor: int, report: Report) -> None:
    """For `read_report`."""
    os.pwrite(descriptor, marshal.dumps(report._asdict()), 0)


def read_report(descriptor: int) -> Report | None:
    """The report in a file that is open; closes it. None: it says nothing."""
    told = _load(descriptor)
    if not told:
        return None
    told["weaker"] = tuple(told["weaker"])
    return Report(**told)


def _load(descriptor: int) -> dict[str, Any]:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        data = file.read()
    told: dict[str, Any] = marshal.loads(data) if data else {}
    return told
