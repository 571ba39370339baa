"""A process at home whose server or function runs in a worker: the same pid, names, links and calls.

`isolated(Server, worker)` is a class that starts like `Server` and ships what its process gets. So everything that can
start a server can start it in a worker: `start_server`, `child`, a supervisor's restart.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

from planaria.otp.isolation.errors import Unsendable
from planaria.otp.isolation.limits import Worker
from planaria.otp.isolation.pool import worker_pool
from planaria.otp.isolation.program import check_reachable
from planaria.otp.isolation.worker import WorkerProcess
from planaria.otp.kernel.ambient import self_
from planaria.otp.kernel.birth import announce, create
from planaria.otp.kernel.bounded import Bound, limit_process
from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import DEAD, Process, Request, name_of, new_request
from planaria.otp.kernel.reason import Crash, StartFailed
from planaria.otp.kernel.signals import die, unlink
from planaria.otp.servers.gen_server import GenServer, Work
from planaria.otp.servers.system import ServerBody
from planaria.otp.servers.wrapper import server_of

type Current = tuple[int, str | None, int]
"""Of the message that caused a start: id, trace, cause."""


class WorkerProxy(GenServer):
    """The body at home. `node.state` shows `isolation` and `os_pid` of it; `inspect_worker` looks inside.

    Attributes:
        os_pid: of the worker; 0 while it is being forked.
    """

    serves: ClassVar[Any] = None
    options: ClassVar[Worker] = Worker()
    _worker: WorkerProcess | None = None

    def __init__(self) -> None:
        self.isolation = "worker"
        self.os_pid = 0

    @property
    def worker(self) -> WorkerProcess | None:
        """The OS process that does the work."""
        return self._worker

    def handle(self, envelope: Envelope) -> Work | None:
        """Ship one message; the first is the start."""
        if envelope[0] == "start":
            self._begin(envelope)
            return None
        worker = self._worker
        if worker is None or worker.bridge is None:
            return None  # it did not start
        return worker.bridge.ship(self._kernel_process, envelope)

    def _begin(self, envelope: Envelope) -> None:
        starting: Request = envelope[1]
        process = self._kernel_process
        begun = new_request("init", starting.args, starting.kwargs, None, process)
        begun.notify = partial(self._begun, begun, starting)
        error = self.take(starting.args, starting.kwargs, begun, (envelope[3], envelope[4], envelope[5]))
        if error is not None:
            self._unname()
            starting.fail(StartFailed(process.label, Crash(error)))
            die(process, Crash(error))

    def take(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], request: Request | None, current: Current
    ) -> Exception | None:
        """Give the work to a worker; or why that cannot be."""
        process = self._kernel_process
        what = self.serves
        kind = "the class" if isinstance(what, type) else "the function"
        try:
            module, qualname = _place_of(what)
            check_reachable(kind, module, qualname)
            pool = worker_pool(process.node)
            worker = self._worker = pool.take()
            self.os_pid = worker.os_pid
            worker.on_born = self._born
            if process.on_death is None:
                process.on_death = []
            process.on_death.append(self._died)
            worker.begin(process, what, args, kwargs, self.options, request, current)
        except (Unsendable, TypeError, RuntimeError, OSError, StartFailed) as error:
            return error
        pool.remember(module)
        return None

    def _born(self, os_pid: int) -> None:
        self.os_pid = os_pid

    def _begun(self, begun: Request, starting: Request) -> None:
        """The worker has told how `init` went. As in a server: the name is free before the starter hears of it."""
        process = self._kernel_process
        begun.notify = None  # it knows itself; nothing shall wait for the garbage collector
        error = begun.error
        if error is not None:
            self._unname()
            known = isinstance(error, StartFailed) or process.status == DEAD
            starting.fail(error if known else StartFailed(process.label, Crash(error)))
        elif begun.value is None:
            self._unname()
            starting.reply(None)
        else:
            announce(process)
            starting.reply(process)

    def _unname(self) -> None:
        process = self._kernel_process
        if process.name is not None:
            process.node.names.pop(process.name, None)
            process.name = None

    def _died(self, _: Process) -> None:
        if self._worker is not None:
            self._worker.leave()


def isolated(cls: type[ServerBody], worker: Worker) -> type[WorkerProxy]:
    """A class whose processes run `cls` in workers; to be started in its place."""
    return _proxy_class(cls, cls.__qualname__, worker, bool(getattr(cls, "trap_exit", False)))


def _proxy_class(serves: Any, qualname: str, worker: Worker, trap_exit: bool) -> type[WorkerProxy]:
    members = {
        "serves": serves if isinstance(serves, type) else staticmethod(serves),
        "options": worker,
        "trap_exit": trap_exit,
        "__module__": __name__,  # not the server's: an upgrade of that module must not take this for its class
        "__qualname__": qualname,
        "__doc__": "Runs in a worker.",
    }
    return type(qualname.rpartition(".")[2], (WorkerProxy,), members)


def _place_of(what: Any) -> tuple[str, str]:
    module, qualname = getattr(what, "__module__", None), getattr(what, "__qualname__", None)
    if module is None or qualname is None:
        raise TypeError(f"{what!r} has no place in a module: give a class or a function a worker can import")
    return module, qualname


def begin_function(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    worker: Worker,
    *,
    name: str | None = None,
    label: str | None = None,
    link: bool = False,
    mailbox: Bound | None = None,
    answer: Callable[[Request], None] | None = None,
) -> Process:
    """Run `fn(*args)` as a process in a worker; returns at once.

    Args:
        answer: called with the request of its return value when that is here or failed; without it the value is
            dropped in the worker.
    Raises:
        StartFailed: the name is taken.
        TypeError: a worker cannot find `fn`.
        Unsendable: an argument cannot be pickled.
    """
    me = self_()
    process = create(
        me.node,
        label or name or name_of(fn),
        name=name,
        linked_to=me if link else None,
        parent=me if link else None,
    )
    body = _proxy_class(fn, name_of(fn), worker, False)()
    body._kernel_process = process
    process.body = body
    if mailbox is not None:
        limit_process(process, mailbox)
    request = None
    if answer is not None:
        request = new_request(name_of(fn), args, {}, None, process)
        request.notify = partial(answer, request)
    current = me.current
    cause = (0, None, 0) if current is None else (current[3], current[4], current[5])
    announce(process)
    error = body.take(args, {}, request, cause)
    if error is not None:
        if link:
            unlink(me, process)
        if request is not None:
            request.done = True
        die(process, Crash(error))
        raise error
    return process


def spawn_in_worker(
    fn: Callable[..., Any],
    *args: Any,
    worker: Worker | None = None,
    name: str | None = None,
    label: str | None = None,
    link: bool = False,
    mailbox: Bound | None = None,
) -> Process:
    """`spawn`, or with `link=True` `spawn_link`, in a worker: `fn` may `receive`, call, send as a process at home does.

    Raises:
        StartFailed: the name is taken.
        TypeError: a worker cannot find `fn`: it is a lambda, or made inside a function.
        Unsendable: an argument cannot be pickled.
    """
    return begin_function(fn, args, worker or Worker(), name=name, label=label, link=link, mailbox=mailbox)


def worker_of(process: Process) -> WorkerProcess | None:
    """The OS process behind a process; None for one that runs at home."""
    body: object = server_of(process)
    return body.worker if isinstance(body, WorkerProxy) else None
