"""Tools for looking at the node itself: what runs, what is wrong, which models answer.

Only looks; asks no process that might be busy, except the directories of rooms, records and models.
"""

from collections import Counter
from typing import Any

from planaria.membrane.models.directory import ModelDirectory
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import node_, whereis
from planaria.records.library import Library
from planaria.rooms.rooms import list_rooms

_LONG_QUEUE = 100


@tool(needs={"node.read"}, branches=("well", "problems"), idempotent=True)
async def status(context: Context) -> Done | Failed:
    """Say how the node is: processes, restarts, rooms, models, and the problems people should mend."""
    node = node_()
    infos = [node.info(pid) for pid in node.processes()]
    named = sorted(info.name for info in infos if info.name)
    restarted = [f"{info.name or info.label} ({info.restarts})" for info in infos if info.restarts]
    behind = [
        f"{info.name or info.label} ({info.queue_len} messages)"
        for info in infos
        if info.queue_len > _LONG_QUEUE
    ]
    rooms = await list_rooms() if whereis("rooms") else []
    problems = [str(problem) for problem in await Library.problems("library")] if whereis("library") else []
    views = await ModelDirectory.describe("models") if whereis("models") else []
    value: dict[str, Any] = {
        "node": node.name,
        "processes": len(infos),
        "named": named,
        "restarted": restarted,
        "behind": behind,
        "rooms": rooms,
        "models": [{"provider": view.name, "models": view.models, "problem": view.problem} for view in views],
        "problems": problems,
    }
    statuses = ", ".join(
        f"{count} {name}" for name, count in sorted(Counter(info.status for info in infos).items())
    )
    lines = [
        f"The node {node.name} runs {len(infos)} processes ({statuses}).",
        f"Restarted: {', '.join(restarted)}." if restarted else "None was restarted.",
        f"Falling behind: {', '.join(behind)}." if behind else "",
        f"Rooms: {', '.join(rooms) or 'none'}.",
        *(f"Models of {view.name}: {view.problem or ', '.join(view.models) or 'any'}." for view in views),
        *(["Problems to mend:", *(f"- {problem}" for problem in problems)] if problems else ["No problems."]),
    ]
    return Done(
        value, branch="problems" if problems or behind else "well", text="\n".join(filter(None, lines))
    )
