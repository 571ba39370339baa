"""What is known about all runs together: which go on, what ran last, since when a schedule stands.

A fold over few kinds of events; taking the same stretch in twice ends in the same place. A checkpoint in the
journal spares a later boot the years before it. Pure.
"""

from typing import Any

import msgspec

from planaria.cortex.event import Event
from planaria.workflows.state import RunFinished, RunStarted, begin, read_fact
from planaria.workflows.views import RunSummary, summary

SESSION = "workflows"
"""The stream of what is about workflows and not about one run."""
SCHEDULE_SET = "workflow.schedule.set"
SLOT_SKIPPED = "workflow.slot.skipped"
CHECKPOINT = "workflow.checkpoint"
KINDS = (RunStarted.KIND, RunFinished.KIND, SCHEDULE_SET, SLOT_SKIPPED)
RECENT = 300
"""Runs kept for `Workflows.runs`; older ones are found by their id."""


class Standing(msgspec.Struct, frozen=True):
    """A schedule and since when it counts (Unix seconds)."""

    cron: str
    zone: str
    at: float


class Ledger(msgspec.Struct):
    """The fold; belongs to one process. `upto` is the place in the journal it has read to."""

    upto: int = 0
    active: dict[str, RunSummary] = {}
    recent: dict[str, RunSummary] = {}
    last: dict[str, RunSummary] = {}
    slots: dict[str, float] = {}
    standing: dict[str, Standing] = {}

    def take(self, event: Event) -> None:
        """Take one event in."""
        self.upto = max(self.upto, event.seq)
        payload = event.payload
        match event.kind:
            case RunStarted.KIND | RunFinished.KIND:
                fact = read_fact(event.kind, payload)
                if isinstance(fact, RunStarted):
                    self.started(fact)
                elif isinstance(fact, RunFinished):
                    self.finished(fact)
            case "workflow.schedule.set":
                self.standing[payload["workflow"]] = msgspec.convert(payload, Standing)
            case "workflow.slot.skipped":
                self.passed(payload["workflow"], payload["slot"])
            case _:
                pass

    def started(self, fact: RunStarted) -> None:
        """A run was accepted."""
        self.changed(summary(begin(fact)))
        if fact.slot is not None:
            self.passed(fact.workflow, fact.slot)

    def finished(self, fact: RunFinished) -> None:
        """A run is over."""
        known = self.active.get(fact.run) or self.recent.get(fact.run)
        if known is not None:
            self.changed(msgspec.structs.replace(known, status=fact.status, ended=fact.at, error=fact.error))

    def changed(self, run: RunSummary) -> None:
        """How a run stands now."""
        if run.status == "running":
            self.active[run.id] = run
        else:
            self.active.pop(run.id, None)
        self.recent[run.id] = run
        while len(self.recent) > RECENT:
            self.recent.pop(next(iter(self.recent)))
        last = self.last.get(run.workflow)
        if last is None or last.id <= run.id:
            self.last[run.workflow] = run

    def passed(self, workflow: str, slot: float) -> None:
        """A slot is dealt with."""
        self.slots[workflow] = max(slot, self.slots.get(workflow, slot))

    def checkpoint(self) -> dict[str, Any]:
        """The ledger as the payload of an event."""
        data = msgspec.to_builtins(self)
        assert isinstance(data, dict)
        return data


def from_checkpoint(payload: dict[str, Any]) -> Ledger:
    """The ledger a checkpoint holds. Raises msgspec.ValidationError if it holds none."""
    return msgspec.convert(payload, Ledger)
