"""What a process waits for: the frames of its coroutine with their variables, and what stands at the end of them.

Reads objects of the interpreter only, so it works from any thread and on a process that is stuck.
"""

from __future__ import annotations

import asyncio
import gc
import linecache
from collections.abc import Iterator
from itertools import islice
from types import AsyncGeneratorType, FrameType
from typing import Any

from planaria.otp.kernel.process import DEAD, RECEIVING, RUNNING, SUSPENDED, Process, Request
from planaria.otp.kernel.runner import RECEIVE
from planaria.otp.observe.show import Show, kind_name, member_of, pid_text, steady

__all__ = ["await_chain", "await_frames", "frame_view", "waits_for"]

MOST_FRAMES = 100
MOST_LOCALS = 30
LONGEST_LOCAL = 200


def await_frames(awaitable: Any) -> Iterator[FrameType | str]:
    """The frames of a chain of awaits, outermost first; text for what has none and ends the chain."""
    for _ in range(MOST_FRAMES):
        if awaitable is None:
            return
        kind: type = type(awaitable)
        if kind_name(kind).startswith("async_generator_"):
            # The step of an async generator does not name it; only the collector knows what it refers to.
            steps = [each for each in gc.get_referents(awaitable) if type(each) is AsyncGeneratorType]
            awaitable = steps[0] if steps else None
            continue
        frame = _first(awaitable, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None:
            yield frame
        elif issubclass(kind, asyncio.Task):
            yield f"task {asyncio.Task.get_name(awaitable)}"
            awaitable = asyncio.Task.get_coro(awaitable)
            continue
        elif issubclass(kind, asyncio.Future):
            yield f"a future, {'done' if asyncio.Future.done(awaitable) else 'pending'}"
            return
        awaitable = _first(awaitable, "cr_await", "gi_yieldfrom", "ag_await")


def _first(value: object, *names: str) -> Any:
    """The first of these attributes that is there and not None."""
    for name in names:
        found = member_of(value, name)
        if found is not None:
            return found
    return None


def await_chain(process: Process, show: Show, *, kernel: bool = False) -> list[dict[str, Any]]:
    """Where the code of a process waits, outermost first, with variables; the kernel's own frames on request."""
    awaited = process.coro
    views: list[dict[str, Any]] = []
    for each in await_frames(awaited):
        if isinstance(each, str):
            views.append({"file": "", "line": 0, "function": each, "source": "", "locals": {}})
        elif kernel or not str(each.f_globals.get("__name__", "")).startswith("planaria.otp."):
            views.append(frame_view(each, show))
    runner = process.runner
    if runner is not None and isinstance(runner.future, asyncio.Task):
        for each in await_frames(runner.future):
            if isinstance(each, str):
                views.append({"file": "", "line": 0, "function": each, "source": "", "locals": {}})
            else:
                views.append(frame_view(each, show))
    return views


def frame_view(frame: FrameType, show: Show) -> dict[str, Any]:
    """One frame: file, line, function, source and variables as safe text."""
    code = frame.f_code
    line = frame.f_lineno or code.co_firstlineno
    empty: list[tuple[str, object]] = []
    found = steady(lambda: list(islice(frame.f_locals.items(), MOST_LOCALS)), empty)
    return {
        "file": code.co_filename,
        "line": line,
        "function": code.co_qualname,
        "source": linecache.getline(code.co_filename, line, frame.f_globals).strip(),
        "locals": {
            name: show(name, value, LONGEST_LOCAL)
            for name, value in found
            if name.isidentifier() and name != "self"
        },
    }


def waits_for(process: Process) -> str | None:
    """In words, what a process waits for now; None if it does not wait."""
    status, wait, runner = process.status, process.wait, process.runner
    if status in (DEAD, RUNNING):
        return None
    if status == RECEIVING or wait is RECEIVE:
        return "a message that matches"
    if status == SUSPENDED:
        if type(wait) is Request:
            return f"the answer to {wait.handler} from {pid_text(wait.target)}"
        future = None if runner is None else runner.future
        if isinstance(future, asyncio.Task):
            return f"the task {future.get_name()}"
        if asyncio.isfuture(future):
            return "the outside (a future of the event loop)"
        if future is not None:
            return "its next turn"
        return "time, or the end of something" if wait is not None else "the kernel"
    return "a message" if process.pending is None else "its turn"
