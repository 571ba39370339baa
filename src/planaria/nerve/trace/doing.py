"""What the living processes of a node do about a trace now, from looking at them; nobody is asked, so nobody waits."""

from collections.abc import Iterable

from planaria.nerve.trace.shape import Doing
from planaria.nerve.views import short_file
from planaria.otp import Node, Pid


def doing_now(node: Node, sessions: Iterable[str] = ()) -> list[Doing]:
    """What each of these sessions does; of one that rests nothing is said.

    Args:
        sessions: names such as `session:scout@garden` and `run:<id>`.
    """
    found = []
    for session in dict.fromkeys(sessions):
        pid = node.whereis(session)
        if pid is None:
            continue
        if session.startswith("run:"):
            found.append(Doing(session, _awaited(node, pid), 0.0))
        elif session.startswith("session:"):
            tasks = node.whereis("tasks:" + session.removeprefix("session:"))
            words = (
                []
                if tasks is None
                else [_task(node, task) for task in node.info(tasks).links if task is not pid]
            )
            working = [word for word in words if word]
            if working:
                found.append(Doing(session, ", ".join(working), 0.0))
    return found


def _task(node: Node, task: Pid) -> str:
    """`scout thinks, awaits http_stream.py:88 read`; nothing for the supervisor above it."""
    info = node.info(task)
    if info.name is not None or info.status == "dead":
        return ""
    awaited = _awaited(node, task)
    return f"{info.label}{f', awaits {awaited}' if awaited else ''}"


def _awaited(node: Node, pid: Pid) -> str:
    """The innermost place it waits at, outside of the kernel where there is one."""
    frames = node.info(pid).awaits
    if not frames:
        return ""
    ours = [frame for frame in frames if "/otp/" not in frame.file]
    frame = (ours or frames)[-1]
    return f"{frame.function} at {short_file(frame.file)}:{frame.line}"
