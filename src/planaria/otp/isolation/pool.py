"""The node's workers: the template they are forked from, those that wait warm, and those at work.

Made when the first worker is needed. The pool is a process of the node, called `worker_pool`: it is seen in the tree,
`node.state` shows its counts, and it ends with the node, taking every worker with it.
"""

from __future__ import annotations

import array
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable

from planaria.otp.isolation.limits import safe_env
from planaria.otp.isolation.names import POOL, WatchedNames, watched
from planaria.otp.isolation.output import OutputLine, print_line
from planaria.otp.isolation.program import check_not_importing, this_program
from planaria.otp.isolation.template import ENDED, FORK, FORKED, KILL, REPLY, REQUEST
from planaria.otp.isolation.worker import WorkerProcess
from planaria.otp.kernel.birth import announce, create
from planaria.otp.kernel.event import CodeLoaded, CodeRolledBack, KernelEvent
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import Process

WARM = 2
"""Workers kept ready unless told otherwise."""
REFILL = 0.01
"""Seconds after a start before its place is filled: the one that starts goes first."""
PRIMED = 16
"""Modules that waiting workers import beforehand, those used last."""
_ENDING = 3.0
"""Seconds the template gets to end its workers when the node stops."""

log = logging.getLogger("planaria.worker")

_BOOT = (
    "import json, sys; data = json.loads(sys.argv[1]); sys.path[:] = data['path']; sys.argv[1:] = []; "
    "from planaria.otp.isolation.template import main; main(data['fd'], data['parent'])"
)


