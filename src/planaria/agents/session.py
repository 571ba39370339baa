"""A session: one agent in one room, a state machine that never blocks.

Started by the agent's supervisor under the name `session:<agent>@<room>`, after the supervisor of its tasks.
States: `idle`, `thinking` (a model call is under way), `acting` (tools run), `waiting` (the answer is on its way into
the transcript, or a failed call rests before the next try). All work is done by tasks, so state, mailbox and what it
waits for can be looked at any time, and a kill ends the spending. What it knows of its turn is in the journal: killed,
it takes the turn up where that stands.

Turn-taking: messages that come during a turn are queued (`_arrived` is the place for other policies).
Does badly: a model that streams without end is ended by nobody but a person who kills its task.
Emits in the journal, session `session:<agent>@<room>`: see `turn.py`; on the room's topic `TurnState`, `ReplyDelta`.
"""

from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from planaria.agents.definition import AgentDefinition, AgentError, read_agent
from planaria.agents.turn import (
    Act,
    Action,
    Say,
    Think,
    Turn,
    failed,
    finished_tool,
    next_action,
    responded,
)
from planaria.agents.work import (
    Answered,
    Desk,
    NotAnswered,
    Ran,
    Said,
    begin,
    join,
    lines_of,
    run_tool,
    say,
    think,
)
from planaria.cortex.errors import JournalUnavailable
from planaria.membrane.gate import Gate
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
from planaria.rooms.message import Delivery, RoomMessage, room_name
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


