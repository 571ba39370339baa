"""The gate: the one way a tool is called, whoever calls.

Registered → granted → arguments valid → `tool.started` → run → `tool.finished`. A value, not a process: it
runs in the task that calls, so it ends with it. Breaker, budget and sandbox are not here yet; nothing that
needs a sandbox is offered, so tools in the garden's `tools/*.py` are not loaded.
Emits in `context.session`: `tool.started`, `tool.finished`. A call refused before it ran emits only the
latter.
"""

import pkgutil
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType
from typing import Any

import msgspec

from planaria.cortex.event import NewEvent, new_id
from planaria.cortex.journal import Journal
from planaria.cortex.redact import Redactor
from planaria.membrane.parameters import ArgumentError
from planaria.membrane.tool import FAILED, Context, Done, Failed, MissingService, Outcome, Tool
from planaria.otp import CallError, Exit, Server, now

TEXT_LIMIT = 20_000  # characters a model gets to read of one answer
VALUE_LIMIT = 400_000  # bytes of JSON a step hands on
ARGUMENT_LIMIT = 2_000  # characters of one argument that are journaled


class ToolConflict(Exception):
    """Two tools with one name."""


class Gate:
    """The tools of a node.

    Args:
        tools: each name once.
        journal: who is told of each call.
    Raises:
        ToolConflict: if a name comes twice.
    """

    def __init__(self, tools: Iterable[Tool], journal: Server = "journal") -> None:
        self._tools: dict[str, Tool] = {}
        self._journal = journal
        self._redactor = Redactor()
        for each in tools:
            if each.name in self._tools:
                raise ToolConflict(f"two tools are named {each.name!r}; rename one")
            self._tools[each.name] = each

    def tools(self) -> list[Tool]:
        """All tools, by name."""
        return [self._tools[name] for name in sorted(self._tools)]

    def find(self, name: str) -> Tool | None:
        """The tool of this name."""
        return self._tools.get(name)

    def offered(self, grants: Sequence[str]) -> list[Tool]:
        """The tools these grants allow, by name. A grant is a name, or a pattern such as `notes.*` or `*`."""
        return [each for each in self.tools() if granted(each.name, grants)]

    def unknown(self, grants: Sequence[str]) -> dict[str, str | None]:
        """Grants that match no tool, each with the nearest name: a typo in a record."""
        idle = (grant for grant in grants if not any(granted(name, (grant,)) for name in self._tools))
        return {grant: _nearest(grant, self._tools) for grant in idle}

    async def call(
        self, name: str, arguments: dict[str, Any], context: Context, grants: Sequence[str]
    ) -> Outcome:
        """Call a tool.

        Args:
            name: as in `Tool.name`.
            arguments: as a model or a workflow gave them.
            context: who calls; its `call_id` is made up if empty.
            grants: what the caller may use. Checked here again, though it was not offered more.
        Returns:
            The tool's answer, bounded. Every refusal and every exception inside the tool is a `Failed`.
        Raises:
            JournalUnavailable, CallError: the journal cannot write, or is not there. A call that cannot be noted is
                not made, so the calling task ends with this.
        """
        if not context.call_id:
            context = context.with_call(new_id())
        checked = self._checked(name, arguments, grants)
        if isinstance(checked, Failed):
            await self._note(context, self._finished(context, name, arguments, checked, 0.0))
            return checked
        each, bound = checked
        await self._note(context, self._started(context, name, arguments))
        begun = now()
        outcome = bounded(each, await _run(each, context, bound))
        remembered = outcome.events if isinstance(outcome, Done) else ()
        await self._note(
            context, *remembered, self._finished(context, name, arguments, outcome, now() - begun)
        )
        return outcome

    def _checked(
        self, name: str, arguments: dict[str, Any], grants: Sequence[str]
    ) -> tuple[Tool, dict[str, Any]] | Failed:
        each = self._tools.get(name)
        if each is None or not granted(name, grants):
            offered = [tool.name for tool in self.offered(grants)]
            near = _nearest(name, offered)
            problem = (
                f"there is no tool {name!r}"
                if each is None
                else f"the tool {name!r} is not granted to this caller"
            )
            if near:
                return Failed(f"{problem}, did you mean {near!r}?")
            return Failed(f"{problem}; on offer: {', '.join(offered) or 'none'}")
        try:
            return each, each.arguments.bind(arguments)
        except ArgumentError as error:
            return Failed(str(error))

    def _started(self, context: Context, name: str, arguments: dict[str, Any]) -> NewEvent:
        payload = {
            "call_id": context.call_id,
            "tool": name,
            "arguments": self._shown(arguments),
            "caller": context.caller,
        }
        return self._event(context, "tool.started", payload)

    def _finished(
        self, context: Context, name: str, arguments: dict[str, Any], outcome: Outcome, seconds: float
    ) -> NewEvent:
        payload: dict[str, Any] = {
            "call_id": context.call_id,
            "tool": name,
            "arguments": self._shown(arguments),
            "caller": context.caller,
            "branch": outcome.branch,
            "duration_ms": round(seconds * 1000, 3),
        }
        match outcome:
            case Done():
                payload |= {
                    "outcome": {"value": outcome.value, "text": outcome.text},
                    "error": None,
                    "retry": False,
                }
            case Failed():
                payload |= {"outcome": None, "error": outcome.error, "retry": outcome.retry}
        return self._event(context, "tool.finished", payload)

    def _event(self, context: Context, kind: str, payload: dict[str, Any]) -> NewEvent:
        return NewEvent(
            kind, payload, session=context.session, trace_id=context.trace_id, cause_id=context.cause_id
        )

    def _shown(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Arguments for the journal: secrets masked, long ones cut."""
        masked = self._redactor.value(msgspec.to_builtins(arguments))
        assert isinstance(masked, dict)
        return {name: _cut(value) for name, value in masked.items()}

    async def _note(self, context: Context, *events: NewEvent) -> None:
        await Journal.append(self._journal, list(events))


def load_tools(*sources: ModuleType) -> list[Tool]:
    """The tools in modules, and in the modules of packages; names that begin with `_` are skipped.

    A tool is found where it is defined, so importing one into another module does not register it twice.
    """
    found: dict[str, Tool] = {}
    for source in sources:
        below = pkgutil.iter_modules(source.__path__) if hasattr(source, "__path__") else ()
        inner = [
            import_module(f"{source.__name__}.{each.name}") for each in below if not each.name.startswith("_")
        ]
        for module in (source, *inner):
            for value in vars(module).values():
                if isinstance(value, Tool) and value.function.__module__ == module.__name__:
                    found[value.name] = value
    return [found[name] for name in sorted(found)]


def granted(name: str, grants: Sequence[str]) -> bool:
    """Whether a grant names this tool: its name, `family.*`, or `*`."""
    return any(fnmatchcase(name, grant) for grant in grants)


def bounded(tool: Tool, outcome: object) -> Outcome:
    """The outcome within its bounds: a known branch, a value JSON can say and a step can hold, text of a set length."""
    if isinstance(outcome, Failed):
        return Failed(_shortened(outcome.error, TEXT_LIMIT), outcome.retry)
    if not isinstance(outcome, Done):
        return Failed(f"{tool.name} answered {type(outcome).__name__}; a tool answers Done or Failed")
    if outcome.branch not in tool.branches or outcome.branch == FAILED:
        return Failed(f"{tool.name} answered the branch {outcome.branch!r}, which it does not declare")
    value = outcome.value
    if isinstance(value, str):
        value = _shortened(value, VALUE_LIMIT // 4)
    try:
        value = msgspec.to_builtins(value)
        size = len(msgspec.json.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        return Failed(f"{tool.name} answered a value that JSON cannot say: {error}")
    if size > VALUE_LIMIT:
        return Failed(f"{tool.name} answered {size} bytes, the limit is {VALUE_LIMIT}; ask for less")
    text = outcome.text if outcome.text is None else _shortened(outcome.text, TEXT_LIMIT)
    return Done(value, outcome.branch, text, outcome.events)


def spoken(outcome: Outcome) -> str:
    """What a model reads of an outcome."""
    match outcome:
        case Failed():
            return f"Failed: {outcome.error}" + (" (may succeed later)" if outcome.retry else "")
        case Done(text=str() as text):
            return text
        case Done(value=str() as text):
            return _shortened(text, TEXT_LIMIT)
        case Done():
            return _shortened(msgspec.json.encode(outcome.value).decode(), TEXT_LIMIT)


async def _run(tool: Tool, context: Context, arguments: dict[str, Any]) -> Outcome:
    try:
        return await tool.function(context, **arguments)
    except MissingService as error:
        return Failed(f"{tool.name} cannot work here: {error}")
    except CallError as error:
        return Failed(f"{tool.name} got no answer: {error}", retry=True)
    except Exit:
        raise
    except Exception as error:  # noqa: BLE001 - by contract: what a tool raises is news for its caller
        return Failed(f"{tool.name} raised {type(error).__name__}: {error}")


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return _shortened(value, ARGUMENT_LIMIT)
    encoded = msgspec.json.encode(value)
    return value if len(encoded) <= ARGUMENT_LIMIT else _shortened(encoded.decode(), ARGUMENT_LIMIT)


def _shortened(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\n[cut here: {limit} of {len(text)} characters]"


def _nearest(name: str, names: Iterable[str]) -> str | None:
    """The nearest name; a model often forgets the family (`fetch` for `web.fetch`) or writes `web_fetch`."""
    known = list(names)
    dotted = name.replace("_", ".", 1)
    same = [each for each in known if each == dotted or each.rpartition(".")[2] == name]
    return next(iter(same or get_close_matches(name, known, n=1, cutoff=0.6)), None)
