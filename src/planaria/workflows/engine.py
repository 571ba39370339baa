"""The workflows of a garden: their definitions, their runs, and what others may see of both.

Started under the name `workflows`, after the supervisor `runs` and before `schedules` (see `tree.py`). It keeps
each definition's last good version when its file breaks, and says what is wrong to the library. A run is
accepted when its start is in the journal; at boot every accepted run that is not over is taken up again.
`Workflows` itself waits for no tool: runs are processes of their own.

Does badly: it is one process, so accepting a run waits for the commit of the one before.
Emits in the journal: `workflow.run.started`, and in the session `workflows`: `workflow.schedule.set`,
`workflow.slot.skipped`, `workflow.checkpoint`. On the topic `workflows`: `DefinitionsChanged`, `RunChanged`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from planaria.cortex.durable.letters import DeadLettered, letter
from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import new_id, repeatable_id
from planaria.cortex.event_type import EventType
from planaria.cortex.fold import events_of
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.gate.gate import Gate
from planaria.membrane.tool import Context
from planaria.otp import (
    CallError,
    Crash,
    Deferred,
    Down,
    DynamicSupervisor,
    GenServer,
    Pid,
    Ref,
    StartFailed,
    Task,
    TaskDone,
    broadcast,
    call,
    cast,
    child,
    now,
    run_blocking,
    send_after,
    sleep,
    subscribe,
    wall_time,
    whereis,
)
from planaria.records.errors import Problem
from planaria.records.library import TOPIC as RECORDS
from planaria.records.library import Library
from planaria.records.record import Record
from planaria.records.scan import RecordChanged
from planaria.workflows.catalogue import Catalogue, Entry
from planaria.workflows.check import nearest
from planaria.workflows.definition import FirstRun, Source, Workflow, definition_hash, pack
from planaria.workflows.errors import DefinitionError
from planaria.workflows.events import SESSION, Checkpoint, RunFinished, RunStarted, ScheduleSet, SlotSkipped
from planaria.workflows.ledger import KINDS, Ledger, Standing, from_checkpoint
from planaria.workflows.load import FOLDER, load_python, load_record, problem_of, python_files
from planaria.workflows.messages import RUNS, START, TOPIC, DefinitionsChanged, Refused, RunChanged, run_name
from planaria.workflows.run import Run, fact_id, rebuild
from planaria.workflows.slots import next_slot
from planaria.workflows.views import RunSummary, RunView, WorkflowView, edges_of, nodes_of, run_view

CHECKPOINT_EVERY = 500
"""Runs after which it is written down how all of them stand, so that a boot reads no more than these."""
LONGEST = 10.0
"""Seconds a run may take to say that its end is in the journal."""
TELL_AGAIN = 0.05
"""Seconds until a run that is being restarted is told again that it ends."""
LOOK_AGAIN = 1.0
"""Seconds until it is looked whether a start is in the journal that nobody could tell about."""


class Plan(msgspec.Struct, frozen=True):
    """A schedule to keep: slots later than `since` (Unix seconds) are due; `ran`: the workflow ran before."""

    name: str
    cron: str
    zone: str
    first_run: FirstRun
    since: float
    ran: bool


class StartMissing(msgspec.Struct, frozen=True):
    """To itself: start the process of every run that goes on and has none."""


class Unsure(msgspec.Struct, frozen=True):
    """To itself: the start of this run may be in the journal, though the journal did not say so."""

    run_id: str


class Workflows(GenServer):
    """Definitions and runs; see the module. What cannot be done is answered with `Refused`."""

    trap_exit = True
    call_timeout = 30.0  # an answer waits for the disk

    async def init(
        self, gate: Gate, garden: Path, services: Mapping[type, object] | None = None, zone: str = "UTC"
    ) -> None:
        """Load the definitions, then take up the runs that are not over.

        Args:
            gate: where tools are called; its tools are what definitions may name.
            garden: its folder.
            services: what tools may ask their context for.
            zone: the time zone of workflows that name none.
        """
        self.gate, self.garden, self.zone = gate, Path(garden), zone
        self.base = Context("workflow", self.garden, services=services or {})
        self.catalogue = Catalogue(gate.tools())
        self.ledger = Ledger()
        self.loading: dict[Ref, str] = {}
        self.since_checkpoint = 0
        subscribe(RECORDS)
        subscribe(TOPIC)
        for record in await Library.list("library", "workflows"):
            self._read(record)
        for problem in await Library.problems("library"):
            if problem.path.startswith(f"{FOLDER}/") and problem.path.endswith(".md"):
                self.catalogue.put(problem.path, (), (problem,))
        for path in await run_blocking(python_files, self.garden):
            self._import(path)
        await self._read_journal()
        await self._note_schedules()
        await self._start_missing()

    # --- runs ----------------------------------------------------------------------------------------------------

    @call
    async def start_run(
        self,
        name: str,
        trigger: str = "hand",
        arguments: dict[str, Any] | None = None,
        slot: float | None = None,
        cause_id: str | None = None,
        trace_id: str = "",
        key: str = "",
    ) -> str | Refused:
        """Start a run; it is accepted, and survives anything, when this answers with its id.

        Args:
            name: of the workflow.
            trigger: what started it, for people: `hand`, `schedule`, `agent:scout`.
            arguments: for the workflow's inputs.
            slot: the time a schedule asked for, Unix seconds; a slot that is dealt with already is refused, and
                one that comes while a run of the workflow goes on is skipped.
            cause_id: the event that led to it.
            trace_id: of that event; a new one if empty.
            key: whatever asks twice with the same one gets the same run; a slot is such a key by itself.
        """
        if key and (known := await self._known(_run_id(name, slot, key))):
            return known
        entry = self.catalogue.entries.get(name)
        if entry is None:
            return Refused(f"there is no workflow {name!r}, {nearest(name, self.catalogue.entries)}")
        if entry.source is None:
            wrong = entry.problems[0] if entry.problems else "its file cannot be read"
            return Refused(f"the workflow {name!r} cannot run: {wrong}")
        given = arguments or {}
        workflow = entry.source.workflow
        refused = _inputs(workflow, given)
        if slot is not None:
            refused = await self._slot(name, slot, refused)
        if refused:
            return refused
        fact = RunStarted(
            at=wall_time(),
            run=_run_id(name, slot, key),
            workflow=name,
            hash=definition_hash(workflow),
            definition=pack(workflow),
            trigger=trigger,
            arguments=given,
            slot=slot,
        )
        accepted = await self._accept(fact, cause_id, trace_id, key or ("" if slot is None else "slot"))
        if accepted is not None:
            return accepted
        self.ledger.started(fact)
        broadcast(TOPIC, RunChanged(fact.run, self.ledger.recent[fact.run]))
        await self._start(fact.run)
        self.since_checkpoint += 1
        if self.since_checkpoint >= CHECKPOINT_EVERY:
            await self._read_journal()
        return fact.run

    @call
    def cancel(self, run_id: str, reason: str = "cancelled by hand") -> Deferred[bool | Refused]:
        """End a run: its call is killed at once, no further step is taken. False if it was over already.

        Answered when the journal has it, by a run that is being restarted meanwhile, too; after ten seconds it is
        refused, as it is not certain then: the call has ended all the same.
        """
        answer: Deferred[bool | Refused] = self.defer()
        if run_id in self.ledger.active:
            Task.start_link(_cancel, self.pid, run_id, reason, answer, label=f"cancel {run_id}")
        elif run_id in self.ledger.recent:
            answer.reply(False)
        else:
            answer.reply(
                Refused(f"there is no run {run_id!r} going on; the runs of late are in the list of runs")
            )
        return answer

    @call
    def standing(self, run_id: str) -> str:
        """How a run stands, or ended, of late; empty if that is long ago."""
        run = self.ledger.active.get(run_id) or self.ledger.recent.get(run_id)
        return "" if run is None else run.status

    @call
    def active(self) -> tuple[str, ...]:
        """The ids of all runs that go on."""
        return tuple(self.ledger.active)

    @call
    def runs(self, limit: int = 50) -> tuple[RunSummary, ...]:
        """The latest runs, newest first."""
        return tuple(reversed(self.ledger.recent.values()))[: max(0, limit)]

    @call
    def show(self, run_id: str) -> Deferred[RunView | None]:
        """A run in full, as the journal tells it, with its graph and the path taken; None if there is none.

        Raises:
            JournalUnavailable, CallError: the journal cannot be read.
        """
        answer: Deferred[RunView | None] = self.defer()
        Task.start_link(_show, run_id, answer, label=f"show {run_id}")
        return answer

    # --- definitions ---------------------------------------------------------------------------------------------

    @call
    def list(self) -> tuple[WorkflowView, ...]:
        """All workflows by name, broken ones included."""
        at = wall_time()
        return tuple(self._view(entry, at) for _, entry in sorted(self.catalogue.entries.items()))

    @call
    def definition(self, name: str) -> Workflow | Refused:
        """The last good version of a workflow."""
        entry = self.catalogue.entries.get(name)
        if entry is None or entry.source is None:
            return Refused(f"there is no good workflow {name!r}, {nearest(name, self.catalogue.entries)}")
        return entry.source.workflow

    @call
    def plans(self) -> tuple[Plan, ...]:
        """The schedules to keep."""
        found = []
        for name, entry in sorted(self.catalogue.entries.items()):
            if entry.source is None or (schedule := entry.source.workflow.schedule) is None:
                continue
            standing = self.ledger.standing.get(name)
            since = max(standing.at if standing else wall_time(), self.ledger.slots.get(name, 0.0))
            ran = name in self.ledger.last
            zone = entry.source.workflow.zone
            found.append(Plan(name, schedule.cron, zone, schedule.first_run, since, ran))
        return tuple(found)

    @cast
    def changed(self, path: str) -> None:
        """A Python file in `workflows/` appeared, changed or went away."""
        self._import(path)

    async def handle_info(self, message: Any) -> None:
        match message:
            case RecordChanged(kind="workflows"):
                self._record_changed(message)
                await self._definitions_changed(message.path)
            case RunChanged(summary=summary):
                self.ledger.changed(summary)
            case TaskDone(ref=ref, value=tuple() as sources) if ref in self.loading:
                path = self.loading.pop(ref)
                self._put(path, sources)
                await self._definitions_changed(path)
            case Down(ref=ref, reason=reason) if ref in self.loading:
                path = self.loading.pop(ref)
                self._import_failed(path, reason)
                await self._definitions_changed(path)
            case StartMissing():
                await self._start_missing()
            case Unsure(run_id=run_id):
                if isinstance(await self._known(run_id), Refused):
                    send_after(LOOK_AGAIN, self.pid, message)
            case _:
                pass  # other records, our own broadcasts, ends of tasks

    def _record_changed(self, change: RecordChanged) -> None:
        if change.error is not None:
            self.catalogue.put(change.path, (), (change.error.as_problem(),))
        elif change.record is not None:
            self._read(change.record)
        else:
            self.catalogue.remove(change.path)

    def _read(self, record: Record) -> None:
        try:
            self._put(record.path, (load_record(record, self.zone),))
        except DefinitionError as error:
            self._put(record.path, (), error.problems)

    def _import(self, path: str) -> None:
        ref = Task.start_link(load_python, self.garden, path, self.zone, label=f"import {path}")
        self.loading[ref] = path

    def _import_failed(self, path: str, reason: object) -> None:
        error = reason.error if isinstance(reason, Crash) else None
        if isinstance(error, FileNotFoundError) and not (self.garden / path).exists():
            self.catalogue.remove(path)
            Library.clear("library", path)
        elif error is not None:
            self._put(path, (), problem_of(error, self.garden, path))
        else:
            self._put(path, (), (Problem(path, 1, f"importing it ended with {reason}", "mend the file"),))

    def _put(self, path: str, sources: Sequence[Source], problems: tuple[Problem, ...] = ()) -> None:
        Library.clear("library", path)
        for problem in self.catalogue.put(path, sources, problems):
            Library.report("library", problem)

    async def _definitions_changed(self, path: str) -> None:
        await self._note_schedules()
        names = tuple(name for name, entry in self.catalogue.entries.items() if entry.path == path)
        broadcast(TOPIC, DefinitionsChanged(names))

    def _view(self, entry: Entry, at: float) -> WorkflowView:
        last = self.ledger.last.get(entry.name)
        if entry.source is None:
            return WorkflowView(entry.name, entry.path, problems=entry.problems, last_run=last)
        workflow = entry.source.workflow
        schedule = workflow.schedule
        return WorkflowView(
            entry.name,
            entry.path,
            description=workflow.description,
            runnable=True,
            cron=schedule.cron if schedule else None,
            zone=workflow.zone,
            next_at=next_slot(schedule.cron, workflow.zone, at) if schedule else None,
            hash=definition_hash(workflow),
            inputs=workflow.inputs,
            start=workflow.start,
            nodes=nodes_of(workflow),
            edges=edges_of(workflow),
            problems=entry.problems,
            last_run=last,
        )

    # --- the journal -----------------------------------------------------------------------------------------------

    async def _read_journal(self) -> None:
        """Take in what happened since the last checkpoint; write one if that was much."""
        if not self.ledger.upto:
            query = Query(session=SESSION, kinds=(Checkpoint.kind,), limit=1, newest_first=True)
            for event in await Journal.read("journal", query):
                self.ledger = from_checkpoint(event)
        read = 0
        async for event in events_of("journal", None, kinds=KINDS, after_seq=self.ledger.upto):
            self.ledger.take(event)
            read += 1
        self.since_checkpoint = 0
        if read >= CHECKPOINT_EVERY:
            await self._append(self.ledger.checkpoint())

    async def _note_schedules(self) -> None:
        """A schedule that is new or changed counts from now on."""
        for name, entry in self.catalogue.entries.items():
            if entry.source is None or (schedule := entry.source.workflow.schedule) is None:
                continue
            zone, known = entry.source.workflow.zone, self.ledger.standing.get(name)
            if known is None or (known.cron, known.zone) != (schedule.cron, zone):
                standing = Standing(schedule.cron, zone, wall_time())
                self.ledger.standing[name] = standing
                await self._append(ScheduleSet(name, standing.cron, standing.zone, standing.at))

    async def _slot(self, name: str, slot: float, never: Refused | None) -> Refused | None:
        """Whether a slot may run; one that comes too early, or that never can run, is noted as skipped."""
        if slot <= self.ledger.slots.get(name, float("-inf")):
            return Refused("this slot of the schedule is dealt with already")
        if never is None and not any(run.workflow == name for run in self.ledger.active.values()):
            return None
        events: list[EventType] = [SlotSkipped(name, slot)]
        if never is not None:
            evidence = {"workflow": name, "trigger": "schedule", "slot": slot}
            events.append(letter(START, never.error, target=f"{name}/{slot:.0f}", evidence=evidence))
        if unwritten := await self._append(*events):
            return Refused(f"the run was not started: {unwritten}", retry=True)
        self.ledger.passed(name, slot)
        if never is not None:
            return never
        return Refused("the run before this one still goes on, so the slot is skipped")

    async def _accept(
        self, fact: RunStarted, cause_id: str | None, trace_id: str, key: str
    ) -> str | Refused | None:
        """Write the start of a run; None if it is on disk now, its id if it was before, else why it cannot be."""
        start = fact_id(fact.run, 0)
        event = fact.new(
            session=run_name(fact.run),
            process=SESSION,
            cause_id=cause_id,
            trace_id=trace_id,
            id=start,
        )
        try:
            await Journal.append("journal", [event])
        except EventRefused as error:
            if error.duplicate_of != start:
                return Refused(f"the run was not started: {error}")
            known = await self._known(fact.run)
            return known or Refused("the run was started before, but cannot be found; try again", retry=True)
        except (JournalUnavailable, CallError) as error:
            send_after(LOOK_AGAIN, self.pid, Unsure(fact.run))
            mend = "try again" if key else "the list of runs will tell"
            return Refused(f"whether the run was started is not known: {error}; {mend}", retry=bool(key))
        return None

    async def _known(self, run_id: str) -> str | Refused | None:
        """A run that was accepted before; taken up if it goes on unseen. None if there is none."""
        if run_id in self.ledger.recent or run_id in self.ledger.active:
            return run_id
        kinds = (RunStarted.kind, RunFinished.kind)
        try:
            facts = await Journal.read("journal", Query(session=run_name(run_id), kinds=kinds))
        except (JournalUnavailable, CallError) as error:
            return Refused(f"whether the run was started is not known: {error}; try again", retry=True)
        if facts and facts[-1].kind != RunFinished.kind:
            self.ledger.note(facts[0])
            await self._start(run_id)
        return run_id if facts else None

    async def _append(self, *events: EventType) -> str | None:
        """Write events; None if they are on disk, else why not. A letter goes to the stream of letters."""
        made = [
            event.new(session="" if isinstance(event, DeadLettered) else SESSION, process=SESSION)
            for event in events
        ]
        try:
            await Journal.append("journal", made)
        except (JournalUnavailable, EventRefused, CallError) as error:
            return str(error)
        return None

    # --- processes -------------------------------------------------------------------------------------------------

    async def _start_missing(self) -> None:
        for run_id in tuple(self.ledger.active):
            if whereis(run_name(run_id)) is None:
                await self._start(run_id)

    async def _start(self, run_id: str) -> None:
        spec = child(Run, run_id, self.gate, self.base, name=run_name(run_id), restart="transient")
        try:
            await DynamicSupervisor.start_child(RUNS, spec)
        except (StartFailed, CallError):
            # Accepted all the same: the supervisor is being restarted, or the process is there already.
            send_after(1.0, self.pid, StartMissing())


async def _cancel(engine: Pid, run_id: str, reason: str, answer: Deferred[bool | Refused]) -> None:
    """Tell a run that it ends; restarted meanwhile it would go on, so the next process is told."""
    until = now() + LONGEST
    while True:
        try:
            answer.reply(await Run.cancel.within(max(until - now(), TELL_AGAIN))(run_name(run_id), reason))
            return
        except CallError as error:
            problem = (
                f"{run_id} ends, but it is not certain that it was written down ({error}); cancel it again"
            )
        if now() >= until:
            answer.reply(Refused(problem, retry=True))
            return
        await sleep(TELL_AGAIN)
        if (standing := await Workflows.standing(engine, run_id)) != "running":
            answer.reply(standing == "cancelled")
            return


async def _show(run_id: str, answer: Deferred[RunView | None]) -> None:
    try:
        events = await Journal.read("journal", Query(session=run_name(run_id)))
    except (JournalUnavailable, CallError) as error:
        answer.fail(error)
        return
    try:
        known = rebuild(events, tolerant=True)
    except msgspec.ValidationError:
        known = None  # a definition that this program cannot read
    answer.reply(None if known is None else run_view(known.workflow, known.state))


def _run_id(workflow: str, slot: float | None, key: str) -> str:
    """The id of a run: the same for the same key, or slot, so that no two runs come of one."""
    if key:
        return repeatable_id(SESSION, "run", key)
    return new_id() if slot is None else repeatable_id(SESSION, "slot", workflow, repr(slot))


def _inputs(workflow: Workflow, given: Mapping[str, Any]) -> Refused | None:
    for name in given:
        if name not in workflow.inputs:
            mend = nearest(name, workflow.inputs)
            return Refused(f"the workflow {workflow.name!r} has no input {name!r}; {mend}")
    missing = [name for name, default in workflow.inputs.items() if default is None and name not in given]
    if missing:
        return Refused(f"the workflow {workflow.name!r} needs the input {missing[0]!r}; give it a value")
    return None
