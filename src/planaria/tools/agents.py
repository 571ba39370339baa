"""Tools for letting other agents work: a child session does a task, with what its parent may do and spend narrowed.

A child follows from the call that asked for it, so a call that is made again after a crash gets the result that was
written meanwhile, or goes on waiting for it.
"""

from collections.abc import Mapping
from typing import Any

from planaria.agents.children import Ask, Household, Parent, Refused, begin, result_of, run
from planaria.agents.keeper import Agents
from planaria.agents.kinship import ChildFinished, parent_of
from planaria.agents.later import CHILD
from planaria.agents.session import AgentProcess
from planaria.cortex.durable.work import Work
from planaria.membrane.capability import Touch
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.outside import RETOLD, outside

NEW = "new"
"""What a grant of `agents.spawn` calls a child that is made of instructions alone."""


def _touched(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    new = str(arguments.get("instructions") or "").strip()
    return (Touch("agents.spawn", NEW if new else str(arguments.get("agent") or NEW)),)


@tool(
    needs={"agents.spawn"},
    touches=_touched,
    branches=("answered", "started"),
    on_unknown="retry",
    waits=True,
)
async def ask(
    context: Context,
    task: str,
    agent: str = "",
    instructions: str = "",
    tools: list[str] = [],  # noqa: B006 - copied per call
    schema: dict[str, Any] | None = None,
    budget: dict[str, float] = {},  # noqa: B006 - copied per call
    wait: bool = True,
) -> Done | Failed:
    """Let another agent do a task and tell you the result. Several calls at once run side by side.

    Args:
        task: all it needs to know; it sees nothing of this talk.
        agent: one of the garden's agents; or none, with instructions.
        instructions: who it is, if no agent of the garden is to do it. It has your model.
        tools: those of yours it may use; none leaves it all of them.
        schema: a JSON schema; the result is then JSON that fits it.
        budget: what it may spend of yours: usd, tokens, calls, seconds; by default half of what is left.
        wait: false lets it work on its own; you are told its result later, as a message.
    """
    if not context.session.startswith("session:"):
        return Failed("only an agent can have children; a workflow has steps")
    definition, child = await AgentProcess.kin(context.session)
    known = {each.name: each for each in await Agents.definitions("agents")}
    asked = Ask(agent, task, instructions, tuple(tools), schema, budget, wait)
    stream = await begin(context, Parent(definition, child), asked, known)
    if isinstance(stream, Refused):
        return Failed(stream.why)
    if not wait:
        await Work.submit(
            "work",
            CHILD,
            {"child": stream},
            key=context.effect,
            trace_id=context.trace_id,
            cause_id=context.cause_id,
            subject=context.subject,
        )
        text = f"{stream} works on it; its result will be said here."
        return Done({"child": stream}, branch="started", text=text)
    return told(await run(stream, context.get(Household)))


@tool(needs={"agents.spawn"}, branches=("answered", "working"), idempotent=True)
async def result(context: Context, child: str) -> Done | Failed:
    """Look whether a child that works on its own has finished.

    Args:
        child: its name, as `agents.ask` told it.
    """
    if parent_of(child) != context.session:
        return Failed(f"{child!r} is no child of yours")
    finished = await result_of(child)
    if finished is None:
        return Done({"child": child}, branch="working", text=f"{child} is still at work.")
    return told(finished)


def told(finished: ChildFinished) -> Done | Failed:
    """A child's result as an outcome: a failure of the child is a failure of the call.

    Its words are marked: what it has read elsewhere may speak through it.
    """
    text = outside(finished.text, finished.child, RETOLD)
    if finished.outcome != "answered":
        return Failed(f"{finished.child} ended without a result ({finished.outcome}): {text}")
    value = {
        "child": finished.child,
        "result": finished.text if finished.value is None else finished.value,
        "steps": finished.steps,
        "tokens": finished.tokens,
        "cost_micro": finished.cost_micro,
    }
    return Done(value, branch="answered", text=text)
