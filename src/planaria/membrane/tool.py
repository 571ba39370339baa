"""The contract of a tool: a typed async function that agents, workflows and people call through the gate.

    @tool(needs={"net.fetch"}, touches={"net.fetch": "url"}, branches=("ok", "empty"))
    async def fetch(context: Context, url: str, limit: int = 20) -> Done | Failed: ...

The rest is derived: the model's schema from the signature, help from the docstring, workflow arrows from
`branches`, what a call is checked for from `needs` and `touches`. A tool is plain code: it runs in the process that
calls the gate, which is a task, so it may await anything.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec

from planaria.cortex.event import NewEvent
from planaria.membrane.authority import Authority
from planaria.membrane.capability import ANYTHING, Touch, capability, fault_of
from planaria.membrane.parameters import Arguments, ToolDefinitionError, derive
from planaria.membrane.provider import ToolSpec

FAILED = "failed"
_BRANCH = re.compile(r"[a-z][a-z0-9_]*\Z")


class Done(msgspec.Struct, frozen=True):
    """A tool's answer.

    Attributes:
        value: JSON-like; what workflow steps hand on.
        branch: one of the tool's declared branches; picks the next step of a workflow.
        text: what a model reads; None lets it read the value as JSON.
        events: what the tool has to remember for its next call. The gate journals them in one commit with
            `tool.finished`, so that the memory and the answer survive together or not at all.
    """

    value: Any = None
    branch: str = "ok"
    text: str | None = None
    events: tuple[NewEvent, ...] = ()


class Failed(msgspec.Struct, frozen=True):
    """News that a tool could not do it: an answer, not a crash.

    Attributes:
        error: what went wrong and, where there is one, the mend.
        retry: whether the same call may succeed later.
    """

    error: str
    retry: bool = False
    branch: str = FAILED


class Denied(Failed, frozen=True):
    """A call that its caller may not make. The error says so to models and people, and how to grant it.

    Attributes:
        capability: the one that is missing; empty if the tool itself is not granted.
        scope: what it was to be used on, for people.
        grant: the line of a record that would allow it; empty if none would.
    """

    capability: str = ""
    scope: str = ""
    grant: str = ""


class HeldBack(Failed, frozen=True):
    """A call that was not made because a breaker is open or a budget used up.

    Attributes:
        by: `breaker:tool:web.fetch`, `budget:agent:scout`.
    """

    by: str = ""


type Outcome = Done | Failed
type OnUnknown = Literal["retry", "ask", "fail"]
type ToolFunction = Callable[..., Awaitable[Outcome]]
type Touches = Callable[[Mapping[str, Any]], Iterable[Touch]]
"""From the checked arguments to what the call uses its capabilities on. Pure, and complete: it names all of it."""


class MissingService(LookupError):
    """A tool asked its context for a service this node does not offer."""


class ToolCrashed(Exception):
    """A tool that runs in a process of its own raised there; the text is told as it is."""


class ToolCaller:
    """Calls other tools for a tool that runs in a process of its own; see `Context.call`."""

    async def call(self, tool: str, arguments: dict[str, Any]) -> "Outcome":
        """Call one."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Context:
    """Who calls a tool, and where it may look.

    Attributes:
        caller: `agent:scout`, `workflow:digest`, `person:ada`.
        garden: the garden's folder.
        session: the journal stream of the caller, in which the gate notes the call.
        call_id: unique per call in its session.
        effect_id: the same for every try of one piece of work, such as the attempts of a workflow's step; empty: as
            `call_id`. An effect that must not happen twice is keyed by `effect`.
        subject: whose data the call is about, such as `person:ada`; its events are sealed with that person's key.
        services: what `get` finds, by type: settings and functions of floors the membrane does not know.
        authority: what the caller may do; the gate sets it for tools that need capabilities. A tool that works on
            more than its arguments say, such as a sandbox, asks it.
        hops: turns of agents that lead to what this call begins, its own included; 0 if no turn makes it.
    """

    caller: str
    garden: Path
    session: str = ""
    room: str | None = None
    trace_id: str = ""
    cause_id: str | None = None
    call_id: str = ""
    effect_id: str = ""
    subject: str = ""
    services: Mapping[type, object] = field(default_factory=dict)
    authority: Authority | None = None
    hops: int = 0

    @property
    def effect(self) -> str:
        """What an effect that must not happen twice is keyed by, unique in the node; empty for a call without an id."""
        known = self.effect_id or self.call_id
        return f"{self.session}/{known}" if known else ""

    def get[T](self, service: type[T]) -> T:
        """The service of this type.

        Raises:
            MissingService: the node offers none.
        """
        found = self.find(service)
        if found is None:
            raise MissingService(f"this node offers no {service.__name__}")
        return found

    def find[T](self, service: type[T]) -> T | None:
        """The service of this type, or None; for settings that have a default."""
        found = self.services.get(service)
        assert found is None or isinstance(found, service)
        return found

    async def call(self, tool: str, /, **arguments: Any) -> "Outcome":
        """Call a built-in tool, from a tool of the garden's own folder: through the gate, as the same caller.

        Only what the calling tool `needs`, and its caller is granted, may be used.

        Raises:
            MissingService: this tool runs in the node itself, where it calls what it needs directly.
        """
        return await self.get(ToolCaller).call(tool, arguments)

    def with_call(self, call_id: str) -> "Context":
        """The same context for another call."""
        return replace(self, call_id=call_id)


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool: what models, workflows and the dashboard know about it, and the function.

    Attributes:
        name: `<module>.<function>`: `web.fetch` for `fetch` in `tools/web.py`.
        description: the docstring without its sections.
        branches: the outcomes it may have; `failed` is always one.
        needs: capabilities it uses, such as `net.fetch`.
        on_unknown: what becomes of a call that was cut off, so that nobody knows whether it took effect: `retry`,
            `ask` a person, or `fail`.
        waits: whether it spends its time waiting, for people or for a moment. Then being cut off says nothing
            against it, however often it happens.
        touches: what a call uses its capabilities on; None: it may be anything. `touch_names` is what it was made of,
            if it was made of names of arguments.
        ask: whether a person is asked before each call.
        second_factor: whether that person must give a code, too.
        source: the file of the garden it comes from; empty: it is built in.
        breaker: the name of the breaker that guards it; empty: `tool:<name>`.
        polling: whether it is meant to be called again and again until something has changed: doing so is no loop.
        lacking: what this node has to be given before the tool can be used, with what to write; empty: nothing. It is
            offered to nobody until then.
    """

    name: str
    description: str
    arguments: Arguments
    branches: tuple[str, ...]
    needs: frozenset[str]
    function: ToolFunction
    on_unknown: OnUnknown = "fail"
    waits: bool = False
    polling: bool = False
    touches: Touches | None = None
    ask: bool = False
    second_factor: bool = False
    source: str = ""
    breaker: str = ""
    touch_names: Mapping[str, str] | None = None
    lacking: str = ""

    def touched(self, bound: Mapping[str, Any]) -> tuple[Touch, ...]:
        """What a call with these arguments uses its capabilities on."""
        if self.touches is None:
            return tuple(Touch(name) for name in sorted(self.needs))
        return tuple(self.touches(bound))

    @property
    def idempotent(self) -> bool:
        """Whether a call that was cut off may simply be made again."""
        return self.on_unknown == "retry"

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of its arguments."""
        return self.arguments.schema

    @property
    def spec(self) -> ToolSpec:
        """As a model is offered it."""
        return ToolSpec(self.name, self.description, self.parameters)

    async def __call__(self, context: Context, /, **arguments: Any) -> Outcome:
        """Run the function with checked arguments, without the gate: nothing is journaled.

        Raises:
            ArgumentError: if the arguments do not fit.
        """
        return await self.function(context, **self.arguments.bind(arguments))