def session_name(agent: str, room: str) -> str:
    """Registered name of a session's process, and its stream in the journal."""
    return f"session:{agent}@{room}"


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
    ) -> None:
        """Join the room; what was not answered before comes back."""
        self.agent = definition.name
        self.room = room
        self.session = session_name(definition.name, room)
        self.tasks_name = f"tasks:{definition.name}@{room}"
        self._desk = Desk(definition, room, self.session, garden, gate, services)
        self.status: Status = "idle"
        self.doing = ""
        self.queue: deque[RoomMessage] = deque()
        self.turn: Turn | None = None
        self.crashes = 0
        self.fault = ""
        self.lost = False  # whether what the turn came to must be read from the journal
        self.tasks: dict[Ref, str] = {}
        self.amended = False
        self.joining: TaskRef | None = None
        self.room_monitor: Any = None
        subscribe(RECORDS)
        self.continue_with("introduce")

    def handle_continue(self, what: object) -> None:
        """Ask for the newest version, again until it comes; then join."""
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

    @cast
    def amend(self, definition: AgentDefinition | None) -> None:
        """From now on be this; the turn in hand goes on, its next model call is made by the new one.

        Args:
            definition: None: what it started with is right.
        """
        first, self.amended = not self.amended, True
        desk, host = self._desk, self._desk.definition.host
        if definition is not None:
            self._desk = Desk(definition, self.room, self.session, desk.garden, desk.gate, desk.services)
        if first or self._desk.definition.host != host:
            self._join()

    # --- messages -------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        match message:
            case Delivery(message=said):
                self._arrived(said)
            case TaskDone(ref=ref, value=value) if ref in self.tasks:
                del self.tasks[ref]
                self._done(value)
            case Down(ref=ref, reason=reason) if ref in self.tasks:
                self._crashed(self.tasks.pop(ref), reason)
            case TaskDone(ref=ref, value=list() as waiting) if ref is self.joining:
                self._joined(waiting)
            case Down(ref=ref) if ref is self.joining:
                self.joining = None
                if self.room_monitor is not None:  # it lives, but was slow: else its end has said so
                    send_after(REJOIN, self.pid, Rejoin())
            case Down(ref=ref) if ref is self.room_monitor:
                self.room_monitor = None
                send_after(REJOIN, self.pid, Rejoin())
            case Rejoin():
                self._join()
            case WhoAmI():
                self.handle_continue("introduce")
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
        name = room_name(self.room)
        # First the monitor: a room that is replaced while it is joined is joined again.
        self.room_monitor = monitor(name)
        self.joining = Task.start_link(join, self._desk, self.pid, label=f"{self.agent} joins")

    def _joined(self, waiting: list[RoomMessage]) -> None:
        self.joining = None
        for said in waiting:
            self._arrived(said)

    def _arrived(self, message: RoomMessage) -> None:
        """The room's policy for messages during a turn: they wait for theirs."""
        known = {said.id for said in self.queue} | ({self.turn.id} if self.turn else set())
        if message.id not in known:
            self.queue.append(message)
            self._next()

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
        if self.turn is None and self.queue:
            message = self.queue.popleft()
            self.turn = Turn(message)
            self.crashes, self.fault, self.lost = 0, "", False
            self._show("thinking", "reading what was said")
            self._start(begin, self._desk, message, label=f"{self.agent} begins")

    def _take_up(self, turn: Turn) -> None:
        """Work of the turn was lost: read from the journal what it came to; after too often, give it up aloud."""
        self.turn, self.lost = Turn(turn.message), False
        if self.crashes >= MAX_CRASHES:
            self._show("waiting", "putting the failure into the room")
            words = Say(f"I could not finish this: {self.fault}", None, failed=True)
            self._start(say, self._desk, self.turn, words, label=f"{self.agent} says")
        else:
            self._show("thinking", "reading what was done")
            self._start(begin, self._desk, turn.message, label=f"{self.agent} begins")

    def _go_on(self) -> None:
        """Start what the turn needs next."""
        if self.turn is None:
            return
        if self.turn.finished:
            self._over(self.turn)
            return
        action: Action = next_action(self.turn, self._desk.definition.max_steps)
        match action:
            case Think(step=step, wait=wait):
                self._show("waiting" if wait else "thinking", f"step {step + 1}")
                self._start(think, self._desk, self.turn, step, wait, label=f"{self.agent} thinks")
            case Act(runs=runs):
                self._show("acting", lines_of(runs))
                for run in runs:
                    self._start(run_tool, self._desk, self.turn, run, label=f"{self.agent} {run.call.name}")
            case Say():
                self._show("waiting", "putting the answer into the room")
                self._start(say, self._desk, self.turn, action, label=f"{self.agent} says")

    def _done(self, value: object) -> None:
        turn = self.turn
        if turn is None:
            return
        match value:
            case Said():
                self._over(turn)
                return
            case _ if self.lost:
                pass  # it is in the journal, which is read when all tasks have ended
            case Turn():
                self.turn = value
            case Answered(response=response):
                self.turn = responded(turn, response)
            case NotAnswered(error=error, retry=retry, retry_after=retry_after):
                self.turn = failed(turn, error, retry, retry_after)
            case Ran(place=place, result=result):
                self.turn = finished_tool(turn, place, result)
            case _:
                raise AssertionError(f"a task of {self.session} answered {value!r}")
        self._next_piece(turn)

    def _crashed(self, what: str, reason: object) -> None:
        """A task ended without a word. When the others have ended, the turn is taken up again, after a pause."""
        if self.turn is None:
            return
        self.lost = True
        self.fault = f"{what}: {reason_text(reason)}"
        if not _is_outage(reason):
            self.crashes += 1
        self._show("waiting", self.fault)
        self._next_piece(self.turn)

    def _next_piece(self, turn: Turn) -> None:
        if self.tasks:
            return
        if self.lost:
            send_after(AFTER_CRASH, self.pid, Again(turn.id))
        else:
            self._go_on()

    def _over(self, turn: Turn) -> None:
        self.turn, self.lost = None, False
        self._show("idle", "", turn.id)
        self._next()

    def _start(self, work: Any, *args: Any, label: str) -> None:
        set_trace(self.turn.message.trace_id if self.turn else None)
        self.tasks[Task.start(work, *args, under=self.tasks_name, label=label)] = label

    def _show(self, status: Status, doing: str, cause_id: str | None = None) -> None:
        self.status = status
        self.doing = doing
        cause = cause_id if cause_id is not None else self.turn.id if self.turn else ""
        Room.state(room_name(self.room), self.agent, status, cause)


def _is_outage(reason: object) -> bool:
    """Whether a task ended because the journal or another server was away: no fault of its work."""
    if isinstance(reason, Crash):
        return isinstance(reason.error, JournalUnavailable) and reason.error.retry
    return isinstance(reason, CallFailed) or reason == "noproc"
