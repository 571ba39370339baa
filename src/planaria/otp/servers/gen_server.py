"""The generic server: state behind a mailbox, one message at a time, reached by typed client functions.

```python
class Counter(GenServer):
    def init(self, start: int = 0) -> None:
        self.count = start

    @call
    def add(self, by: int = 1) -> int:
        self.count += by
        return self.count

pid = await Counter.start_link(10)
await Counter.add(pid, by=5)          # 15
```

Every callback may be a plain or an async method. A handler never awaits the outside (network, disk, a model): it
starts a `Task` and answers later through `self.defer()`, so that `stop`, exits and questions always get through.
Source: OTP's gen_server. Differs: what OTP's callbacks return beside the state is said by methods (`stop`,
`defer`, `continue_with`, `timeout_after`), since a Python method returns its answer.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine
from functools import partial
from types import CoroutineType
from typing import Any, ClassVar, NoReturn

from planaria.otp.kernel.ambient import Server, resolve, self_, wait_down
from planaria.otp.kernel.birth import announce, create
from planaria.otp.kernel.bounded import Bound, limit_process
from planaria.otp.kernel.event import MessageDropped
from planaria.otp.kernel.mailbox import deliver, deliver_kernel
from planaria.otp.kernel.message import Envelope, Kind
from planaria.otp.kernel.process import DEAD, WAITING, Monitor, Process, Request, new_process, running
from planaria.otp.kernel.reason import (
    CallError,
    CallFailed,
    Exit,
    Ignore,
    Killed,
    NoProcess,
    Stalled,
    StartFailed,
    reason_of,
)
from planaria.otp.kernel.runner import suspend
from planaria.otp.kernel.signals import die, unlink
from planaria.otp.kernel.timers import TimerRef
from planaria.otp.servers.handler import Deferred, handlers_of
from planaria.otp.servers.remote import DEFAULT_TIMEOUT
from planaria.otp.servers.start_monitor import watch_started
from planaria.otp.servers.state import set_state, state_of
from planaria.otp.servers.system import ServerBody, SystemMessage, Terminate, obey

# What ends a server through `terminate`: everything but a kill and the end of the program.
ENDS = (Exception, CancelledError, Stalled)

type Work = Coroutine[Any, Any, None]


_KERNEL = object()


class Silence:
    """The body of the kernel message that no message came for `seconds`."""

    __slots__ = ("seconds", "timer")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.timer: TimerRef | None = None


class GenServer:
    """Subclass it, write `init` and handlers; instances live inside their process and are never touched outside.

    Class attributes:
        trap_exit: receive exit signals of linked processes in `handle_info`, and run `terminate` when the
            parent ends or asks to; default False.
        call_timeout: seconds its calls wait for an answer unless `within` says otherwise; default 5. Stands
            above the handlers in the class.
    """

    trap_exit: ClassVar[bool] = False
    call_timeout: ClassVar[float | None] = DEFAULT_TIMEOUT
    _handlers: ClassVar[dict[str, Callable[..., Any]]] = {}
    _kernel_process: Process
    # Two underscores: subclasses are free in their own private names.
    # A callback has said more than its return value; class-level, so quiet servers pay nothing.
    _kernel_told = False
    # The handlers the scheduler may call for casts without asking `handle`; None once a silence was timed.
    _kernel_direct: dict[str, Callable[..., Any]] | None = None
    __stopping: object = None
    __stop_asked = False
    __continue: tuple[object] | None = None
    __timeout: float | None = None
    __silence: Silence | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._handlers = handlers_of(cls)
        cls._kernel_direct = cls._handlers if cls.handle is GenServer.handle else None

    # --- callbacks ----------------------------------------------------------------------------------------------

    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Set the state up; called first, in the new process, while the starter waits.

        `raise Stop(reason)` refuses the start, `raise Ignore()` declines it; anything else raised is a crash,
        and the starter gets `StartFailed`.
        """

    def handle_info(self, message: Any) -> Any:
        """A message that is neither call nor cast: `send`, `Down`, `TaskDone`, timers, trapped `ExitSignal`."""
        node = self._kernel_process.node
        if node.listeners:
            node.emit(MessageDropped(self._kernel_process, message))

    def handle_continue(self, what: Any) -> Any:
        """Work put off by `continue_with`; runs before any other message."""

    def handle_timeout(self) -> Any:
        """No message came for the time given to `timeout_after`."""

    def terminate(self, reason: object) -> Any:
        """Let go of things; called on `stop`, on a crash, and on the parent's exit if exits are trapped.

        Not called on a kill, on an untrapped signal, or when `init` failed. What it raises replaces the reason.
        """

    def get_state(self) -> Any:
        """The state as `sys.get_state` and upgrades see it; by default the attributes by name."""
        return state_of(self)

    def set_state(self, state: Any) -> None:
        """Take over such a state; by default exactly these attributes."""
        set_state(self, state)

    def code_change(self, old_version: object, extra: object) -> Any:
        """Make the state, left by the code of `old_version`, one for this code; called while suspended.

        May be async. `raise Stop(reason)` refuses; whatever is raised, the attributes are put back.
        """

    # --- what callbacks may say ------------------------------------------------------------------------------------

    @property
    def pid(self) -> Process:
        """This server's process."""
        return self._kernel_process

    def stop(self, reason: object = "normal") -> None:
        """End after this message; the answer being returned is still sent."""
        self._kernel_told = self.__stop_asked = True
        self.__stopping = reason

    def defer(self) -> Deferred[Any]:
        """Put the call in hand aside: return this from the handler and `reply` to it later."""
        envelope = self._kernel_process.current
        if envelope is None or envelope[0] != "call":
            raise RuntimeError("defer() is for the handler of a call")
        request: Request = envelope[1]
        calls = self._kernel_process.calls
        if calls is None:
            calls = self._kernel_process.calls = set()
        calls.add(request)
        return request

    def refuse(self, error: Exception) -> Deferred[Any]:
        """Return this from a call's handler to raise `error` at the caller; the server goes on."""
        deferred = self.defer()
        deferred.fail(error)
        return deferred

    def caller(self) -> Process | None:
        """Who sent the message in hand; None for code outside."""
        envelope = self._kernel_process.current
        return None if envelope is None else envelope[2]

    def continue_with(self, what: object) -> None:
        """Run `handle_continue(what)` next, before any other message."""
        self._kernel_told = True
        self.__continue = (what,)

    def timeout_after(self, seconds: float) -> None:
        """Run `handle_timeout` unless a message comes within `seconds`."""
        self._kernel_told = True
        self.__timeout = seconds

    # --- start -----------------------------------------------------------------------------------------------------

    @classmethod
    async def start(
        cls,
        *args: Any,
        name: str | None = None,
        timeout: float | None = None,
        mailbox: Bound | None = None,
        **kwargs: Any,
    ) -> Process:
        """Start a server nobody is linked to; returns when its `init` is done.

        Args:
            args, kwargs: for `init`.
            name: registered before `init` runs.
            timeout: seconds for `init`; beyond it the new process is killed. None: no limit.
            mailbox: how many messages may wait and what happens to more, see `bounded`. None: any number.
        Raises:
            StartFailed: with the reason; `"ignore"` if `init` declined.
        """
        request = begin_server(cls, args, kwargs, name, None, timeout, mailbox, False)
        process = request.value if request.done and request.error is None else await started(request)
        if process is None:
            raise StartFailed(cls.__qualname__, "ignore")
        return process

    @classmethod
    async def start_link(
        cls,
        *args: Any,
        name: str | None = None,
        timeout: float | None = None,
        mailbox: Bound | None = None,
        **kwargs: Any,
    ) -> Process:
        """Like `start`, linked to the running process, which becomes the parent."""
        request = begin_server(cls, args, kwargs, name, None, timeout, mailbox, True)
        process = request.value if request.done and request.error is None else await started(request)
        if process is None:
            raise StartFailed(cls.__qualname__, "ignore")
        return process

    @classmethod
    async def start_monitor(
        cls, *args: Any, name: str | None = None, timeout: float | None = None, **kwargs: Any
    ) -> tuple[Process, Monitor]:
        """Like `start`, watched by the running process from the first moment: its end is never `noproc`."""
        process = await cls.start(*args, name=name, timeout=timeout, **kwargs)
        return process, watch_started(process)

    # --- the loop: one call per message -------------------------------------------------------------------------------

    def handle(self, envelope: Envelope) -> Work | None:
        """Handle one message; called by the scheduler."""
        kind, body = envelope[0], envelope[1]
        request: Any = None
        if self.__silence is not None:
            if kind == "system":
                return self.__while_silent(body)
            self.__hush()
        try:
            if kind == "call":
                request = body
                handler = self._handlers.get(request.handler)
                if handler is None:
                    request.fail(_no_handler(self, request))
                    return None
                # `handler(self, *args, **kwargs)` for few arguments, written out: it costs three times as much.
                args = request.args
                if request.kwargs:
                    result = handler(self, *args, **request.kwargs)
                elif len(args) == 1:
                    result = handler(self, args[0])
                elif args:
                    result = handler(self, *args)
                else:
                    result = handler(self)
                if type(result) is CoroutineType:
                    return self.__answer_later(result, request)
                if result is not request and not self._kernel_told:
                    request.reply(result)
                    return None
            elif kind == "cast":
                name, args, keywords = body
                handler = self._handlers.get(name)
                if handler is None:
                    self.handle_info(body)
                    return None
                if keywords:
                    result = handler(self, *args, **keywords)
                elif len(args) == 1:
                    result = handler(self, args[0])
                elif args:
                    result = handler(self, *args)
                else:
                    result = handler(self)
            elif kind == "start" or kind == "system":
                result = _KERNEL
            elif kind == "info" or (kind == "exit" and body.sender is not self._kernel_process.parent):
                result = self.handle_info(body)
            else:
                result = _KERNEL
        except Killed:
            raise
        except ENDS as error:  # the process loop: a crash runs `terminate` first
            return self.__end(reason_of(error))
        if result is _KERNEL:
            if kind == "start":
                return self.__begin(body)
            return self.__kernel(kind, body)
        if type(result) is CoroutineType:
            return self.__run(result)
        if self._kernel_told:
            return self.__follow(request, result)
        return None

    def _kernel_after(self, result: Any) -> Work | None:
        """What follows a cast that the scheduler took to its handler."""
        if type(result) is CoroutineType:
            return self.__run(result)
        return self.__follow(None, None) if self._kernel_told else None

    def _kernel_failed(self, error: BaseException) -> Work | None:
        """A handler that the scheduler called has raised."""
        if isinstance(error, Killed) or not isinstance(error, ENDS):
            raise error
        return self.__end(reason_of(error))

    def __kernel(self, kind: Kind, body: Any) -> Work | None:
        """The messages that begin and end a server; what these raise is its end."""
        if kind == "exit":
            return self.__end_now(body.reason)
        if type(body) is Terminate:
            body.taken = True
            return self.__end_now(body.reason)
        if type(body) is SystemMessage:
            return obey(self, body)
        return None  # the timer of a silence that was broken

    async def __run(self, result: Any) -> None:
        try:
            if type(result) is CoroutineType:
                await result
        except Killed:
            raise
        except ENDS as error:  # the process loop
            await self.__end(reason_of(error))
        if self._kernel_told:
            await self.__follow(None, None)

    async def __answer_later(self, coro: Coroutine[Any, Any, Any], request: Request) -> None:
        try:
            result = await coro
        except Killed:
            raise
        except ENDS as error:  # the process loop
            await self.__end(reason_of(error))
            return
        if self._kernel_told:
            await self.__follow(request, result)
        elif result is not request:
            request.reply(result)

    async def __follow(self, request: Request | None, result: object) -> None:
        """Do what the callback said beside its answer: stop, continue, wait for silence."""
        while self._kernel_told:
            self._kernel_told = False
            if self.__stop_asked:
                # As OTP: terminate first, then the answer, then the end.
                reason = self.__stopping
                try:
                    await self.__end(reason)
                finally:
                    if request is not None and result is not request:
                        request.reply(result)
            if request is not None and result is not request:
                request.reply(result)
            request = None
            if self.__continue is not None:
                (what,), self.__continue = self.__continue, None
                try:
                    value = self.handle_continue(what)
                    if type(value) is CoroutineType:
                        await value
                except Killed:
                    raise
                except ENDS as error:  # the process loop
                    await self.__end(reason_of(error))
            elif self.__timeout is not None:
                seconds, self.__timeout = self.__timeout, None
                self.__listen(seconds)

    # --- silence: `timeout_after` -------------------------------------------------------------------------------

    def __listen(self, seconds: float) -> None:
        process = self._kernel_process
        self._kernel_direct = None  # from now on each message must pass `handle`, which ends the silence
        self.__silence = silence = Silence(seconds)
        silence.timer = process.node.timers.plan(seconds, partial(deliver_kernel, process, "system", silence))

    def __hush(self) -> None:
        silence, self.__silence = self.__silence, None
        if silence is not None and silence.timer is not None:
            self._kernel_process.node.timers.cancel(silence.timer)

    def __while_silent(self, body: object) -> Work | None:
        """A kernel message while a silence runs. A system request begins the silence anew; old timers count not."""
        silence = self.__silence
        assert silence is not None
        if body is silence:
            self.__silence = None
            try:
                value = self.handle_timeout()
            except Killed:
                raise
            except ENDS as error:  # the process loop
                return self.__end(reason_of(error))
            return self.__run(value)
        if type(body) is SystemMessage:
            self.__hush()
            if body.operation == "suspend":
                self.__silence = silence  # begun again when the server is resumed
            else:
                self.__listen(silence.seconds)
        return self.__kernel("system", body)

    def _kernel_code_changed(self, value: Any) -> None:
        """What the callback answered does not matter: the state is the object."""

    def _kernel_resumed(self) -> None:
        if self.__silence is not None:
            self.__listen(self.__silence.seconds)

    # --- the end ----------------------------------------------------------------------------------------------------

    def __end(self, reason: object) -> Work:
        """Terminate and leave with `reason`: raises at once, or in the coroutine it returns."""
        try:
            value = self.terminate(reason)
        except Exception as error:
            raise Exit(reason_of(error)) from error
        if type(value) is CoroutineType:
            return self.__end_later(value, reason)
        raise Exit(reason)

    def __end_now(self, reason: object) -> Work | None:
        """`__end`, but ends the process itself where it can: an exception less, which is a tenth of a stop."""
        try:
            value = self.terminate(reason)
        except Exception as error:
            raise Exit(reason_of(error)) from error
        if type(value) is CoroutineType:
            return self.__end_later(value, reason)
        die(self._kernel_process, reason)
        return None

    async def __end_later(self, terminating: Coroutine[Any, Any, Any], reason: object) -> None:
        try:
            await terminating
        except Exception as error:
            raise Exit(reason_of(error)) from error
        raise Exit(reason)

    def __begin(self, request: Request) -> Work | None:
        """The start: `init`, then the word to whoever waits for it."""
        try:
            bare = not request.args and not request.kwargs  # half of all servers, and half the cost
            value = self.init() if bare else self.init(*request.args, **request.kwargs)
        except Exception as error:  # noqa: BLE001  the starter is told, then the process ends
            self.__not_begun(request, error)
        else:
            if value is not None and type(value) is CoroutineType:
                return self.__begin_later(value, request)
        if self._kernel_told or self._kernel_process.node.listeners:
            return self.__begun(request)
        request.reply(self._kernel_process)
        return None

    async def __begin_later(self, initialising: Coroutine[Any, Any, Any], request: Request) -> None:
        try:
            await initialising
        except Exception as error:  # noqa: BLE001  as above
            self.__not_begun(request, error)
        following = self.__begun(request)
        if following is not None:
            await following

    def __begun(self, request: Request) -> Work | None:
        process = self._kernel_process
        if process.node.listeners:
            announce(process)
        request.reply(process)
        return self.__follow(None, None) if self._kernel_told else None

    def __not_begun(self, request: Request, error: Exception) -> NoReturn:
        # As OTP: the name is free before the starter hears of it.
        self.__unname()
        if isinstance(error, Ignore):
            request.reply(None)
            raise Exit("normal") from None
        reason = reason_of(error)
        request.fail(StartFailed(self._kernel_process.label, reason))
        raise Exit(reason) from error

    def __unname(self) -> None:
        process = self._kernel_process
        if process.name is not None:
            # One that was killed comes here late: the name may be its successor's by now.
            if process.node.names.get(process.name) is process:
                del process.node.names[process.name]
            process.name = None


