"""The home end of the bridge to a worker: it serves what the worker asks for, and believes only what it can check."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any, Protocol, cast

from planaria.otp.isolation.admission import Admission
from planaria.otp.isolation.bridge import Bridge, Work
from planaria.otp.isolation.bulk import Piece
from planaria.otp.isolation.channel import APART, Channel
from planaria.otp.isolation.errors import WorkerBroken
from planaria.otp.isolation.limits import Worker
from planaria.otp.isolation.output import log_at_home
from planaria.otp.isolation.residence import SPAN
from planaria.otp.kernel.birth import announce
from planaria.otp.kernel.bounded import BoundedQueue
from planaria.otp.kernel.event import KernelEvent
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, Process
from planaria.otp.kernel.reason import Crash
from planaria.otp.kernel.signals import die, link, unlink

WINDOW = 512
"""Messages a worker may have in its mailbox; more wait in the mailbox at home, where they are seen and bounded."""


def window_of(process: Process) -> int:
    """The window of one process: of a bounded one so small that its limit means something, a quarter of that."""
    queue = process.queue
    return min(WINDOW, max(1, queue.bound.limit // 4)) if isinstance(queue, BoundedQueue) else WINDOW


_EVENTS: tuple[type, ...] = KernelEvent.__value__.__args__


class Peer(Protocol):
    """The worker, as far as the bridge needs it."""

    stream: socket.socket
    loop: asyncio.AbstractEventLoop
    os_pid: int

    def broken(self, error: Exception) -> None:
        """It sent garbage."""
        ...

    def kill_soon(self) -> None:
        """It closed its stream."""
        ...


class HomeBridge(Bridge):
    """The home end: believes nothing but what it can check."""

    def __init__(self, node: Node, worker: Peer, options: Worker) -> None:
        super().__init__(node)
        self.worker = worker
        self.admission = Admission(options.admits)
        self.find_class = self.admission.find  # type: ignore[method-assign]
        self.process: Process | None = None
        self.window = WINDOW
        self.base = 0
        self.sent = 0
        self.taken = 0
        self.said_goodbye = False
        self._room: asyncio.Future[None] | None = None
        self.channel = Channel(worker.stream, worker.loop, self.receive, self._lost, apart=True)

    def move_to(self, node: Node, process: Process, options: Worker) -> None:
        """The worker that waited begins to serve `process`."""
        self.node = node
        self.process = process
        self.window = window_of(process)
        self.shown[process.id] = process
        self.admission.admits = options.admits

    def owns(self, number: int) -> bool:
        base = self.base
        return not (base <= number < base + SPAN or number >= base * SPAN)

    def adopt(self, stand_in: Process) -> None:
        """A process the worker has started is seen in the tree below it."""
        stand_in.parent = self.process
        if not self.node.closed:
            self.node.table[stand_in.id] = stand_in
            announce(stand_in)

    def refused(self, error: Exception, what: str, sender: Process | None) -> None:
        who = "code outside" if sender is None else f"{sender.label} {sender!s}"
        logging.getLogger("planaria.worker").error("from %s: %s", who, error)

    def _lost(self, error: Exception | None) -> None:
        if error is not None:
            self.worker.broken(error if isinstance(error, WorkerBroken) else WorkerBroken(str(error)))
        # Else it has ended, or closed its stream for whatever reason: it is of no use without.
        elif not self.said_goodbye:
            self.worker.kill_soon()

    # --- words of the worker --------------------------------------------------------------------------------

    def control(self, what: str, *args: Any) -> None:
        process = self.process
        if process is None:
            raise WorkerBroken(f"{what!r} before the start")
        match what, args:
            case "taken", (int() as taken,):
                self._taken(taken)
            case "trap", (bool() as on,):
                process.trap_exit = on
            case "link", (Process() as one, Process() as other):
                if one.status != DEAD and other.status != DEAD:
                    link(one, other)
            case "unlink", (Process() as one, Process() as other):
                unlink(one, other)
            case "dead", (int() as number, reason):
                self.their_death(number, reason)
            case "kill", (int() as number,):
                target = self.shown.get(number)
                if target is not None:
                    die(target, "killed")
            case "name", (str() as name, Process() as holder):
                self._register(name, holder)
            case "name", (str() as name, None):
                held = self.node.names.get(name)
                if held is not None and (held is process or held.id in self.stand_ins):
                    self.node.names.pop(name)
                    held.name = None
            case "log", (str(), int(), str(), str(), float(), str(), int(), _, _):
                log_at_home(process, self.worker.os_pid, *args)
            case "event", (event,):
                if not isinstance(event, _EVENTS):
                    raise WorkerBroken(f"the event {type(event).__name__}")
                if self.node.listeners:
                    self.node.emit(cast(KernelEvent, event))
            case "join", (str() as which, str() as group, Process() as member, bool() as once):
                self._groups(which).join(group, member, once=once)
            case "ask", (int() as number, str() as question, *rest):
                self.tell("answer", number, self._answer(question, rest))
            case "unstartable", (BaseException() as error,):
                self.said_goodbye = True
                die(process, Crash(error))
            case "ended", (reason,):
                self.said_goodbye = True
                die(process, reason)
            case _:
                raise WorkerBroken(f"the word {what!r}")

    def _answer(self, question: str, rest: list[Any]) -> object:
        match question, rest:
            case "members", (str() as which, str() as group):
                return self._groups(which).members(group)
            case "leave", (str() as which, str() as group, Process() as member):
                return self._groups(which).leave(group, member)
            case "group_names", (str() as which,):
                return self._groups(which).names()
            case _:
                raise WorkerBroken(f"the question {question!r}")

    def _groups(self, which: str) -> Any:
        return self.node.topics if which == "topics" else self.node.groups

    def _register(self, name: str, holder: Process) -> None:
        held = self.node.names.get(name)
        if held is holder or holder.status == DEAD:
            return
        if held is not None or holder.name not in (None, name):
            logging.getLogger("planaria.worker").error(
                "%s could not register %r: it belongs to %s", holder, name, held
            )
            self.tell("name", name, held)
            return
        holder.name = name
        self.node.names[name] = holder

    # --- no more than is wanted -----------------------------------------------------------------------------

    def ship(self, target: Process, envelope: Envelope) -> Work | None:
        if self.sent - self.taken >= self.window or self.channel.full:
            return self._ship_later(target, envelope)
        return super().ship(target, envelope)

    async def _ship_later(self, target: Process, envelope: Envelope) -> None:
        """Hold the message in hand until there is room; what comes meanwhile waits in the mailbox here."""
        while not self.over and (self.sent - self.taken >= self.window or self.channel.full):
            if self.channel.full:
                await self.channel.room()
            else:
                if self._room is None or self._room.done():
                    self._room = self.channel.loop.create_future()
                await asyncio.shield(self._room)
        work = super().ship(target, envelope)
        if work is not None:
            await work

    def send_message(self, call: int, data: bytes, pieces: list[Piece]) -> Work | None:
        self.sent += 1  # here, since what could not be encoded never arrives and is never taken
        if pieces and sum(piece.unshared() for piece in pieces) >= APART:
            return self._send_apart(call, data, pieces)
        return super().send_message(call, data, pieces)

    async def _send_apart(self, call: int, data: bytes, pieces: list[Piece]) -> None:
        """Copy large pieces in a thread; the proxy waits, so the order of its messages stays."""
        for piece in pieces:
            await self.channel.loop.run_in_executor(None, piece.share)
        super().send_message(call, data, pieces)

    def _taken(self, taken: int) -> None:
        self.taken = max(self.taken, min(taken, self.sent))
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def close(self, reason: object) -> None:
        super().close(reason)
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
