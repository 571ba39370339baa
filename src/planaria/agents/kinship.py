"""What journals tell of children: sessions that an agent starts for a task, each with a stream of its own.

A child's stream is `<stream of the parent>/<n>`, in which `child.asked` is the first event and `child.finished` the
last. Both, and all between, are in the trace of the parent's message.
"""

import hashlib
from typing import Any, ClassVar, Literal

import msgspec

from planaria.cortex.event import Event, repeatable_id
from planaria.cortex.event_type import EventType
from planaria.membrane.authority import Authority
from planaria.membrane.grants import Grant
from planaria.rooms.message import RoomMessage

MOST_DEPTH = 3
"""Generations below an agent in a room."""


class Layer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one who stands above a child may do: its name, tools and grants."""

    name: str
    tools: tuple[str, ...] = ()
    grants: tuple[Grant, ...] = ()


class ChildAsked(EventType, frozen=True, omit_defaults=True):
    """An agent has a child do something. The first event of the child's stream; its id is the child's message.

    Attributes:
        parent: stream of the session that asked; `turn` and `call` are the turn and the tool call there.
        agent: who the child is.
        definition: what it is made of, as `AgentDefinition`.
        above: what those above it may do, from the agent in a room down: the child may do no more than each of them.
        by: the name of who asked; `room`: where the first of them sits.
        depth: generations below an agent in a room, from 1.
        schema: JSON schema the answer has to fit; None: it is text.
        budget: the slice of its parent's budget that it has: `usd`, `tokens`, `calls`, `seconds`; no word, no limit.
        wait: whether the parent waits for it; otherwise the result is said to the parent in its room.
        hops: turns of agents that led to it.
    """

    kind: ClassVar[str] = "child.asked"
    parent: str
    turn: str
    call: str
    agent: str
    task: str
    definition: dict[str, Any]
    room: str
    by: str
    depth: int = 1
    schema: dict[str, Any] | None = None
    budget: dict[str, float] = msgspec.field(default_factory=dict)
    wait: bool = True
    above: tuple[Layer, ...] = ()
    hops: int = 0

    @property
    def family(self) -> frozenset[str]:
        """The agents whose records say what it may do: its own, if it has one, and those of everybody above it."""
        return frozenset((self.agent, *(layer.name for layer in self.above)))

    def authority(self, own: Authority) -> Authority:
        """What the child may do: its own, narrowed by everybody's above it."""
        for layer in self.above:
            own = Authority(f"agent:{layer.name}", layer.tools, layer.grants).narrowed(own, own.caller)
        return own


class ChildFinished(EventType, frozen=True, omit_defaults=True):
    """What a child came to. Written before anybody is told, so a result is never lost.

    Attributes:
        outcome: `answered`, `failed`, `invalid` (no answer that fits the schema), `stopped`.
        text: its answer, or why there is none.
        value: the answer as JSON, if there is a schema.
        steps, tokens, cost_micro: what it took.
    """

    kind: ClassVar[str] = "child.finished"
    child: str
    outcome: str
    text: str
    value: Any = None
    steps: int = 0
    tokens: int = 0
    cost_micro: int = 0


CHILD: Literal["agents.child"] = "agents.child"
"""The kind of the jobs that run children nobody waits for; the payload names the `child`."""


def task_of(event: Event) -> RoomMessage:
    """The message a child handles: its task, as its first event has it.

    Raises:
        EventMismatch: it cannot be read.
    """
    asked = ChildAsked.of(event)
    # Said by a person: to the child its parent is whom it works for.
    return RoomMessage(
        event.id,
        *(event.seq, event.at, "", asked.by, "person", asked.task),
        trace_id=event.trace_id,
        subject=event.subject,
        hops=asked.hops,
    )


def child_stream(parent: str, call: str) -> str:
    """The stream of the child that a tool call of a session asks for: the same however often it is made."""
    return f"{parent}/{hashlib.sha256(call.encode()).hexdigest()[:8]}"


def asked_id(child: str) -> str:
    """The id of a child's first event."""
    return repeatable_id(child, ChildAsked.kind)


def finished_id(child: str) -> str:
    """The id of a child's last event."""
    return repeatable_id(child, ChildFinished.kind)


def is_child(session: str) -> bool:
    """Whether a stream is a child's."""
    return session.startswith("session:") and "/" in session


def parent_of(child: str) -> str:
    """The stream of a child's parent."""
    return child.rpartition("/")[0]
