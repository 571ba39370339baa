"""A node's window: a thread with a local socket that tells what every process does, also while the loop is frozen.

```python
async with Node("garden") as node:
    with Watchdog(node) as watchdog, Observer(node, "/run/me/observe.sock", watchdog=watchdog):
        ...
```

One JSON object a line: `{"id": 1, "method": "info", "params": {"process": "journal"}}`; the answer has the same id and
`result`, or `error` with `code`, `message` and `mend`; a stream sends objects with `event` before. The socket has mode
0600 and stands in a folder only its owner can enter; who connects must be the same user. What is shown passes `show`,
which hides secrets by name; a node with its own rules gives its own.
Methods: `node`, `processes`, `tree`, `info`, `stack`, `trace`, `eval`, `complete`, `interrupt`, `kill`, and what is
given as `commands`.
Does badly: answers take turns with the loop for the interpreter's lock; while a call into C keeps that, nobody answers
(then `planaria observe --stacks` reads what the system's own signal handler writes).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from planaria.otp.isolation.errors import WorkerBroken
from planaria.otp.isolation.looking import look_into
from planaria.otp.isolation.proxy import worker_of
from planaria.otp.kernel.event import ChildRestarted, KernelEvent, ProcessExited
from planaria.otp.kernel.mailbox import queue_length
from planaria.otp.kernel.node import Node
from planaria.otp.kernel.process import Process, running
from planaria.otp.kernel.signals import die
from planaria.otp.observe import views
from planaria.otp.observe.dump import StackDump
from planaria.otp.observe.outbox import Outbox
from planaria.otp.observe.prompt import Prompt
from planaria.otp.observe.show import Show, pid_text, show
from planaria.otp.observe.stack import Line, frames_of_thread, idle, lines
from planaria.otp.observe.trace import Trace, Tracer
from planaria.otp.observe.watchdog import Watchdog

__all__ = ["Command", "Observer", "ObserverError"]

type Params = dict[str, Any]
type Command = Callable[[Node, Params], Awaitable[object]]
"""Runs as a process of the node; what it returns is the answer."""

LONGEST_LINE = 1 << 20
MOST_CONNECTIONS = 16
LOOP_PATIENCE = 5.0
"""Seconds the loop has for what only it can do."""
LAG_PATIENCE = 0.25
RESTARTS = 10
"""Restarts remembered for each child."""


class ObserverError(Exception):
    """A request that gets no result: what is wrong, and what to do."""

    def __init__(self, code: str, message: str, mend: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.mend = mend


class Observer:
    """Serves one node from a thread of its own; started in the thread of the node's loop.

    Args:
        path: of the socket. Its folder is made if missing and must be closed to others (0700).
        watchdog: whose stalls are told.
        show: how values become text.
        commands: more methods, which run as processes of the node.
        audit: told each input of an `eval`, in the loop, before it runs.
    Raises:
        PermissionError: the folder is open to others, or belongs to somebody else.
        OSError: the socket cannot be made.
    """

    def __init__(
        self,
        node: Node,
        path: str | os.PathLike[str],
        *,
        watchdog: Watchdog | None = None,
        show: Show = show,
        commands: Mapping[str, Command] | None = None,
        audit: Callable[[str], None] | None = None,
    ) -> None:
        self.node = node
        self.path = os.fspath(path)
        self.watchdog = watchdog
        self.show = show
        self.commands = dict(commands or {})
        self.audit = audit
        self.tracer = Tracer(node, show)
        self.thread: int | None = None
        self.restarts: dict[tuple[Process, object], deque[dict[str, Any]]] = {}
        self._slots: dict[Process, tuple[Process, object]] = {}
        self._listening: socket.socket | None = None
        self._identity: tuple[int, int] | None = None
        self._accepting: threading.Thread | None = None
        self._connections: set[socket.socket] = set()
        self._unsubscribe: Callable[[], None] | None = None
        self._dump = StackDump(self.path + ".stacks")
        self._reductions: tuple[float, int] = (0.0, 0)

    # --- life -------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to listen. In the loop's thread."""
        self.thread = threading.get_ident()
        self._listening = _bind(self.path)
        self._identity = _identity(self.path)
        self._dump.start()
        self._unsubscribe = self.node.subscribe_events(self._note)
        self._accepting = threading.Thread(target=self._accept, name="planaria observer", daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close the socket and every connection. In the loop's thread; may be called twice."""
        listening, self._listening = self._listening, None
        if listening is None:
            return
        self.tracer.close()
        self._dump.stop()
        if self._unsubscribe is not None:
            self._unsubscribe()
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        listening.close()
        for connection in tuple(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._accepting is not None:
            self._accepting.join(1.0)
        if _identity(self.path) == self._identity:
            os.unlink(self.path)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _note(self, event: KernelEvent) -> None:
        """Keep why children were restarted."""
        if isinstance(event, ChildRestarted) and event.process is not None:
            slot = (event.supervisor, event.id)
            known = self.restarts.setdefault(slot, deque(maxlen=RESTARTS))
            known.append({"at": time.time(), **views.reason_view(event.reason)})
            self._slots[event.process] = slot
        elif isinstance(event, ProcessExited):
            self._slots.pop(event.process, None)
            if self.restarts and event.process.body is not None:
                for slot in [slot for slot in self.restarts if slot[0] is event.process]:
                    del self.restarts[slot]

    # --- connections ------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        listening = self._listening
        while listening is not None and self._listening is listening:
            try:
                connection, _ = listening.accept()
            except OSError:
                if self._listening is not listening:
                    return  # closed: the end
                time.sleep(0.1)  # no descriptor left, or the client gave up: the next may have more luck
                continue
            if not _same_user(connection):
                connection.close()
                continue
            if len(self._connections) >= MOST_CONNECTIONS:
                _turn_away(connection)
                continue
            self._connections.add(connection)
            threading.Thread(
                target=self._converse, args=(connection,), name="planaria observer connection", daemon=True
            ).start()

    def _converse(self, connection: socket.socket) -> None:
        talk = _Connection(self, connection)
        try:
            with connection.makefile("rb") as reader:
                while (line := reader.readline(LONGEST_LINE)) and talk.outbox.wait_for_room():
                    if len(line) == LONGEST_LINE:
                        talk.write(_refusal("too_long", f"a request has less than {LONGEST_LINE} bytes"))
                        return
                    talk.take(line)
        except OSError:
            return  # the client is gone
        finally:
            talk.close()
            self._connections.discard(connection)
            connection.close()

    # --- what can be asked ------------------------------------------------------------------------------------

    def node_view(self) -> dict[str, Any]:
        """The node in figures."""
        node = self.node
        rows = views.processes(node)
        reductions = sum(each.reductions for each in rows)
        now = time.monotonic()
        before, count = self._reductions
        self._reductions = (now, reductions)
        watchdog = self.watchdog
        stall = None if watchdog is None else watchdog.stall
        return {
            "name": node.name,
            "os_pid": os.getpid(),
            "python": views.python_version(),
            "processes": len(rows),
            "queued": sum(queue_length(each) for each in rows),
            "run_queue": len(node.scheduler.ready),
            "suspended": len(node.scheduler.suspended),
            "timers": len(node.timers.heap),
            "reductions": reductions,
            "reductions_per_second": None if not before else max(0.0, (reductions - count) / (now - before)),
            "loop_lag": self.lag(),
            "running": pid_text(running.process),
            "memory": views.resident_bytes(),
            "threads": threading.active_count(),
            "watchdog": None
            if watchdog is None
            else {"warn": watchdog.warn, "limit": watchdog.limit, "watching": watchdog.watching},
            "stall": None if stall is None else views.stall_view(stall),
            "stalls": [] if watchdog is None else [views.stall_view(each) for each in tuple(watchdog.stalls)],
        }

    def lag(self) -> float | None:
        """Seconds the loop takes to come to a callback; None if it does not within a quarter of a second."""
        came = threading.Event()
        began = time.monotonic()
        try:
            self.node.scheduler.loop.call_soon_threadsafe(came.set)
        except RuntimeError:
            return None
        return time.monotonic() - began if came.wait(LAG_PATIENCE) else None

    def info(self, process: Process) -> dict[str, Any]:
        """One process."""
        view = views.info_view(self.node, process, self.show)
        slot = self._slots.get(process)
        view["restart_reasons"] = [] if slot is None else list(self.restarts.get(slot, ()))
        view["executing"] = self.stack() if running.process is process else []
        if worker_of(process) is not None:
            view["worker"] = self._worker(process)
        return view

    def _worker(self, process: Process) -> dict[str, Any]:
        """What the worker tells of a process that runs there; its texts pass the same rules as values at home."""
        try:
            view = asdict(look_into(process))
        except (
            OSError,
            ValueError,
            WorkerBroken,
        ) as error:  # TimeoutError and ProcessLookupError are OSErrors
            return {"error": f"{type(error).__name__}: {error}"}
        view["state"] = {name: self._text(name, text) for name, text in view["state"].items()}
        view["queued"] = [self._text("", text) for text in view["queued"]]
        view["current"] = view["current"] and self._text("", view["current"])
        return view

    def _text(self, name: str, text: str) -> str:
        shown = self.show(name, text, views.LONGEST_VALUE)
        return shown[1:-1] if shown[:1] in ("'", '"') and shown[-1:] == shown[:1] else shown

    def stack(self) -> list[dict[str, Any]]:
        """What the loop's thread executes, outermost first; empty while it waits."""
        frame = frames_of_thread(self.thread)
        return [] if idle(frame) else [_line_view(each) for each in lines(frame)]

    def threads(self) -> list[dict[str, Any]]:
        """Every thread with its stack."""
        names = {each.ident: each.name for each in threading.enumerate()}
        return [
            {
                "thread": names.get(ident, str(ident)),
                "loop": ident == self.thread,
                "stack": [_line_view(each) for each in lines(frame)],
            }
            for ident, frame in sys._current_frames().items()
        ]

    def found(self, what: object) -> Process:
        """The process a client means."""
        process = views.find(self.node, what) if isinstance(what, str) else None
        if process is None:
            raise ObserverError(
                "not_found", f"no process {what!r}", "`planaria observe` lists them; a name, or a pid"
            )
        return process

    def in_loop[T](self, act: Callable[[], T], patience: float = LOOP_PATIENCE) -> T:
        """Run something in the loop's thread and wait for it."""
        future: Future[T] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(act())
            except Exception as error:  # noqa: BLE001  handed to the thread that asked
                future.set_exception(error)

        try:
            self.node.scheduler.loop.call_soon_threadsafe(run)
            return future.result(patience)
        except TimeoutError as error:
            future.cancel()
            raise ObserverError(
                "frozen",
                f"the loop did not come to it within {patience:g} s",
                "`planaria observe` says who runs",
            ) from error
        except RuntimeError as error:
            raise ObserverError("stopped", "the node has stopped") from error


class _Connection:
    """One client: its streams, its prompt."""

    def __init__(self, observer: Observer, connection: socket.socket) -> None:
        self.observer = observer
        self.outbox = Outbox(connection)
        self.write = self.outbox.write
        self.traces: list[Trace] = []
        self.prompt: Prompt | None = None

    def close(self) -> None:
        """The client is gone."""
        for trace in self.traces:
            trace.stop()
        if self.prompt is not None:
            self.prompt.close()
        self.outbox.close()

    def take(self, line: bytes) -> None:
        """Answer one line."""
        number: Any = None
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or not isinstance(request.get("params", {}), dict):
                raise ObserverError("bad_request", 'send {"id": 1, "method": "node", "params": {}}')
            number = request.get("id")
            self.answer(number, str(request.get("method")), request.get("params", {}))
        except ObserverError as error:
            fault = {"code": error.code, "message": str(error), "mend": error.mend}
            self.write({"id": number, "error": fault})
        except ValueError as error:
            self.write({"id": number, "error": {"code": "bad_request", "message": str(error), "mend": ""}})
        except Exception as error:  # noqa: BLE001  a fault of a view answers that request and ends nothing else
            message = f"{type(error).__name__}: {error}"
            self.write({"id": number, "error": {"code": "crashed", "message": message, "mend": ""}})

    def answer(self, number: Any, method: str, params: Params) -> None:
        """Do what is asked."""
        observer = self.observer
        node = observer.node
        match method:
            case "node":
                result: object = observer.node_view()
            case "processes":
                pattern = params.get("pattern")
                found = views.processes(node) if pattern is None else views.matching(node, str(pattern))
                result = [views.process_row(node, each) for each in found]
            case "tree":
                result = views.tree_view(node)
            case "info":
                result = observer.info(observer.found(params.get("process")))
            case "stack":
                result = observer.threads() if params.get("all") else observer.stack()
            case "trace":
                self.trace(number, params)
                return
            case "eval":
                if self.prompt is None:
                    self.prompt = Prompt(observer.node, observer.watchdog, observer.tracer, observer.audit)
                self.prompt.evaluate(
                    str(params.get("source", "")),
                    lambda text: self.write({"id": number, "event": {"output": text}}),
                    lambda outcome: self.write({"id": number, "result": outcome}),
                )
                return
            case "interrupt":
                result = {"interrupted": self.prompt is not None and self.prompt.interrupt()}
            case "complete":
                result = [] if self.prompt is None else self.prompt.complete(str(params.get("text", "")))
            case "kill":
                process = observer.found(params.get("process"))
                observer.in_loop(lambda: die(process, "killed"))
                result = {"killed": str(process)}
            case _ if method in observer.commands:
                command = observer.commands[method]
                self.run(number, command, params)
                return
            case _:
                known = ", ".join(sorted({*METHODS, *observer.commands}))
                raise ObserverError("unknown_method", f"unknown method {method!r}", f"methods: {known}")
        self.write({"id": number, "result": result})

    def trace(self, number: Any, params: Params) -> None:
        """Follow processes until the client goes."""
        pattern = str(params.get("pattern", "*"))
        size = int(params.get("size", 1000))

        def tell(event: dict[str, Any]) -> None:
            self.write({"id": number, "event": event})

        trace = self.observer.in_loop(lambda: self.observer.tracer.trace(pattern, size=size, tell=tell))
        self.traces.append(trace)

    def run(self, number: Any, command: Command, params: Params) -> None:
        """Run a command as a process of the node; the answer comes when it is done."""
        node = self.observer.node

        async def work() -> None:
            try:
                result = await command(node, params)
            except Exception as error:  # noqa: BLE001  told to the client, who asked for it
                fault = {"code": "refused", "message": f"{type(error).__name__}: {error}", "mend": ""}
                self.write({"id": number, "error": fault})
                return
            self.write({"id": number, "result": result})

        self.observer.in_loop(lambda: node.spawn(work))


METHODS = ("node", "processes", "tree", "info", "stack", "trace", "eval", "interrupt", "complete", "kill")


def _refusal(code: str, message: str, mend: str = "") -> dict[str, Any]:
    return {"id": None, "error": {"code": code, "message": message, "mend": mend}}


def _turn_away(connection: socket.socket) -> None:
    words = _refusal("busy", f"{MOST_CONNECTIONS} others are connected already", "end one of them")
    with contextlib.suppress(OSError), connection:
        connection.setblocking(False)
        connection.send(json.dumps(words).encode() + b"\n")


def _line_view(line: Line) -> dict[str, Any]:
    return {
        "file": line.file,
        "line": line.line,
        "function": line.function,
        "source": line.source,
        "kernel": line.kernel,
    }


def _same_user(connection: socket.socket) -> bool:
    """Whether the other end is run by this user, where the system tells."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True  # the folder's mode is the guard there
    size = struct.calcsize("3i")
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, option, size))
    return bool(uid == os.geteuid())


def _bind(path: str) -> socket.socket:
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, mode=0o700, exist_ok=True)
    about = os.stat(folder)
    if about.st_uid != os.geteuid() or about.st_mode & 0o077:
        raise PermissionError(f"{folder} must be yours alone (mode 0700): whoever enters it rules the node")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _identity(path) is not None:
            if _answers(path):
                raise OSError(errno.EADDRINUSE, "another program observes there")
            os.unlink(path)
        listening.bind(path)
        os.chmod(path, 0o600)
        listening.listen()
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{error.strerror or error}: {path}") from error
    return listening


def _answers(path: str) -> bool:
    """Whether somebody listens there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        return client.connect_ex(path) != errno.ECONNREFUSED


def _identity(path: str) -> tuple[int, int] | None:
    """Which socket is at `path`; None if none is."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if stat.S_ISSOCK(found.st_mode) else None
