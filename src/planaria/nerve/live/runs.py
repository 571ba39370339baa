"""Runs of workflows now, and those that ended last."""

from typing import ClassVar

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.live.table import Row, Table
from planaria.nerve.live.projected import Projected

MOST = 500


class RunRow(Row, frozen=True):
    """One run; `key` is `run:<id>`.

    Attributes:
        status: `running`, `done`, `failed`, `cancelled`.
        step: the one entered last, and `since` when; unix seconds.
        steps: how many were entered.
        error: why it failed.
    """

    labels: ClassVar[tuple[str, ...]] = ("workflow", "status", "step", "trigger")
    workflow: str
    status: str
    trigger: str
    started: float
    step: str = ""
    since: float = 0.0
    steps: int = 0
    retries: int = 0
    ended: float | None = None
    error: str = ""


class Runs(Projected):
    """Keeps the table `runs`."""

    kinds = frozenset(
        {
            *("workflow.run.started", "workflow.run.finished", "workflow.run.resumed"),
            *("workflow.step.started", "workflow.step.retried"),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self.table: Table[RunRow] = Table("runs", RunRow, MOST, "a run of a workflow")

    def event(self, event: Event) -> None:
        """One event of a run."""
        payload, key = event.payload, event.session
        row = self.table.get(key)
        if row is None:
            # One that began before the events that were read.
            row = RunRow(key, str(payload.get("workflow", "")), "running", "", event.at)
        change = msgspec.structs.replace
        match event.kind:
            case "workflow.run.started":
                trigger = str(payload.get("trigger", ""))
                row = RunRow(
                    key, str(payload.get("workflow", "")), "running", trigger, event.at, since=event.at
                )
            case "workflow.step.started":
                step = str(payload.get("step", ""))
                row = change(row, step=step, since=event.at, steps=row.steps + 1)
            case "workflow.step.retried":
                row = change(row, retries=row.retries + 1, error=str(payload.get("error", ""))[:200])
            case "workflow.run.resumed":
                row = change(row, since=event.at)
            case "workflow.run.finished":
                status, error = str(payload.get("status", "done")), str(payload.get("error") or "")[:200]
                row = change(row, status=status, ended=event.at, since=event.at, error=error)
            case _:
                pass
        self.table.put(row)