async def start_server(
    cls: type[ServerBody],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str | None = None,
    label: str | None = None,
    timeout: float | None = None,
    mailbox: Bound | None = None,
    *,
    link: bool,
) -> Process | None:
    """Start a server from the running process and wait for its `init`; None if that declined.

    Raises:
        StartFailed: with the reason.
    """
    request = begin_server(cls, args, kwargs, name, label, timeout, mailbox, link)
    return request.value if request.done and request.error is None else await started(request)


def begin_server(
    cls: type[ServerBody],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    name: str | None,
    label: str | None,
    timeout: float | None,
    mailbox: Bound | None,
    link: bool,
) -> Request:
    """`start_server` without its wait: the request to begin, mostly `done` already; `started` does the rest."""
    me = running.process
    if me is None or me.status == DEAD:
        me = self_()  # raises
    node = me.node
    if name is not None or node.closed:
        process = create(node, label or name or cls.__qualname__, name)
    else:  # `create`, written out
        process = new_process(node, label or cls.__qualname__)
        node.table[process.id] = process
    server = cls.__new__(cls)
    server._kernel_process = process
    if cls.__init__ is not object.__init__:
        try:
            server.__init__()  # type: ignore[misc]  # a user's __init__ takes no arguments
        except BaseException:
            die(process, "killed")  # nobody has heard of it yet
            raise
    process.body = server
    if link:
        process.parent = me
        process.links = {me}
        if me.links is None:
            me.links = {process}
        else:
            me.links.add(process)
    if cls.trap_exit:  # type: ignore[attr-defined]  # every server has it; see ServerBody
        process.trap_exit = True
    if mailbox is not None:
        limit_process(process, mailbox)
    request = Request()
    request.handler = "init"
    request.args = args
    request.kwargs = kwargs
    request.caller = me
    request.target = process
    envelope: Envelope = ("start", request, me, node.next_id(), None, 0, node.now, process)
    if not node.scheduler.run_now(process, envelope):
        deliver(process, envelope)
    elif me.status == DEAD:
        raise Killed
    if timeout is not None and not request.done:
        node.timers.limit(request, timeout)
    return request


