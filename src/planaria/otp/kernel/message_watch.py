"""Finds mutable state that processes share by accident: messages that change after they were sent.

On with `Node(debug_messages=True)`, or the environment variable `PLANARIA_DEBUG_MESSAGES=1`; with `"crash"` (in both)
the process whose code made the change ends with reason `message_changed`. Off, it costs nothing: sending is
watched from outside (`sys.monitoring` of the functions every message, reply and activation passes), and taking by the
deque of consumed messages, which every message is put into anyway.

A copy of each message and reply is made when it is sent (`snapshot.py`, of bounded effort) and compared
- until the receiver has it: any change is reported;
- afterwards, each time the code of one of the two has run, at the end of each turn, and when the node stops: a
  change is reported if the other one still holds what was changed, in its state or in the variables of its code.
  Handing something over and forgetting it is no sharing.

A report is a `MessageChanged` event and a line in the log; once for each message.
Does badly: what code outside any process keeps is not seen; what a thread changes is put down to the process whose code
ran meanwhile; a message that changes and changes back meanwhile is not
either. Watches the last `HELD` messages of each process, and at most `WAITING` that wait.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from types import CodeType, FrameType
from typing import Any, Literal, Protocol

from planaria.otp.kernel.bounded import BoundedQueue
from planaria.otp.kernel.event import KernelEvent, MessageChanged
from planaria.otp.kernel.mailbox import deliver, senders
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, RUNNING, Process, Request, running
from planaria.otp.kernel.scheduler import Scheduler
from planaria.otp.kernel.signals import die
from planaria.otp.kernel.snapshot import Snapshot, attributes, short, walk

HELD = 16
"""Messages of one process that are still watched after they were taken, newest kept."""
WAITING = 10_000
"""Messages in mailboxes that are watched."""
REACH = 20_000
"""Objects looked at to find out whether somebody still holds one."""
REASON = "message_changed"
KERNEL = os.path.join("planaria", "otp", "")

log = logging.getLogger(__name__)


class Watched:
    """One message or reply under watch."""

    __slots__ = ("arrived", "done", "is_reply", "receiver", "sender", "snapshot", "what")

    def __init__(
        self,
        what: str,
        sender: Process | None,
        receiver: Process | None,
        snapshot: Snapshot,
        *,
        is_reply: bool = False,
    ) -> None:
        self.what = what
        self.sender = sender
        self.receiver = receiver
        self.snapshot = snapshot
        self.is_reply = is_reply
        self.arrived = is_reply and receiver is None  # taken from the mailbox, or seen by the caller
        self.done = False


class Loop(Protocol):
    """What is needed of the event loop."""

    def call_soon(self, callback: Callable[..., object], /, *args: Any) -> object:
        """Run it on the next turn."""
        ...


class MessageWatch:
    """The watch over one node.

    Args:
        crash: end the process that changed a message.
        emit: hands events to those who listen.
        recent: how many consumed messages the node remembers, in `consumed`.
        living: the processes of the node.
    """

    def __init__(self, crash: bool, emit: Callable[[KernelEvent], None], recent: int, living: Sized) -> None:
        self.crash = crash
        self.emit = emit
        self.living = living
        self.waiting: dict[int, Watched] = {}
        self.held: dict[Process, deque[Watched]] = {}
        self.touched: set[Process] = set()
        self.active: Process | None = None  # whose code has run since the last look
        self.sweeping = False
        self.open = False
        self.consumed: deque[Envelope] = Consumed(recent, self)
        self.loop: Loop | None = None

    # --- life ---------------------------------------------------------------------------------------------------

    def begin(self, loop: Loop) -> None:
        """Watch from now on."""
        self.loop = loop
        self.open = True
        hooks.add(self)

    def close(self) -> None:
        """Look a last time, then watch no longer."""
        if self.open:
            self.touched = set(self.held)
            self._end_of_turn()
            self.open = False
            hooks.remove(self)
            self.waiting.clear()
            self.held.clear()

    # --- what is told -------------------------------------------------------------------------------------------

    def sent(self, envelope: Envelope) -> None:
        """A message goes into a mailbox."""
        kind, body, sender, number = envelope[:4]
        if kind not in ("info", "call", "cast") or number in self.waiting:
            return
        if len(self.waiting) >= WAITING:  # also those that were never taken: shed, or their receiver died
            del self.waiting[next(iter(self.waiting))]
        if kind == "call":
            what, parts = body.handler, {"args": body.args, "kwargs": body.kwargs}
        elif kind == "cast":
            what, parts = body[0], {"args": body[1], "kwargs": body[2]}
        else:
            what, parts = type(body).__name__, {"message": body}
        self._note(Watched(what, sender, envelope[7], _snapshot(parts)), number)

    def replied(self, request: Request, value: object) -> None:
        """An answer goes to its caller."""
        snapshot = Snapshot(value, "reply")
        if snapshot.parts:
            what = f"the reply to {request.handler}"
            watched = Watched(what, request.target, request.caller, snapshot, is_reply=True)
            self._hold(watched, request.target)
            if request.caller is not None:
                self._hold(watched, request.caller)

    def taken(self, envelope: Envelope) -> None:
        """A process takes a message."""
        receiver = envelope[7]
        self.switch(receiver)
        watched = self.waiting.pop(envelope[3], None)
        if watched is None:
            if envelope[0] not in ("info", "call", "cast"):
                return
            self.sent(envelope)  # handed over on the sender's stack, without a mailbox
            watched = self.waiting.pop(envelope[3], None)
        elif not watched.done:
            self._compare(watched, None)
        if watched is not None:
            watched.arrived = True
            self._hold(watched, receiver)

    def switch(self, process: Process | None) -> None:
        """The code of `process` goes on from here; what the one before did is looked at."""
        before, self.active = self.active, process
        if before is not None:
            self._check(before)
        for watched in () if process is None else tuple(self.held.get(process, ())):
            if watched.is_reply and not watched.arrived and watched.receiver is process:
                if not watched.done:
                    self._compare(watched, None)
                watched.arrived = True

    # --- comparing -----------------------------------------------------------------------------------------------

    def _note(self, watched: Watched, number: int) -> None:
        if watched.snapshot.parts:
            self.waiting[number] = watched
            if watched.sender is not None:
                self._hold(watched, watched.sender)

    def _hold(self, watched: Watched, process: Process) -> None:
        held = self.held.get(process)
        if held is None:
            held = self.held[process] = deque(maxlen=HELD)
        held.append(watched)
        self.touched.add(process)
        if not self.sweeping and self.loop is not None:
            self.sweeping = True
            self.loop.call_soon(self._end_of_turn)

    def _end_of_turn(self) -> None:
        self.sweeping = False
        touched, self.touched = self.touched, set()
        self.switch(None)
        for process in sorted(touched, key=lambda each: each.id):
            for watched in tuple(self.held.get(process, ())):
                if not watched.done:
                    self._compare(watched, None)
        if len(self.held) > 2 * len(self.living):
            self.held = {process: held for process, held in self.held.items() if process.status != DEAD}

    def _check(self, process: Process) -> None:
        held = self.held.get(process)
        if held is None:
            return
        for watched in tuple(held):
            if watched.done:
                held.remove(watched)
            else:
                self._compare(watched, process)

    def _compare(self, watched: Watched, by: Process | None) -> None:
        change = watched.snapshot.change()
        if change is None:
            return
        when: Literal["waiting", "handled"] = "waiting"
        if watched.arrived:
            when = "handled"
            ends = (watched.sender, watched.receiver)
            others = [each for each in ends if each is not None and each is not by]
            shared = len(others) == (2 if by is None else 1) and all(
                holds(each, change.inside) for each in others
            )
            if not shared:
                watched.done = by is not None  # it was handed over, and the new owner uses it
                return
        watched.done = True
        event = MessageChanged(
            watched.receiver,
            watched.sender,
            watched.what,
            change.path,
            short(change.was),
            short(change.now),
            when,
            by,
        )
        log.warning("%s", event)
        self.emit(event)
        if self.crash and by is not None and self.loop is not None:
            self.loop.call_soon(die, by, REASON)  # not here: it may be about to handle a message


def holds(process: Process, thing: object) -> bool:
    """Whether a process can still reach an object: through its state, or the variables of its code."""
    if process.status == DEAD:
        return False
    roots: list[Any] = [] if process.body is None else [attributes(process.body)]
    roots += [dict(frame.f_locals) for frame in frames_of(process) if KERNEL not in frame.f_code.co_filename]
    for count, (_, each) in enumerate(walk(roots, "")):
        if each is thing:
            return True
        if count >= REACH:
            break
    return False


def frames_of(process: Process) -> Iterator[FrameType]:
    """Where the code of a process stands: suspended, or on the stack below the one that asks."""
    step: Any = process.coro
    while step is not None:
        frame: FrameType | None = getattr(step, "cr_frame", None) or getattr(step, "gi_frame", None)
        if frame is not None:
            yield frame
        step = getattr(step, "cr_await", None) or getattr(step, "gi_yieldfrom", None)
    if process.status != RUNNING:
        return
    stack: list[FrameType] = []
    below: FrameType | None = sys._getframe(1)
    while below is not None:
        if below.f_code.co_name in ("run_now", "_turn") and KERNEL in below.f_code.co_filename:
            # What was above it ran as this process.
            if below.f_locals.get("process") is process:
                yield from stack
                return
            stack.clear()
        stack.append(below)
        below = below.f_back


def _snapshot(parts: dict[str, Any]) -> Snapshot:
    """Of a message's parts, with paths that name them: `message.x`, `args[0].x`, `kwargs['to'].x`."""
    whole: Snapshot | None = None
    for root, value in parts.items():
        each = Snapshot(value, root)
        if whole is None:
            whole = each
        else:
            whole.parts += each.parts
            whole.complete = whole.complete and each.complete
    assert whole is not None
    return whole


