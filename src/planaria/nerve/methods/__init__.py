"""The methods of the control protocol, by name."""

from typing import Any

from planaria.nerve.methods import journal, node, notes
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
    "journal.tail": Method(journal.Tail, journal.tail),
    "notes.search": Method(notes.Search, notes.search),
}
