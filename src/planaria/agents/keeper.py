"""The keeper of agents: one subtree for each good record in `agents/`, made, changed and ended as files change.

```
agent_floor (rest_for_one)
├── agent_trees                    dynamic
│   ├── agent:scout                one per record
│   │   └── scout@garden               rest_for_one, one per room
│   │       ├── guard:scout@garden     looks at its steps
│   │       ├── tasks:scout@garden     its model and tool calls
│   │       └── session:scout@garden   AgentProcess
│   └── scout@garden-fork-1        one per branch of a session; below it as above
└── agents                         this
```

Started under the name `agents`, after `agent_trees`. A broken record is reported to the library, and the last good
version keeps running; a session that starts anew is told it by this (`WhoAmI`). Restarted, it finds in the tree what
runs, and goes on with it. An agent whose record is gone leaves its rooms, also if that happened while no node ran.
Does badly: while one agent is being stopped (at most the 5 s its sessions have) other changes wait.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from planaria.agents.answer_file import with_answer
from planaria.agents.children import with_household
from planaria.agents.definition import AgentDefinition, AgentError, agent_name, bare_grants, read_agent
from planaria.agents.past.branches import Branches, read_branches
from planaria.agents.session import AgentProcess, SessionView, WhoAmI
from planaria.agents.trees import TREES, agent_tree, session_tree, session_tree_name, terminate, tree_of
from planaria.agents.turn.events import SessionForked, session_name
from planaria.membrane.gate.explain import GrantsView, explain
from planaria.membrane.gate.gate import TOPIC as TOOLS
from planaria.membrane.gate.gate import Gate, ToolsChanged
from planaria.otp import (
    CallError,
    ChildSpec,
    Deferred,
    Down,
    DynamicSupervisor,
    GenServer,
    Pid,
    Ref,
    StartFailed,
    Supervisor,
    Task,
    TaskDone,
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

TRY_AGAIN = 1.0
"""Seconds until what could not be done is tried again."""
LEAVING = 2.0
"""Seconds a room or a session may take to answer the keeper."""

type Sessions = list[SessionView]


class Leave(msgspec.Struct, frozen=True):
    """To itself: take an agent out of a room that was away."""

    room: str
    agent: str


class Later(msgspec.Struct, frozen=True):
    """To itself: start branches of an agent that could not be started."""

    agent: str


def tree(garden: Path, gate: Gate, services: Mapping[type, object]) -> ChildSpec:
    """The processes of this floor, as one child of the node."""
    services = with_household(garden, gate, services)
    return supervisor(
        dynamic(name=TREES, max_restarts=20, within=60.0),
        child(Agents, garden, gate, services, name="agents"),
        strategy="rest_for_one",
        name="agent_floor",
        max_restarts=10,
        within=30.0,
    )


class Agents(GenServer):
    """Starts, changes and ends agents as their records say."""

    trap_exit: ClassVar[bool] = True

    async def init(self, garden: Path, gate: Gate, services: Mapping[type, object]) -> None:
        """Start every agent there is; the node is ready when all run."""
        self.garden = garden
        self.gate = gate
        self.services = services
        self.running: dict[str, AgentDefinition] = {}
        self.asking: dict[Ref, Deferred[Sessions]] = {}
        subscribe(RECORDS)
        subscribe(TOOLS)
        self.branches = await read_branches()
        await self._find_running()
        for record in await Library.list("library", "agents"):
            await self._met(record)
        known = await Library.names(
            "library", "agents"
        )  # broken ones too: theirs go on, or come back when mended
        for name in [name for name in self.running if name not in known]:
            await self._end(name, keep=())
        for agent in list(self.running.values()):
            await self._begin_branches(agent)
        await self._tidy(known)

    @call
    def definitions(self) -> list[AgentDefinition]:
        """The agents that run, by name."""
        return [self.running[name] for name in sorted(self.running)]

    @call
    def grants(self, name: str) -> GrantsView | None:
        """What an agent may do, and why; None if it does not run."""
        agent = self.running.get(name)
        return None if agent is None else explain(self.gate.tools(), agent.authority())

    @call
    def sessions(self) -> Deferred[Sessions]:
        """What every session does now; one that does not answer at once is left out."""
        answer: Deferred[Sessions] = self.defer()
        names = [
            session_name(name, room)
            for name, agent in sorted(self.running.items())
            for room in self._rooms(agent)
        ]
        self.asking[Task.start_link(_views, names, label="look at sessions")] = answer
        return answer

    @call
    async def branch(self, fork: SessionForked) -> bool:
        """Run a branch that is in the journal; False if its agent does not run here."""
        self.branches.forks[fork.room] = fork
        agent = self.running.get(fork.agent)
        if agent is None:
            return False
        await self._begin_branches(agent)
        return True

    @call
    def forks(self) -> list[SessionForked]:
        """The branches that are to run, by room."""
        return [self.branches.forks[room] for room in sorted(self.branches.forks)]

    @call
    async def prune(self, room: str) -> None:
        """End a branch that is no longer to run, as the journal says, and let it leave its room."""
        fork = self.branches.forks.pop(room, None)
        if fork is not None:
            await self._end_branch(fork)

    async def handle_info(self, message: Any) -> None:
        match message:
            case RecordChanged(kind="agents", record=Record() as record, error=None):
                await self._met(record)
            case RecordChanged(kind="agents", name=name, record=None, error=None):
                if name in self.running:
                    await self._end(name, keep=())
                    for fork in self.branches.of(name):
                        await self._end_branch(fork)
            case ToolsChanged():
                await self._report_again()
            case Later(agent=name) if name in self.running:
                await self._begin_branches(self.running[name])
            case WhoAmI(agent=agent, pid=pid):
                AgentProcess.amend(pid, self.running.get(agent))
            case Leave(room=room, agent=agent):
                await self._leave(room, agent)
            case TaskDone(ref=ref, value=list() as views) if ref in self.asking:
                self.asking.pop(ref).reply(views)
            case Down(ref=ref) if ref in self.asking:
                self.asking.pop(ref).reply([])
            case _:
                pass  # other records, broken ones (the library keeps their error), the exit of a task

    async def _met(self, record: Record) -> None:
        Library.clear("library", record.path)
        try:
            agent = await with_answer(read_agent(record), self.garden, record)
        except AgentError as error:
            for problem in error.problems:
                Library.report("library", problem)
            return
        self._report(record, agent)
        known = self.running.get(agent.name)
        if known is not None and known.rooms == agent.rooms and tree_of(agent.name) is not None:
            self.running[agent.name] = agent
            self._amend(agent)
            return
        if known is not None:
            await self._end(agent.name, keep=agent.rooms)
        await self._begin(agent, record)
        self._amend(agent)
        await self._begin_branches(agent)

    def _report(self, record: Record, agent: AgentDefinition) -> None:
        """What of a good record grants nothing, as nobody may have meant."""
        for word, near in self.gate.unknown(agent.tools).items():
            other = "Name tools as in docs/tools.md, or patterns such as notes.*."
            mend = f"Did you mean {near!r}?" if near else other
            line = record.line("tools")
            Library.report("library", Problem(record.path, line, f"no tool is named {word!r}", mend))
        for problem in bare_grants(record):
            Library.report("library", problem)

    async def _report_again(self) -> None:
        """Other tools are there now: what named none may name one."""
        for record in await Library.list("library", "agents"):
            agent = self.running.get(agent_name(record.path))
            if agent is not None:
                Library.clear("library", record.path)
                self._report(record, agent)

    def _rooms(self, agent: AgentDefinition) -> list[str]:
        return [*agent.rooms, *(fork.room for fork in self.branches.of(agent.name))]

    def _amend(self, agent: AgentDefinition) -> None:
        for room in self._rooms(agent):
            session = whereis(session_name(agent.name, room))
            if session is not None:  # else it asks when it is back
                AgentProcess.amend(session, agent)

    async def _begin(self, agent: AgentDefinition, record: Record) -> None:
        self.running[agent.name] = agent
        try:
            for room in agent.rooms:
                await Rooms.open("rooms", room)
                await Room.enrol(room_name(room), agent.name, agent.host)
            await DynamicSupervisor.start_child(
                TREES, agent_tree(agent, self.garden, self.gate, self.services)
            )
        except (CallError, StartFailed) as error:
            problem = f"the agent could not be started: {error}"
            Library.report(
                "library", Problem(record.path, record.line("rooms"), problem, "It is tried again.")
            )
            again = RecordChanged("agents", agent.name, record.path, record, None)
            send_after(TRY_AGAIN, self.pid, again)

    async def _begin_branches(self, agent: AgentDefinition) -> None:
        """Start the branches of an agent that do not run; later, if one cannot be started."""
        forks = self.branches.of(agent.name)
        # One that is not among these is an orphan of a supervisor that was lost, and ends by itself.
        ours = {each.process for each in await DynamicSupervisor.which_children(TREES)} if forks else set()
        for fork in forks:
            pid = whereis(session_tree_name(agent.name, fork.room))
            if pid is not None and pid in ours:
                continue
            spec = session_tree(agent, fork.room, self.garden, self.gate, self.services, fork)
            try:
                await Rooms.open("rooms", fork.room)
                await DynamicSupervisor.start_child(TREES, spec)
            except (CallError, StartFailed):
                send_after(TRY_AGAIN, self.pid, Later(agent.name))

    async def _end_branch(self, fork: SessionForked) -> None:
        pid = whereis(session_tree_name(fork.agent, fork.room))
        if pid is not None:
            await terminate(pid)
        await self._leave(fork.room, fork.agent)

    async def _end(self, name: str, keep: tuple[str, ...]) -> None:
        agent = self.running.pop(name)
        pid = tree_of(name)
        if pid is not None:
            await terminate(pid)
        for room in agent.rooms:
            if room not in keep:
                await self._leave(room, name)

    async def _leave(self, room: str, agent: str) -> None:
        """Take an agent out of a room, unless it has come back meanwhile; later, if the room is away."""
        if agent in self.running and room in self._rooms(self.running[agent]):
            return
        try:
            await Room.leave.within(LEAVING)(room_name(room), agent)
        except CallError:
            send_after(TRY_AGAIN, self.pid, Leave(room, agent))

    async def _find_running(self) -> None:
        """After a restart: what runs already, as its sessions know it; what does not answer is ended."""
        for info in await DynamicSupervisor.which_children(TREES):
            if info.process is None or _branch_of(info.process, self.branches) is not None:
                continue
            agent = await _definition_of(info.process)
            if agent is None:
                await terminate(info.process)
            else:
                self.running[agent.name] = agent

    async def _tidy(self, known: Sequence[str]) -> None:
        """Let those leave whose record went away, or lost a room, while nobody kept agents."""
        for room in await Rooms.list("rooms"):
            try:
                absent = await Room.absent.within(LEAVING)(room_name(room))
            except CallError:
                continue
            for name in absent:
                if name not in known or name in self.running:
                    await self._leave(room, name)


def _branch_of(tree: Pid, branches: Branches) -> SessionForked | None:
    """The branch this tree runs, if it is one."""
    for fork in branches.forks.values():
        if tree.name == session_tree_name(fork.agent, fork.room):
            return fork
    return None


async def _definition_of(tree: Pid) -> AgentDefinition | None:
    """The agent a tree runs, as one of its sessions knows it."""
    try:
        sessions = await Supervisor.which_children.within(LEAVING)(tree)
    except CallError:
        return None
    for session in sessions:
        try:
            return await AgentProcess.definition.within(LEAVING)(str(session.id))
        except CallError:
            continue
    return None


async def _views(names: Sequence[str]) -> Sessions:
    views: Sessions = []
    for name in names:
        try:
            views.append(await AgentProcess.view.within(0.5)(name))
        except CallError:
            continue
    return views
