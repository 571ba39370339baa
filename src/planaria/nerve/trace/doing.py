"""What the living processes of a node do about a trace now, from looking at them; nobody is asked, so nobody waits."""

from collections.abc import Iterable

import msgspec

from planaria.cortex.live.table import LiveError, Select
from planaria.cortex.live.tables import tables_of
from planaria.cortex.redact import Redactor
from planaria.nerve.live.sessions import SessionRow
from planaria.nerve.trace.shape import Doing
from planaria.nerve.trace.state import message_of
from planaria.nerve.views import short_file
from planaria.otp import Node, NoProcess, Pid


def doing_now(node: Node, sessions: Iterable[str] = ()) -> list[Doing]:
    """What each of these sessions does; of one that rests, or has no process, nothing is said.

    Args:
        sessions: names such as `session:scout@garden` and `run:<id>`.
    """
    found = []
    for session in dict.fromkeys(sessions):
        pid = node.whereis(session)
        if pid is None:
            continue
        if session.startswith("run:"):
            found.append(Doing(session, _waits(_awaited(node, pid)), 0.0))
        elif session.startswith("session:"):
            doing = _session(node, session, pid)
            found += [doing] if doing is not None else []
    return found


def session_rows(node: Node) -> list[SessionRow]:
    """The live store's sessions, by name; none while it is away."""
    try:
        return list(tables_of(node)["sessions"].select(Select(order="key", limit=None)))
    except (NoProcess, LiveError):
        return []


def session_row(node: Node, session: str) -> SessionRow | None:
    """One session as the live store knows it."""
    try:
        return tables_of(node)["sessions"].get(session)
    except (NoProcess, LiveError):
        return None


def masked(row: SessionRow, redactor: Redactor) -> SessionRow:
    """The row with the secrets in its words masked: what is being written has not passed the journal yet."""
    return msgspec.structs.replace(
        row,
        doing=redactor.text(row.doing),
        saying=redactor.text(row.saying),
        asked=redactor.text(row.asked),
        last_error=redactor.text(row.last_error),
    )


def _session(node: Node, session: str, pid: Pid) -> Doing | None:
    tasks = node.whereis("tasks:" + session.removeprefix("session:"))
    at_work = [] if tasks is None else [task for task in node.info(tasks).links if _works(node, task)]
    awaited = ", ".join(filter(None, (_awaited(node, task) for task in at_work)))
    row = session_row(node, session)
    if row is not None:
        if not row.turn or row.status == "down":
            return None
        what = ", ".join(filter(None, (row.doing or row.status, _waits(awaited))))
        return Doing(session, what, row.since, message_of(row.turn))
    if not at_work:
        return None
    labels = ", ".join(node.info(task).label for task in at_work)
    return Doing(session, ", ".join(filter(None, (labels, _waits(awaited)))), 0.0)


def _works(node: Node, task: Pid) -> bool:
    """Whether this is a task, not the supervisor above."""
    info = node.info(task)
    return info.name is None and info.status != "dead"


def _waits(place: str) -> str:
    return f"waits in {place}" if place else ""


def _awaited(node: Node, pid: Pid) -> str:
    """The innermost place it waits at, outside of the kernel where there is one: `read at http_stream.py:88`."""
    frames = node.info(pid).awaits
    ours = [frame for frame in frames if "/otp/" not in frame.file] or frames
    return f"{ours[-1].function} at {short_file(ours[-1].file)}:{ours[-1].line}" if ours else ""
