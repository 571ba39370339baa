"""One file of tools, in an OS process of its own: `child(ToolFile, ..., isolation="worker")`.

Loads the text it was given (not the file: a restart runs what was accepted), says what it offers, and runs calls, each
as a task that ends with its caller. Tools see the `Context` they know; other tools they reach through the node
(`Context.call`), which looks at what they may.
Does badly: a file that computes for ever answers no other call meanwhile; the node ends it when a call is late.
"""

import sys
import traceback
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any, ClassVar

import msgspec

from planaria.membrane.garden_tools.home import Home
from planaria.membrane.garden_tools.offer import FOLDER, About, Answered, Broken, Offered, OwnTool
from planaria.membrane.parameters import ArgumentError
from planaria.membrane.tool import Context, Done, Failed, Outcome, Tool, ToolCaller
from planaria.otp import (
    Deferred,
    Down,
    Exit,
    ExitSignal,
    GenServer,
    Pid,
    Ref,
    Task,
    TaskDone,
    call,
    monitor,
    reason_text,
)

PACKAGE = "planaria_garden_tools"
"""What the files' modules are called under."""


class Through(ToolCaller):
    """Calls tools of the node."""

    def __init__(self, home: Pid, token: str) -> None:
        self._home = home
        self._token = token

    async def call(self, tool: str, arguments: dict[str, Any]) -> Outcome:
        """See `ToolCaller`."""
        outcome = await Home.use.within(None)(self._home, self._token, tool, arguments)
        assert isinstance(outcome, Done | Failed)
        return outcome


class ToolFile(GenServer):
    """One file."""

    trap_exit: ClassVar[bool] = True

    def init(self, garden: str, path: str, text: str, home: Pid) -> None:
        """Begin without having loaded anything: that is a call, which may be given up.

        Args:
            path: relative to the garden.
            home: a `Home`.
        """
        self.garden = garden
        self.path = path
        self.text = text
        self.home = home
        self.tools: dict[str, Tool] = {}
        self.open: dict[Ref, tuple[Deferred[Answered], Any]] = {}
        self.callers: dict[Ref, Any] = {}

    @call
    def load(self) -> Offered | Broken:
        """Run the file, and say what it offers."""
        try:
            module = _run(self.garden, self.path, self.text)
        except Exit:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever a file raises is told with its line
            return broken(error, str(Path(self.garden, self.path)))
        tools = [each for each in vars(module).values() if isinstance(each, Tool)]
        own = [each for each in tools if each.function.__module__ == module.__name__]
        if not own:
            mend = (
                "write an async function with @tool, or let the file's name begin with _ if others import it"
            )
            return Broken(1, "the file holds no tool", mend)
        for each in own:
            if each.touches is not None and each.touch_names is None:
                line = each.function.__code__.co_firstlineno
                mend = (
                    "name the argument: touches={'net.fetch': 'url'}; a function cannot be asked in the node"
                )
                return Broken(line, f"the touches of {each.name} are a function", mend)
        self.tools = {each.name: each for each in own}
        return Offered(tuple(map(_own, self.tools.values())))

    @call
    def run(self, name: str, arguments: dict[str, Any], about: About) -> Deferred[Answered]:
        """Run a tool; it ends with the caller."""
        answer: Deferred[Answered] = self.defer()
        context = Context(
            about.caller,
            Path(about.garden),
            about.session,
            about.room,
            about.trace_id,
            about.cause_id,
            about.call_id,
            about.effect_id,
            about.subject,
            {ToolCaller: Through(self.home, about.token)},
        )
        task = Task.start_link(answered, self.tools[name], context, arguments, label=name)
        self.open[task] = (answer, task)
        caller = self.caller()
        if caller is not None:
            self.callers[monitor(caller)] = task
        return answer

    @call
    def ping(self) -> bool:
        """Whether it answers."""
        return True

    @call
    def busy(self) -> int:
        """How many calls are under way."""
        return len(self.open)

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=Answered() as value) if ref in self.open:
                self.open.pop(ref)[0].reply(value)
            case Down(ref=ref, reason=reason) if ref in self.open:
                error = Failed(f"it ended: {reason_text(reason)}")
                self.open.pop(ref)[0].reply(Answered(error, crashed=True))
            case Down(ref=ref) if ref in self.callers:
                self.callers.pop(ref).cancel()
            case Down() | TaskDone() | ExitSignal():
                pass  # of tasks that have said how it went
            case _:
                super().handle_info(message)


async def answered(tool: Tool, context: Context, arguments: dict[str, Any]) -> Answered:
    """What a call of a tool comes to, in values that can be sent."""
    try:
        outcome = await tool(context, **arguments)
    except ArgumentError as error:
        return Answered(Failed(str(error)))
    except Exit:
        raise
    except Exception as error:  # noqa: BLE001 - by contract: what a tool raises is news for its caller
        line = _line(error, tool.function.__code__.co_filename)
        place = f" (line {line})" if line else ""
        return Answered(Failed(f"{tool.name} raised {type(error).__name__}: {error}{place}"), crashed=True)
    return Answered(outcome) if isinstance(outcome, Failed) else _plain(tool, outcome)


def _plain(tool: Tool, outcome: object) -> Answered:
    if not isinstance(outcome, Done):
        name = type(outcome).__name__
        return Answered(Failed(f"{tool.name} answered {name}; a tool answers Done or Failed"), crashed=True)
    try:
        return Answered(msgspec.structs.replace(outcome, value=msgspec.to_builtins(outcome.value)))
    except (TypeError, ValueError, RecursionError) as error:
        return Answered(Failed(f"{tool.name} answered a value that JSON cannot say: {error}"))


def broken(error: BaseException, file: str) -> Broken:
    """What a person should mend: the last line of the file that was reached."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return Broken(error.lineno or 1, f"this is not Python: {error.msg}", "mend the syntax")
    what = str(error) or type(error).__name__
    name = type(error).__name__
    problem = what if name == "ToolDefinitionError" else f"importing it raised {name}: {what}"
    return Broken(_line(error, file) or 1, problem, "mend this line")


def _line(error: BaseException, file: str) -> int | None:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return lines[-1] if lines else None


def _run(garden: str, path: str, text: str) -> ModuleType:
    """Run the text of a file as a module; its neighbours whose names begin with `_` can be imported."""
    file = str(Path(garden, path))
    name = f"{PACKAGE}.{PurePosixPath(path).stem}"
    spec = spec_from_loader(name, loader=None, origin=file)
    assert spec is not None
    module = module_from_spec(spec)
    module.__file__ = file
    sys.modules[name] = module  # dataclasses and typing look a class's module up there
    sys.path.append(str(Path(garden, FOLDER)))
    exec(compile(text, file, "exec"), module.__dict__)  # noqa: S102 - the owner's own file, in a process of its own
    return module


def _own(tool: Tool) -> OwnTool:
    return OwnTool(
        tool.name,
        tool.description,
        msgspec.to_builtins(tool.parameters),
        tool.branches,
        tuple(sorted(tool.needs)),
        None if tool.touch_names is None else dict(tool.touch_names),
        tool.on_unknown,
        tool.waits,
        tool.polling,
        tool.ask,
        tool.second_factor,
    )
