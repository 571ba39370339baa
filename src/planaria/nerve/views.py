"""What people look at: a running node as plain frozen data, the same for the dashboard and the command line.

Pure functions over a node's introspection; they never wait and work on a process that is stuck. Nothing in a view
leads back to the living thing: pids are text, values are safe text with secrets masked (see `show.py`).
Does badly: a view is what was true for a moment; two of them need not fit together.
"""

import difflib
import resource
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from planaria.cortex.redact import Redactor
from planaria.nerve.show import UNKNOWN_SECRETS, clip, public_attributes, show, show_named
from planaria.otp import ExitSignal, Node, Pid, TreeNode
from planaria.otp.kernel.mailbox import mailbox
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import Request

VALUE_LIMIT = 2000
"""Characters of one attribute of a process's state."""
MESSAGE_LIMIT = 500
"""Characters of one message in a mailbox."""
MOST_MESSAGES = 50
"""Messages shown of a mailbox, and of those consumed last."""


class TreeView(msgspec.Struct, frozen=True):
    """One process and those it supervises, in start order."""

    pid: str  # "" for a child that has no process now
    name: str | None
    label: str
    kind: str  # the class of the server in it, or "function"
    status: str  # "waiting", "ready", "running", "suspended", "dead"
    queue_len: int
    reductions: int
    restarts: int
    children: tuple["TreeView", ...] = ()

    @property
    def title(self) -> str:
        """The name if it has one, else what it is."""
        return self.name or self.label


class ProcessRow(msgspec.Struct, frozen=True):
    """One process as a line of a table."""

    pid: str
    name: str | None
    label: str
    kind: str
    status: str
    queue_len: int
    reductions: int
    restarts: int
    age: float  # seconds since it was started

    @property
    def title(self) -> str:
        """The name if it has one, else what it is."""
        return self.name or self.label


class FrameView(msgspec.Struct, frozen=True):
    """One place in the code, outermost first in a chain."""

    file: str
    line: int
    function: str


class FieldView(msgspec.Struct, frozen=True):
    """One attribute of a process's state as safe text."""

    name: str
    value: str


class MessageLine(msgspec.Struct, frozen=True):
    """One message as safe text. `age` is seconds since it was sent."""

    kind: str  # "call", "cast", "info", "exit", ...
    sender: str
    text: str
    age: float


class ProcessView(msgspec.Struct, frozen=True):
    """Everything there is to see of one process."""

    pid: str
    name: str | None
    label: str
    kind: str
    status: str
    queue_len: int
    reductions: int
    restarts: int
    age: float
    parent: str | None
    links: tuple[str, ...]
    monitors: tuple[str, ...]
    monitored_by: tuple[str, ...]
    trap_exit: bool
    current: str | None  # the message in hand
    awaits: tuple[FrameView, ...]
    state: tuple[FieldView, ...]
    queued: tuple[MessageLine, ...]  # oldest first
    consumed: tuple[MessageLine, ...]  # newest first

    @property
    def title(self) -> str:
        """The name if it has one, else what it is."""
        return self.name or self.label


class NodeView(msgspec.Struct, frozen=True):
    """The node in figures."""

    name: str
    processes: int
    queued: int  # messages waiting in all mailboxes
    reductions: int
    restarts: int
    rss_mb: float


class NoSuchProcess(LookupError):
    """Nothing has this name or pid; `near` are names that look like it."""

    def __init__(self, what: str, near: list[str]) -> None:
        self.what = what
        self.near = near
        super().__init__(f"no process {what!r}" + (f"; did you mean {near[0]!r}?" if near else ""))


def tree_views(node: Node) -> tuple[TreeView, ...]:
    """The supervision tree of each root."""
    return tuple(_tree(root) for root in node.tree())


def process_rows(node: Node) -> tuple[ProcessRow, ...]:
    """Every process, oldest first."""
    return tuple(_row(node, pid) for pid in node.processes())


def process_view(node: Node, what: str | Pid, redactor: Redactor = UNKNOWN_SECRETS) -> ProcessView:
    """One process, by name, by pid or by what a pid looks like as text.

    Raises:
        NoSuchProcess: with the names that come near.
    """
    pid = find_process(node, what) if isinstance(what, str) else what
    info = node.info(pid)
    now = node.clock.now()
    queued = islice(mailbox(pid), MOST_MESSAGES)
    consumed = islice((envelope for envelope in reversed(node.recent) if envelope[7] is pid), MOST_MESSAGES)
    return ProcessView(
        pid=str(pid),
        name=info.name,
        label=info.label,
        kind=info.kind,
        status=info.status,
        queue_len=info.queue_len,
        reductions=info.reductions,
        restarts=info.restarts,
        age=info.age,
        parent=None if info.parent is None else pid_text(info.parent),
        links=_pids(info.links),
        monitors=_pids(info.monitors),
        monitored_by=_pids(info.monitored_by),
        trap_exit=info.trap_exit,
        current=None if info.current is None or pid.current is None else _message_text(pid.current, redactor),
        awaits=tuple(FrameView(short_file(f.file), f.line, f.function) for f in info.awaits),
        state=_state(node.state(pid), redactor),
        queued=tuple(_message(envelope, now, redactor) for envelope in queued),
        consumed=tuple(_message(envelope, now, redactor) for envelope in consumed),
    )


