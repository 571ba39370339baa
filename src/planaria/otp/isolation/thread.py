"""A server whose plain callbacks run in a thread of its own: for C libraries that block.

The process stays a process of the node: pid, mailbox, links, calls are those of any server, and one message is handled
at a time. Plain (not async) handlers and callbacks run in the thread; async ones in the event loop as always.

- The functions of the kernel act as the process that runs in the event loop, so the thread must not call them. A
  handler in the thread says `self.at_home(send, pid, message)` or `self.at_home(Other.get, pid)`: that runs in the
  event loop as this process, and its result is returned. What a server says about itself works directly: returning an
  answer, raising, `stop`, `defer`, `refuse`, `continue_with`, `timeout_after`, and `reply` of what `defer` gave.
- A thread cannot be killed. When the process is killed it is dead to everybody at once; the thread is abandoned in
  the middle of its call, which is told in the log with the line it is at. It ends when that call returns; what it
  does until then has no effect on processes. It does not keep the program from ending. What must die surely belongs
  in a worker.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from inspect import iscoroutinefunction
from typing import Any, ClassVar

from planaria.otp.kernel.process import Process, Request
from planaria.otp.kernel.reason import Killed
from planaria.otp.servers.gen_server import GenServer
from planaria.otp.servers.handler import Deferred
from planaria.otp.servers.system import ServerBody

log = logging.getLogger("planaria.thread")

CALLBACKS = ("init", "handle_info", "handle_continue", "handle_timeout", "terminate")


class _Job:
    """One call for the thread, and what it asks of the event loop on the way."""

    __slots__ = ("args", "fn", "kwargs", "loop", "turn", "wishes")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        fn: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.loop = loop
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.wishes: asyncio.Queue[
            tuple[Callable[..., Any] | None, tuple[Any, ...], concurrent.futures.Future[Any]]
        ] = asyncio.Queue()

    def post(
        self, fn: Callable[..., Any] | None, args: tuple[Any, ...], done: concurrent.futures.Future[Any]
    ) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(self.wishes.put_nowait, (fn, args, done))


class ThreadDeferred:
    """The right to answer, usable in the thread: the answer goes through the event loop."""

    __slots__ = ("_loop", "request")

    def __init__(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self._loop = loop

    def reply(self, value: Any) -> None:
        """See `Deferred`."""
        self._loop.call_soon_threadsafe(self.request.reply, value)

    def fail(self, error: BaseException) -> None:
        """See `Deferred`."""
        self._loop.call_soon_threadsafe(self.request.fail, error)


class _Hands:
    """The thread of one server."""

    def __init__(self, name: str) -> None:
        self.jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.job: _Job | None = None
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while (job := self.jobs.get()) is not None:
            self.job = job
            done: concurrent.futures.Future[Any] = concurrent.futures.Future()
            try:
                done.set_result(job.fn(*job.args, **job.kwargs))
            except BaseException as error:  # noqa: BLE001  handed to the process, whose end it may be
                done.set_exception(error)
            self.job = None
            job.post(None, (), done)


class ThreadServer(GenServer):
    """What `in_thread` puts before a server class."""

    isolation = "thread"
    _kernel_hands: _Hands | None = None
    _kernel_blocking: ClassVar[dict[str, Callable[..., Any]]] = {}

    def at_home(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Run `fn(*args)` in the event loop as this process, from its thread; awaits what it returns if need be."""
        hands = self._kernel_hands
        if hands is None or hands.thread is not threading.current_thread() or hands.job is None:
            raise RuntimeError(
                "at_home is for plain handlers, which run in the thread; here, call it directly"
            )
        done: concurrent.futures.Future[Any] = concurrent.futures.Future()
        hands.job.post(fn, args, done)
        return done.result()

    def defer(self) -> Deferred[Any]:
        """See `GenServer.defer`."""
        request = super().defer()
        if self._in_thread() and isinstance(request, Request):
            return ThreadDeferred(request, self._kernel_process.node.scheduler.loop)
        return request

    def refuse(self, error: Exception) -> Deferred[Any]:
        """See `GenServer.refuse`."""
        deferred = self.defer()
        deferred.fail(error)
        return deferred

    def _in_thread(self) -> bool:
        hands = self._kernel_hands
        return hands is not None and hands.thread is threading.current_thread()

    async def _kernel_blocked(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Let the thread call `fn`, doing meanwhile what it asks for."""
        process = self._kernel_process
        hands = self._kernel_hands
        if hands is None:
            hands = self._kernel_hands = _Hands(f"{process.label} {process!s}")
            if process.on_death is None:
                process.on_death = []
            process.on_death.append(self._kernel_abandon)
        job = _Job(process.node.scheduler.loop, fn, args, kwargs)
        hands.jobs.put(job)
        try:
            while True:
                wish, given, done = await job.wishes.get()
                if wish is None:
                    result = done.result()
                    return result.request if isinstance(result, ThreadDeferred) else result
                try:
                    value = wish(*given)
                    if hasattr(value, "__await__"):
                        value = await value
                except Killed:
                    raise
                except Exception as error:  # noqa: BLE001  raised in the thread, where it was asked for
                    done.set_exception(error)
                else:
                    done.set_result(value)
        finally:
            while not job.wishes.empty():
                job.wishes.get_nowait()[2].cancel()

    def _kernel_abandon(self, process: Process) -> None:
        hands = self._kernel_hands
        if hands is None:
            return
        hands.jobs.put(None)
        if hands.job is not None and process.reason == "killed":
            frame = sys._current_frames().get(hands.thread.ident or 0)
            where = "".join(traceback.format_stack(frame)[-1:]).strip() if frame else "unknown"
            log.warning(
                "%s %s was killed; its thread cannot be, and goes on in: %s", process.label, process, where
            )


def in_thread(cls: type[ServerBody]) -> type[ServerBody]:
    """A class like `cls` whose plain callbacks run in a thread of each process's own; to be started in its place.

    Raises:
        TypeError: it is no `GenServer`.
    """
    if not issubclass(cls, GenServer):
        raise TypeError(f"isolation='thread' is for GenServer; {cls.__qualname__} can run in a worker")
    members: dict[str, Any] = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
    }
    for name in CALLBACKS:
        fn = getattr(cls, name)
        if not iscoroutinefunction(fn) and fn is not getattr(GenServer, name):
            members[name] = _blocking(fn)
    made: type[Any] = type(cls.__name__, (ThreadServer, cls), members)
    made._handlers = {
        name: fn if iscoroutinefunction(fn) else _blocking(fn) for name, fn in made._handlers.items()
    }
    return made


def _blocking(fn: Callable[..., Any]) -> Callable[..., Any]:
    async def callback(self: ThreadServer, *args: Any, **kwargs: Any) -> Any:
        return await self._kernel_blocked(fn, (self, *args), kwargs)

    return callback
