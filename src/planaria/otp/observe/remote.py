"""Looks into a program that was prepared for nothing, by Python 3.14's `sys.remote_exec`.

Works for any Python program of the same user and the same Python version, without an observer: its main thread runs a
script at the next line it comes to, which writes the stacks of all threads, asyncio's call graph, and the processes of
every node it finds. Python before 3.14 cannot do it, on either side.
Does badly: a main thread inside a call into C comes to no line; `read_stacks` needs none, but an observer beforehand.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable

__all__ = ["Unreachable", "look_into_program", "script_for", "why_not"]

PATIENCE = 5.0
"""Seconds the program has to come to its next line."""


class Unreachable(Exception):
    """The program cannot be looked into, and why."""


def why_not() -> str | None:
    """Why this interpreter cannot look into others; None if it can."""
    if getattr(sys, "remote_exec", None) is None:
        version = ".".join(str(part) for part in sys.version_info[:2])
        return f"this is Python {version}: looking into a program that was not prepared needs Python 3.14 on both sides"
    return None


def look_into_program(pid: int, patience: float = PATIENCE) -> str:
    """What the program with this process id does, as text.

    Raises:
        Unreachable: this or that Python is older than 3.14, it is not ours, or it comes to no line in time.
    """
    reason = why_not()
    if reason is not None:
        raise Unreachable(reason)
    remote_exec: Callable[[int, str], None] = getattr(sys, "remote_exec")  # noqa: B009  not there before 3.14
    with tempfile.TemporaryDirectory(prefix="planaria-") as folder:
        script, answer = os.path.join(folder, "look.py"), os.path.join(folder, "answer.txt")
        with open(script, "w", encoding="utf-8") as file:
            file.write(script_for(answer))
        try:
            remote_exec(pid, script)
        except (OSError, RuntimeError, ValueError) as error:
            raise Unreachable(f"process {pid}: {error}") from error
        until = time.monotonic() + patience
        while time.monotonic() < until:
            if os.path.exists(answer):
                with open(answer, encoding="utf-8", errors="replace") as file:
                    return file.read()
            time.sleep(0.02)
    raise Unreachable(
        f"process {pid} came to no line within {patience:g} s: it is inside a call into C, or stopped"
    )


def script_for(answer: str) -> str:
    """The script: plain Python that leaves no names behind and raises nothing."""
    return _SCRIPT.replace("ANSWER", repr(answer))


_SCRIPT = """\
def _planaria_look(path):
    import asyncio, gc, io, os, sys, threading, traceback

    out = io.StringIO()
    try:
        names = {each.ident: each.name for each in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            out.write(f"thread {names.get(ident, ident)}\\n")
            out.write("".join(traceback.format_stack(frame)))
        kernel = sys.modules.get("planaria.otp.kernel.node")
        looking = sys.modules.get("planaria.otp.kernel.introspection")
        nodes = [] if kernel is None else [each for each in gc.get_objects() if type(each) is kernel.Node]
        for node in nodes:
            out.write(f"node {node.name}, {len(node.table)} processes\\n")
            for process in list(node.table.values())[:1000]:
                status = looking.STATUS_NAMES[process.status]
                out.write(f"  {process!r} {process.label} {status}, {process.reductions} reductions\\n")
                for frame in looking.await_chain(process):
                    out.write(f"      {frame.file}:{frame.line} in {frame.function}\\n")
        graph = getattr(asyncio, "format_call_graph", None)
        for loop in {id(each.get_loop()): each.get_loop() for each in gc.get_objects()
                     if isinstance(each, asyncio.Task)}.values() if graph is not None else ():
            for task in asyncio.all_tasks(loop):
                out.write(graph(task) + "\\n")
    except Exception:
        out.write(traceback.format_exc())
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(out.getvalue())
    os.replace(path + ".part", path)


try:
    _planaria_look(ANSWER)
finally:
    del _planaria_look
"""
