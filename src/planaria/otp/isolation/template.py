"""The template: a small OS process with one thread that has everything imported, and is forked for each worker.

Started by the `WorkerPool`, which talks to it over one socket: *fork* with the worker's descriptors, *kill*. It answers
with the worker's OS pid, and with how it ended. Forking a node would copy its threads' locks and its heap; forking this
costs about a millisecond and copies nothing of the node. The end of the socket is the end of it and of all workers.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import struct
import sys
import traceback

from planaria.otp.isolation import residence
from planaria.otp.isolation.lifeline import call_it, die_with_parent, oom_kills

FORK, KILL = 1, 2
FORKED, ENDED, FAILED = 1, 2, 3
REQUEST = struct.Struct("<BxxxxxxxQ")
"""operation, serial number of the worker."""
REPLY = struct.Struct("<BxxxxxxxQqqd")
"""operation, serial, OS pid or wait status, kills for memory while it lived, seconds of processor time."""
PRELOADED = (
    "planaria.otp.kernel.ambient",
    "planaria.otp.kernel.alias",
    "planaria.otp.kernel.pubsub",
    "planaria.otp.servers.gen_server",
    "planaria.otp.servers.hibernate",
    "planaria.otp.servers.start_monitor",
    "planaria.otp.servers.state_machine",
)
"""What modules of users import: here once, so that each worker has it."""
DESCRIPTORS = 4
"""The worker's message stream, its stream for questions, stdout and stderr."""


def main(control_fd: int, parent: int) -> None:
    """Serve until the other end closes."""
    # By a signal it can answer: it takes the workers along, and what they have started.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    die_with_parent(parent, signal.SIGTERM)
    os.setsid()  # Ctrl-C at the terminal is for the node, which stops its workers in order
    call_it("worker template")
    control = socket.socket(fileno=control_fd)
    Template(control).serve()


_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Template:
    """Forks, watches and kills workers."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.workers: dict[int, int] = {}  # OS pid -> serial
        self.killed_before: dict[int, int] = {}
        self.wake_read, self.wake_write = os.pipe()
        for fd in (self.wake_read, self.wake_write):
            os.set_blocking(fd, False)

    def serve(self) -> None:
        """The loop: requests of the pool, ends of workers."""
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self.wake_write, warn_on_full_buffer=False)
        for module in PRELOADED:
            importlib.import_module(module)
        gc.collect()
        gc.freeze()  # what is here now stays shared with the workers
        buffer = b""
        fds: list[int] = []
        poll = select.poll()  # takes descriptors of any number, unlike select()
        for fd in (self.control.fileno(), self.wake_read):
            poll.register(fd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self.wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    if signal.SIGTERM in os.read(self.wake_read, 4096):
                        self.end()
                self.reap()
            if self.control.fileno() in ready:
                size = socket.CMSG_SPACE(64 * array.array("i").itemsize)
                try:
                    # Not inheritable: what a worker starts has no business with its streams.
                    data, ancillary, _, _ = self.control.recvmsg(4096, size, _CLOEXEC)
                except OSError:
                    data, ancillary = b"", []
                if not data:
                    self.end()
                for _, _, content in ancillary:
                    got = array.array("i")
                    got.frombytes(content)
                    fds.extend(got)
                buffer += data
                while len(buffer) >= REQUEST.size:
                    operation, serial = REQUEST.unpack_from(buffer)
                    buffer = buffer[REQUEST.size :]
                    if operation == FORK:
                        mine, fds = fds[:DESCRIPTORS], fds[DESCRIPTORS:]
                        self.fork(serial, mine, fds)
                    else:
                        self.kill(serial)

    def fork(self, serial: int, mine: list[int], others: list[int]) -> None:
        """Make one worker."""
        template = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self.tell(FAILED, serial, error.errno or 0, 0, 0.0)
        else:
            if pid == 0:
                status = 70
                try:
                    self.become(template, mine, others)
                    status = residence.main(socket.socket(fileno=mine[0]), socket.socket(fileno=mine[1]))
                except MemoryError:
                    status = residence.OUT_OF_MEMORY
                except SystemExit as end:
                    status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
                except BaseException as error:  # noqa: BLE001  nothing may run on into the template's loop
                    with contextlib.suppress(BaseException):
                        traceback.print_exception(error)
                finally:
                    with contextlib.suppress(BaseException):
                        sys.stdout.flush()
                        sys.stderr.flush()
                    os._exit(status & 0xFF)
            self.workers[pid] = serial
            self.killed_before[pid] = oom_kills()
            self.tell(FORKED, serial, pid, 0, 0.0)
        for fd in mine:
            os.close(fd)

    def become(self, template: int, mine: list[int], others: list[int]) -> None:
        """In the child: keep nothing of the template but what is imported."""
        signal.set_wakeup_fd(-1)  # first: its signals are not the template's
        os.setsid()  # a group of its own: what it starts can be killed with it
        die_with_parent(template)
        call_it("worker, idle")
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        self.control.close()
        for fd in (self.wake_read, self.wake_write, *others):
            os.close(fd)
        os.dup2(mine[2], 1)
        os.dup2(mine[3], 2)
        os.close(mine[2])
        os.close(mine[3])
        sys.stdout = open(  # noqa: SIM115  stays open as long as the worker lives
            1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )
        sys.stderr = open(  # noqa: SIM115
            2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False
        )

    def kill(self, serial: int) -> None:
        """Kill a worker and what it has started."""
        for pid, known in self.workers.items():
            if known == serial:
                _kill_group(pid)

    def reap(self) -> None:
        """Tell of each worker that has ended."""
        while self.workers:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            # Not reaped yet, so its number is still its own: what it left behind goes with it.
            _kill_group(ended.si_pid)
            pid, status, usage = os.wait4(ended.si_pid, 0)
            serial = self.workers.pop(pid, None)
            before = self.killed_before.pop(pid, 0)
            if serial is not None:
                self.tell(ENDED, serial, status, oom_kills() - before, usage.ru_utime + usage.ru_stime)

    def tell(self, operation: int, serial: int, value: int, kills: int, seconds: float) -> None:
        """Write one answer; the pool is always reading."""
        try:
            self.control.sendall(REPLY.pack(operation, serial, value, kills, seconds))
        except OSError:
            self.end()

    def end(self) -> None:
        """The node is gone, or wants no more of this."""
        for pid in self.workers:
            _kill_group(pid)
        for pid in self.workers:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
        os._exit(0)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)  # it may not have its group yet
