"""A session: one agent in one room, a state machine that never blocks.

Started by the agent's supervisor under the name `session:<agent>@<room>`, with a supervisor for its tasks after it.
States: `idle`, `thinking` (a model call is under way), `acting` (tools run), `waiting` (the answer is on its way into
the transcript, or a failed call rests before the next try). All work is done by tasks, so state, mailbox and what it
waits for can be looked at any time, and a kill ends the spending. What it knows of its turn is in the journal: killed,
it takes the turn up where that stands.

Turn-taking: messages that come during a turn are queued (`_arrived` is the place for other policies).
Does badly: a turn that was cut off is found again by reading the session's stream.
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
from planaria.agents.work import Answered, Desk, NotAnswered, Ran, Said, begin, lines_of, run_tool, say, think
from planaria.membrane.gate import Gate
from planaria.otp import (
    CallError,
    Down,
    GenServer,
    Task,
    TaskDone,
    TaskRef,
    call,
    cast,
    monitor,
    reason_text,
    send_after,
    subscribe,
)
from planaria.records.library import TOPIC as RECORDS
from planaria.records.library import Library
from planaria.records.scan import RecordChanged
from planaria.rooms.message import Delivery, RoomMessage, room_name
from planaria.rooms.room import Room

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


class Rejoin(msgspec.Struct, frozen=True):
    """To itself: the room was away; join it again."""


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
        self.tasks: dict[TaskRef, str] = {}
        self.room_monitor: object = None
        self.continue_with("join")

    async def handle_continue(self, what: object) -> None:
        """After the start: meet the newest version of the record, and join."""
        subscribe(RECORDS)
        for record in await Library.list("library", "agents"):
            if record.path == f"agents/{self.agent}.md":
                self._meet(RecordChanged("agents", self.agent, record.path, record, None))
        await self._join()

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

    @cast
    def amend(self, definition: AgentDefinition) -> None:
        """From now on be this; the turn in hand goes on, its next model call is made by the new one."""
        self._desk = Desk(
            definition, self.room, self.session, self._desk.garden, self._desk.gate, self._desk.services
        )

    # --- messages -------------------------------------------------------------------------------------

    async def handle_info(self, message: Any) -> None:
        match message:
            case Delivery(message=said):
                self._arrived(said)
            case TaskDone(ref=ref, value=value) if ref in self.tasks:
                del self.tasks[ref]
                self._done(value)
            case Down(ref=ref, reason=reason) if ref in self.tasks:
                what = self.tasks.pop(ref)
                self._crashed(what, reason)
            case Down(ref=ref) if ref is self.room_monitor:
                send_after(REJOIN, self.pid, Rejoin())
            case Rejoin():
                await self._join()
            case Again(turn=name) if self.turn is not None and self.turn.id == name and not self.tasks:
                self._go_on()
            case RecordChanged(kind="agents", name=name) if name == self.agent:
                self._meet(message)
            case _:
                pass  # other records, exits of tasks that have said how it went

    async def _join(self) -> None:
        name = room_name(self.room)
        try:
            waiting = await Room.join(name, self.agent, self.pid, self._desk.definition.host)
        except CallError:
            send_after(REJOIN, self.pid, Rejoin())
            return
        self.room_monitor = monitor(name)
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
        host = self._desk.definition.host
        self.amend(definition)
        if definition.host != host:
            send_after(0.0, self.pid, Rejoin())

    # --- the turn -------------------------------------------------------------------------------------

    def _next(self) -> None:
        """Begin with the next message, if there is one and nothing is in hand."""
        if self.turn is None and self.queue:
            message = self.queue.popleft()
            self.turn = Turn(message)
            self.crashes = 0
            self._show("thinking", "reading what was said")
            self._start(begin, self._desk, message, label=f"{self.agent} begins")

    def _go_on(self) -> None:
        """Start what the turn needs next."""
        if self.turn is None:
            return
        if not self.turn.begun:
            self._start(begin, self._desk, self.turn.message, label=f"{self.agent} begins")
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
            case Turn():
                self.turn = value
            case Answered(response=response):
                self.turn = responded(turn, response)
            case NotAnswered(error=error, retry=retry):
                self.turn = failed(turn, error, retry)
            case Ran(place=place, result=result):
                self.turn = finished_tool(turn, place, result)
            case Said():
                self.turn = None
                self._show("idle", "", turn.id)
                self._next()
                return
            case _:
                return
        if not self.tasks:
            self._go_on()

    def _crashed(self, what: str, reason: object) -> None:
        """A task ended without a word. Done again after a pause; after too often the turn is given up, aloud."""
        turn = self.turn
        if turn is None:
            return
        self.crashes += 1
        self._show("waiting", f"{what} ended: {reason_text(reason)}")
        if self.crashes >= MAX_CRASHES:
            words = Say(
                f"I could not finish this: {what} ended with {reason_text(reason)}", None, failed=True
            )
            self._start(say, self._desk, turn, words, label=f"{self.agent} says")
        elif not self.tasks:
            # What was begun is in the journal: read it again rather than guess.
            self.turn = Turn(turn.message)
            send_after(AFTER_CRASH, self.pid, Again(turn.id))

    def _start(self, work: Any, *args: Any, label: str) -> None:
        self.tasks[Task.start(work, *args, under=self.tasks_name, label=label)] = label

    def _show(self, status: Status, doing: str, cause_id: str | None = None) -> None:
        self.status = status
        self.doing = doing
        cause = cause_id if cause_id is not None else self.turn.id if self.turn else ""
        Room.state(room_name(self.room), self.agent, status, cause)
