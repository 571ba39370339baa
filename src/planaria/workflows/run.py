"""One run of a workflow, carried through step by step.

Started by `Workflows` under the supervisor `runs`, as `run:<id>`; restarted by it after a crash or a kill. It
keeps nothing that is not in the journal: it folds its session, asks `advance` what follows, writes the facts
down, and only then acts. A tool call is a linked task through the gate, so a killed run leaves no call behind,
and a call whose end the gate has noted is not made again.
While the journal cannot be written the run waits with the outcome in hand, and nothing is called twice.

A call that was cut off in the middle follows the policy of its tool; one that must not act twice keys what it does by
`context.effect`.

Does badly: a run of very many steps is folded from its beginning when it is taken up.
Emits: the facts of `events.py`; `RunChanged` on `workflows` and `run:<id>`. Spans: `workflow.run`, `workflow.step`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec

from planaria.cortex.durable.letters import letter
from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import Event as JournalEvent
from planaria.cortex.event import NewEvent, repeatable_id
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.membrane.authority import Authority
from planaria.membrane.events import ToolFinished, ToolStarted
from planaria.membrane.gate.gate import Gate
from planaria.membrane.gate.outcome import outcome_of
from planaria.membrane.gate.prepared import Ended, Prepared
from planaria.membrane.tool import Context, Done, Failed, HeldBack, Outcome
from planaria.otp import (
    CallError,
    CallFailed,
    Crash,
    Deferred,
    Down,
    ExitSignal,
    GenServer,
    Task,
    TaskDone,
    TaskRef,
    broadcast,
    call,
    send_after,
    wall_time,
    whereis,
)
from planaria.rooms.message import room_name
from planaria.rooms.rooms import open_room
from planaria.workflows.advance import (
    Answer,
    Begin,
    Call,
    Cancel,
    Due,
    Effect,
    Event,
    Look,
    Over,
    Wait,
    advance,
)
from planaria.workflows.cancelling import withdraw
from planaria.workflows.definition import FAILED, Workflow, unpack
from planaria.workflows.events import (
    Fact,
    RunFinished,
    RunStarted,
    read_fact,
)
from planaria.workflows.messages import START, TOPIC, RunChanged, run_name
from planaria.workflows.spans import RunSpans
from planaria.workflows.state import Result, State, apply, begin
from planaria.workflows.views import RunSummary, summary

JOURNAL_PAUSE = (1.0, 2.0, 5.0, 15.0)
"""Seconds between tries while the journal cannot be used; the last one repeats."""


class RetryDue(msgspec.Struct, frozen=True):
    """To itself: the pause before another attempt is over."""

    until: float


class TimeUp(msgspec.Struct, frozen=True):
    """To itself: the call with this id has taken as long as it may."""

    call_id: str


class JournalAgain(msgspec.Struct, frozen=True):
    """To itself: try the journal once more."""


class Run(GenServer):
    """One run. The state is public for those who look at the process; others ask `Workflows.show`."""

    trap_exit = True

    def init(self, run_id: str, gate: Gate, base: Context) -> None:
        """Begin with nothing but the name; the journal tells the rest.

        Args:
            run_id: its `workflow.run.started` is in the journal.
            gate: where tools are called.
            base: the garden and the services that tools may ask for.
        """
        self.run_id = run_id
        self.session = run_name(run_id)
        self.gate = gate
        self.base = base
        self.answers: dict[str, Outcome] = {}  # calls that were finished before this process began
        self.workflow: Workflow | None = None
        self.authority: Authority | None = None
        self.state: State | None = None
        self.trace_id = ""
        self.cause_id: str | None = None
        self.task: TaskRef | None = None
        self.calling: Call | None = None
        self.cut_off: frozenset[str] = frozenset()  # calls that were begun before it and have no end
        self.begun = ""  # the call that is begun in the journal and waits to be made
        self.unsaved: tuple[NewEvent, ...] | None = None
        self.answered = False  # whether what is not saved has the end of a call in it
        self.count = 0  # facts of this run in the journal
        self.cancelled: str | None = None
        self.cancelling: list[Deferred[bool]] = []  # who waits until that is in the journal
        self.dropped: Call | None = None  # what was under way then
        self.spans = RunSpans()
        self.tries = 0
        self.continue_with("resume")

    async def handle_continue(self, what: object) -> None:
        await self._resume()

    @call
    async def cancel(self, reason: str = "cancelled by hand") -> Deferred[bool]:
        """End the run: the call in hand is killed at once, no further step is taken. False if it was over already.

        Answered when the journal has it: from then on it holds, whatever is killed.
        """
        answer: Deferred[bool] = self.defer()
        if self.state is not None and self.state.status != "running":
            answer.reply(False)
            return answer
        self.cancelled = reason
        self.cancelling.append(answer)
        self._drop_call()
        if self.state is not None and self.unsaved is None:
            await self._go(Cancel(at=wall_time(), reason=reason))
        return answer

    async def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=Ended(outcome=outcome, events=events)) if ref is self.task:
                self.task = self.calling = None
                await self._go(_answer(outcome), events)
            case Down(ref=ref, reason=reason) if ref is self.task and self.calling is not None:
                cut_off, self.task, self.calling = self.calling.id, None, None
                if _journal_is_out(reason):
                    self._pause()
                    return
                if reason in ("kill", "killed"):  # nobody knows of it, as when this process is killed
                    self.cut_off |= {cut_off}
                    await self._go(Begin(at=wall_time()))
                    return
                crashed = Result(FAILED, error=f"the tool crashed: {reason}")
                await self._go(Answer(at=wall_time(), result=crashed))
            case TimeUp(call_id=call_id) if self.calling and self.calling.id == call_id:
                if self.gate.is_waiting(self.session, call_id):  # for people: that may take days
                    send_after(self.calling.timeout, self.pid, message)
                    return
                late = Result(FAILED, error=f"no answer within {self.calling.timeout:g} seconds")
                tool = self.gate.find(self.calling.tool)
                self._drop_call()
                # Nobody knows whether it took effect: only what may be done twice is tried again.
                retry = tool is not None and tool.on_unknown == "retry"
                await self._go(Answer(at=wall_time(), result=late, retry=retry))
            case RetryDue(until=until) if self.state and self.state.current:
                if self.state.current.due == until and self.task is None and self.unsaved is None:
                    await self._go(Due(at=max(until, wall_time())))
            case JournalAgain():
                await self._journal_again()
            case TaskDone() | Down() | TimeUp() | RetryDue() | ExitSignal():
                pass  # of a call that was dropped, or a task's orderly end
            case _:
                super().handle_info(message)

    async def _resume(self) -> None:
        try:
            events = await Journal.read("journal", Query(session=self.session))
        except (JournalUnavailable, CallError):
            self._pause()
            return
        self.tries = 0
        try:
            known = rebuild(events)
        except (EventMismatch, msgspec.ValidationError) as error:
            await self._give_up(events, str(error))
            return
        if known is None:
            self.stop("normal")
            return
        self.workflow, self.state = known.workflow, known.state
        self.answers, self.cut_off = known.answers, frozenset(known.begun - known.answers.keys())
        self.trace_id, self.cause_id, self.count = known.trace_id, known.cause_id, known.facts
        self.spans.begin(known.state, known.trace_id)
        if known.state.status != "running":  # the process before this one was killed before it could say so
            self._tell()
        if self.cancelled is not None:
            await self._go(Cancel(at=wall_time(), reason=self.cancelled))
        else:
            await self._go(Begin(at=wall_time()))

    async def _go(self, event: Event, ended: tuple[NewEvent, ...] = ()) -> None:
        """Decide, write down, then act.

        What ends one call and begins the next is one append: the gate's events, and the facts that follow.

        Args:
            ended: the gate's events of the call that the event answers.
        """
        while self.workflow is not None and self.state is not None:
            taken_up = isinstance(event, Begin) and self.state.current is not None
            decision = advance(self.workflow, self.state, event)
            if isinstance(event, Cancel) and self.dropped is None:
                under_way = advance(self.workflow, self.state, Look(at=event.at)).effect
                self.dropped = under_way if isinstance(under_way, Call) else None
            if decision.facts or ended:
                # Whoever takes a step up does not know whether its call was begun; the gate finds out.
                follows = None if taken_up else decision.effect
                if not await self._record(decision.facts, ended, follows):
                    return  # `_journal_again` goes on from here
                ended = ()
                # What counts is what the journal kept (secrets masked), so that a resumed run sees the same.
                event = Look(at=event.at)
                continue
            match decision.effect:
                case Call(id=call_id) if call_id in self.answers:
                    event = _answer(self.answers.pop(call_id))
                    continue
                case Call() as wanted:
                    self._call(wanted)
                case Wait(until=until):
                    send_after(max(0.0, until - wall_time()), self.pid, RetryDue(until))
                case Over():
                    if self.dropped is not None:
                        await withdraw(self.session, self.dropped)
                    self._tell_over(self.state.status == "cancelled")
                    self.stop("normal")
            return

    async def _record(
        self, facts: tuple[Fact, ...], ended: tuple[NewEvent, ...], follows: Effect | None
    ) -> bool:
        """Write down what ended, the facts, and the beginning of the call that follows, if one does."""
        events = list(ended)
        for place, fact in enumerate(facts, self.count):
            event_id = fact_id(self.run_id, place)
            events.append(
                fact.new(
                    session=self.session,
                    process=self.session,
                    trace_id=self.trace_id,
                    cause_id=self.cause_id,
                    id=event_id,
                )
            )
            self.cause_id = event_id
            if isinstance(fact, RunFinished) and fact.halted:
                events.append(self._letter(fact))
        if isinstance(follows, Call) and follows.id not in self.answers:
            self.begun = follows.id
            events += self._prepared(follows).events
        self.unsaved = tuple(events)
        self.answered = bool(ended)
        return await self._save()

    def _letter(self, over: RunFinished) -> NewEvent:
        """What was halted, for a person to have done again."""
        assert self.state is not None
        evidence = {"run": self.run_id, "workflow": over.workflow, "arguments": self.state.arguments}
        halted = letter(START, over.error or "", target=self.run_id, evidence=evidence)
        return halted.new(trace_id=self.trace_id, cause_id=self.cause_id)

    async def _save(self) -> bool:
        assert self.unsaved is not None and self.state is not None
        events = self.unsaved
        try:
            kept = await Journal.append("journal", events)
        except (JournalUnavailable, CallError):
            self._pause()
            return False
        except EventRefused as error:
            if error.duplicate_of is None and not self.answered:
                raise
            if error.duplicate_of is None:
                self.unsaved = None
                problem = f"the tool answered what cannot be written down: {error.reason}"
                await self._go(Answer(at=wall_time(), result=Result(FAILED, error=problem)))
                return False
            # This place in the run is taken: an append of ours, or of the process before this one, was written
            # after it seemed lost. What is there counts.
            self.unsaved = None
            await self._resume()
            return False
        for event in kept:
            if (fact := read_fact(event)) is not None:
                self.state = apply(self.state, fact)
                self.spans.follow(fact)
                self.count += 1
        self.unsaved = None
        self.tries = 0
        self._tell()
        return True

    def _tell(self) -> None:
        """Say how the run stands, by the journal."""
        assert self.state is not None
        changed = RunChanged(self.run_id, summary(self.state))
        broadcast(TOPIC, changed)
        broadcast(self.session, changed)

    async def _journal_again(self) -> None:
        if self.state is None:
            await self._resume()
        elif self.task is None and (self.unsaved is None or await self._save()):
            at = wall_time()
            await self._go(Look(at=at) if self.cancelled is None else Cancel(at=at, reason=self.cancelled))

    async def _give_up(self, events: Sequence[JournalEvent], why: str) -> None:
        """End a run whose facts cannot be read: it never can be carried through."""
        first, now = events[0], wall_time()
        name = str(first.payload.get("workflow", ""))
        why = f"what the journal has of this run cannot be read: {why}"
        over = RunFinished(at=now, run=self.run_id, workflow=name, status="failed", error=why)
        evidence = {"run": self.run_id, "workflow": name, "arguments": first.payload.get("arguments", {})}
        last = over.new(
            session=self.session,
            process=self.session,
            trace_id=first.trace_id,
            cause_id=first.id,
            id=repeatable_id(self.session, "given up"),
        )
        given_up = letter(START, why, target=self.run_id, evidence=evidence)
        try:
            await Journal.append("journal", [last, given_up.new(trace_id=first.trace_id, cause_id=last.id)])
        except (JournalUnavailable, CallError):
            self._pause()
            return
        except EventRefused as error:
            if error.duplicate_of is None:
                raise
        self._tell_over(False)
        broadcast(
            TOPIC, RunChanged(self.run_id, RunSummary(self.run_id, name, "failed", "", first.at, now, why))
        )
        self.stop("normal")

    def terminate(self, reason: object) -> None:
        """What is not over now goes on in another process, or at another time."""
        self.spans.end(reason)

    def _tell_over(self, cancelled: bool) -> None:
        waiting, self.cancelling = self.cancelling, []
        for answer in waiting:
            answer.reply(cancelled)

    def _pause(self) -> None:
        send_after(JOURNAL_PAUSE[min(self.tries, len(JOURNAL_PAUSE) - 1)], self.pid, JournalAgain())
        self.tries += 1

    def _call(self, wanted: Call) -> None:
        self.calling = wanted
        begun, self.begun = self.begun == wanted.id, ""
        # Prepared anew: what the journal kept has its secrets masked, and counts.
        prepared = self._prepared(wanted) if begun else None
        context, authority = self._context(wanted)
        self.task = Task.start_link(
            *(call_tool, self.gate, wanted, context, authority, prepared, wanted.id in self.cut_off),
            label=f"{self.session}/{wanted.step}",
        )
        send_after(wanted.timeout, self.pid, TimeUp(wanted.id))

    def _prepared(self, wanted: Call) -> Prepared:
        context, authority = self._context(wanted)
        return self.gate.prepare(wanted.tool, wanted.arguments, context, authority)

    def _context(self, wanted: Call) -> tuple[Context, Authority]:
        """Who calls, and what the workflow may use."""
        assert self.workflow is not None
        if self.authority is None:
            self.authority = self.workflow.authority()
        context = replace(
            self.base,
            caller=f"workflow:{self.workflow.name}",
            session=self.session,
            room=self.workflow.room,
            trace_id=self.trace_id,
            cause_id=self.cause_id,
            call_id=wanted.id,
            effect_id=wanted.effect,
            authority=self.authority,
        )
        return context, self.authority

    def _drop_call(self) -> None:
        if self.task is not None:
            self.task.cancel()
        self.task = self.calling = None


class Rebuilt(NamedTuple):
    """A run as its session tells it: `facts` of them; its calls `begun`, and `answers` of those finished, by id."""

    workflow: Workflow
    state: State
    trace_id: str
    cause_id: str
    facts: int
    answers: dict[str, Outcome]
    begun: set[str]


def fact_id(run_id: str, place: int) -> str:
    """The id of a run's fact by its place: two processes cannot both write the same place, however late one is."""
    return f"{run_id}.{place:05d}"


