"""Notices that the node stands still, says who holds it up and where, and breaks that process after a while.

```python
async with Node("garden") as node:
    with Watchdog(node, warn=0.1, limit=2.0):
        ...
```

A thread looks every `warn / 4` seconds at what runs; nothing is counted or stored by those who run. Seconds are those
`charge.py` charges: a process that is kept from running by others is not at fault. After `warn` seconds of the same
process with the same message it logs the process, its message and the stack. After `limit` it raises `Stalled` there,
having looked again in the very thread whether it is still the same code; the process crashes with `Crash(Stalled)` and
its supervisor restarts it. Code that catches it gets it again and again. When it is over the node emits
`ProcessStalled`. A debugger that has stopped the code stops the clock; PLANARIA_WATCHDOG=off keeps every
watchdog from starting.
Does badly: a call into C that never looks for signals is only reported (`isolation="worker"` is the way out); one that
even keeps the interpreter's lock (`re`, a long sort of numbers) is broken only in the main thread and only if it looks.
Code that runs as no process, as callbacks given to the event loop, is reported and left alone.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from planaria.otp.kernel.event import ProcessStalled
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, Process, Running, running
from planaria.otp.kernel.reason import Stalled
from planaria.otp.observe.breaker import Breaker, MonitoringBreaker, SignalBreaker, Strike
from planaria.otp.observe.charge import Charge
from planaria.otp.observe.show import message_text
from planaria.otp.observe.stack import below_handlers, debugged, frames_of_thread, idle, lines, own_line
from planaria.otp.observe.stall import Moment, Stall

__all__ = ["LIMIT", "SWITCH", "WARN", "Watchdog"]

WARN = 0.1
"""Seconds after which a process that has not paused is reported."""
LIMIT = 2.0
"""Seconds after which it is broken."""
SWITCH = "PLANARIA_WATCHDOG"
"""Environment variable; `off` keeps every watchdog from starting."""
REMEMBERED = 100
"""Stalls a watchdog remembers for those who look."""
UNSEEN = 1.0
"""Seconds after which code that has not been reached is reported as out of reach."""
CARELESS = 0.5
"""Seconds of trying after which it is broken even where it may hold a lock of the interpreter."""

ALARM_PERIOD = 0.1
"""Seconds between two alarms while the watchdog cannot run; also tells its alarm from one of the program's."""

log = logging.getLogger(__name__)

_watched: list[Node] = []
"""Nodes with a watchdog."""