class WorkerPool:
    """Hands out workers that nobody has used.

    Attributes:
        warm: how many wait ready.
        output: told each line workers print; by default it is printed at home with the process's label before it.
    """

    def __init__(self, process: Process, warm: int, output: Callable[[OutputLine], None]) -> None:
        self.process = process
        self.warm = warm
        self.output = output
        self.started = 0
        self._idle: deque[WorkerProcess] = deque()
        self._workers: dict[int, WorkerProcess] = {}
        self._template: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._replies = b""
        self._modules: dict[str, None] = {}
        self._refilling = False
        self._closed = False
        watched(process.node, self._name_changed)
        process.node.listeners.append(self._heard)

    @property
    def idle(self) -> int:
        """Workers that wait now."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """Workers that run something, or are just ending."""
        return len(self._workers) - len(self._idle)

    @property
    def template_pid(self) -> int | None:
        """OS pid of the template."""
        return None if self._template is None else self._template.pid

    def handle(self, envelope: Envelope) -> None:
        """Nothing is asked by message."""

    # --- workers --------------------------------------------------------------------------------------------

    def take(self) -> WorkerProcess:
        """A worker nobody has used: a waiting one, else one that is being forked now. Returns at once."""
        self._look_after_template()
        worker = None
        while self._idle and worker is None:
            worker = self._idle.popleft()
            if worker.gone():
                worker = None
        if worker is None:
            worker = self._fork()
        self._refill_later()
        return worker

    def fill(self) -> None:
        """Fork until `warm` workers wait."""
        self._refilling = False
        self._look_after_template()
        while not self._closed and len(self._idle) < self.warm:
            try:
                worker = self._fork()
            except OSError as error:  # the next start tries again, and tells who asked for it
                log.warning("no worker could be made to wait: %s", error)
                return
            worker.prime(this_program(), list(self._modules))
            self._idle.append(worker)
        while len(self._idle) > self.warm:
            self._idle.pop().kill()

    def renew(self) -> None:
        """Replace the workers that wait: they may have imported what has changed on disk since."""
        while self._idle:
            self._idle.pop().kill()
        self._refill_later()

    def remember(self, module: str) -> None:
        """Let workers that will wait import `module` beforehand."""
        if next(reversed(self._modules), None) != module:
            self._modules.pop(module, None)
            self._modules[module] = None
            while len(self._modules) > PRIMED:
                del self._modules[next(iter(self._modules))]

    def kill(self, worker: WorkerProcess) -> None:
        """Let the template kill a worker's whole group."""
        self._request(KILL, worker.serial, [])

    def _refill_later(self) -> None:
        if not self._refilling and not self._closed:
            self._refilling = True
            self.process.node.scheduler.loop.call_later(REFILL, self.fill)

    def _fork(self) -> WorkerProcess:
        check_not_importing()
        self._start_template()
        self.started += 1
        loop = self.process.node.scheduler.loop
        # Out of descriptors halfway: what was opened is closed again.
        with contextlib.ExitStack() as opened:
            ours, theirs = (opened.enter_context(each) for each in socket.socketpair())
            our_look, their_look = (opened.enter_context(each) for each in socket.socketpair())
            pipes = [*os.pipe()]
            opened.callback(_close, pipes)
            pipes += os.pipe()
            opened.pop_all()
        out_read, out_write, err_read, err_write = pipes
        worker = WorkerProcess(self.started, self, loop, ours, our_look, out_read, err_read)
        self._workers[worker.serial] = worker
        given = [theirs.fileno(), their_look.fileno(), out_write, err_write]
        self._request(FORK, worker.serial, given)
        theirs.close()
        their_look.close()
        os.close(out_write)
        os.close(err_write)
        return worker

    # --- the template ---------------------------------------------------------------------------------------

    def _look_after_template(self) -> None:
        """Notice that it was killed a moment ago, before anybody gets one of its workers."""
        if self._template is not None and self._template.poll() is not None:
            self._template_lost()

    def _start_template(self) -> None:
        if self._template is not None:
            return
        ours, theirs = socket.socketpair()
        data = {"path": this_program().path, "fd": theirs.fileno(), "parent": os.getpid()}
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # as multiprocessing does
        self._template = subprocess.Popen(
            # -P: modules are the node's, never those of the folder it happens to be in
            [sys.executable, *flags, "-P", "-c", _BOOT, json.dumps(data)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=safe_env(os.environ),
        )
        theirs.close()
        self._control = ours
        self._replies = b""
        self.process.node.scheduler.loop.add_reader(ours, self._told)

    def _request(self, operation: int, serial: int, fds: list[int]) -> None:
        if self._control is None:
            return
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._control.sendmsg([REQUEST.pack(operation, serial)], ancillary)
        except (BrokenPipeError, ConnectionError):
            pass  # the template is gone: the end of its stream tells
        except OSError as error:  # too many descriptors on their way
            worker = self._workers.get(serial)
            if operation == FORK and worker is not None:
                self.process.node.scheduler.loop.call_soon(self._refused, worker, error.errno or 0)
            else:
                log.warning("the template could not be told to end a worker: %s", error)

    def _refused(self, worker: WorkerProcess, number: int) -> None:
        self._gone(worker)
        worker.not_forked(number)

    def _told(self) -> None:
        assert self._control is not None
        try:
            data = self._control.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._template_lost()
            return
        self._replies += data
        while len(self._replies) >= REPLY.size:
            operation, serial, value, kills, seconds = REPLY.unpack_from(self._replies)
            self._replies = self._replies[REPLY.size :]
            worker = self._workers.get(serial)
            if worker is None:
                continue
            if operation == FORKED:
                worker.born(value)
            elif operation == ENDED:
                self._gone(worker)
                worker.exited(value, kills, seconds)
            else:
                self._gone(worker)
                worker.not_forked(value)

    def _gone(self, worker: WorkerProcess) -> None:
        self._workers.pop(worker.serial, None)
        if worker in self._idle:
            self._idle.remove(worker)
            self._refill_later()

    def _template_lost(self) -> None:
        """The template was killed, and its workers with it; the next start makes another."""
        self._let_go()
        workers, self._workers = self._workers, {}
        self._idle.clear()
        for worker in workers.values():
            if worker.os_pid:  # nobody else can end what it has started
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(worker.os_pid, signal.SIGKILL)
            worker.exited(signal.SIGKILL, 0, 0.0)

    def _let_go(self) -> None:
        control, self._control = self._control, None
        template, self._template = self._template, None
        if control is not None:
            with contextlib.suppress(RuntimeError, ValueError):
                self.process.node.scheduler.loop.remove_reader(control)
            control.close()
        if template is not None:
            try:
                template.wait(_ENDING)
            except subprocess.TimeoutExpired:
                template.kill()  # its death signal takes the workers along
                template.wait()

    def close(self, _: object = None) -> None:
        """End every worker and the template."""
        if self._closed:
            return
        self._closed = True
        names = self.process.node.names
        if isinstance(names, WatchedNames) and self._name_changed in names.watchers:
            names.watchers.remove(self._name_changed)
        if self._heard in self.process.node.listeners:
            self.process.node.listeners.remove(self._heard)
        self._let_go()
        workers, self._workers = self._workers, {}
        self._idle.clear()
        for worker in workers.values():
            worker.exited(signal.SIGKILL, 0, 0.0)

    def _heard(self, event: KernelEvent) -> None:
        if isinstance(event, CodeLoaded | CodeRolledBack):
            self.renew()

    # --- names ----------------------------------------------------------------------------------------------

    def _name_changed(self, name: str, process: Process | None) -> None:
        for worker in tuple(self._workers.values()):
            worker.name_changed(name, process)


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)


def worker_pool(
    node: Node, *, warm: int | None = None, output: Callable[[OutputLine], None] | None = None
) -> WorkerPool:
    """The pool of `node`, made at the first use.

    Args:
        warm: workers kept ready for a start in milliseconds, 2 by default; 0 forks each when it is needed. May be
            changed at any time.
        output: called with each line workers print (see `OutputLine`), in the event loop.
    Raises:
        ValueError: a negative number.
    """
    if warm is not None and (isinstance(warm, bool) or not isinstance(warm, int) or warm < 0):
        raise ValueError(f"worker_pool(warm={warm!r}): a number of workers, 0 or more")
    process = node.names.get(POOL)
    if process is not None and isinstance(process.body, WorkerPool):
        pool = process.body
    else:
        process = create(node, POOL, name=POOL)
        pool = WorkerPool(process, WARM if warm is None else warm, print_line if output is None else output)
        process.body = pool
        process.on_death = [pool.close]
        announce(process)
    if output is not None:
        pool.output = output
    if warm is not None:
        pool.warm = warm
        if pool.idle != warm:
            pool._refill_later()
    return pool


async def warm_up(node: Node, warm: int | None = None) -> WorkerPool:
    """Make the pool and wait until its workers are ready: for programs that want even the first start to be fast."""
    pool = worker_pool(node, warm=warm)
    pool.fill()
    for worker in tuple(pool._idle):
        await worker.ready()
    return pool
