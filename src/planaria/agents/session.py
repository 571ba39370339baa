"""A session: one agent in one room, a state machine that never blocks.

Started by the agent's supervisor under the name `session:<agent>@<room>`, after the supervisor of its tasks.
States: `idle`, `thinking` (a model call is under way), `acting` (tools run), `waiting` (the answer is on its way into
the transcript, or a failed call rests before the next try). All work is done by tasks, so state, mailbox and what it
waits for can be looked at any time, and a kill ends the spending. What it knows of its turn is in the journal: killed,
it takes the turn up where that stands.

Turn-taking: messages that come during a turn are queued, taken in or interrupt it, see `turn/arrivals.py`.
Beside it stands its guard (`immune/guards/guard.py`): when that finds that the turn goes nowhere, finding and choice
are written (`guard/guarding.py`), the process ends with them as its reason, and the next one folds what is to change.
Emits in the journal, session `session:<agent>@<room>`: see `turn/`; on the room's topic `TurnState`, `ReplyDelta`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

import msgspec

from planaria.agents.definition import AgentDefinition, AgentError, read_agent
from planaria.agents.desk import Desk
from planaria.agents.guard.guarding import (
    LOOK_FROM,
    Chosen,
    Tripped,
    ask_person,
    guard_name,
    model_of,
    steps_seen,
    too_much,
    trip,
    tripped,
)
from planaria.agents.guard.halting import Halted, Halting, note_stops
from planaria.agents.guard.unbegun import end_unbegun
from planaria.agents.kinship import ChildAsked, Layer
from planaria.agents.past.ledgers import known_ledger
from planaria.agents.past.state import compare
from planaria.agents.prompt.plan import plan_path
from planaria.agents.thinking.attempt import Doing, resting
from planaria.agents.thinking.brief import GARDEN_FILES, Brief
from planaria.agents.thinking.pressure import Pressed
from planaria.agents.thinking.spans import OUTCOME, end_turn, turn_span
from planaria.agents.thinking.think import Thought, think
from planaria.agents.thinking.work import (
    Begun,
    Behind,
    Entered,
    Executed,
    Noted,
    OpenCalls,
    Ran,
    Said,
    Stopped,
    begin,
    enter,
    note_results,
    present,
    run_tool,
    say,
    stop,
)
from planaria.agents.turn.arrivals import INTERRUPTED, policy_of, to_collect, to_steer
from planaria.agents.turn.estimate import Estimate
from planaria.agents.turn.events import SessionForked, session_name
from planaria.agents.turn.guard_events import StopMode
from planaria.agents.turn.turn import Act, Action, Ask, Say, Think, ToolRun, Turn, next_action, take
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event, NewEvent
from planaria.cortex.telemetry.span import NO_SPAN, Span
from planaria.immune.guards.guard import Guard, Pulse, Verdict
from planaria.immune.guards.loops import Finding
from planaria.immune.guards.restart import Cause
from planaria.immune.ledger.stopping import OverLimit
from planaria.membrane.gate.gate import Gate
from planaria.membrane.gate.prepared import Prepared
from planaria.otp import (
    CallFailed,
    Crash,
    Deferred,
    Down,
    GenServer,
    NoProcess,
    Pid,
    Ref,
    Shutdown,
    Task,
    TaskDone,
    TaskRef,
    call,
    cast,
    demonitor,
    exit_signal,
    monitor,
    node_,
    now,
    reason_text,
    send,
    send_after,
    set_trace,
    subscribe,
    whereis,
)
from planaria.records.library import TOPIC as RECORDS
from planaria.records.scan import RecordChanged
from planaria.rooms.message import Delivery, StopAsked, room_name
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
GUARD_TIME = 10.0
"""Seconds a guard may take to judge; then it is held to hang, and is restarted, this session with it."""
UNWINDING = 1.0
"""Seconds that work which was cancelled may take to clean up."""

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


class Unheard(msgspec.Struct, frozen=True):
    """To itself: by now the guard has spoken about these steps."""

    turn: str
    steps: int


class Overdue(msgspec.Struct, frozen=True):
    """To itself: what was cancelled has had its time."""

    processes: tuple[Pid, ...]


class Early(NamedTuple):
    """A stop that came before the session knew what waits for it; see `_halt`. `answer`: who waits for it."""

    by: str
    mode: StopMode
    why: str
    before: int = 0
    answer: Deferred[Halted] | None = None


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
        self.entered = False  # whether it knows what its prompts tell of the garden
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
        self.runs: deque[ToolRun] = deque()  # tool calls of the step that wait until another has ended
        self.open_calls = OpenCalls(0)
        self.results: tuple[NewEvent, ...] = ()  # of the last tool call, to be written with the next request
        self.tasks: dict[Ref, str] = {}
        self.amended = False
        self.joining: TaskRef | None = None
        self.room_monitor: Any = None
        self.span: Span = NO_SPAN  # of the turn
        self.guard = guard_name(self.session)
        self.watched = False  # whether the guard looks now and then
        self.moved = 0.0  # when something came of the turn last
        self.shown = self.cleared = 0  # steps of the turn that the guard was shown, and that it found good
        self.speaking = False  # whether the answer is on its way into the room
        self.halting: dict[Ref, Halting] = {}
        self.stopped: set[tuple[str, int]] = set()  # messages that were stopped before their turn began
        self.early: list[Early] = []  # stops that came before it knew what waits for it
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
    def halt(self, by: str, mode: StopMode = "cancel", why: str = "") -> Halted | Deferred[Halted]:
        """End what is in hand and what waits; use `stop` in `agents/stop.py`.

        Spending ends here and now; the answer comes when the journal has that it was stopped.
        """
        if not self.entered:
            answer: Deferred[Halted] = self.defer()
            self.early.append(Early(by, mode, why, answer=answer))
            return answer
        halting = self._halt(by, mode, why, waiting=True)
        if halting is None:
            return Halted(self.session)
        answer = self.defer()
        halting.answers.append(answer)
        return answer

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
            case StopAsked(turn=turn) if turn and (self.child is None or self.child.turn != turn):
                pass
            case StopAsked(by=by, mode=mode, why=why, before=before):
                if self.entered:
                    self._halt(by, mode, why, waiting=True, before=before)
                elif before or self.child is not None:  # the room says it again with its place
                    self.early.append(Early(by, mode, why, before))
            case Verdict():
                self._judged(message)
            case OverLimit():
                self._over_limit(message)
            case Pulse():
                self._tell_pulse()
            case TaskDone(ref=ref, value=value) if ref in self.tasks:
                del self.tasks[ref]
                self._done(value)
            case Down(ref=ref, reason=reason) if ref in self.tasks:
                self._crashed(self.tasks.pop(ref), reason)
            case TaskDone(ref=ref) | Down(ref=ref) if ref in self.halting:
                self._halted(self.halting.pop(ref), message)
            case Unheard(turn=name, steps=steps):
                if self.turn is not None and self.turn.id == name and self.cleared < steps == self.shown:
                    self._restart_guard()
            case Overdue(processes=processes):
                for process in processes:
                    exit_signal(process, "kill")
            case TaskDone(ref=ref, value=Entered() as entered) if ref is self.joining:
                self._joined(entered)
            case Down(ref=ref) if ref is self.joining:
                self.joining = None
                # Its room lives, but was slow: else its end has said so. A child has none.
                if self.room_monitor is not None or self.child is not None:
                    send_after(REJOIN, self.pid, Rejoin())
            case Down(ref=ref) if ref is self.room_monitor:
                self.room_monitor = None
                send_after(REJOIN, self.pid, Rejoin())
            case Down(process=waiter) if waiter in self.waiters:
                self.waiters.discard(waiter)
                if not self.waiters and not self.halting:
                    self.stop("shutdown")  # what it has done is in its journal, if it is ever asked for again
            case Rejoin():
                self._join()
            case WhoAmI():
                self.handle_continue("introduce")
            case Doing(turn=name, status=status, text=text):
                if self.turn is not None and self.turn.id == name and self.tasks:
                    self._show(status, text, aloud=True)
            case Again(turn=name) if self.turn is not None and self.turn.id == name and not self.tasks:
                if not self.halting:  # which goes on with it
                    self._take_up(self.turn)
            case RecordChanged(kind="agents") if self.child is not None:
                self._narrow(self.child, *present(self.child, message))
            case RecordChanged(kind="agents", name=name) if name == self.agent:
                self._meet(message)
            case RecordChanged(kind="garden" | "notes", error=None):
                self._learn(message)
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
        self.joining = Task.start_link(enter, self._desk, self.pid, label=f"{self.agent} joins")

    def _joined(self, entered: Entered) -> None:
        self.joining = None
        self._desk = replace(self._desk, files=entered.files, plan=entered.plan)
        self.entered = True
        waiting = entered.waiting
        if self.child is not None:
            self._narrow(self.child, *entered.layers)
        if self.child is not None and not waiting:
            self.stop()  # it has finished
        # What waited comes before what was said while it joined.
        said, self.queue = self.queue, deque()
        for delivery in (*waiting, *said):
            self._arrived(delivery)
        self._next()
        early, self.early = self.early, []
        for each in early:
            halting = self._halt(each.by, each.mode, each.why, waiting=True, before=each.before)
            if each.answer is not None and halting is None:
                each.answer.reply(Halted(self.session))
            elif each.answer is not None and halting is not None:
                halting.answers.append(each.answer)

    def _learn(self, change: RecordChanged) -> None:
        """What the prompt tells of the garden and of the plan is as it was read, and as it was changed since."""
        desk = self._desk
        if change.path == plan_path(self.agent, self.room) and self.child is None:
            self._desk = replace(desk, plan=change.record)
        elif (name := GARDEN_FILES.get(change.name)) is not None and change.kind == "garden":
            text = "" if change.record is None else change.record.body.strip()
            self._desk = replace(desk, files={**desk.files, name: text})

    def _narrow(self, child: ChildAsked, *layers: Layer) -> None:
        """Of a child: what was taken from it, or from one above it, since it was asked is taken from it, too."""
        self.child = msgspec.structs.replace(child, above=(*child.above, *layers))
        self._desk = replace(self._desk, child=self.child)

    def _arrived(self, delivery: Delivery) -> None:
        """A message waits for its turn, or for the next step of the one in hand (`_taken_in`)."""
        known = {(each.message.id, each.attempt) for each in self.queue}
        if self.turn is not None:
            known.add((self.turn.message.id, self.turn.attempt))
            known.update(self.turn.answers.items())
        if (delivery.message.id, delivery.attempt) in known:
            return
        if policy_of(delivery, self._desk.definition.arrivals) == "interrupt" and self.turn is not None:
            self.queue.appendleft(delivery)
            self._halt(delivery.message.author, "cancel", INTERRUPTED, waiting=False)
        else:
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
        if definition.answer_file:
            return  # whoever keeps the agents reads that, too, and tells
        self.amend(definition)

    # --- the turn -------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin with the next message, if there is one and nothing is in hand."""
        if self.turn is not None or not self.queue or not self.entered:
            return
        delivery = self.queue.popleft()
        turn = Turn(delivery.message, delivery.attempt)
        self._fresh(turn)
        self.span = turn_span(self._desk, turn)
        self.crashes, self.behind, self.fault = 0, 0, ""
        self.turns += 1
        self._watch()
        if (delivery.message.id, delivery.attempt) in self.stopped:
            self.stopped.discard((delivery.message.id, delivery.attempt))
            self._read(delivery)
        elif self._desk.fork is None:
            self._go_on()
        else:
            self._read(delivery)

    def _fresh(self, base: Turn) -> None:
        self.turn = self.base = base
        self.events, self.ready = [], {}
        self.runs.clear()
        self.brief, self.lost, self.crashed = None, False, False
        self.shown = self.cleared = 0
        self.speaking = False

    def _read(self, delivery: Delivery) -> None:
        """Take the turn up where the journal says it stands."""
        self._show("thinking", "reading what was done")
        message, attempt = delivery.message, delivery.attempt
        # What a tool came to may be known and not written, if a call beside it was lost.
        self._start(begin, self._desk, message, attempt, self.results, label=f"{self.agent} begins")

    def _take_up(self, turn: Turn) -> None:
        """Work of the turn was lost: read from the journal what it came to; after too often, give it up aloud."""
        if self.crashes >= MAX_CRASHES and self._changes("crash"):
            self._trip(turn, Tripped("crash", f"Its work crashed {self.crashes} times: {self.fault}.", {}))
            return
        self._fresh(Turn(turn.message, turn.attempt))
        if self.crashes >= MAX_CRASHES:
            self.speaking = True
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
            case Think() if self._is_looked_at(foreseen):
                pass
            case Say(outcome="failed") if (found := self._failed(foreseen)) is not None:
                self._trip(turn, found)
            case Think(step=step, wait=wait):
                if wait:
                    self._show("waiting", resting(foreseen, wait), aloud=True)
                else:
                    self._show("thinking", f"step {step + 1}")
                self._start(
                    *(think, self._desk, turn, self.brief, wait, self.results),
                    self._taken_in(turn),
                    label=f"{self.agent} thinks",
                )
            case _ if self.results:
                self._start(note_results, self._desk, turn, self.results, label=f"{self.agent} notes")
            case Act() if (found := too_much(self._desk, turn)) is not None:
                self._trip(turn, found)
            case Ask():
                self._show("waiting", "asked how to go on")
                self._start(ask_person, self._desk, turn, action, label=f"{self.agent} asks")
            case Act(runs=runs):
                self._show("acting", ", ".join(run.call.name for run in runs))
                self.runs = deque(runs)
                self.open_calls = OpenCalls(len(runs))
                self._run_tools(turn)
            case Say():
                self._answer(turn, action)

    def _run_tools(self, turn: Turn) -> None:
        """Run the tools of the step, as many at once as may be."""
        while self.runs and len(self.tasks) < self._desk.definition.parallel:
            run = self.runs.popleft()
            self._start(
                *(run_tool, self._desk, turn, run, self.ready.pop(run.place, None), self.open_calls),
                label=f"{self.agent} {run.call.name}",
            )

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
        self.speaking = True
        again = self.base if self.turns % LOOK_EVERY == 0 else None
        self._start(say, self._desk, turn, words, again, label=f"{self.agent} says")

    def _done(self, value: object) -> None:
        turn = self.turn
        if turn is None:
            return
        match value:
            case Said():
                self._over(turn)
                if self.child is not None:
                    self.stop()
                return
            case Stopped():
                self.stop("diverged")
                return
            case Chosen(mode=mode):
                self.results = ()
                if mode == "give_up":
                    self.lost = True  # what follows is read from the journal
                    self._next_piece(turn)
                else:
                    self.stop(
                        Shutdown(value.reason)
                    )  # no crash, but an end all the same: it is started again
                return
            case Thought() | Begun():
                self.results = ()
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
                self._run_tools(turn)
            case Pressed():
                evidence = {"tokens": value.tokens, "window": value.window, "assumed": value.assumed}
                self._trip(turn, Tripped("context", value.words, evidence, model_of(turn)))
                return
            case Finding():
                self._trip(turn, tripped(value, turn))
                return
            case Noted(events=events):
                self.results = ()
                self._take(events)
            case Ran(events=events):
                self._take(events)
                self._run_tools(turn)
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
        self.moved = now()
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
        if self.tasks or self.halting:
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
        self._desk.drafts.kept = self._desk.drafts.foreseen = None
        self.events, self.ready, self.results, self.lost = [], {}, (), False
        self.speaking = False
        self._show("idle", "", turn.message.id)
        if self.turns % KEEP_EVERY == 0:
            Task.start(
                known_ledger, self.session, under=self.tasks_name, label=f"{self.agent} keeps its turns"
            )
        self._next()

    # --- guards -------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Have the guard look now and then whether anything comes of the turns; one word is enough for many."""
        self.moved = now()
        seconds = self._desk.definition.guards.stall_seconds
        if seconds and not self.watched:
            self.watched = True
            Guard.watch(self.guard, seconds)

    def _tell_pulse(self) -> None:
        turn = self.turn
        if turn is None:
            self.watched = False  # it stops looking, until the next turn
            return
        waits = self.status == "waiting" or any(
            self._desk.gate.is_waiting(self.session, run.place) for run in self._open_runs(turn)
        )
        Guard.alive(self.guard, turn.id, 0.0 if waits else now() - self.moved, self.doing)

    def _open_runs(self, turn: Turn) -> tuple[Any, ...]:
        action = next_action(turn, self._desk.definition.max_steps)
        return action.runs if isinstance(action, Act) else ()

    def _is_looked_at(self, turn: Turn) -> bool:
        """Show the guard the steps of a turn that has become long; whether its word is to be waited for."""
        guards, watched = self._desk.definition.guards, turn.course.watched
        steps = len(turn.steps)
        if steps - watched < min(LOOK_FROM, guards.repeats or LOOK_FROM) or steps <= self.cleared:
            return False
        first = max(self.shown, watched)
        if first < steps:
            self.shown = steps
            Guard.look(self.guard, turn.id, watched, guards, first, steps_seen(self._desk.gate, turn, first))
            send_after(GUARD_TIME, self.pid, Unheard(turn.id, steps))
        return True

    def _restart_guard(self) -> None:
        """Nobody else would: while it hangs, it does not see either that nothing comes of the turn."""
        guard = whereis(self.guard)
        if guard is not None and not self.tasks and not self.halting:
            self._show("waiting", "its guard does not answer, and is restarted")
            exit_signal(guard, "kill")

    def _judged(self, verdict: Verdict) -> None:
        """The guard has spoken, about the steps it was shown or about the time that passed."""
        turn = self.turn
        if turn is None or turn.id != verdict.turn or self.lost or self.halting or self.speaking:
            return
        if verdict.finding is not None:
            if verdict.step >= 0 or now() - self.moved >= self._desk.definition.guards.stall_seconds:
                self._trip(turn, tripped(verdict.finding, turn, self._asking()))
        elif verdict.step > self.cleared:
            self.cleared = verdict.step
            if not self.tasks:
                self._go_on()

    def _failed(self, turn: Turn) -> Tripped | None:
        """Whether a failure of the model call is a matter for the agent's restart policy."""
        if not turn.failures or turn.may_retry or turn.course.notice:
            return None
        kind = turn.tried[-1].kind if turn.tried else ""
        evidence = {"kind": kind, "attempts": turn.failures}
        if kind == "context_too_long" and len(turn.steps) > turn.course.since:
            words = "Its context was full: the model took no more."
            return Tripped("context", words, evidence, model_of(turn))
        cause: Cause = "budget" if kind == "budget_exhausted" else "provider"
        if not self._changes(cause):
            return None
        return Tripped(cause, f"No model answered: {turn.last_error}.", evidence, model_of(turn))

    def _changes(self, cause: Cause) -> bool:
        """Whether the agent's record has more in mind for a cause than to give the turn up."""
        return self._desk.definition.restart.rule(cause).do != "give_up"

    def _trip(self, turn: Turn, found: Tripped) -> None:
        """End what is under way, and write down why and what follows; then the process ends."""
        found = msgspec.structs.replace(found, estimate=self._unbilled())
        self._let_go("kill")
        self._show("waiting", f"interrupted: {found.words}")
        self._start(
            *(trip, self._desk, turn, found, self.results),
            label=f"{self.agent} is interrupted",
        )

    # --- stopping -----------------------------------------------------------------------------------------------------

    def _halt(self, by: str, mode: StopMode, why: str, waiting: bool, before: int = 0) -> Halting | None:
        """End what is in hand, and what waits if it is meant too; None if there is nothing.

        An answer that is on its way into the room gets there.

        Args:
            before: given, the place in the room of the word that stops: what was said after it is not meant.
        """
        turn = None if self.speaking or self.halting else self.turn
        if turn is not None and before and turn.message.seq > before:
            turn = None
        else:
            # One that is only interrupted keeps what other turns have set to work.
            self._halt_children(by, mode, why, turn.id if turn is not None and not waiting else "")
        meant = [each for each in self.queue if waiting and not (before and each.message.seq > before)]
        queued = [Turn(each.message, each.attempt) for each in meant]
        queued = [each for each in queued if (each.message.id, each.attempt) not in self.stopped]
        if turn is None and not queued:
            return next(iter(self.halting.values()), None)
        partial, estimate = "", None
        if turn is not None:
            estimate = self._unbilled()
            streaming = self._desk.drafts.streaming
            partial = streaming.written if self.status == "thinking" and streaming is not None else ""
            self._let_go(mode)
            self._show("waiting", f"stopped by {by}")
        self.stopped.update((each.message.id, each.attempt) for each in queued)
        turns = (*([turn] if turn is not None else []), *queued)
        halting = Halting(turns, turn is not None)
        events = self.results if turn is not None else ()
        work = Task.start(
            *(note_stops, self._desk, turns, by, mode, why, partial, events, estimate),
            under=self.tasks_name,
            label=f"{self.agent} is stopped",
        )
        self.halting[work] = halting
        return halting

    def _let_go(self, mode: StopMode) -> None:
        """End all tasks of the turn: the connection to the provider closes, commands are killed."""
        left: list[Pid] = []
        for ref in self.tasks:
            assert isinstance(ref, TaskRef)
            if mode == "kill":
                ref.cancel()
                continue
            outcome = ref.ignore()
            if isinstance(outcome, TaskDone) and isinstance(outcome.value, Executed):
                self.results = outcome.value.events  # it ended just now, which is written nowhere yet
            exit_signal(ref.pid, "shutdown")
            if ref.pid.alive:
                left.append(ref.pid)
        self.tasks.clear()
        if left:
            send_after(UNWINDING, self.pid, Overdue(tuple(left)))

    def _halt_children(self, by: str, mode: StopMode, why: str, turn: str) -> None:
        below = f"{self.session}/"
        for name in list(node_().names):
            if name.startswith(below):
                try:
                    send(name, StopAsked(by, mode, why, turn=turn))
                except NoProcess:
                    pass  # it has ended just now

        def meant(stream: str, asked: ChildAsked) -> bool:
            return stream.startswith(below) and turn in ("", asked.turn)

        Task.start(end_unbegun, meant, by, under=self.tasks_name, label=f"{self.agent} stops children")

    def _halted(self, halting: Halting, message: object) -> None:
        """The journal has that it was stopped: the turn in hand goes on as that says, to its end."""
        problem = reason_text(message.reason) if isinstance(message, Down) else ""
        halted = Halted(self.session, tuple(turn.id for turn in halting.turns), problem)
        for answer in halting.answers:
            answer.reply(halted)
        turn = self.turn
        if halting.current and turn is not None:
            self.results = ()
            self._fresh(Turn(turn.message, turn.attempt))
            self._read(Delivery(turn.message, turn.attempt))

    def _start(self, work: Any, *args: Any, label: str) -> None:
        set_trace(self.turn.message.trace_id if self.turn else None)
        # Linked: however this process ends, what it has under way ends with it.
        self.tasks[Task.start(work, *args, under=self.tasks_name, label=label, link=True)] = label

    def _asking(self) -> str:
        """The model that is asked just now, `provider/model`; empty if none is."""
        streaming = self._desk.drafts.streaming
        return streaming.model if self.status == "thinking" and self.tasks and streaming is not None else ""

    def _unbilled(self) -> Estimate | None:
        """What the model call that is under way is taken to have cost so far."""
        streaming = self._desk.drafts.streaming
        return (
            streaming.unbilled if self.status == "thinking" and self.tasks and streaming is not None else None
        )

    def _over_limit(self, over: OverLimit) -> None:
        """A limit is passed that the turn in hand spends from: it ends, with what it has said."""
        turn = self.turn
        if turn is None or turn.id != over.turn or self.halting or self.speaking:
            return
        if self._changes("budget"):
            evidence = {"kind": "budget_exhausted", "account": over.account, "limit": over.limit}
            self._trip(turn, Tripped("budget", over.words, evidence, self._asking()))
        else:
            self._halt("budget", "cancel", over.words, waiting=False)

    def _show(self, status: Status, doing: str, cause_id: str | None = None, aloud: bool = False) -> None:
        """Let the room know; `aloud`: also what exactly it does, which is in no event."""
        self.status = status
        self.doing = doing
        if self.child is not None:
            return
        cause = cause_id if cause_id is not None else self.turn.message.id if self.turn else ""
        Room.state(room_name(self.room), self.agent, status, cause, doing if aloud else "")


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
