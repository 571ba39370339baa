"""A running node as plain data for JSON, read from a thread of its own: nothing is asked of the loop or of a process.

Does badly: a view is what was true for a moment, or for two; parts of it need not fit together.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterable
from functools import partial
from itertools import islice
from typing import Any

from planaria.otp.kernel.introspection import TreeNode, process_tree
from planaria.otp.kernel.mailbox import mailbox, queue_length
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, STATUS_NAMES, Process
from planaria.otp.kernel.reason import Crash, reason_text
from planaria.otp.observe.chain import await_chain, waits_for
from planaria.otp.observe.show import Show, fields_of, kind_qualname, message_text, pid_text, steady
from planaria.otp.observe.stall import Stall
from planaria.otp.servers.wrapper import server_of

__all__ = [
    "find",
    "info_view",
    "matching",
    "message_view",
    "process_row",
    "reason_view",
    "stall_view",
    "state_view",
    "tree_view",
]

MOST_MESSAGES = 50
LONGEST_VALUE = 2000
LONGEST_MESSAGE = 500
MOST_WEIGHED = 2000
"""Objects looked at to estimate the memory of a process."""
HEAP_TYPE = 1 << 9
"""Flag of classes made while the program runs, which may have code of their own for everything."""
_FLAGS_OF: Any = type.__dict__["__flags__"]


def kind_of(process: Process) -> str:
    """The class of its server, or `function`."""
    server = server_of(process)
    return "function" if server is None else kind_qualname(type(server))


def processes(node: Node) -> list[Process]:
    """All living processes, oldest first."""
    none: list[Process] = []
    return steady(lambda: list(node.table.values()), none)


def find(node: Node, what: str) -> Process | None:
    """A process by name, by `<node.id>` or by its bare id."""
    return node.find(what)


def matching(node: Node, pattern: str) -> list[Process]:
    """The processes whose name, label or class matches a glob, or whose pid this is."""
    one = find(node, pattern)
    if one is not None:
        return [one]
    return [each for each in processes(node) if matches(each, pattern)]


def matches(process: Process, pattern: str) -> bool:
    """Whether a glob matches the name, the label or the class of a process."""
    names = (process.name or "", process.label, kind_of(process), str(process))
    return any(fnmatch.fnmatchcase(name, pattern) for name in names if name)


def process_row(node: Node, process: Process) -> dict[str, Any]:
    """One line of the list."""
    return {
        "pid": str(process),
        "name": process.name,
        "label": process.label,
        "kind": kind_of(process),
        "status": STATUS_NAMES[process.status],
        "queue_len": queue_length(process),
        "reductions": process.reductions,
        "restarts": node.restarts.get(process, 0),
        "age": max(0.0, node.clock.now() - process.started_at),
    }


def tree_view(node: Node) -> list[dict[str, Any]]:
    """The supervision tree of each root."""
    none: list[TreeNode] = []
    return [_branch(each) for each in steady(lambda: process_tree(node), none)]


def _branch(tree: TreeNode) -> dict[str, Any]:
    return {
        "pid": None if tree.pid is None else str(tree.pid),
        "name": tree.name,
        "label": tree.label,
        "kind": tree.kind,
        "status": tree.status,
        "queue_len": tree.queue_len,
        "reductions": tree.reductions,
        "restarts": tree.restarts,
        "children": [_branch(each) for each in tree.children],
    }


def message_view(envelope: Envelope, now: float, show: Show) -> dict[str, Any]:
    """One message; `age` is seconds since it was sent."""
    return {
        "id": envelope[3],
        "kind": envelope[0],
        "text": message_text(envelope, show, LONGEST_MESSAGE),
        "sender": pid_text(envelope[2]),
        "age": max(0.0, now - envelope[6]),
        "trace": envelope[4],
    }


def reason_view(reason: object) -> dict[str, Any]:
    """Why something ended, with the place if it crashed."""
    where = reason.where if isinstance(reason, Crash) else None
    return {"text": reason_text(reason), "where": where}


def state_view(process: Process, show: Show) -> dict[str, str]:
    """The attributes of the server, or the variables of a plain function."""
    server = server_of(process)
    if server is not None:
        return {name: show(name, value, LONGEST_VALUE) for name, value in fields_of(server).items()}
    frame = getattr(process.coro, "cr_frame", None)
    if frame is None:
        return {}
    empty: list[tuple[str, object]] = []
    found = steady(lambda: list(frame.f_locals.items()), empty)
    return {name: show(name, value, LONGEST_VALUE) for name, value in found if name.isidentifier()}


def info_view(node: Node, process: Process, show: Show) -> dict[str, Any]:
    """Everything there is to see of one process."""
    now = node.clock.now()
    envelopes: list[Envelope] = []
    queued = steady(lambda: list(islice(mailbox(process), MOST_MESSAGES)), envelopes)
    recent = steady(lambda: list(node.recent), envelopes)
    consumed = list(islice((each for each in reversed(recent) if each[7] is process), MOST_MESSAGES))
    current = process.current
    busy = process.status != DEAD and current is not None
    nobody: list[str | None] = []
    return process_row(node, process) | {
        "parent": pid_text(process.parent),
        "trap_exit": process.trap_exit,
        "links": steady(lambda: [pid_text(each) for each in process.links or ()], nobody),
        "monitors": steady(lambda: [pid_text(each.target) for each in process.monitors or ()], nobody),
        "monitored_by": steady(
            lambda: [
                pid_text(each.watcher) for each in process.watchers or () if isinstance(each.watcher, Process)
            ],
            nobody,
        ),
        "current": None if not busy or current is None else message_view(current, now, show),
        "waits_for": waits_for(process),
        "awaits": await_chain(process, show),
        "state": state_view(process, show),
        "queued": [message_view(each, now, show) for each in queued],
        "consumed": [message_view(each, now, show) for each in consumed],
        "memory": weigh(process),
        "reason": None if process.reason is None else reason_view(process.reason),
    }


def weigh(process: Process) -> dict[str, Any]:
    """About how many bytes hang on a process alone: its state and its mailbox, shared things counted too."""
    seen: set[int] = set()
    server = server_of(process)
    waiting: list[Any] = [process] if server is None else [process, *fields_of(server).values()]
    waiting += steady(lambda: [each[1] for each in islice(mailbox(process), 100)], list[Any]())
    total = 0
    while waiting and len(seen) < MOST_WEIGHED:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        kind = type(value)
        own = _FLAGS_OF.__get__(kind) & HEAP_TYPE
        total += object.__sizeof__(value) if own else sys.getsizeof(value)
        if kind in (list, tuple, set, frozenset):
            waiting += steady(partial(_some, value), [])
        elif kind is dict:
            waiting += steady(partial(_some, value.values()), [])
        elif own and kind is not Process and not issubclass(kind, type):
            waiting += fields_of(value).values()
    return {"bytes": total, "complete": not waiting}


def _some(values: Iterable[Any]) -> list[Any]:
    return list(islice(values, MOST_WEIGHED))


def stall_view(stall: Stall) -> dict[str, Any]:
    """One stall, whether it lasts or is over."""
    return {
        "process": None if stall.process is None else str(stall.process),
        "who": stall.who,
        "message": stall.message,
        "where": None if stall.where is None else str(stall.where),
        "seconds": stall.seconds,
        "cpu": stall.cpu,
        "raised": stall.raised,
        "outcome": stall.outcome,
        "notes": list(stall.notes),
        "began": stall.began,
        "stack": [
            {"file": line.file, "line": line.line, "function": line.function, "source": line.source}
            for line in stall.stack
            if not line.kernel
        ],
    }


def resident_bytes() -> int | None:
    """Memory this operating-system process holds now, where the system tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return None


def python_version() -> str:
    """As people write it."""
    return ".".join(str(part) for part in sys.version_info[:3])
