"""Children: sessions that an agent starts for a task, below its own, with what it may do and spend narrowed.

    result = await run(context, household, Ask("researcher", "What grows on the north wall?"))

A child is a session without a room: its stream is `<parent's stream>/<n>`, its message the task, its answer the event
`child.finished`, written before the parent is told. Which child a tool call means follows from the call, so a call that
is made again after a crash finds its child: finished, under way, or to be taken up where its journal stands.
It is started below the tasks of its parent's session, and ends with them; it also ends when nobody waits for it any
more, as the parent's turn was stopped.
Emits in the child's stream: `child.asked`, then what a session does, then `child.finished`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from planaria.agents.definition import NAME, RESERVED, AgentDefinition
from planaria.agents.desk import Known, append, find
from planaria.agents.kinship import (
    MOST_DEPTH,
    ChildAsked,
    ChildFinished,
    Layer,
    asked_id,
    child_stream,
    finished_id,
)
from planaria.agents.session import AgentProcess
from planaria.agents.trees import child_tree
from planaria.agents.turn.limits import TurnLimits
from planaria.config.budget import Limits
from planaria.cortex.errors import EventRefused
from planaria.cortex.event import NewEvent
from planaria.immune.ledger.ledger import AccountPath, Exhausted, accounts_of
from planaria.membrane.gate.gate import Gate
from planaria.membrane.structured import BadSchema, check_schema
from planaria.membrane.tool import Context
from planaria.otp import (
    CallError,
    DynamicSupervisor,
    Pid,
    StartFailed,
    self_,
    sleep,
    wait_down,
    whereis,
)

TRY_AGAIN = 0.5
"""Seconds until a child that is being restarted is looked for again."""
MOST_TRIES = 20
"""Times it may be gone before it is given up."""
BUDGET = ("usd", "tokens", "calls", "seconds")
"""What a child may be given a part of: dollars, tokens, calls of models and tools, seconds these take."""
LONGEST_TASK = 100_000
"""Characters of a task."""


class Refused(msgspec.Struct, frozen=True):
    """No child can be started; `why` says what to change."""

    why: str


class Ask(msgspec.Struct, frozen=True):
    """What is asked of a child.

    Attributes:
        agent: an agent of the garden; or any name, if there are `instructions`.
        instructions: makes a child for this task only, with the tools and the model of its parent.
        tools: names or patterns of the tools it may use of its parent's; empty for all of them.
        schema: JSON schema of the answer; None: the one of the agent's record, if it has one.
        budget: what it may spend of its parent's, some of `BUDGET`.
        wait: whether the parent waits for it.
    """

    agent: str
    task: str
    instructions: str = ""
    tools: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    budget: dict[str, float] = {}
    wait: bool = True


@dataclass(frozen=True, slots=True)
class Household:
    """What children are started with, the same for all of a node: a service of agents' tools."""

    garden: Path
    gate: Gate
    services: Mapping[type, object]


def with_household(garden: Path, gate: Gate, services: Mapping[type, object]) -> Mapping[type, object]:
    """The services of a node's tools, a `Household` among them; children get the same."""
    if Household in services:
        return services
    shared: dict[type, object] = dict(services)
    shared[Household] = Household(garden, gate, shared)
    return shared


class Parent(msgspec.Struct, frozen=True):
    """Who asks: its definition as it is now, and what it was started for, if it is a child itself."""

    definition: AgentDefinition
    child: ChildAsked | None = None


async def begin(
    context: Context, parent: Parent, ask: Ask, known: Mapping[str, AgentDefinition]
) -> str | Refused:
    """Write down that a child was asked for, once; its stream.

    Args:
        context: of the tool call that asks.
        known: the agents of the garden.
    """
    stream = child_stream(context.session, context.call_id)
    if await find(asked_id(stream)) is not None:
        return stream
    made = asked_of(context, parent, ask, known)
    if isinstance(made, Refused):
        return made
    accounts = accounts_of(self_().node)
    path = AccountPath(context.session, context.cause_id or "")
    share = accounts.open_child(path, stream, _wanted(ask.budget))
    if isinstance(share, Exhausted):
        return Refused(str(share))
    made = msgspec.structs.replace(made, budget=share.given())
    try:
        await append([event_of(context, stream, made)])
    except Known:
        pass
    except EventRefused as error:
        accounts.close_child(stream)
        return Refused(f"the task cannot be written down: {error.reason}")
    return stream


def _wanted(budget: Mapping[str, float]) -> Limits:
    given = dict(budget)
    whole = {name: int(given.pop(name)) for name in ("tokens", "calls") if name in given}
    return Limits(usd=given.get("usd"), seconds=given.get("seconds"), **whole)


