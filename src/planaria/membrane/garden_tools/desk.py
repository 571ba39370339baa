"""Where tools in processes of their own call other tools: in the node, as the caller of the call they belong to.

The call is known by a word that was given to the tool with it, so a file can only act for whom it works.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planaria.membrane.gate.gate import Gate
from planaria.membrane.tool import Context, Failed, Outcome, Tool


class OpenCall:
    """A call of a garden's own tool that is under way; `made` counts those it has made of others."""

    __slots__ = ("context", "made", "tool")

    def __init__(self, context: Context, tool: Tool) -> None:
        self.context = context
        self.tool = tool
        self.made = 0


async def used(
    gate: Gate,
    name: str,
    arguments: dict[str, Any],
    opened: OpenCall,
    number: int,
    services: Mapping[type, object],
) -> Outcome:
    """Call a tool for another; its id follows from the call it belongs to, so that a repeat is one call.

    Args:
        number: how many calls the other has made with this.
    """
    context, by = opened.context, opened.tool
    if context.authority is None:
        return Failed(f"{by.name} declares no needs, so it may call no other tool")
    wanted = gate.find(name)
    if wanted is not None and wanted.source:
        return Failed(f"{by.name} may call built-in tools; {name} is one of {wanted.source}")
    inner = replace(
        context,
        call_id=f"{context.call_id}.{number}",
        effect_id=f"{context.effect_id}.{number}" if context.effect_id else "",
        services={**services, **context.services},
    )
    return await gate.call(name, arguments, inner, context.authority.for_tool(by.needs))
