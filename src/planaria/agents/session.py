"""A session: one agent in one room, a state machine that never blocks.

Started by the agent's supervisor under the name `session:<agent>@<room>`, after the supervisor of its tasks.
States: `idle`, `thinking` (a model call is under way), `acting` (tools run), `waiting` (the answer is on its way into
the transcript, or a failed call rests before the next try). All work is done by tasks, so state, mailbox and what it
waits for can be looked at any time, and a kill ends the spending. What it knows of its turn is in the journal: killed,
it takes the turn up where that stands.

Turn-taking: messages that come during a turn are queued, taken in or interrupt it, see `arrivals.py`.
Does badly: a model that streams without end is ended by nobody but a person who kills its task.
Emits in the journal, session `session:<agent>@<room>`: see `turn.py`; on the room's topic `TurnState`, `ReplyDelta`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from planaria.agents.arrivals import to_collect, to_steer
from planaria.agents.attempt import Doing
from planaria.agents.brief import Brief
from planaria.agents.definition import AgentDefinition, AgentError, read_agent
from planaria.agents.desk import Desk, note
from planaria.agents.events import SessionForked, session_name
from planaria.agents.guard_events import StopMode
from planaria.agents.halting import Halted
from planaria.agents.kinship import ChildAsked
from planaria.agents.past.ledgers import known_ledger
from planaria.agents.spans import OUTCOME, end_turn, turn_span
from planaria.agents.state import compare
from planaria.agents.think import Thought, think
from planaria.agents.turn import Act, Action, Say, Think, Turn, next_action, take
from planaria.agents.work import (
    Begun,
    Behind,
    Executed,
    Noted,
    OpenCalls,
    Ran,
    Said,
    Stopped,
    begin,
    join,
    note_results,
    run_tool,
    say,
    stop,
)
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.telemetry.span import NO_SPAN, Span
from planaria.membrane.gate.gate import Gate
from planaria.membrane.gate.prepared import Prepared
from planaria.otp import (
    CallFailed,
    Crash,
    Down,
    GenServer,
    NoProcess,
    Pid,
    Ref,
    Task,
    TaskDone,
    TaskRef,
    call,
    cast,
    demonitor,
    monitor,
    reason_text,
    send,
    send_after,
    set_trace,
    subscribe,
)
from planaria.records.library import TOPIC as RECORDS
from planaria.records.scan import RecordChanged
from planaria.rooms.message import Delivery, room_name
from planaria.rooms.room import Room

KEEPER = "agents"
"""Registered name of who knows the newest version."""
ASK_AGAIN = 1.0
"""Seconds until the keeper is asked again."""
REJOIN = 0.2
"""Seconds between two tries to reach a room that is being restarted."""
AFTER_CRASH = 1.0
"""Seconds before work that crashed is done again."""
MAX_CRASHES = 3
"""Times the work of one turn may crash before the turn is given up."""
MOST_BEHIND = 10
"""Times a turn may find that the journal knows more of it before that counts as a crash."""
KEEP_EVERY = 250
"""Turns after which the turns of the session are kept as a snapshot, for replays."""
LOOK_EVERY = 32
"""Turns after which one is read from the journal once more before it is answered."""

type Status = Literal["idle", "thinking", "acting", "waiting"]


class SessionView(msgspec.Struct, frozen=True):
    """A session for people."""

    agent: str
    room: str
    status: Status
    doing: str
    waiting: int
    message: str | None
    steps: int


class WhoAmI(msgspec.Struct, frozen=True):
    """To the keeper of agents: a session has started and asks for the newest good version of its agent (`amend`)."""

    agent: str
    pid: Pid


class Rejoin(msgspec.Struct, frozen=True):
    """To itself: join the room, again."""


class Again(msgspec.Struct, frozen=True):
    """To itself: go on with the turn after a pause."""

    turn: str


class AgentProcess(GenServer):
    """One agent in one room."""

    trap_exit: ClassVar[bool] = True

    async def init(
        self,
        definition: AgentDefinition,
        room: str,
        garden: Path,
        gate: Gate,
        services: Mapping[type, object],
        fork: SessionForked | None = None,
        asked: Event | None = None,
    ) -> None:
        """Join the room; what was not answered before comes back.

        Args:
            fork: given, this session is a branch of another: its first turn goes on from there.
            asked: given, it is a child, and this its first event: it has one task and sits in no room.
        """
        self.agent = definition.name
        self.room = room
        self.session = session_name(definition.name, room) if asked is None else asked.session
        self.tasks_name = f"tasks:{self.session.removeprefix('session:')}"
        self.child = None if asked is None else ChildAsked.of(asked)
        self._desk = Desk(
            *(_as_forked(definition, fork), room, self.session, garden, gate, services, fork, self.child)
        )
        self.waiters: set[Pid] = set()  # of a child: those it works for
        self.status: Status = "idle"
        self.doing = ""
        self.queue: deque[Delivery] = deque()
        self.turn: Turn | None = None
        self.base: Turn | None = None  # what the turn's events were folded into
        self.events: list[Event] = []  # of the turn, as they were written
        self.brief: Brief | None = None
        self.turns = 0
        self.crashes = self.behind = 0
        self.fault = ""
        self.lost = False  # whether what the turn came to must be read from the journal
        self.crashed = False  # whether it was lost by a crash, after which it rests
        self.ready: dict[str, Prepared] = {}  # tool calls that are begun in the journal, by place
        self.results: tuple[NewEvent, ...] = ()  # of the last tool call, to be written with the next request
        self.ending: tuple[NewEvent, ...] = ()  # of the turn before, until it is written
        self.noting: TaskRef | None = None
        self.noted: tuple[NewEvent, ...] = ()
        self.tasks: dict[Ref, str] = {}
        self.amended = False
        self.joining: TaskRef | None = None
        self.room_monitor: Any = None
        self.span: Span = NO_SPAN  # of the turn
        if asked is None:
            subscribe(RECORDS)
        self.continue_with("introduce")

    def handle_continue(self, what: object) -> None:
        """Ask for the newest version, again until it comes; then join. A child is what it was asked as."""
        if self.child is not None:
            self.amended = True
            self._join()
        if not self.amended:
            try:
                send(KEEPER, WhoAmI(self.agent, self.pid))
            except NoProcess:
                pass  # it is being restarted
            send_after(ASK_AGAIN, self.pid, WhoAmI(self.agent, self.pid))

    # --- for people ---------------------------------------------------------------------------------------------------

    @call
    def view(self) -> SessionView:
        """What it does now."""
        turn = self.turn
        return SessionView(
            self.agent,
            self.room,
            self.status,
            self.doing,
            len(self.queue),
            turn.message.text[:200] if turn else None,
            len(turn.steps) if turn else 0,
        )

    @call
    def definition(self) -> AgentDefinition:
        """The agent it is now."""
        return self._desk.definition

    @call
    def halt(self, by: str, mode: StopMode = "cancel", why: str = "") -> Halted:
        """End what is in hand and what waits; use `stop` in `agents/stop.py`."""
        return Halted(self.session, (), f"{by} may not stop it yet ({mode}, {why})")

    @cast
    def amend(self, definition: AgentDefinition | None) -> None:
        """From now on be this; the turn in hand goes on, its next model call is made by the new one.

        Args:
            definition: None: what it started with is right.
        """
        first, self.amended = not self.amended, True
        desk, host = self._desk, self._desk.definition.host
        if definition is not None:
            self._desk = replace(desk, definition=_as_forked(definition, desk.fork))
        if first or self._desk.definition.host != host:
            self._join()

    @cast
    def wait_for(self, waiter: Pid) -> None:
        """Of a child: end when this process has ended, unless another waits as well."""
        if waiter not in self.waiters:
            self.waiters.add(waiter)
            monitor(waiter)

    @call
    def kin(self) -> tuple[AgentDefinition, ChildAsked | None]:
        """The agent it is now, and what it was started for, if it is a child."""
        return self._desk.definition, self.child

    # --- messages -------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        match message:
            case Delivery():
                self._arrived(message)
            case TaskDone(ref=ref, value=value) if ref in self.tasks:
                del self.tasks[ref]
                self._done(value)
            case Down(ref=ref, reason=reason) if ref in self.tasks:
                self._crashed(self.tasks.pop(ref), reason)
            case TaskDone(ref=ref) if ref is self.noting:
                self.noting = None
                if self.ending is self.noted:
                    self.ending = ()
                self._note_ending()
            case Down(ref=ref) if ref is self.noting:
                self.noting = None  # the next turn's first append has it
            case TaskDone(ref=ref, value=list() as waiting) if ref is self.joining:
                self._joined(waiting)
            case Down(ref=ref) if ref is self.joining:
                self.joining = None
                if self.room_monitor is not None:  # it lives, but was slow: else its end has said so
                    send_after(REJOIN, self.pid, Rejoin())
            case Down(ref=ref) if ref is self.room_monitor:
                self.room_monitor = None
                send_after(REJOIN, self.pid, Rejoin())
            case Down(process=waiter) if waiter in self.waiters:
                self.waiters.discard(waiter)
                if not self.waiters:
                    self.stop("shutdown")  # what it has done is in its journal, if it is ever asked for again
            case Rejoin():
                self._join()
            case WhoAmI():
                self.handle_continue("introduce")
            case Doing(turn=name, status=status, text=text):
                if self.turn is not None and self.turn.id == name and self.tasks:
                    self._show(status, text)
            case Again(turn=name) if self.turn is not None and self.turn.id == name and not self.tasks:
                self._take_up(self.turn)
            case RecordChanged(kind="agents", name=name) if name == self.agent:
                self._meet(message)
            case _:
                pass  # other records, exits of tasks that have said how it went

    def _join(self) -> None:
        """In a task: a room that is being restarted may take a while, and people may ask meanwhile."""
        if self.joining is not None:
            self.joining.cancel()
        if self.room_monitor is not None:
            demonitor(self.room_monitor, flush=True)
        # First the monitor: a room that is replaced while it is joined is joined again.
        self.room_monitor = monitor(room_name(self.room)) if self.child is None else None
        self.joining = Task.start_link(join, self._desk, self.pid, label=f"{self.agent} joins")

    def _joined(self, waiting: list[Delivery]) -> None:
        self.joining = None
        if self.child is not None and not waiting:
            self.stop()  # it has finished
        for delivery in waiting:
            self._arrived(delivery)

    def _arrived(self, delivery: Delivery) -> None:
        """A message waits for its turn, or for the next step of the one in hand (`_taken_in`)."""
        known = {(each.message.id, each.attempt) for each in self.queue}
        if self.turn is not None:
            known.add((self.turn.message.id, self.turn.attempt))
            known.update(self.turn.answers.items())
        if (delivery.message.id, delivery.attempt) not in known:
            self.queue.append(delivery)
            self._next()

    def _taken_in(self, turn: Turn) -> list[Delivery]:
        """The waiting messages that the next model call of the turn sees.

        They stay in the queue until the journal has that they were taken in (`_take`).
        """
        if not self.queue or turn.open or turn.last is not None:
            return []
        own = self._desk.definition.arrivals
        if turn.asked is None:
            return to_collect(turn, self.queue, own)
        return to_steer(turn, self.queue, own)

    def _meet(self, change: RecordChanged) -> None:
        if change.record is None or change.error is not None:
            return  # a broken file: the last good version stays
        try:
            definition = read_agent(change.record)
        except AgentError:
            return  # said by whoever keeps the agents
        self.amend(definition)

    # --- the turn -------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin with the next message, if there is one and nothing is in hand."""
        if self.turn is not None or not self.queue:
            return
        delivery = self.queue.popleft()
        turn = Turn(delivery.message, delivery.attempt)
        self._fresh(turn)
        self.span = turn_span(self._desk, turn)
        self.crashes, self.behind, self.fault = 0, 0, ""
        self.turns += 1
        if self._desk.fork is None:
            self._go_on()
        else:
            self._read(delivery)

    def _fresh(self, base: Turn) -> None:
        self.turn = self.base = base
        self.events, self.ready = [], {}
        self.brief, self.lost, self.crashed = None, False, False

    def _read(self, delivery: Delivery) -> None:
        """Take the turn up where the journal says it stands."""
        self._show("thinking", "reading what was done")
        message, attempt = delivery.message, delivery.attempt
        # What a tool came to may be known and not written, if a call beside it was lost.
        ahead = (*self.ending, *self.results)
        self._start(begin, self._desk, message, attempt, ahead, label=f"{self.agent} begins")

    def _take_up(self, turn: Turn) -> None:
        """Work of the turn was lost: read from the journal what it came to; after too often, give it up aloud."""
        self._fresh(Turn(turn.message, turn.attempt))
        if self.crashes >= MAX_CRASHES:
            self._show("waiting", "putting the failure into the room")
            words = Say(f"I could not finish this: {self.fault}", None, "failed")
            self._start(say, self._desk, turn, words, None, label=f"{self.agent} says")
        else:
            self._read(Delivery(turn.message, turn.attempt))

    def _go_on(self) -> None:
        """Start what the turn needs next."""
        turn = self.turn
        if turn is None:
            return
        if turn.finished:
            self._over(turn)
            return
        foreseen = reduce(take, map(self._desk.foreseen, self.results), turn)
        action: Action = next_action(foreseen, self._desk.definition.max_steps)
        match action:
            case Think(step=step, wait=wait):
                self._show("waiting" if wait else "thinking", f"step {step + 1}")
                self._start(
                    *(think, self._desk, turn, self.brief, wait, self.ending, self.results),
                    self._taken_in(turn),
                    label=f"{self.agent} thinks",
                )
            case _ if self.results:
                self._start(note_results, self._desk, turn, self.results, label=f"{self.agent} notes")
            case Act(runs=runs):
                self._show("acting", ", ".join(run.call.name for run in runs))
                open_calls = OpenCalls(len(runs))
                for run in runs:
                    ready = self.ready.pop(run.place, None)
                    self._start(
                        *(run_tool, self._desk, turn, run, ready, open_calls),
                        label=f"{self.agent} {run.call.name}",
                    )
            case Say():
                self._answer(turn, action)

    def _answer(self, turn: Turn, words: Say) -> None:
        """Speak, unless the state this comes from is not the one that the turn's events make."""
        self.span.set(OUTCOME, words.outcome)
        assert self.base is not None
        found = compare(turn, reduce(take, sorted(self.events, key=_place), self.base))
        if found is not None:
            self._show("waiting", "saying that the state cannot be trusted")
            self._start(stop, self._desk, turn, found, label=f"{self.agent} stops")
            return
        self._show("waiting", "putting the answer into the room")
        again = self.base if self.turns % LOOK_EVERY == 0 else None
        self._start(say, self._desk, turn, words, again, label=f"{self.agent} says")

    def _done(self, value: object) -> None:
        turn = self.turn
        if turn is None:
            return
        match value:
            case Said(ending=ending):
                self.ending = (*self.results, *ending)
                self._over(turn)
                if self.child is not None:
                    self.stop()
                return
            case Stopped():
                self.stop("diverged")
                return
            case Thought() | Begun():
                self.ending = self.results = ()
            case Executed(events=results):
                self.results = results
            case _:
                pass
        match value:
            case _ if self.lost:
                pass  # it is in the journal, which is read when all tasks have ended
            case Begun(base=base, events=events):
                self._fresh(base)
                self._take(events)
            case Thought(events=events, brief=brief, ready=ready):
                self.brief = brief
                self.ready = dict(ready)
                self._take(events)
            case Executed():
                pass
            case Noted(events=events):
                self.results = ()
                self._take(events)
            case Ran(events=events):
                self._take(events)
            case Behind():
                self.behind += 1
                self.lost = True
                if self.behind > MOST_BEHIND:
                    self._crashed(f"{self.agent} reads", "the journal has what its fold does not show")
                    return
            case _:
                raise AssertionError(f"a task of {self.session} answered {value!r}")
        self._next_piece(turn)

    def _take(self, events: tuple[Event, ...]) -> None:
        """Take in what was written: the state is the fold of it."""
        assert self.turn is not None
        self.events += events
        self.turn = reduce(take, events, self.turn)
        if self.queue and self.turn.answers:
            taken = self.turn.answers.items()
            self.queue = deque(each for each in self.queue if (each.message.id, each.attempt) not in taken)

    def _crashed(self, what: str, reason: object) -> None:
        """A task ended without a word. When the others have ended, the turn is taken up again, after a pause."""
        if self.turn is None:
            return
        self.lost = self.crashed = True
        self.fault = f"{what}: {reason_text(reason)}"
        if not _is_outage(reason):
            self.crashes += 1
        self._show("waiting", self.fault)
        self._next_piece(self.turn)

    def _next_piece(self, turn: Turn) -> None:
        if self.tasks:
            return
        if self.lost and not self.crashed:
            self._fresh(Turn(turn.message, turn.attempt))
            self._read(Delivery(turn.message, turn.attempt))
        elif self.lost:
            send_after(AFTER_CRASH, self.pid, Again(turn.id))
        else:
            self._go_on()

    def _over(self, turn: Turn) -> None:
        end_turn(self.span)
        self.turn = self.base = self.brief = None
        self.events, self.ready, self.results, self.lost = [], {}, (), False
        self._show("idle", "", turn.message.id)
        if self.turns % KEEP_EVERY == 0:
            Task.start(
                known_ledger, self.session, under=self.tasks_name, label=f"{self.agent} keeps its turns"
            )
        self._next()
        self._note_ending()

    def _note_ending(self) -> None:
        """Nobody waits for the end of a turn to be written: the next turn's beginning has it, or else a task."""
        if self.turn is None and self.ending and self.noting is None:
            self.noted = self.ending
            self.noting = Task.start(note, self.ending, under=self.tasks_name, label=f"{self.agent} notes")

    def _start(self, work: Any, *args: Any, label: str) -> None:
        set_trace(self.turn.message.trace_id if self.turn else None)
        self.tasks[Task.start(work, *args, under=self.tasks_name, label=label)] = label

    def _show(self, status: Status, doing: str, cause_id: str | None = None) -> None:
        self.status = status
        self.doing = doing
        if self.child is not None:
            return
        cause = cause_id if cause_id is not None else self.turn.message.id if self.turn else ""
        Room.state(room_name(self.room), self.agent, status, cause)


def _as_forked(definition: AgentDefinition, fork: SessionForked | None) -> AgentDefinition:
    """The agent as it answers in a branch."""
    if fork is None or not fork.model:
        return definition
    return msgspec.structs.replace(definition, model=fork.model)


def _place(event: Event) -> int:
    return event.seq


def _is_outage(reason: object) -> bool:
    """Whether a task ended because the journal or another server was away: no fault of its work."""
    if isinstance(reason, Crash):
        return isinstance(reason.error, JournalUnavailable) and reason.error.retry
    return isinstance(reason, CallFailed) or reason == "noproc"
