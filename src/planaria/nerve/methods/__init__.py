"""The methods of the control protocol, by name."""

from typing import Any

from planaria.nerve.methods import durable, journal, journal_keep, live, node, notes, rooms, trace, workflows
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
    "journal.show": Method(journal_keep.WhichEvent, journal_keep.show),
    "journal.sessions": Method(journal_keep.Sessions, journal_keep.sessions),
    "journal.verify": Method(journal_keep.Verifying, journal_keep.check_chains),
    "journal.check": Method(Nothing, journal_keep.check),
    "journal.backup": Method(journal_keep.Copying, journal_keep.backup),
    "journal.page": Method(journal_keep.Paging, journal_keep.page),
    "journal.prune": Method(journal_keep.Pruning, journal_keep.prune_now),
    "journal.erase": Method(journal_keep.Erasing, journal_keep.erase),
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
    "questions.list": Method(durable.WhichQuestions, durable.questions),
    "questions.answer": Method(durable.Answering, durable.answer),
    "questions.withdraw": Method(durable.Withdrawing, durable.withdraw),
    "dead.list": Method(durable.WhichLetters, durable.letters),
    "dead.show": Method(durable.WhichLetter, durable.letter),
    "dead.replay": Method(durable.Closing, durable.replay),
    "dead.drop": Method(durable.Closing, durable.drop),
    "work.list": Method(durable.WhichWork, durable.work),
    "work.cancel": Method(durable.Cancelling, durable.cancel),
}