def asked_of(
    context: Context, parent: Parent, ask: Ask, known: Mapping[str, AgentDefinition]
) -> ChildAsked | Refused:
    """What a child is made of, or why there is none. Pure."""
    depth = 1 + (parent.child.depth if parent.child is not None else 0)
    if depth > MOST_DEPTH:
        return Refused(f"children may stand {MOST_DEPTH} below one another; do this yourself")
    if not ask.task.strip() or len(ask.task) > LONGEST_TASK:
        return Refused(f"a task has 1 to {LONGEST_TASK} characters")
    if ask.schema is not None:
        try:
            check_schema(ask.schema)
        except BadSchema as error:
            return Refused(f"the schema is no JSON schema: {error}")
    definition = _definition(parent, ask, known)
    if isinstance(definition, Refused):
        return definition
    limits = _limits(definition.limits, ask.budget)
    if isinstance(limits, Refused):
        return limits
    # What may not leave this machine may not leave it by way of somebody else.
    privacy = definition.privacy or parent.definition.privacy
    definition = msgspec.structs.replace(definition, limits=limits, host=False, rooms=(), privacy=privacy)
    own = parent.definition
    above = (
        *(parent.child.above if parent.child is not None else ()),
        Layer(own.name, own.tools, own.grants),
        *((Layer(own.name, ask.tools, own.grants),) if ask.tools else ()),
    )
    return ChildAsked(
        parent=context.session,
        turn=context.cause_id or "",
        call=context.call_id,
        agent=definition.name,
        task=ask.task,
        definition=msgspec.to_builtins(definition),
        room=parent.child.room if parent.child is not None else context.room or "",
        by=own.name,
        depth=depth,
        above=above,
        schema=ask.schema if ask.schema is not None else definition.answer,
        budget=ask.budget,
        wait=ask.wait,
        hops=context.hops,
    )


def _definition(parent: Parent, ask: Ask, known: Mapping[str, AgentDefinition]) -> AgentDefinition | Refused:
    own = parent.definition
    if ask.instructions.strip():
        if ask.agent and not NAME.match(ask.agent):
            return Refused(f"{ask.agent!r} is no name for an agent; use small letters, digits, - and _")
        if ask.agent in RESERVED or (ask.agent in known and ask.agent != own.name):
            # What people have approved for that one would be approved for this one.
            return Refused(f"the name {ask.agent!r} is taken; give instructions another, or leave them out")
        told = ask.instructions.strip()
        return msgspec.structs.replace(own, name=ask.agent or own.name, instructions=told, answer=None)
    found = known.get(ask.agent)
    if found is None:
        names = ", ".join(sorted(known)) or "there is none"
        return Refused(f"no agent {ask.agent!r}; agents: {names}; or give instructions for a new one")
    return found


def _limits(limits: TurnLimits, budget: Mapping[str, float]) -> TurnLimits | Refused:
    for name, value in budget.items():
        if name not in BUDGET:
            return Refused(f"a budget has {', '.join(BUDGET)}, not {name!r}")
        if not value > 0:
            return Refused(f"{name} is {value}; it must be above 0")
        if name in ("tokens", "calls") and value < 1:
            return Refused(f"{name} is {value}; it must be a whole number")
    return TurnLimits(
        tool_calls=min(limits.tool_calls, int(budget.get("calls", limits.tool_calls))),
        tokens=min(limits.tokens, int(budget.get("tokens", limits.tokens))),
        seconds=min(limits.seconds, budget.get("seconds", limits.seconds)),
        usd=min(limits.usd, budget.get("usd", limits.usd)),
    )


def event_of(context: Context, stream: str, asked: ChildAsked) -> NewEvent:
    """The first event of a child's stream."""
    return asked.new(
        session=stream,
        trace_id=context.trace_id,
        cause_id=context.cause_id,
        id=asked_id(stream),
        subject=context.subject,
    )


async def run(stream: str, household: Household) -> ChildFinished:
    """Run a child that is in the journal until it has finished; its result, which is in the journal, too.

    The child ends with the process this runs in.
    """
    for _ in range(MOST_TRIES):
        if (finished := await result_of(stream)) is not None:
            return finished
        pid = whereis(stream) or await _start(stream, household)
        if pid is None:
            await sleep(TRY_AGAIN)
            continue
        AgentProcess.wait_for(pid, self_())
        await wait_down(pid)
    return await _given_up(stream, "its process ended again and again")


async def result_of(stream: str) -> ChildFinished | None:
    """What a child came to; None while it has not finished."""
    event = await find(finished_id(stream))
    if event is None:
        return None
    if event.state != "whole":
        return ChildFinished(stream, "failed", f"its result was {event.state}")
    return ChildFinished.of(event)


async def _start(stream: str, household: Household) -> Pid | None:
    event = await find(asked_id(stream))
    if event is None:
        return None
    spec = child_tree(stream, event, household.garden, household.gate, household.services)
    parent = stream.rpartition("/")[0].removeprefix("session:")
    try:
        await DynamicSupervisor.start_child(f"tasks:{parent}", spec)
    except (StartFailed, CallError):
        pass  # it is being started, or its parent is being restarted: who calls looks again
    return whereis(stream)


async def _given_up(stream: str, why: str) -> ChildFinished:
    asked = await find(asked_id(stream))
    finished = ChildFinished(stream, "failed", why)
    if asked is None:
        return finished
    event = finished.new(
        session=stream,
        trace_id=asked.trace_id,
        cause_id=asked.id,
        id=finished_id(stream),
        subject=asked.subject,
    )
    try:
        await append([event])
    except Known:
        return await result_of(stream) or finished
    return finished
