"""The methods of the control protocol, by name."""

from typing import Any

from planaria.nerve.methods import journal, live, node, notes, rooms, trace, workflows
from planaria.nerve.methods.method import Channel, Method, Nothing, Services

__all__ = ["METHODS", "Channel", "Method", "Services"]

METHODS: dict[str, Method[Any]] = {
    "status": Method(Nothing, node.status),
    "tree": Method(Nothing, node.tree),
    "processes": Method(Nothing, node.processes),
    "inspect": Method(node.WhichProcess, node.inspect),
    "process.kill": Method(node.WhichProcess, node.kill),
    "process.restart": Method(node.WhichProcess, node.restart),
    "stop": Method(Nothing, node.stop),
    "doctor": Method(Nothing, node.doctor),
    "top": Method(live.Top, live.top),
    "live": Method(live.Which, live.rows),
    "live.tables": Method(Nothing, live.tables),
    "live.follow": Method(live.Watching, live.following),
    "journal.tail": Method(journal.Tail, journal.tail),
    "trace": Method(trace.WhichTrace, trace.trace),
    "trace.open": Method(trace.WhichNode, trace.open_),
    "trace.follow": Method(trace.WhichTrace, trace.follow),
    "traces": Method(trace.Latest, trace.traces),
    "notes.search": Method(notes.Search, notes.search),
    "rooms": Method(Nothing, rooms.rooms),
    "room.open": Method(rooms.Opening, rooms.open_),
    "room.transcript": Method(rooms.Reading, rooms.transcript),
    "room.post": Method(rooms.Posting, rooms.post),
    "room.ask": Method(rooms.Posting, rooms.ask),
    "room.follow": Method(rooms.Following, rooms.follow),
    "workflow.list": Method(Nothing, workflows.workflows),
    "workflow.run": Method(workflows.Start, workflows.run),
    "workflow.show": Method(workflows.WhichRun, workflows.show),
    "workflow.runs": Method(workflows.Runs, workflows.runs),
    "workflow.cancel": Method(workflows.WhichRun, workflows.cancel),
}
