"""The keeper of agents: one subtree for each good record in `agents/`, made, changed and ended as files change.

```
agents (rest_for_one)
├── agent_trees            dynamic
│   └── agent:scout        one per record
│       └── session:scout@garden   rest_for_one, one per room
│           ├── session:scout@garden   AgentProcess
│           └── tasks:scout@garden     its model and tool calls
└── agents                 this
```

Started under the name `agents`, after `agent_trees`. A broken record is reported to the library, and the last good
version keeps running. Does badly: a session's process hears of a new version a moment before this does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planaria.agents.definition import AgentDefinition, AgentError, read_agent
from planaria.agents.session import AgentProcess, SessionView, session_name
from planaria.membrane.gate import Gate
from planaria.otp import (
    CallError,
    ChildSpec,
    DynamicSupervisor,
    GenServer,
    Pid,
    StartFailed,
    call,
    child,
    dynamic,
    send_after,
    subscribe,
    supervisor,
    whereis,
)
from planaria.records.errors import Problem
from planaria.records.library import TOPIC as RECORDS
from planaria.records.library import Library
from planaria.records.record import Record
from planaria.records.scan import RecordChanged
from planaria.rooms.message import room_name
from planaria.rooms.room import Room
from planaria.rooms.rooms import Rooms

TREES = "agent_trees"
TRY_AGAIN = 1.0
"""Seconds until an agent that could not be started is tried again."""


def session_tree(
    definition: AgentDefinition, room: str, garden: Path, gate: Gate, services: Mapping[type, object]
) -> ChildSpec:
    """One session: its process, then its tasks, which end with it."""
    name = session_name(definition.name, room)
    return supervisor(
        child(AgentProcess, definition, room, garden, gate, services, name=name),
        dynamic(name=f"tasks:{definition.name}@{room}", max_restarts=10, within=10.0),
        id=name,
        name=f"sessions:{definition.name}@{room}",
        strategy="rest_for_one",
        max_restarts=5,
        within=10.0,
    )


def agent_tree(
    definition: AgentDefinition, garden: Path, gate: Gate, services: Mapping[type, object]
) -> ChildSpec:
    """The subtree of one agent."""
    sessions = [session_tree(definition, room, garden, gate, services) for room in definition.rooms]
    return supervisor(*sessions, name=f"agent:{definition.name}", max_restarts=5, within=30.0)


def tree(garden: Path, gate: Gate, services: Mapping[type, object]) -> ChildSpec:
    """The processes of this floor, as one child of the node."""
    return supervisor(
        dynamic(name=TREES, max_restarts=10, within=60.0),
        child(Agents, garden, gate, services, name="agents"),
        strategy="rest_for_one",
        name="agent_floor",
    )


class Agents(GenServer):
    """Starts, changes and ends agents as their records say."""

    async def init(self, garden: Path, gate: Gate, services: Mapping[type, object]) -> None:
        """Start every agent there is; the node is ready when they have joined their rooms."""
        self.garden = garden
        self.gate = gate
        self.services = services
        self.running: dict[str, tuple[AgentDefinition, Pid]] = {}
        subscribe(RECORDS)
        for record in await Library.list("library", "agents"):
            await self._met(record)

    @call
    def definitions(self) -> list[AgentDefinition]:
        """The agents that run, by name."""
        return [self.running[name][0] for name in sorted(self.running)]

    @call
    async def sessions(self) -> list[SessionView]:
        """What every session does now; one that does not answer at once is left out."""
        views = []
        for name, (definition, _) in sorted(self.running.items()):
            for room in definition.rooms:
                try:
                    views.append(await AgentProcess.view.within(0.5)(session_name(name, room)))
                except CallError:
                    continue
        return views

    async def handle_info(self, message: Any) -> None:
        match message:
            case RecordChanged(kind="agents", record=Record() as record, error=None):
                await self._met(record)
            case RecordChanged(kind="agents", name=name, record=None, error=None):
                await self._gone(name)
            case _:
                pass  # other records, and broken ones: the library keeps their error

    async def _met(self, record: Record) -> None:
        Library.clear("library", record.path)
        try:
            definition = read_agent(record)
        except AgentError as error:
            for problem in error.problems:
                Library.report("library", problem)
            return
        for grant, near in self.gate.unknown(definition.tools).items():
            mend = f"did you mean {near!r}?" if near else "`planaria doctor` lists the tools"
            line = record.line("tools")
            Library.report("library", Problem(record.path, line, f"no tool is named {grant!r}", mend))
        known = self.running.get(definition.name)
        if known is not None and known[0].rooms == definition.rooms and known[1].alive:
            self.running[definition.name] = (definition, known[1])
            return  # its sessions follow the record themselves
        if known is not None:
            await self._end(definition.name, keep=definition.rooms)
        await self._begin(definition, record)

    async def _begin(self, definition: AgentDefinition, record: Record) -> None:
        try:
            for room in definition.rooms:
                await Rooms.open("rooms", room)
            spec = agent_tree(definition, self.garden, self.gate, self.services)
            pid = await DynamicSupervisor.start_child(TREES, spec)
        except (CallError, StartFailed) as error:
            line = record.line("rooms")
            problem = Problem(
                record.path, line, f"the agent could not be started: {error}", "it is tried again"
            )
            Library.report("library", problem)
            again = RecordChanged("agents", definition.name, record.path, record, None)
            send_after(TRY_AGAIN, self.pid, again)
            return
        if pid is not None:
            self.running[definition.name] = (definition, pid)

    async def _gone(self, name: str) -> None:
        if name in self.running:
            await self._end(name, keep=())

    async def _end(self, name: str, keep: tuple[str, ...]) -> None:
        definition, pid = self.running.pop(name)
        await DynamicSupervisor.terminate_child(TREES, pid)
        for room in definition.rooms:
            if room not in keep and whereis(room_name(room)) is not None:
                try:
                    await Room.leave(room_name(room), name)
                except CallError:
                    continue  # the room is being restarted; the agent is not there to answer anyhow