def tool(
    *,
    needs: Collection[str] = (),
    touches: Touches | Mapping[str, str] | None = None,
    branches: Iterable[str] = ("ok",),
    idempotent: bool = False,
    on_unknown: OnUnknown | None = None,
    waits: bool = False,
    polling: bool = False,
    ask: bool = False,
    second_factor: bool = False,
    name: str | None = None,
) -> Callable[[ToolFunction], Tool]:
    """Make a tool of an async function; its signature and docstring say the rest.

    Args:
        needs: capabilities (`planaria.membrane.capability`) it uses; it is offered to those who have all of them.
        touches: what a call uses them on: by capability the name of the argument that says it, or a function of the
            checked arguments. Without it each needs a grant for everything.
        branches: the outcomes `Done.branch` may name, the usual one first.
        idempotent: the short word for `on_unknown="retry"`.
        on_unknown: what becomes of a call that was cut off (the node was killed while it ran): `retry` makes it
            again under the same call id; `ask` puts the question to a person; `fail`, the default, tells the caller
            that nobody knows.
        waits: whether it spends its time waiting, for people or for a moment.
        polling: whether it is meant to be called again and again until something has changed.
        ask: let a person approve each call.
        second_factor: that person must give a code, too.
        name: by default `<last part of the module>.<function>`.
    Raises:
        ToolDefinitionError: when the module is imported, saying what to write.
    """

    def decorate(function: ToolFunction) -> Tool:
        full = name or f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        outcomes = tuple(dict.fromkeys((*branches, FAILED)))
        if len(outcomes) < 2 or not all(_BRANCH.match(each) for each in outcomes):
            raise ToolDefinitionError(
                f"tool {full}: branches are words such as 'ok' or 'not_found', at least one"
            )
        policy = on_unknown or ("retry" if idempotent else "fail")
        if policy not in ("retry", "ask", "fail") or (idempotent and policy != "retry"):
            raise ToolDefinitionError(
                f"tool {full}: on_unknown is 'retry' (as idempotent=True says), 'ask' or 'fail', not {policy!r}"
            )
        for each in needs:
            if problem := fault_of(each):
                raise ToolDefinitionError(f"tool {full}: {problem}")
        description, arguments = derive(full, function)
        if isinstance(touches, Mapping):
            _check_touches(full, touches, needs, arguments)
        return Tool(
            full,
            description,
            arguments,
            outcomes,
            frozenset(needs),
            function,
            policy,
            waits,
            polling,
            touching(touches, needs) if isinstance(touches, Mapping) else touches,
            ask or second_factor,
            second_factor,
            touch_names=dict(touches) if isinstance(touches, Mapping) else None,
        )

    return decorate