def rebuild(events: Iterable[JournalEvent], *, tolerant: bool = False) -> Rebuilt | None:
    """Fold the session of a run; None if it does not begin with its start.

    Args:
        tolerant: pass over facts that cannot be read any more, to show what is left; nobody may go on from there.
    Raises:
        EventMismatch, msgspec.ValidationError: a fact, or the definition, cannot be read.
    """
    known: Rebuilt | None = None
    for event in events:
        try:
            fact = read_fact(event)
        except EventMismatch:
            if not tolerant:
                raise
            continue
        if isinstance(fact, RunStarted):
            known = Rebuilt(unpack(fact.definition), begin(fact), event.trace_id, event.id, 1, {}, set())
        elif known is not None and fact is not None:
            known = known._replace(state=apply(known.state, fact), cause_id=event.id, facts=known.facts + 1)
        elif known is not None and event.kind == ToolFinished.kind and event.state == "whole":
            known.answers[str(event.payload.get("call_id"))] = outcome_of(event)
        elif known is not None and event.kind == ToolStarted.kind:
            known.begun.add(str(event.payload.get("call_id")))
    return known


async def call_tool(
    gate: Gate,
    wanted: Call,
    context: Context,
    authority: Authority,
    prepared: Prepared | None,
    cut_off: bool = False,
) -> Ended:
    """Call a tool, in the task's process; gives its outcome, and the events of its end if they are not written yet.

    Args:
        prepared: of a call whose beginning is in the journal; None: it may or may not be.
        cut_off: its beginning is there, and the process that made it has ended.

    The room of the workflow is opened first if nobody has done so.
    """
    if context.room and whereis(room_name(context.room)) is None and whereis("rooms") is not None:
        await open_room(context.room)
    if prepared is not None:
        return await gate.execute(prepared)
    return Ended(await gate.call(wanted.tool, wanted.arguments, context, authority, begun=cut_off), ())


def _answer(outcome: Outcome) -> Answer:
    at = wall_time()
    match outcome:
        case Done(value=value, branch=branch, text=text):
            return Answer(at=at, result=Result(branch, value, text))
        case Failed(error=error, retry=retry, branch=branch):
            held = isinstance(outcome, HeldBack) and outcome.by.startswith("breaker:")
            return Answer(at=at, result=Result(branch, error=error), retry=retry, held=held)


def _journal_is_out(reason: object) -> bool:
    """Whether a task ended because the gate could not note its call."""
    return isinstance(reason, CallFailed) or (
        isinstance(reason, Crash) and isinstance(reason.error, JournalUnavailable | CallError)
    )