class Consumed(deque[Envelope]):
    """The consumed messages a node remembers, telling the watch of each."""

    def __init__(self, size: int, watch: MessageWatch) -> None:
        super().__init__(maxlen=size)
        self.watch = watch

    def append(self, envelope: Envelope) -> None:
        """Remember a message that is being taken."""
        super().append(envelope)
        if self.watch.open:
            self.watch.taken(envelope)


class ToldQueue(deque[Envelope]):
    """What waits behind the oldest message of a watched process."""

    def __init__(self, waiting: Iterable[Envelope], watch: MessageWatch) -> None:
        super().__init__(waiting)
        self.watch = watch

    def append(self, envelope: Envelope) -> None:
        """Take one more message."""
        super().append(envelope)
        if self.watch.open:
            self.watch.sent(envelope)


# --- seeing what is sent ------------------------------------------------------------------------------------------


class Hooks:
    """Tells the watches of the interpreter what is sent and whose code runs; in place only while one is open."""

    def __init__(self) -> None:
        self.watches: list[MessageWatch] = []
        self.tool: int | None = None

    def add(self, watch: MessageWatch) -> None:
        """One more watch.

        Raises:
            RuntimeError: the kernel is compiled, or every place for tools is taken.
        """
        if self.tool is None:
            self._install()
        self.watches.append(watch)

    def remove(self, watch: MessageWatch) -> None:
        """One watch less."""
        self.watches.remove(watch)
        if not self.watches and self.tool is not None:
            sys.monitoring.free_tool_id(self.tool)
            self.tool = None

    def _install(self) -> None:
        monitoring = sys.monitoring
        begins, ends = monitoring.events.PY_START, monitoring.events.PY_RETURN
        points = [
            (deliver, begins, self._deliver),
            (deliver, ends, self._delivered),
            (BoundedQueue.append, begins, self._bounded),
            (Request.reply, begins, self._reply),
            (Scheduler._begin, begins, self._goes_on),
            (Scheduler._go_on, begins, self._goes_on),
            (Scheduler.run_now, ends, self._run_now),
            *((fn, ends, self._sent) for fn in senders),
        ]
        codes = [getattr(fn, "__code__", None) for fn, _, _ in points]
        free = [tool for tool in (4, 3) if monitoring.get_tool(tool) is None]
        if not all(isinstance(code, CodeType) for code in codes):
            raise RuntimeError("debug_messages needs the kernel in plain Python; this one is compiled")
        if not free:
            raise RuntimeError(
                "debug_messages needs a free tool id of sys.monitoring (3 or 4); both are taken"
            )
        self.tool = free[0]
        monitoring.use_tool_id(self.tool, "planaria messages")
        told = {(code, event): tell for code, (_, event, tell) in zip(codes, points, strict=True)}
        monitoring.register_callback(self.tool, begins, lambda code, _: told[code, begins](_frame()))
        monitoring.register_callback(self.tool, ends, lambda code, _, __: told[code, ends](_frame()))
        for code, event in told:
            assert isinstance(code, CodeType)
            monitoring.set_local_events(self.tool, code, event | monitoring.get_local_events(self.tool, code))

    def _of(self, node: Watchable) -> MessageWatch | None:
        return next((watch for watch in self.watches if watch.consumed is node.recent), None)

    def _deliver(self, seen: Mapping[str, Any]) -> None:
        watch = self._of(seen["target"].node)
        if watch is not None and seen["target"].status != DEAD:
            watch.sent(seen["envelope"])

    def _delivered(self, seen: Mapping[str, Any]) -> None:
        # Senders may put a message straight behind others that wait, so those must lie in a deque that tells.
        target: Process = seen["target"]
        if type(target.queue) is deque:
            watch = self._of(target.node)
            if watch is not None:
                target.queue = ToldQueue(target.queue, watch)

    def _bounded(self, seen: Mapping[str, Any]) -> None:
        watch = self._of(seen["self"].process.node)
        if watch is not None:
            watch.sent(seen["envelope"])

    def _sent(self, seen: Mapping[str, Any]) -> None:
        envelope: Envelope | None = seen.get("envelope")
        watch = None if envelope is None else self._of(envelope[7].node)
        if watch is not None and envelope is not None and envelope[3] not in watch.waiting:
            if envelope[7].status != DEAD:
                watch.sent(envelope)

    def _reply(self, seen: Mapping[str, Any]) -> None:
        request: Request = seen["self"]
        watch = self._of(request.target.node)
        if watch is not None and not request.done:
            watch.replied(request, seen["value"])

    def _goes_on(self, seen: Mapping[str, Any]) -> None:
        watch = self._of(seen["process"].node)
        if watch is not None:
            watch.switch(seen["process"])

    def _run_now(self, seen: Mapping[str, Any]) -> None:
        watch = self._of(seen["process"].node)
        if watch is not None:
            watch.switch(running.process)  # back to the caller


class Watchable(Protocol):
    """A node, as far as it matters here."""

    recent: deque[Envelope]


def _frame() -> Mapping[str, Any]:
    return sys._getframe(2).f_locals  # of the function watched: this one's caller is the callback


hooks = Hooks()
"""One for the interpreter, as `sys.monitoring` is."""
