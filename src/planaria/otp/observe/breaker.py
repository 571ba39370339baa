"""Raises an exception in the code that runs in the event loop's thread, after looking again whether it is that code.

Two ways, one contract: `strike` asks, `result` says what came of it. In the main thread it is a signal: its handler
runs between two lines of whatever runs there, sees the interrupted frame, and raises only if the same process still
has the same message in hand and the innermost code is the user's. It also wakes calls that wait (`time.sleep`, a
lock) and those that look for signals (`re`). In any other thread Python's monitoring calls us at the next line.
Does badly: a call into C that neither waits nor looks is only reached when it returns. Outside the main thread calls
that wait are not woken either.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Literal, Protocol

from planaria.otp.observe.stack import Verdict, below_handlers, verdict

__all__ = ["Breaker", "MonitoringBreaker", "SignalBreaker", "Strike"]

type Result = Literal["unseen", "raised", "gone"] | Verdict


class Strike:
    """One attempt.

    Args:
        again: looks whether the culprit still runs; called in its thread.
        error: makes the exception, given the interrupted frame.
        careless: also where the interpreter's own locks may be held.
    """

    __slots__ = ("again", "careless", "error", "result")

    def __init__(
        self,
        again: Callable[[], bool],
        error: Callable[[FrameType], BaseException],
        *,
        careless: bool = False,
    ) -> None:
        self.again = again
        self.error = error
        self.careless = careless
        self.result: Result = "unseen"

    def judge(self, frame: FrameType) -> BaseException | None:
        """What to raise in this frame, if anything."""
        if not self.again():
            self.result = "gone"
            return None
        found = verdict(frame)
        if found == "user" or (found == "careful" and self.careless):
            self.result = "raised"
            return self.error(frame)
        self.result = found
        return None


class Breaker(Protocol):
    """A way to raise in the loop's thread."""

    def start(self) -> None:
        """Get ready; called in the loop's thread."""
        ...

    def strike(self, strike: Strike) -> None:
        """Try once; `strike.result` says what came of it, a little later."""
        ...

    def rest(self) -> None:
        """Nobody is to be broken now."""
        ...

    def stop(self) -> None:
        """Leave no trace; called in the loop's thread."""
        ...


def private_signal() -> int:
    """A signal hardly anybody uses: a real-time one where there are such."""
    first: int | None = getattr(signal, "SIGRTMIN", None)
    return signal.SIGUSR2 if first is None else first + 7


class SignalBreaker:
    """For a loop in the main thread.

    Args:
        number: the signal; a handler that is there already is called for signals that are not ours.
    """

    def __init__(self, number: int | None = None) -> None:
        self.number = private_signal() if number is None else number
        self._thread = threading.main_thread().ident
        self._strike: Strike | None = None
        self._before: Callable[[int, FrameType | None], object] | int | None = None

    def start(self) -> None:
        self._before = signal.signal(self.number, self._handle)

    def strike(self, strike: Strike) -> None:
        if self._thread is None or not callable(signal.getsignal(self.number)):
            return  # the program has taken the handler away, so the signal would end it all
        self._strike = strike
        signal.pthread_kill(self._thread, self.number)

    def rest(self) -> None:
        self._strike = None

    def stop(self) -> None:
        self._strike = None
        if signal.getsignal(self.number) == self._handle:
            signal.signal(self.number, signal.SIG_DFL if self._before is None else self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        strike, self._strike = self._strike, None
        if strike is None:
            if callable(self._before):
                self._before(number, frame)
            return
        frame = below_handlers(frame)
        error = None if frame is None else strike.judge(frame)
        if error is not None:
            raise error


class MonitoringBreaker:
    """For a loop in any other thread: monitors every line, but only while somebody is to be broken."""

    TOOLS = (4, 3, 5)
    """Numbers of `sys.monitoring` tools; 0 to 2 are those of debuggers, coverage and profilers."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._tool = -1
        self._strike: Strike | None = None
        self._unseen = False

    def start(self) -> None:
        self._thread = threading.get_ident()

    def strike(self, strike: Strike) -> None:
        monitoring = sys.monitoring
        if self._tool < 0:
            self._tool = next((tool for tool in self.TOOLS if monitoring.get_tool(tool) is None), -1)
            if self._tool < 0:
                return  # others have them all: never seen, and reported as such
            monitoring.use_tool_id(self._tool, "planaria watchdog")
        self._strike = strike
        events = monitoring.events
        wanted = [events.LINE, events.PY_START, events.PY_RESUME]
        if (
            self._unseen
        ):  # a loop on one line has no other; what is raised there passes by handlers around the loop
            wanted.append(events.JUMP)
        for event in wanted:
            monitoring.register_callback(self._tool, event, self._event)
        monitoring.set_events(self._tool, sum(wanted))
        self._unseen = True

    def rest(self) -> None:
        self.stop()

    def stop(self) -> None:
        self._strike = None
        self._unseen = False
        if self._tool >= 0:
            sys.monitoring.set_events(self._tool, 0)
            sys.monitoring.free_tool_id(self._tool)
            self._tool = -1

    def _event(self, code: CodeType, *_: object) -> None:
        if threading.get_ident() != self._thread:
            return
        strike = self._strike
        if strike is None:
            return
        self._unseen = False
        error = strike.judge(sys._getframe(1))
        if error is None and strike.result != "gone":
            return  # the next line may be a better place
        self._strike = None
        sys.monitoring.set_events(self._tool, 0)
        if error is not None:
            raise error