def node_view(node: Node) -> NodeView:
    """The node in figures."""
    rows = process_rows(node)
    return NodeView(
        name=node.name,
        processes=len(rows),
        queued=sum(row.queue_len for row in rows),
        reductions=sum(row.reductions for row in rows),
        restarts=sum(row.restarts for row in rows),
        rss_mb=resident_mb(),
    )


def find_process(node: Node, what: str) -> Pid:
    """A process by registered name, `<node.id>` or bare id.

    Raises:
        NoSuchProcess: with the names that come near.
    """
    pid = node.find(what)
    if pid is None:
        names = [name for pid in node.processes() if (name := node.info(pid).name)]
        raise NoSuchProcess(what, difflib.get_close_matches(what, names, n=3, cutoff=0.6))
    return pid


def pid_text(pid: Pid | str) -> str:
    """A pid with its name, where it has one."""
    if isinstance(pid, str):
        return pid
    return str(pid) if pid.name is None else f"{pid.name} {pid}"


def short_file(file: str) -> str:
    """A path as a reader of code knows it: below the innermost folder that imports start from, else its last parts."""
    roots = [root.rstrip("/") + "/" for root in sys.path if root]
    inside = max((root for root in roots if file.startswith(root)), key=len, default="")
    return file.removeprefix(inside) if inside else "/".join(Path(file).parts[-2:])


def resident_mb() -> float:
    """Memory this operating-system process holds now, in MB; its highest where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return round(peak / (1024 * 1024 if sys.platform == "darwin" else 1024), 1)
    return round(pages * resource.getpagesize() / 1e6, 1)


def _tree(tree: TreeNode) -> TreeView:
    return TreeView(
        pid="" if tree.pid is None else str(tree.pid),
        name=tree.name,
        label=tree.label,
        kind=tree.kind,
        status=tree.status,
        queue_len=tree.queue_len,
        reductions=tree.reductions,
        restarts=tree.restarts,
        children=tuple(_tree(child) for child in tree.children),
    )


def _row(node: Node, pid: Pid) -> ProcessRow:
    info = node.info(pid)
    return ProcessRow(
        pid=str(pid),
        name=info.name,
        label=info.label,
        kind=info.kind,
        status=info.status,
        queue_len=info.queue_len,
        reductions=info.reductions,
        restarts=info.restarts,
        age=info.age,
    )


def _pids(pids: Iterable[Pid | str]) -> tuple[str, ...]:
    return tuple(sorted(pid_text(pid) for pid in pids))


def _message(envelope: Envelope, now: float, redactor: Redactor) -> MessageLine:
    kind, _, sender, _, _, _, at, _ = envelope
    return MessageLine(
        kind=kind,
        sender="" if sender is None else pid_text(sender),
        text=_message_text(envelope, redactor),
        age=max(0.0, now - at),
    )


def _message_text(envelope: Envelope, redactor: Redactor) -> str:
    """A call as the call it is, anything else as the value it is."""
    match envelope:
        case (_, Request(handler=handler, args=args, kwargs=kwargs), *_):
            return _call_text(handler, args, kwargs, redactor)
        case ("cast", (str(handler), tuple(args), dict(kwargs)), *_):
            return _call_text(handler, args, kwargs, redactor)
        case (_, ExitSignal(sender=sender, reason=reason), *_):
            return f"exit of {pid_text(sender)}: {show(reason, redactor, MESSAGE_LIMIT)}"
        case _:
            return show(envelope[1], redactor, MESSAGE_LIMIT)


def _call_text(handler: str, args: tuple[Any, ...], kwargs: dict[str, Any], redactor: Redactor) -> str:
    shown = [show(value, redactor, MESSAGE_LIMIT) for value in args]
    shown += [f"{name}={show_named(name, value, redactor, MESSAGE_LIMIT)}" for name, value in kwargs.items()]
    return clip(f"{handler}({', '.join(shown)})", MESSAGE_LIMIT)


def _state(state: object, redactor: Redactor) -> tuple[FieldView, ...]:
    if state is None:
        return ()
    attributes = state if isinstance(state, dict) else public_attributes(state)
    return tuple(
        FieldView(str(name), show_named(str(name), value, redactor, VALUE_LIMIT))
        for name, value in attributes.items()
    )
