"""Looking at processes from outside: what they are, hold, wait for and have handled. Nothing is asked of them.

Works on a process that is suspended, busy or frozen, since it only reads the kernel's own objects.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from planaria.otp.kernel.bounded import MailboxInfo, mailbox_info
from planaria.otp.kernel.mailbox import mailbox, queue_length
from planaria.otp.kernel.message import Envelope, ExitSignal
from planaria.otp.kernel.process import DEAD, STATUS_NAMES, Process, Request

if TYPE_CHECKING:
    from planaria.otp.kernel.node import Node


@dataclass(frozen=True, slots=True)
class Frame:
    """One line in the chain of awaits, outermost first."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class MessageView:
    """One message as people read it."""

    id: int
    kind: str
    text: str
    sender: str | None
    trace: str | None
    cause: int
    at: float
    """Seconds on the node's monotonic clock."""


@dataclass(frozen=True, slots=True)
class ProcessInfo:
    """One process at this moment. Times are seconds on the node's monotonic clock."""

    pid: Process
    name: str | None
    label: str
    kind: str
    """Class of the server inside, or `function`."""
    status: str
    """waiting, ready, running, suspended or dead."""
    reason: object
    """Why it ended, if it has."""
    queue_len: int
    reductions: int
    restarts: int
    """How often its supervisor has restarted it."""
    trap_exit: bool
    parent: Process | None
    links: list[Process]
    monitors: list[Process]
    monitored_by: list[Process]
    current: MessageView | None
    """The message in hand."""
    awaits: list[Frame]
    started_at: float
    age: float
    mailbox: MailboxInfo | None = None
    """Limit, policy and counters of a bounded mailbox."""


@dataclass(frozen=True, slots=True)
class TreeNode:
    """One process in the supervision tree, or a child that has none now (`pid` is None)."""

    pid: Process | None
    id: str
    name: str | None
    label: str
    kind: str
    status: str
    queue_len: int
    reductions: int
    restarts: int
    children: list[TreeNode] = field(default_factory=list)


@runtime_checkable
class HasChildren(Protocol):
    """A body that supervises."""

    def children_now(self) -> list[tuple[object, Process | None, int]]:
        """(id, process, restarts) of each child, in order."""
        ...


def process_info(node: Node, process: Process) -> ProcessInfo:
    """See `Node.info`."""
    current = process.current
    busy = process.status != DEAD and current is not None
    return ProcessInfo(
        pid=process,
        name=process.name,
        label=process.label,
        kind=_kind(process),
        status=STATUS_NAMES[process.status],
        reason=process.reason,
        queue_len=queue_length(process),
        reductions=process.reductions,
        restarts=node.restarts.get(process, 0),
        trap_exit=process.trap_exit,
        parent=process.parent,
        links=sorted(process.links or (), key=lambda p: p.id),
        monitors=sorted((m.target for m in process.monitors or ()), key=lambda p: p.id),
        monitored_by=[m.watcher for m in process.watchers or () if isinstance(m.watcher, Process)],
        current=message_view(current) if busy and current is not None else None,
        awaits=await_chain(process),
        started_at=process.started_at,
        age=max(0.0, node.clock.now() - process.started_at),
        mailbox=mailbox_info(process),
    )


def await_chain(process: Process) -> list[Frame]:
    """Where the code of a process waits: the frames of its coroutine, outermost first."""
    chain: list[Frame] = []
    awaitable: Any = process.coro
    while awaitable is not None and len(chain) < 100:
        if type(awaitable).__name__.startswith("async_generator_"):
            # The step of an async generator does not name it; only the collector knows what it refers to.
            found = [each for each in gc.get_referents(awaitable) if isinstance(each, AsyncGeneratorType)]
            awaitable = found[0] if found else None
            if awaitable is None:
                break
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is None:
            frame = getattr(awaitable, "ag_frame", None)
        if frame is not None and "planaria/otp/" not in frame.f_code.co_filename.replace("\\", "/"):
            chain.append(Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname))
        awaitable = (
            getattr(awaitable, "cr_await", None)
            or getattr(awaitable, "gi_yieldfrom", None)
            or getattr(awaitable, "ag_await", None)
        )
    return chain