class Watchdog:
    """Watches over the loop of one node; started in the thread of that loop.

    Args:
        node: its loop must run.
        warn: seconds without a pause after which a process is reported.
        limit: seconds after which it is broken; None only reports.
        tell: called with each stall when it is noticed, in the watchdog's thread.
        quiet: log as a warning only what had to be broken; the rest as information, and as events like all.
    Raises:
        ValueError: times that cannot work.
    """

    def __init__(
        self,
        node: Node,
        *,
        warn: float = WARN,
        limit: float | None = LIMIT,
        tell: Callable[[Stall], None] | None = None,
        quiet: bool = False,
    ) -> None:
        if warn <= 0 or (limit is not None and limit < warn):
            raise ValueError(
                f"warn={warn!r}, limit={limit!r}: both are seconds above 0, and the limit is the larger"
            )
        self.node = node
        self.warn = warn
        self.limit = limit
        self.tell = tell
        self._level = logging.INFO if quiet else logging.WARNING
        self.stalls: deque[Stall] = deque(maxlen=REMEMBERED)
        """The latest ones that are over, oldest first."""
        self.stall: Stall | None = None
        """The one that lasts."""
        self.thread: int | None = None
        """The loop's thread."""
        self._running: Running = running
        self._breaker: Breaker
        self._end = threading.Event()
        self._watcher: threading.Thread | None = None
        self._seen: Moment | None = None
        self._since = 0.0
        self._cpu_since = 0.0
        self._charge: Charge
        self._charged = 0.0
        self._beat = 0
        self._beat_asked = False
        self._collecting = 0.0
        self._collected = 0.0
        self._alarm = False
        self._starving: tuple[Moment, float, float] | None = None
        self._efforts: _Efforts | None = None
        self._urgent: Process | None = None

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to watch. In the loop's thread; does nothing if it watches already or is switched off."""
        if self._watcher is not None or os.environ.get(SWITCH, "").lower() in ("off", "0", "no"):
            return
        self.thread = threading.get_ident()
        main = threading.current_thread() is threading.main_thread()
        self._breaker = SignalBreaker() if main else MonitoringBreaker()
        self._breaker.start()
        self._charge = Charge(self.warn / 4, self.warn)
        if main and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL:
            signal.signal(signal.SIGALRM, self._starved)
            self._alarm = True
        gc.callbacks.append(self._collector)
        self._end.clear()
        self._put_off_alarm()
        _watched.append(self.node)
        self._watcher = threading.Thread(target=self._watch, name="planaria watchdog", daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        """End it. In the loop's thread; may be called twice."""
        watcher, self._watcher = self._watcher, None
        if watcher is None:
            return
        self._end.set()
        watcher.join()
        _watched.remove(self.node)
        if self._alarm:
            self._alarm = False
            if signal.getsignal(signal.SIGALRM) == self._starved:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
                signal.signal(signal.SIGALRM, signal.SIG_DFL)
        self._breaker.stop()
        gc.callbacks.remove(self._collector)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def break_now(self, process: Process) -> None:
        """Break this process as soon as it has not paused for `warn` seconds; from any thread."""
        self._urgent = process

    @property
    def watching(self) -> bool:
        """Whether it is at work."""
        return self._watcher is not None

    # --- looking ----------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        pause = self.warn / 4
        while not self._end.wait(pause):
            pause = self._look()

    def _look(self) -> float:
        """One look; seconds until the next."""
        self._put_off_alarm()
        moment, seen, charge = self._moment(), self._seen, self._charge
        if moment is None or seen is None or not moment.same(seen):
            charge.look(closely=False)
            if self.stall is not None:
                self._over(self.stall)
            self._seen, self._since, self._cpu_since = moment, charge.at, charge.cpu
            self._charged, self._collected = 0.0, 0.0
            return self.warn / 4
        self._charged += charge.look(closely=True)
        seconds = self._charged - self._collected
        if charge.at - self._since >= self.warn:
            # No more short calls on this stack, nor other processes in this turn: the next wait is a true pause.
            self.node.scheduler.budget = 0
        if self.stall is None:
            if seconds >= self.warn:
                self._noticed(moment, seconds)
            return self.warn / 4
        self.stall.seconds = seconds
        self.stall.cpu = charge.cpu - self._cpu_since if charge.known else None
        return self._persist(moment, self.stall, seconds)

    def _moment(self) -> Moment | None:
        """What runs; None if nothing does."""
        moment = Moment.of(self._running, self._beat)
        process = moment.process
        if process is not None:
            node = process.node
            # Another loop, in another thread, cannot be reached from here; another node may have a watchdog of its own.
            ours = node is self.node or (
                node.scheduler.loop is self.node.scheduler.loop and node not in _watched
            )
            return moment if ours else None
        if idle(frames_of_thread(self.thread)):
            return None
        if not self._beat_asked:  # a beat is only asked for while the loop's thread is at something
            self._beat_asked = True
            self._soon(self._answer_beat)
        return moment

    def _answer_beat(self) -> None:
        self._beat += 1
        self._beat_asked = False

    def _collector(self, phase: str, info: dict[str, int]) -> None:
        """Called by Python's collector; its long runs are nobody's fault."""
        if phase == "start":
            self._collecting = time.monotonic()
        else:
            self._collected += time.monotonic() - self._collecting

    # --- a stall ----------------------------------------------------------------------------------------------

    def _noticed(self, moment: Moment, seconds: float) -> None:
        frame = frames_of_thread(self.thread)
        if debugged(frame):
            self._seen = None
            return
        stall = self._new_stall(moment, frame, seconds)
        self.stall = stall = self.stall or stall  # the alarm may have been first
        self._efforts = None
        log.log(self._level, "%s\n%s", stall.text(), stack_text(stall))
        if self.tell is not None:
            self.tell(stall)

    def _new_stall(self, moment: Moment, frame: FrameType | None, seconds: float) -> Stall:
        process, message = moment.process, moment.message
        return Stall(
            process,
            "code outside any process" if process is None else f"{process.label} {process!r}",
            None if message is None else message_text(message),
            own_line(frame),
            lines(frame),
            time.time() - seconds,
            seconds,
        )

    def _persist(self, moment: Moment, stall: Stall, seconds: float) -> float:
        """It lasts: break it if it is time. Seconds until the next look."""
        if moment.process is None:
            return self.warn / 4
        if moment.process is not self._urgent and (self.limit is None or seconds < self.limit):
            return self.warn / 4
        if self._efforts is None:
            self._efforts = _Efforts(time.monotonic())
        return self._break(moment, stall, self._efforts)

    def _break(self, moment: Moment, stall: Stall, efforts: _Efforts) -> float:
        last = efforts.strike
        now = time.monotonic()
        if last is not None:
            efforts.results[last.result] += 1
            if last.result == "raised":
                self._raised_in_vain(stall, efforts)
            elif last.result == "debugger":
                self._seen = None
                return self.warn / 4
        if now - efforts.began > UNSEEN and not efforts.told and not stall.raised:
            efforts.told = True
            self._out_of_reach(stall, efforts)
        efforts.strike = Strike(
            lambda: Moment.of(self._running, 0).same(moment),
            lambda frame: self._error(stall, frame),
            careless=now - efforts.began > CARELESS,
        )
        self._breaker.strike(efforts.strike)
        if stall.raised:  # it caught the last one; the next ones come faster, to hit it between two nets
            return 0.05 if stall.raised < 4 else 0.002
        return 0.005 if now - efforts.began < 5 else 0.05

    def _error(self, stall: Stall, frame: FrameType) -> BaseException:
        """Called in the culprit: what to raise there."""
        stall.raised += 1
        where = own_line(frame)
        if where is None:
            return Stalled("?", "?", stall.seconds)
        stall.where = where
        return Stalled(f"{where.file}:{where.line}", where.function, stall.seconds)

    def _raised_in_vain(self, stall: Stall, efforts: _Efforts) -> None:
        if stall.raised >= efforts.report_at:
            efforts.report_at *= 10
            stall.outcome = "swallowed"
            log.error(
                "%s has caught the exception that was to end it %d times and goes on, at %s;"
                " code that catches BaseException must raise it again",
                stall.who,
                stall.raised,
                stall.where,
            )

    def _out_of_reach(self, stall: Stall, efforts: _Efforts) -> None:
        stall.outcome = "unbreakable"
        if efforts.results["kernel"] or efforts.results["careful"]:
            note = "it is inside the kernel or the event loop, where nothing can be raised safely"
        else:
            note = (
                "it is in a call into C that cannot be broken; run such code apart: "
                'child(..., isolation="worker"), or run_blocking for calls that give the lock free'
            )
        stall.notes.append(note)
        log.error("%s: %s", stall.text(), note)

    def _over(self, stall: Stall) -> None:
        self.stall = self._urgent = None
        self._breaker.rest()
        process = stall.process
        stall.seconds = max(stall.seconds, time.time() - stall.began)
        died = process is not None and process.status == DEAD
        if stall.raised:
            stall.outcome = "broken" if died else "swallowed"
        else:
            stall.outcome = "resumed"
        self._efforts = None
        self.stalls.append(stall)
        level = logging.WARNING if stall.raised else self._level
        text = stack_text(stall) if stall.raised and self._level < logging.WARNING else ""
        log.log(level, "%s: %s after %.2f s\n%s", stall.who, _ENDS[stall.outcome], stall.seconds, text)
        self._soon(self._emit, stall)

    def _emit(self, stall: Stall) -> None:
        process = stall.process
        self.node.emit(
            ProcessStalled(
                process,
                None if process is None else process.name,
                stall.who if process is None else process.label,
                "?" if stall.where is None else f"{stall.where.file}:{stall.where.line}",
                stall.message,
                stall.seconds,
                stall.outcome if stall.outcome in ("broken", "swallowed") else "resumed",
            )
        )

    def _soon(self, act: Callable[..., object], *args: Any) -> None:
        """Run something in the loop, once it turns again."""
        try:
            self.node.scheduler.loop.call_soon_threadsafe(act, *args)
        except RuntimeError:
            return  # the loop is closed: nobody is there to be told

    # --- when even this thread cannot run -----------------------------------------------------------------------

    def _put_off_alarm(self) -> None:
        """Let the system's timer go off only if this thread does not come back: the interpreter's lock is kept."""
        if not self._alarm or self.limit is None:
            return
        if signal.getsignal(signal.SIGALRM) != self._starved:
            if abs(signal.getitimer(signal.ITIMER_REAL)[1] - ALARM_PERIOD) < 0.001:
                signal.setitimer(signal.ITIMER_REAL, 0.0)  # still ours
            return  # the program uses the alarm itself
        signal.setitimer(signal.ITIMER_REAL, self.limit, ALARM_PERIOD)

    def _starved(self, number: int, frame: FrameType | None) -> None:
        """In the main thread, called by C code that keeps the lock and looks for signals (`re` does)."""
        frame = below_handlers(frame)
        moment, now = Moment.of(self._running, 0), time.monotonic()
        if self.limit is None or frame is None or moment.process is None:
            return
        since, cpu_since = self._since, self._cpu_since
        if self._seen is None or not moment.same(self._seen):  # it began after the watchdog's last look
            if self._starving is None or not moment.same(self._starving[0]):
                self._starving = (moment, self._charge.at, self._charge.cpu)
            _, since, cpu_since = self._starving
        used = self._charge.used() - cpu_since if self._charge.known else now - since
        seconds = used - self._collected
        if seconds < self.limit:
            return  # not yet, or the machine was asleep
        stall = self.stall or self._new_stall(moment, frame, seconds)
        stall.seconds = seconds
        error = Strike(
            lambda: Moment.of(self._running, 0).same(moment),
            lambda frame: self._error(stall, frame),
            careless=True,
        ).judge(frame)
        if error is not None:
            self.stall = stall
            self._seen, self._since, self._cpu_since = moment, since, cpu_since
            stall.notes.append("it kept the interpreter's lock: no other thread could run")
            raise error


class _Efforts:
    """What was tried on one stall."""

    __slots__ = ("began", "report_at", "results", "strike", "told")

    def __init__(self, began: float) -> None:
        self.began = began
        self.strike: Strike | None = None
        self.results: Counter[str] = Counter()
        self.told = False
        self.report_at = 1


_ENDS = {
    "broken": "broken, and its supervisor decides what follows,",
    "swallowed": "went on although it was to be broken,",
    "resumed": "went on by itself",
}


def stack_text(stall: Stall) -> str:
    """The stack as Python prints one, outermost first, without the kernel's own frames."""
    return "\n".join(
        f'  File "{line.file}", line {line.line}, in {line.function}\n    {line.source}'
        for line in stall.stack
        if not line.kernel
    )
