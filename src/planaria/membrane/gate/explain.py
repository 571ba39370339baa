"""Why somebody may use a tool, or may not: each tool and capability, with who granted it and what it covers. Pure."""

from collections.abc import Iterable

import msgspec

from planaria.membrane.authority import Authority
from planaria.membrane.capability import capability
from planaria.membrane.gate.registry import refusal_of
from planaria.membrane.grants import Grant, line_to_add
from planaria.membrane.tool import Tool


class CapabilityView(msgspec.Struct, frozen=True):
    """One capability as somebody has it.

    Attributes:
        says: what it lets somebody do.
        where: who granted it: `agents/scout.md:7`, `default`; empty if nobody did.
        allow, ask, second_factor, deny: its scopes. Of what was handed on all that grant it limit it; these are the
            last one's, `others` those of the rest, in words.
        problem: why nothing can be done with it; empty if something can.
        line: the line that would grant it, or an example of one.
        dangerous: whether only a scope grants it.
    """

    name: str
    says: str
    where: str
    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    second_factor: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    problem: str = ""
    line: str = ""
    dangerous: bool = False


class ToolView(msgspec.Struct, frozen=True):
    """One tool as somebody has it.

    Attributes:
        offered: whether it may be called at all; `problem` says why not, `line` what would change that.
        named_by: the word of `tools:` that names it; empty if none does.
        source: the garden's file it comes from; empty: it is built in.
        approval: `` , `always asked`, `always asked, with a code`: what the tool itself wants.
        needs: its capabilities.
    """

    name: str
    description: str
    offered: bool
    named_by: str
    source: str
    approval: str
    needs: tuple[str, ...]
    problem: str = ""
    line: str = ""


class GrantsView(msgspec.Struct, frozen=True):
    """What somebody may do.

    Attributes:
        record: the file and line of its `tools:`, for people.
    """

    caller: str
    tools: tuple[ToolView, ...]
    capabilities: tuple[CapabilityView, ...]
    record: str = ""


def explain(tools: Iterable[Tool], authority: Authority, record: str = "") -> GrantsView:
    """Everything about what an authority may do with these tools."""
    views = tuple(_tool(each, authority) for each in tools)
    names = sorted({name for view in views if view.named_by for name in view.needs} | _granted(authority))
    return GrantsView(authority.caller, views, tuple(_capability(name, authority) for name in names), record)


def _tool(tool: Tool, authority: Authority) -> ToolView:
    words = authority.named_by(tool.name, own=bool(tool.source))
    named = "" if None in words else words[-1] or ""
    refusal = refusal_of(tool, authority)
    approval = "always asked, with a code" if tool.second_factor else "always asked" if tool.ask else ""
    return ToolView(
        tool.name,
        tool.description.strip().partition("\n")[0],
        refusal is None,
        named,
        tool.source,
        approval,
        tuple(sorted(tool.needs)),
        "" if refusal is None else refusal.why,
        "" if refusal is None else refusal.grant,
    )


def _capability(name: str, authority: Authority) -> CapabilityView:
    known = capability(name)
    refusal = next(iter(authority.lacks(name)), None)
    grants = authority.grants_of(name)
    own = grants[-1] if grants else Grant(name)
    return CapabilityView(
        name,
        known.says,
        own.where or ("here" if grants else ""),
        own.allow,
        own.ask,
        own.second_factor,
        own.deny,
        tuple(_words(grant) for grant in grants[:-1]),
        "" if refusal is None else refusal.why,
        line_to_add(known),
        known.dangerous,
    )


def _granted(authority: Authority) -> set[str]:
    return {name for layer in authority.layers for name in layer.grants}


def _words(grant: Grant) -> str:
    parts = {"may": grant.allow, "asked": grant.ask, "with a code": grant.second_factor, "not": grant.deny}
    said = "; ".join(f"{word} {', '.join(scopes)}" for word, scopes in parts.items() if scopes)
    return f"{grant.where or 'above'}: {said or 'nothing'}"
