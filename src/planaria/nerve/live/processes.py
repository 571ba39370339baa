"""Processes now, looked up when somebody asks."""

from typing import ClassVar

from planaria.cortex.live.table import Row, Table
from planaria.nerve.live.projected import Projected
from planaria.otp import Node, Pid
from planaria.otp.kernel.mailbox import queue_length
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import STATUS_NAMES, Request

MOST = 10_000


class ProcessRow(Row, frozen=True):
    """One process; `key` is its name, else its pid.

    Attributes:
        kind: the class of the server in it, or `function`.
        status: `waiting`, `ready`, `running`, `suspended`.
        doing: the call, cast or message in hand, without what is in it; empty for none.
        since: seconds on the node's clock when it was started.
    """

    labels: ClassVar[tuple[str, ...]] = ("kind", "status", "name", "parent")
    pid: str
    name: str | None
    label: str
    kind: str
    status: str
    doing: str
    queue: int
    reductions: int
    restarts: int
    parent: str
    since: float


class Processes(Projected):
    """Keeps the table `processes`."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node
        self.table: Table[ProcessRow] = Table("processes", ProcessRow, MOST, "a process of the node")
        self.table.refresh = self.refresh

    def refresh(self) -> None:
        """Look at every process, the oldest first; those beyond the limit count as evicted."""
        pids = self.node.processes()
        self.table.evicted = max(0, len(pids) - MOST)
        rows = (_row(self.node, pid) for pid in pids[:MOST])
        self.table.replace_all({row.key: row for row in rows})


def _row(node: Node, pid: Pid) -> ProcessRow:
    current = pid.current
    return ProcessRow(
        key=pid.name or str(pid),
        pid=str(pid),
        name=pid.name,
        label=pid.label,
        kind=_kind(pid),
        status=STATUS_NAMES[pid.status],
        doing="" if current is None else _doing(current),
        queue=queue_length(pid),
        reductions=pid.reductions,
        restarts=node.restarts.get(pid, 0),
        parent="" if pid.parent is None else pid.parent.name or str(pid.parent),
        since=pid.started_at,
    )


def _kind(pid: Pid) -> str:
    body: object = pid.body
    if body is None:
        return "function"
    while (inner := getattr(body, "inner", None)) is not None and hasattr(body, "handle"):
        body = inner
    return type(body).__qualname__


def _doing(envelope: Envelope) -> str:
    kind, body, *_ = envelope
    match body:
        case None:
            return ""
        case Request(handler=handler):
            return f"{kind} {handler}"
        case (str(handler), _, _) if kind == "cast":
            return f"cast {handler}"
        case _:
            return f"{kind} {type(body).__name__}"
