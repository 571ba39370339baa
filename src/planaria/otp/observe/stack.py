"""Whose code a stack of frames is: the kernel's, the event loop's, a debugger's, or the user's.

Read by the watchdog, which may raise in the user's code only, and by those who show where a thread is.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Literal

__all__ = [
    "Line",
    "Verdict",
    "debugged",
    "frames_of_thread",
    "idle",
    "innermost",
    "lines",
    "own_line",
    "verdict",
]

type Verdict = Literal["user", "careful", "kernel", "debugger"]

KERNEL = "planaria.otp."
LOOP = ("asyncio", "uvloop", "selectors")
DEBUGGERS = frozenset({"pdb", "bdb", "pydevd", "_pydevd_bundle", "debugpy", "pudb", "IPython", "ipdb"})
DELICATE = frozenset({"logging", "importlib", "_frozen_importlib", "_frozen_importlib_external", "weakref"})
"""Code that holds locks of the whole interpreter: to be left alone unless it stays."""
DOORS = frozenset(
    {("planaria.otp.kernel.ambient", "_plain"), ("planaria.otp.kernel.node", "_call")},
)
"""Functions of the kernel that do nothing but call a plain function: raising in them hurts only that."""
HANDLERS = frozenset(
    {("planaria.otp.observe.watchdog", "_starved"), ("planaria.otp.observe.breaker", "_handle")}
)
"""Handlers of signals: what they have interrupted is below them."""
MOST_FRAMES = 200


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a stack as people read it."""

    file: str
    line: int
    function: str
    source: str
    kernel: bool
    """Whether it is the kernel's own."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}"


def frames_of_thread(thread: int | None) -> FrameType | None:
    """The innermost frame of a thread, now."""
    return None if thread is None else sys._current_frames().get(thread)


def innermost(frame: FrameType | None) -> Iterator[FrameType]:
    """The frames of a stack, innermost first."""
    count = 0
    while frame is not None and count < MOST_FRAMES:
        yield frame
        frame = frame.f_back
        count += 1


def lines(frame: FrameType | None) -> list[Line]:
    """A stack as text, outermost first; what is below the event loop is left out."""
    found: list[Line] = []
    for each in innermost(frame):
        if found and _top(each) in LOOP:
            break
        found.append(_line(each))
    return found[::-1]


def _line(frame: FrameType) -> Line:
    code = frame.f_code
    number = frame.f_lineno or code.co_firstlineno
    source = linecache.getline(code.co_filename, number, frame.f_globals).strip()
    return Line(code.co_filename, number, code.co_qualname, source, _is_kernel(frame))


def own_line(frame: FrameType | None) -> Line | None:
    """The innermost line of the user's own code; of any code if there is none above the event loop."""
    for each in innermost(frame):
        if _top(each) in LOOP:
            break
        if not _is_kernel(each) and not _is_library(each):
            return _line(each)
    return None if frame is None else _line(frame)


def idle(frame: FrameType | None) -> bool:
    """Whether an event loop's thread waits for something to happen."""
    return frame is None or (_module(frame) == "selectors" and frame.f_code.co_name == "select")


def debugged(frame: FrameType | None) -> bool:
    """Whether a debugger has stopped this code. A debugger that only started the program does not count."""
    for each in innermost(frame):
        top = _top(each)
        if top in DEBUGGERS:
            return True
        if top in LOOP or _is_kernel(each):
            return False
    return False


def below_handlers(frame: FrameType | None) -> FrameType | None:
    """What the handler of a signal has interrupted, where another signal has interrupted that handler."""
    found = frame
    for each in innermost(frame):
        name = _module(each)
        if (name, each.f_code.co_name) in HANDLERS:
            found = each.f_back
        elif name.partition(".")[0] in LOOP:
            break
    return found


def verdict(frame: FrameType | None) -> Verdict:
    """Whether an exception raised in this frame hits nobody but the code of the running process.

    `user` yes; `careful` yes, but a lock of the whole interpreter may be held; `kernel` no, not now; `debugger` no,
    somebody is looking. Compiled kernel code has no frames, and the interpreter delivers nothing inside it.
    """
    if debugged(frame):
        return "debugger"
    careful = False
    for each in innermost(frame):
        name, top = _module(each), _top(each)
        if name.startswith(KERNEL):
            return "user" if (name, each.f_code.co_name) in DOORS else "kernel"
        if top in LOOP:
            return "kernel"
        careful = careful or top in DELICATE
        if not _is_library(each):
            return "careful" if careful else "user"
    return "kernel"


def _is_kernel(frame: FrameType) -> bool:
    return _module(frame).startswith(KERNEL)


def _is_library(frame: FrameType) -> bool:
    return _top(frame) in sys.stdlib_module_names


def _top(frame: FrameType) -> str:
    return _module(frame).partition(".")[0]


def _module(frame: FrameType) -> str:
    # By module rather than by file: generated code (`__init__` of a dataclass) has no file.
    return str(frame.f_globals.get("__name__", ""))