def queued_messages(process: Process) -> list[MessageView]:
    """What waits in the mailbox, oldest first."""
    held: Iterable[Envelope] = getattr(process.body, "held", ())  # a suspended process keeps them aside
    return [message_view(envelope) for envelope in (*held, *mailbox(process))]


def consumed_messages(node: Node, process: Process) -> list[MessageView]:
    """What the process has handled, oldest first, as far as the node remembers."""
    return [message_view(envelope) for envelope in tuple(node.recent) if envelope[7] is process]


def process_state(process: Process) -> dict[str, object]:
    """The attributes of the server inside, or the local variables of a plain function."""
    if process.body is not None:
        server = _server(process)
        return {k: v for k, v in getattr(server, "__dict__", {}).items() if not k.startswith("_")}
    frame = getattr(process.coro, "cr_frame", None)
    return dict(frame.f_locals) if frame is not None else {}


def message_view(envelope: Envelope) -> MessageView:
    """One envelope for people."""
    kind, body, sender, number, trace, cause, at, _ = envelope
    return MessageView(
        number, kind, message_text(kind, body), str(sender) if sender else None, trace, cause, at
    )


def message_text(kind: str, body: object, limit: int = 500) -> str:
    """What a message says, on one line."""
    if isinstance(body, Request):
        text = f"{body.handler}({_arguments(body.args, body.kwargs)})"
    elif kind == "cast" and isinstance(body, tuple):
        text = f"{body[0]}({_arguments(body[1], body[2])})"
    elif isinstance(body, ExitSignal):
        text = f"exit of {body.sender}: {body.reason!r}"
    else:
        text = safe_repr(body)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def safe_repr(value: object) -> str:
    """`repr`, or a word about why there is none: a broken `__repr__` must not hide a process."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  user code inside repr; looking must always work
        return f"<{type(value).__name__}: repr raised {type(error).__name__}>"


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    parts = [safe_repr(a) for a in args] + [f"{k}={safe_repr(v)}" for k, v in kwargs.items()]
    return ", ".join(parts)


def _server(process: Process) -> object:
    """The server of a process, behind what may stand before it (a wrapper has it as `inner`)."""
    body: object = process.body
    while (inner := getattr(body, "inner", None)) is not None and hasattr(body, "handle"):
        body = inner
    return body


def _kind(process: Process) -> str:
    return "function" if process.body is None else type(_server(process)).__qualname__


def process_tree(node: Node) -> list[TreeNode]:
    """See `Node.tree`."""
    started_by: dict[Process, list[Process]] = {}
    for process in node.processes():
        if process.parent is not None:
            started_by.setdefault(process.parent, []).append(process)
    seen: set[Process] = {node.origin}  # the parent of the roots is no process of anybody's
    roots = [root for root in node.roots if root.status != DEAD]
    trees = [_branch(root, root.label, 0, seen, started_by) for root in roots]
    # What hangs on no root: loose processes, orphans, and what a supervisor is just about to take in.
    for process in node.processes():
        top = process
        while top.parent is not None and top.parent.status != DEAD and top.parent not in seen:
            top = top.parent
        if top not in seen:
            trees.append(_branch(top, top.label, 0, seen, started_by))
        if process not in seen:
            trees.append(_branch(process, process.label, 0, seen, started_by))
    return trees


def _branch(
    process: Process,
    id: str,
    restarts: int,
    seen: set[Process],
    started_by: dict[Process, list[Process]],
) -> TreeNode:
    seen.add(process)
    body = _server(process)
    known: Iterable[tuple[object, Process | None, int]]
    # A supervisor whose init has only begun has no children yet.
    if isinstance(body, HasChildren) and getattr(body, "children", None) is not None:
        known = body.children_now()
    else:
        known = [(child.label, child, 0) for child in started_by.get(process, ())]
    children = [
        _gone(child_id, count) if child is None else _branch(child, str(child_id), count, seen, started_by)
        for child_id, child, count in known
        if child is None or (child.status != DEAD and child not in seen)
    ]
    return TreeNode(
        pid=process,
        id=id,
        name=process.name,
        label=process.label,
        kind=_kind(process),
        status=STATUS_NAMES[process.status],
        queue_len=queue_length(process),
        reductions=process.reductions,
        restarts=restarts,
        children=children,
    )


def _gone(id: object, restarts: int) -> TreeNode:
    return TreeNode(None, str(id), None, str(id), "child", "dead", 0, 0, restarts)
