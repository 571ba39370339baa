"""What is known about all runs together: which go on, what ran last, since when a schedule stands.

A fold over few kinds of events; taking the same stretch in twice ends in the same place. A checkpoint in the
journal spares a later boot the years before it. Pure.
"""

import msgspec

from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.workflows.events import (
    Checkpoint,
    RunFinished,
    RunStarted,
    ScheduleSet,
    SlotSkipped,
)
from planaria.workflows.messages import run_name
from planaria.workflows.state import begin
from planaria.workflows.views import RunSummary, summary

KINDS = (RunStarted.kind, RunFinished.kind, ScheduleSet.kind, SlotSkipped.kind)
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
        """Take the next event in."""
        self.upto = max(self.upto, event.seq)
        self.note(event)

    def note(self, event: Event) -> None:
        """Take an event in wherever it is. One that was pruned, or of a later program, tells what its header tells."""
        try:
            self._take(event)
        except EventMismatch:
            if event.kind == RunFinished.kind:
                self.active.pop(event.session.removeprefix(run_name("")), None)

    def _take(self, event: Event) -> None:
        match event.kind:
            case RunStarted.kind:
                self.started(RunStarted.of(event))
            case RunFinished.kind:
                self.finished(RunFinished.of(event))
            case ScheduleSet.kind:
                given = ScheduleSet.of(event)
                self.standing[given.workflow] = Standing(given.cron, given.zone, given.at)
            case SlotSkipped.kind:
                skipped = SlotSkipped.of(event)
                self.passed(skipped.workflow, skipped.slot)
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
        # By time, then id: the id of a run that a tool call started follows from the call, not from the clock.
        if last is None or (last.started, last.id) <= (run.started, run.id):
            self.last[run.workflow] = run

    def passed(self, workflow: str, slot: float) -> None:
        """A slot is dealt with."""
        self.slots[workflow] = max(slot, self.slots.get(workflow, slot))

    def checkpoint(self) -> Checkpoint:
        """The ledger as an event."""
        return msgspec.convert(msgspec.to_builtins(self), Checkpoint)


def from_checkpoint(event: Event) -> Ledger:
    """The ledger a checkpoint holds; an empty one, to be folded from the beginning, if it cannot be read."""
    try:
        return msgspec.convert(msgspec.structs.asdict(Checkpoint.of(event)), Ledger)
    except (EventMismatch, msgspec.ValidationError):
        return Ledger()
