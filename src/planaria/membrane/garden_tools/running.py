"""The tools of a file as the gate has them: each sends its calls to the file's process, wherever that is now."""

from typing import Any

from planaria.cortex.event import new_id
from planaria.cortex.event_type import event_types
from planaria.membrane.garden_tools.arguments import OwnArguments
from planaria.membrane.garden_tools.desk import OpenCall
from planaria.membrane.garden_tools.offer import About, Answered, OwnTool
from planaria.membrane.garden_tools.tool_file import ToolFile
from planaria.membrane.tool import Context, Done, Failed, Outcome, Tool, ToolCrashed, touching
from planaria.otp import CallError, Pid, exit_signal

RUNNING = 300.0
"""Seconds a call may take, of a tool that does not say that it waits."""
ANSWERS = 5.0
"""Seconds in which a process must say that it lives, after a call was late."""


class Post:
    """Where the tools of a file run now, and the calls they have under way, by their words."""

    __slots__ = ("calls", "pid")

    def __init__(self, calls: dict[str, OpenCall], pid: Pid | None = None) -> None:
        self.calls = calls
        self.pid = pid


def tool_of(own: OwnTool, path: str, post: Post) -> Tool:
    """A tool for the gate.

    Raises:
        BadSchema: its arguments have no schema that can be checked.
    """
    made: list[Tool] = []

    async def function(context: Context, /, **arguments: Any) -> Outcome:
        return await run(made[0], post, context, arguments)

    tool = Tool(
        own.name,
        own.description,
        OwnArguments(own.name, own.schema),
        own.branches,
        frozenset(own.needs),
        function,
        own.on_unknown,
        own.waits,
        own.polling,
        None if own.touches is None else touching(own.touches, own.needs),
        own.ask or own.second_factor,
        own.second_factor,
        path,
        touch_names=own.touches,
    )
    made.append(tool)
    return tool


async def run(tool: Tool, post: Post, context: Context, arguments: dict[str, Any]) -> Outcome:
    """Run a tool in its process; in the process of its caller.

    Raises:
        ToolCrashed: it raised there.
    """
    pid = post.pid
    if pid is None:
        return Failed(f"the process of {tool.source} is being restarted", retry=True)
    token = new_id()
    post.calls[token] = OpenCall(context, tool)
    about = About(
        *(token, context.caller, str(context.garden), context.session, context.room, context.trace_id),
        *(context.cause_id, context.call_id, context.effect_id, context.subject),
    )
    limit = None if tool.waits else RUNNING
    try:
        answer: Answered = await ToolFile.run.within(limit)(pid, tool.name, arguments, about)
    except CallError as error:
        await end_if_stuck(pid)
        return Failed(f"{tool.name} gave no answer: {error}", retry=True)
    finally:
        post.calls.pop(token, None)
    if answer.crashed:
        assert isinstance(answer.outcome, Failed)
        raise ToolCrashed(answer.outcome.error)
    return its_own(tool, answer.outcome)


async def end_if_stuck(pid: Pid) -> None:
    """End a process that does not answer."""
    try:
        await ToolFile.ping.within(ANSWERS)(pid)
    except CallError:
        exit_signal(pid, "kill")


def its_own(tool: Tool, outcome: Outcome) -> Outcome:
    """The outcome, if what it remembers is its own: events of kinds and streams that begin with the family's name."""
    family = tool.name.partition(".")[0]
    for event in outcome.events if isinstance(outcome, Done) else ():
        ours = event.kind.startswith(f"{family}.") and event.session.startswith(f"{family}:")
        if not ours or event.kind in event_types():
            allowed = f"its own events are {family}.* in {family}:*"
            return Failed(f"{tool.name} remembers {event.kind!r} in {event.session!r}; {allowed}")
    return outcome