async def started(request: Request) -> Process | None:
    """Wait for the end of a start that `begin_server` began; None if `init` declined. Raises as `start_server`."""
    me = self_()
    process = request.target
    if not request.done:
        me.wait = request
        try:
            await suspend()
        finally:
            request.abandon()
    error = request.error
    if error is None:
        return request.value  # type: ignore[no-any-return]
    if isinstance(error, CallError):
        if error.why == "timeout":
            unlink(me, process)
            die(process, "killed")
        raise StartFailed(process.label, error.why)
    raise error


async def stop(server: Server, reason: object = "normal", timeout: float | None = 5.0) -> None:
    """Ask a server or supervisor to end with `reason` and wait until it has (gen_server:stop).

    Raises:
        NoProcess: it is not there.
        TimeoutError: it has not ended within `timeout` seconds; it still may.
        Exit: it ended with another reason; with `CallFailed` of it, as OTP says, if it ended before it got to this.
    """
    me = self_()
    process = server if isinstance(server, Process) else resolve(server)
    if process.status == DEAD:
        raise NoProcess(server)
    if process is me:
        raise CallError(server, "calling_self", f"{me} asked itself to stop; call self.stop() instead")
    request = Terminate(reason)
    node = process.node
    envelope: Envelope = ("system", request, me, node.next_id(), None, 0, node.now, process)
    if process.status != WAITING or not node.scheduler.run_now(process, envelope):
        deliver_kernel(process, "system", request, me)
    elif me.status == DEAD:
        raise Killed
    ended = process.reason if process.status == DEAD else await wait_down(process, timeout)
    if ended != reason:
        raise Exit(ended if request.taken else CallFailed(ended))


def _no_handler(server: GenServer, request: Request) -> CallError:
    known = ", ".join(sorted(server._handlers)) or "none"
    text = f"{type(server).__qualname__} has no handler {request.handler!r}; it has: {known}"
    return CallError(server.pid, "no_handler", text)
