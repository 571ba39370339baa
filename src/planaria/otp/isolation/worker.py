"""One worker as the node sees it: an OS process from its fork to its end."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import Any, Protocol

from planaria.otp.isolation.channel import CONTROL
from planaria.otp.isolation.codec import encode, explain
from planaria.otp.isolation.home import HomeBridge
from planaria.otp.isolation.inquiry import Inquiry
from planaria.otp.isolation.limits import Worker, env_of
from planaria.otp.isolation.output import LineReader, OutputLine
from planaria.otp.isolation.program import Program, by_place, this_program
from planaria.otp.isolation.residence import OUT_OF_MEMORY, SPAN
from planaria.otp.isolation.wording import named_arguments
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import DEAD, Process, Request
from planaria.otp.kernel.reason import Crash, Signal, WorkerExited
from planaria.otp.kernel.signals import die

GRACE = 2.0
"""Seconds a worker has to leave after its process has ended."""


class Owner(Protocol):
    """The pool, as far as a worker needs it."""

    process: Process
    output: Callable[[OutputLine], None]

    def kill(self, worker: Any) -> None: ...


class WorkerProcess:
    """An OS process that will serve, serves or has served one process of the node."""

    def __init__(
        self,
        serial: int,
        pool: Owner,
        loop: asyncio.AbstractEventLoop,
        stream: socket.socket,
        look: socket.socket,
        out: int,
        err: int,
    ) -> None:
        self.serial = serial
        self.pool = pool
        self.loop = loop
        self.stream = stream
        self.inquiry = Inquiry(look, self)
        self.os_pid = 0
        self.ended = False
        self.used = False
        self.bridge: HomeBridge | None = None
        self.process: Process | None = None
        self.reason: object = None
        self.on_born: Callable[[int], None] | None = None
        self._handle = -1
        self._kill_wanted = False
        self._spare: list[tuple[str, tuple[Any, ...]]] = []
        self._out = LineReader(out, loop, lambda text: self._line("stdout", text))
        self._err = LineReader(err, loop, lambda text: self._line("stderr", text))
        self._cpu: float | None = None

    def __repr__(self) -> str:
        return f"<worker {self.os_pid or 'being forked'}>"

    def _line(self, stream: Any, text: str) -> None:
        try:
            self.pool.output(OutputLine(self.process, self.os_pid, stream, text))
        except Exception as error:  # noqa: BLE001  event delivery: its end must be told whoever listens to its words
            self.loop.call_exception_handler(
                {"message": f"what listens to the output of {self!r} raised", "exception": error}
            )

    def gone(self) -> bool:
        """Whether it has ended and the template has not said so yet, as far as the system can tell."""
        if self.ended or self._handle < 0:
            return self.ended
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        return bool(poll.poll(0))

    # --- its life, told by the template ---------------------------------------------------------------------

    def born(self, os_pid: int) -> None:
        """It has been forked."""
        self.os_pid = os_pid
        if self.on_born is not None:
            self.on_born(os_pid)
        if hasattr(os, "pidfd_open"):
            try:
                self._handle = os.pidfd_open(os_pid)
            except OSError:
                self._handle = -1  # gone already: the template will tell
        if self._kill_wanted:
            self.kill()

    def not_forked(self, number: int) -> None:
        """The system did not allow another OS process."""
        self._over(Crash(OSError(number, f"a worker could not be forked: {os.strerror(number)}")))

    def exited(self, status: int, kills: int, seconds: float) -> None:
        """It has ended and was reaped."""
        if self.bridge is None:
            self._over(self._reason(status, kills, seconds))
            return
        # Its last words may still be in the socket, or be copied just now.
        self.bridge.channel.finish(lambda: self._over(self._reason(status, kills, seconds)))

    def _reason(self, status: int, kills: int, seconds: float) -> object:
        if self.reason is not None:
            return self.reason
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            over_time = self._cpu is not None and seconds >= self._cpu
            if number == signal.SIGXCPU or (number == signal.SIGKILL and over_time):
                return "cpu_limit"
            if number == signal.SIGKILL:
                return "out_of_memory" if kills > 0 else "killed"
            return Signal(number)
        code = os.waitstatus_to_exitcode(status)
        return "out_of_memory" if code == OUT_OF_MEMORY else WorkerExited(code)

    def _over(self, reason: object) -> None:
        if self.ended:
            return
        self.ended = True
        self._out.close()
        self._err.close()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self.bridge is not None:
            self.bridge.close(reason)
        else:
            self.stream.close()
        self.inquiry.close()
        process = self.process
        if process is not None and process.status != DEAD:
            die(process, reason)

    def kill(self) -> None:
        """End it by force, and all it has started."""
        if self.ended:
            return
        self._kill_wanted = True
        if self._handle >= 0:
            try:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            except ProcessLookupError:
                return
        self.pool.kill(self)

    def kill_soon(self) -> None:
        """It closed its stream: it is ending, and the template will tell how; what lingers is killed."""
        if not self.ended:
            self.loop.call_later(GRACE, self.kill)

    def broken(self, error: Exception) -> None:
        """It sent garbage: nothing it says is believed any more."""
        self.reason = Crash(error)
        process = self.process
        self.kill()
        if process is not None:
            die(process, self.reason)

    # --- before its work ------------------------------------------------------------------------------------

    def prime(self, program: Program, modules: list[str]) -> None:
        """Let it import what it may need while it waits."""
        if modules:
            self._spare_bridge().tell("prime", _plain(program), modules)

    def _spare_bridge(self) -> HomeBridge:
        if self.bridge is None:
            self.bridge = HomeBridge(Node("none"), self, Worker())
        return self.bridge

    async def ready(self) -> None:
        """Return when it answers questions."""
        await self.loop.run_in_executor(None, self.ask, 10.0)

    # --- its work -------------------------------------------------------------------------------------------

    def begin(
        self,
        process: Process,
        what: object,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: Worker,
        request: Request | None,
        current: tuple[int, str | None, int],
    ) -> None:
        """Let it run a server class or a function as `process`.

        Raises:
            Unsendable: an argument cannot be pickled; the worker is of no use any more.
        """
        node = process.node
        if self.bridge is None:
            self.bridge = HomeBridge(node, self, options)
        bridge = self.bridge
        bridge.move_to(node, process, options)
        self.process = process
        self._cpu = options.limits.cpu
        base = base_of(node) + self.serial
        limits = options.limits
        names = [
            (name, each) for name, each in node.names.items() if each not in (process, self.pool.process)
        ]
        bridge.base = base * SPAN
        bridge.tell(
            "prepare",
            _plain(this_program()),
            node.name,
            bridge.base,
            env_of(options, os.environ),
            (limits.memory, limits.cpu, limits.files),
            logging.getLogger().level,
            bridge.window,
        )
        if names:
            bridge.tell("names", names)
        number = 0 if request is None else bridge.await_answer(request)
        word = (
            "start",
            process.id,
            by_place(what),
            args,
            kwargs,
            process.label,
            process.name,
            process.parent,
            number,
            current,
        )
        try:
            data, pieces = encode(word, bridge)
        except Exception as error:
            what = f"the start of {process.label}"
            raise explain(error, named_arguments(args, kwargs), what, bridge, "arguments") from error
        bridge.channel.send(CONTROL, 0, data, pieces)
        bridge.channel.flush()
        self.used = True

    def name_changed(self, name: str, process: Process | None) -> None:
        """A name of the node was given or given up."""
        if (
            self.used
            and not self.ended
            and self.bridge is not None
            and process
            not in (
                self.process,
                self.pool.process,
            )
        ):
            self.bridge.tell("name", name, process)

    def leave(self) -> None:
        """Its process is dead: it has a moment to go by itself if it ended in order, none otherwise."""
        if self.ended:
            return
        if self.bridge is not None and self.bridge.said_goodbye:
            self.loop.call_later(GRACE, self.kill)
            return
        self.kill()
        if self.bridge is not None:
            self.bridge.close("killed")

    # --- looking --------------------------------------------------------------------------------------------

    def ask(self, seconds: float) -> dict[str, Any]:
        """What it does now; see `Inquiry.ask`."""
        return self.inquiry.ask(seconds)


def _plain(program: Program) -> tuple[Any, ...]:
    return (program.path, program.folder, program.main, program.argv)


def base_of(node: Node) -> int:
    """Where the numbers of this node begin: 0, or a worker's own base when it starts workers itself."""
    return node.next_id() // SPAN * SPAN
