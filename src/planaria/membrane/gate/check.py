"""Whether a call may be made: registered, on offer, its arguments valid, what it touches in scope. Pure, but for links.

What it comes to is a `Passed`, perhaps with what a person must be asked about, or a `Failed` that says what was wrong;
a `Denied` one says what to grant.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from planaria.membrane.authority import Authority, Held, Refusal
from planaria.membrane.capability import Touch
from planaria.membrane.gate.outcome import as_text, json_size
from planaria.membrane.gate.registry import Registry, nearest_tool
from planaria.membrane.parameters import ArgumentError
from planaria.membrane.scopes.scope import Place
from planaria.membrane.tool import Context, Denied, Failed, Tool


@dataclass(frozen=True, slots=True)
class Passed:
    """A call that may be made.

    Attributes:
        bound: the arguments as the function takes them.
        held: what a person must be asked about first.
    """

    tool: Tool
    bound: dict[str, Any]
    held: tuple[Held, ...] = ()


def check(
    registry: Registry, name: str, arguments: dict[str, Any], authority: Authority, context: Context
) -> Passed | Failed:
    """Check a call."""
    tool = registry.tools.get(name)
    if tool is None:
        return _not_there(registry, name, authority)
    clearance = registry.clearance(tool, authority)
    if clearance.refusal is not None:
        return _not_offered(registry, name, authority, clearance.refusal)
    if isinstance(fault := json_size(arguments), str):
        return Failed(f"the arguments of {name} cannot be said in JSON: {fault}")
    try:
        bound = tool.arguments.bind(arguments)
    except ArgumentError as error:
        return Failed(as_text(str(error)))
    if clearance.free:
        return Passed(tool, bound)
    return _in_scope(tool, bound, authority, context)


def still(registry: Registry, tool: Tool, bound: dict[str, Any], context: Context) -> Passed | Failed:
    """Look at a call once more that has waited for a person: the tool may be gone, or be another."""
    now = registry.tools.get(tool.name)
    if now is not tool and (
        now is None
        or (now.description, now.parameters, now.needs, now.source)
        != (tool.description, tool.parameters, tool.needs, tool.source)
    ):
        how = "is another now" if now is not None else "is gone"
        return Failed(f"{tool.name} {how}: it changed while a person was asked; call it again")
    if context.authority is None:
        return Passed(tool, bound)
    return _in_scope(tool, bound, context.authority, context)


def _in_scope(tool: Tool, bound: dict[str, Any], authority: Authority, context: Context) -> Passed | Failed:
    place = place_of(context)
    held: list[Held] = []
    touched = tool.touched(bound)
    for touch in touched:
        if touch.capability not in tool.needs:
            return denied(
                Refusal(
                    touch.capability, touch.shown, "", f"{tool.name} does not declare that it needs this"
                ),
                authority.caller or context.caller,
            )
        match authority.check(touch, place):
            case Refusal() as refusal:
                return denied(refusal, authority.caller or context.caller)
            case Held() as hold:
                held.append(hold)
            case _:
                pass
    if tool.ask and not held:
        held.append(Held(Touch("", tool.name), tool.second_factor, "the tool itself"))
    elif tool.second_factor:
        held = [Held(each.touch, True, each.where) for each in held]
    return Passed(tool, bound, tuple(held))


def place_of(context: Context) -> Place:
    """Where a call is made."""
    return Place(_real(context.garden), (context.room or "").removeprefix("room:"))


@lru_cache(maxsize=64)
def _real(garden: Path) -> Path:
    return garden.resolve()


def denied(refusal: Refusal, caller: str) -> Denied:
    """A refusal as the outcome of a call."""
    mend = f"; to allow it, add {refusal.grant!r} to {_where(refusal, caller)}" if refusal.grant else ""
    text = as_text(f"{refusal.why}{mend}")
    return Denied(
        text, capability=refusal.capability, scope=as_text(refusal.scope), grant=as_text(refusal.grant)
    )


def _where(refusal: Refusal, caller: str) -> str:
    """Where the line is to be written."""
    kind, _, name = caller.partition(":")
    file = {"agent": f"agents/{name}.md", "workflow": f"the workflow {name}"}.get(kind, "its grants")
    return f"`grants:` in {file}" if refusal.capability else file


def _not_there(registry: Registry, name: str, authority: Authority) -> Failed:
    offered = [tool.name for tool in registry.offered(authority)]
    near = nearest_tool(name, offered)
    if near:
        return Failed(f"there is no tool {name!r}, did you mean {near!r}?")
    return Failed(f"there is no tool {name!r}; on offer: {_listed(offered)}")


def _not_offered(registry: Registry, name: str, authority: Authority, refusal: Refusal) -> Denied:
    if refusal.capability:
        return denied(
            Refusal(
                refusal.capability,
                refusal.scope,
                refusal.grant,
                f"the tool {name!r} is not on offer: {refusal.why}",
            ),
            authority.caller,
        )
    if registry.tools[name].lacking == refusal.why:
        return Denied(refusal.why, scope=name)
    offered = [tool.name for tool in registry.offered(authority)]
    near = nearest_tool(name, offered)
    hint = f", did you mean {near!r}?" if near else f"; on offer: {_listed(offered)}"
    return Denied(f"{refusal.why}{hint}", scope=name, grant=refusal.grant)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
