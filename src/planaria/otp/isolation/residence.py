"""Life in a worker: a small node with one server or function that home knows by its own pid.

Started by the template in a fresh fork. Waits for home's word, meanwhile importing what it may need; becomes one
process (the *resident*, with the pid it has at home), and ends with it: a worker serves once, so no heap is used twice.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import faulthandler
import importlib
import logging
import os
import socket
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from planaria.otp.isolation.admission import MAIN
from planaria.otp.isolation.bridge import Bridge
from planaria.otp.isolation.channel import FAIL, MESSAGE, REPLY, Channel, Frame
from planaria.otp.isolation.codec import sealed
from planaria.otp.isolation.errors import WorkerBroken
from planaria.otp.isolation.home_groups import HomeGroups
from planaria.otp.isolation.home_log import HomeLog
from planaria.otp.isolation.lifeline import call_it
from planaria.otp.isolation.limits import Limits
from planaria.otp.isolation.names import POOL, watched
from planaria.otp.isolation.program import Place, Program, import_main, settle_in
from planaria.otp.isolation.questions import answer_questions
from planaria.otp.kernel.birth import announce
from planaria.otp.kernel.event import KernelEvent, ProcessExited, ProcessStarted
from planaria.otp.kernel.mailbox import deliver, queue_length
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.node import Node, as_coroutine
from planaria.otp.kernel.process import DEAD, Process, Request, name_of, new_process, new_request
from planaria.otp.kernel.reason import Crash, ServerExited
from planaria.otp.kernel.signals import die
from planaria.otp.servers.system import ServerBody

OUT_OF_MEMORY = 71
"""Exit status of a worker whose memory did not suffice to say so."""
BROKEN = 70
SPAN = 10**10
"""Numbers one worker may give to its processes."""
STUFFED = 32 << 20
"""Bytes waiting for home from which the worker stops until they are taken."""


class WorkerBridge(Bridge):
    """The worker's end."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(Node("worker"))
        self.node.scheduler.bind(loop)
        self.node.recent = deque(
            maxlen=0
        )  # home remembers what was handled; here it would count against the limit
        self.names = watched(self.node, self._name_changed)
        self.node.listeners.append(self._event)
        self.loop = loop
        self.channel = Channel(sock, loop, self._frame, self._lost)
        self.base = 0
        self.resident: Process | None = None
        self.kind: type | Callable[..., Any] | None = None
        self.limits = Limits()
        self.window = 512
        self.received = 0
        self.reported = 0
        self.trapping = False
        self.done: asyncio.Future[int] = loop.create_future()
        self._answers: dict[int, object] = {}
        self._reporting = False

    # --- the two ends differ --------------------------------------------------------------------------------

    def owns(self, number: int) -> bool:
        resident = self.resident
        base = self.base
        return (
            base <= number < base + SPAN
            or number >= base * SPAN  # of workers this worker has started itself
            or (resident is not None and number == resident.id)
        )

    def find_class(self, module: str, name: str) -> Any:
        """Home is trusted: it runs the same program."""
        if module in ("__main__", MAIN):
            import_main(self.program)
            module = MAIN
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
        return found

    def refused(self, error: Exception, what: str, sender: Process | None) -> None:
        logging.getLogger("planaria.worker").error("%s", error)

    # --- frames ---------------------------------------------------------------------------------------------

    def _frame(self, frame: Frame) -> None:
        if self.resident is not None and frame.operation == MESSAGE:
            self.received += 1
            self._report_later()
        self.receive(frame)

    def receive(self, frame: Frame) -> None:
        try:
            super().receive(frame)
        except WorkerBroken as broken:
            # Home speaks our language: it is a class of the user that cannot be imported or rebuilt here.
            cause = broken.__cause__
            error = cause if isinstance(cause, Exception) else broken
            if self.resident is None:
                self._unstartable(error)
            elif frame.operation == MESSAGE and frame.number:
                self.answer(FAIL, frame.number, error, new_request("", (), {}, None, self.resident))
            else:
                self.refused(error, "a message", None)

    def _unstartable(self, error: Exception) -> None:
        self.tell("unstartable", error)
        self.channel.write_out(5.0)
        self.done.set_result(0)

    def _lost(self, error: Exception | None) -> None:
        os._exit(BROKEN)  # home is gone, or does not speak our language: nobody is left to answer to

    def control(self, what: str, *args: Any) -> None:
        match what:
            case "prime":
                self._prime(*args)
            case "prepare":
                self._prepare(*args)
            case "start":
                self._start(*args)
            case "dead":
                self.their_death(*args)
            case "kill":
                process = self.node.table.get(args[0])
                if process is not None:
                    die(process, "killed")
            case "name":
                name, holder = args
                if holder is not None and holder.name is None:
                    holder.name = name
                self.names.put(name, holder, self._name_changed)
            case "names":
                for name, holder in args[0]:
                    self.control("name", name, holder)
            case "answer":
                self._answers[args[0]] = args[1]
            case _:
                raise ValueError(what)

    # --- before the start -----------------------------------------------------------------------------------

    def _prime(self, program: tuple[Any, ...], modules: list[str]) -> None:
        """Import what children of this node were made of before; what fails will fail again where it is told."""
        settle_in(Program(*program))
        self.program = Program(*program)
        for module in modules:
            with contextlib.suppress(Exception):
                if module == "__main__":
                    import_main(self.program)
                else:
                    importlib.import_module(module)

    def _prepare(
        self,
        program: tuple[Any, ...],
        node: str,
        base: int,
        env: dict[str, str],
        limits: tuple[Any, ...],
        level: int,
        window: int,
    ) -> None:
        """Become a part of home: its name, the limits, the environment."""
        self.program = Program(*program)
        settle_in(self.program)
        os.environ.clear()
        os.environ.update(env)
        self.node.name = node
        self.base = base
        count = iter(range(base + 1, base + SPAN)).__next__
        self.node.next_id = count
        self.window = window
        self.node.groups = HomeGroups(self, "groups")
        self.node.topics = HomeGroups(self, "topics")
        self.node.on_link = self._link
        root = logging.getLogger()
        root.setLevel(level)
        root.addHandler(HomeLog(self))
        self.limits = Limits(*limits)
        self.limits.apply()

    def _start(
        self,
        number: int,
        what: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        label: str,
        name: str | None,
        parent: Process | None,
        request_number: int,
        current: tuple[int, str | None, int],
    ) -> None:
        """Make the resident and let it begin."""
        if isinstance(what, Place):
            try:
                what = self.find_class(what.module, what.qualname)
            except Exception as error:  # noqa: BLE001  a user's module may raise whatever it likes
                self._unstartable(error)
                return
        node = self.node
        call_it(label)
        process = new_process(node, label)
        process.id = number
        process.parent = parent
        node.table[number] = process
        self.resident = process
        if name is not None:
            process.name = name
            self.names.put(name, process, self._name_changed)
        process.on_death = [self._ended]
        self._report_later()  # after its first turn: by then it may trap exits
        if isinstance(what, type) and hasattr(what, "handle"):
            self._start_server(process, what, args, kwargs, parent, request_number, current)
        else:
            process.coro = self._function(what, args, kwargs, request_number)
            process.current = ("info", "start", parent, *current, node.now, process)
            announce(process)
            node.scheduler.enqueue(process)

    def _start_server(
        self,
        process: Process,
        cls: type[ServerBody],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        parent: Process | None,
        request_number: int,
        current: tuple[int, str | None, int],
    ) -> None:
        server = cls.__new__(cls)
        server._kernel_process = process
        server.__init__()  # type: ignore[misc]  # as in start_server
        process.body = server
        process.trap_exit = self.trapping = bool(getattr(cls, "trap_exit", False))
        request = new_request("init", args, kwargs, None, process)
        self.expect(request, request_number)
        envelope: Envelope = ("start", request, parent, *current, self.node.now, process)
        deliver(process, envelope)

    async def _function(
        self, fn: Any, args: tuple[Any, ...], kwargs: dict[str, Any], request_number: int
    ) -> None:
        value = await as_coroutine(fn, args, kwargs)
        if request_number and self.resident is not None and self.resident.status != DEAD:
            self.answer(REPLY, request_number, value, new_request(name_of(fn), (), {}, None, self.resident))

    # --- while it lives -------------------------------------------------------------------------------------

    def ship(self, target: Process, envelope: Envelope) -> Any:
        self._say_trapping()
        work = super().ship(target, envelope)
        if self.channel.waiting > STUFFED:
            self.channel.write_out()  # home always reads: a flood holds up the one who makes it
        return work

    def answer(self, operation: int, number: int, value: object, request: Request) -> None:
        self._say_trapping()
        resident = self.resident
        if isinstance(value, ServerExited) and resident is not None and resident.status == DEAD:
            return  # home tells all who wait for it, each with the same reason
        super().answer(operation, number, value, request)

    def _say_trapping(self) -> None:
        """Home must know whether exit signals end the resident or are messages to it."""
        resident = self.resident
        if resident is not None and resident.trap_exit != self.trapping:
            self.trapping = resident.trap_exit
            self.tell("trap", self.trapping)

    def _link(self, one: Process, other: Process, tied: bool) -> bool:
        """Links to home are kept by home, which outlives us. False: both ends are here."""
        if other.id not in self.stand_ins:
            return False
        self._say_trapping()
        self.tell("link" if tied else "unlink", one, other)
        return True

    def _name_changed(self, name: str, process: Process | None) -> None:
        if name != POOL:
            self.tell("name", name, process)

    def _event(self, event: KernelEvent) -> None:
        """Home hears what happens here; of processes it knows it hears by their pids."""
        if not isinstance(event, ProcessStarted | ProcessExited):
            self.tell("event", event)

    def ask(self, what: str, *args: Any) -> Any:
        """Ask home and wait for the answer, on the spot: for the few things that a plain function returns."""
        number = self.number()
        self.tell("ask", number, what, *args)
        self.channel.write_out()
        while number not in self._answers:
            self.channel.wait_readable()
            if self.channel.read_some() == 0:
                os._exit(BROKEN)
            while (frame := self.channel.next_frame()) is not None:
                self._frame(frame)
        return self._answers.pop(number)

    def _report_later(self, seconds: float = 0.0) -> None:
        if not self._reporting:
            self._reporting = True
            if seconds:
                self.loop.call_later(seconds, self._report)
            else:
                self.loop.call_soon(self._report)

    def _report(self) -> None:
        """Tell home how much has been taken from the mailbox, so that it sends no more than is wanted."""
        self._reporting = False
        self._say_trapping()
        resident = self.resident
        if resident is None or resident.status == DEAD:
            return
        taken = self.received - queue_length(resident)
        step = max(1, self.window // 4)
        progress = taken - self.reported
        if progress >= step:
            self.reported = taken
            self.tell("taken", taken)
        if self.received - self.reported >= step:
            # Every turn while it gets on, else now and then: it may wait for the outside for long.
            self._report_later(0.0 if progress else 0.002)

    # --- the end --------------------------------------------------------------------------------------------

    def _ended(self, process: Process) -> None:
        reason = process.reason
        if self.limits.memory is not None and isinstance(reason, Crash) and _is_memory(reason.error):
            traceback.clear_frames(reason.error.__traceback__)
            reason = "out_of_memory"
        self.tell("ended", sealed(reason))
        self.channel.write_out(5.0)
        if not self.done.done():
            self.done.set_result(0)


def _is_memory(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        error = error.__cause__
    return False


def main(sock: socket.socket, look: socket.socket) -> int:
    """Live in this OS process until the resident ends; the exit status."""
    faulthandler.enable()  # a crash in C says where, on stderr, which home shows
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    bridge = WorkerBridge(sock, loop)

    def broken(_: object, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, MemoryError):
            os._exit(OUT_OF_MEMORY)
        loop.default_exception_handler(context)

    loop.set_exception_handler(broken)
    threading.Thread(
        target=answer_questions, args=(look, bridge), name="planaria questions", daemon=True
    ).start()
    try:
        status = loop.run_until_complete(bridge.done)
    except MemoryError:
        return OUT_OF_MEMORY
    for process in list(bridge.node.table.values()):
        die(process, "killed")
    with contextlib.suppress(Exception):
        loop.run_until_complete(asyncio.wait_for(bridge.node.scheduler.drain(0.5), 1.0))
    with contextlib.suppress(Exception):
        atexit._run_exitfuncs()
    bridge.channel.write_out(1.0)
    sys.stdout.flush()
    sys.stderr.flush()
    return status