def touching(names: Mapping[str, str], needs: Collection[str] = ()) -> Touches:
    """What a call touches, read from arguments: by capability the name of one.

    An argument that is None touches nothing; a list touches each of its items, but for commands, which are lists. What
    is needed and not in `names` may be used on anything.
    """
    others = tuple(Touch(name) for name in sorted(needs) if name not in names)

    def touches(bound: Mapping[str, Any]) -> Iterable[Touch]:
        yield from others
        for name, argument in names.items():
            value = bound.get(argument)
            kind = capability(name).kind
            if value is None:
                continue
            if kind == "command":
                yield Touch(name, tuple(value) if isinstance(value, list | tuple) else str(value))
            elif kind == "money":
                yield Touch(name, round(value * 1_000_000) if isinstance(value, int | float) else -1)
            else:
                items = value if isinstance(value, list | tuple | set | frozenset) else (value,)
                yield from (Touch(name, item if isinstance(item, str) else ANYTHING) for item in items)

    return touches


def _check_touches(
    tool: str, touches: Mapping[str, str], needs: Collection[str], arguments: Arguments
) -> None:
    for name, argument in touches.items():
        if name not in needs:
            raise ToolDefinitionError(f"tool {tool}: touches {name!r}, which is not among its needs")
        if argument not in arguments.schema["properties"]:
            raise ToolDefinitionError(f"tool {tool}: touches {name!r} by {argument!r}, which is no argument")
