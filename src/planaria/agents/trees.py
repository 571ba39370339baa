"""The subtrees of agents and their sessions: who supervises whom, and under which names."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from planaria.agents.definition import AgentDefinition
from planaria.agents.guard.guarding import guard_name
from planaria.agents.guard.halting import PREFIX
from planaria.agents.kinship import ChildAsked
from planaria.agents.session import AgentProcess
from planaria.agents.turn.events import SessionForked, session_name
from planaria.cortex.event import Event
from planaria.immune.guards.guard import Guard
from planaria.membrane.gate.gate import Gate
from planaria.otp import (
    ChildError,
    ChildSpec,
    DynamicSupervisor,
    Pid,
    child,
    dynamic,
    node_,
    supervisor,
    whereis,
)

TREES = "agent_trees"
"""Registered name of who supervises all of them."""


def session_tree(
    definition: AgentDefinition,
    room: str,
    garden: Path,
    gate: Gate,
    services: Mapping[type, object],
    fork: SessionForked | None = None,
) -> ChildSpec:
    """One session: its guard, the supervisor of its tasks, then its process, which never works without them."""
    name = session_name(definition.name, room)
    return supervisor(
        child(Guard, name, name=guard_name(name)),
        dynamic(name=f"tasks:{definition.name}@{room}", max_restarts=10, within=10.0),
        child(AgentProcess, definition, room, garden, gate, services, fork, name=name),
        id=name,
        name=session_tree_name(definition.name, room),
        strategy="rest_for_one",
        max_restarts=20,  # a guard that ends it, too, counts as a restart
        within=30.0,
    )


def child_tree(
    stream: str, asked: Event, garden: Path, gate: Gate, services: Mapping[type, object]
) -> ChildSpec:
    """A session that another one started for a task; it ends when that is done.

    Args:
        stream: its stream, and the name of its process.
        asked: its first event.
    Raises:
        EventMismatch: that cannot be read.
    """
    definition = msgspec.convert(ChildAsked.of(asked).definition, AgentDefinition)
    name = stream.removeprefix("session:")
    session = child(
        *(AgentProcess, definition, "", garden, gate, services, None, asked),
        name=stream,
        restart="transient",
        significant=True,
    )
    return supervisor(
        child(Guard, stream, name=guard_name(stream)),
        dynamic(name=f"tasks:{name}", max_restarts=10, within=10.0),
        session,
        id=stream,
        name=name,
        strategy="rest_for_one",
        max_restarts=20,
        within=30.0,
        auto_shutdown="any_significant",
        restart="temporary",
        shutdown=5.0,
    )


def agent_tree(
    definition: AgentDefinition, garden: Path, gate: Gate, services: Mapping[type, object]
) -> ChildSpec:
    """The subtree of one agent."""
    sessions = [session_tree(definition, room, garden, gate, services) for room in definition.rooms]
    return supervisor(*sessions, name=agent_tree_name(definition.name), max_restarts=10, within=60.0)


def session_tree_name(agent: str, room: str) -> str:
    """Registered name of a session's supervisor."""
    return f"{agent}@{room}"


def agent_tree_name(agent: str) -> str:
    """Registered name of an agent's supervisor."""
    return f"agent:{agent}"


def known_sessions() -> list[str]:
    """Names of all sessions of the node, also of those that are being restarted at this moment."""
    names = list(node_().names)
    trees = [session_name(*name.split("@", 1)) for name in names if "@" in name and ":" not in name]
    return list(dict.fromkeys((*trees, *(name for name in names if name.startswith(PREFIX)))))


def tree_of(agent: str) -> Pid | None:
    """The supervisor of an agent, whichever process that is now."""
    return whereis(agent_tree_name(agent))


async def terminate(pid: Pid) -> None:
    """End a subtree, and wait until it has ended."""
    try:
        await DynamicSupervisor.terminate_child(TREES, pid)
    except ChildError:
        # It is being restarted under another pid, or is an orphan that ends by itself.
        return
