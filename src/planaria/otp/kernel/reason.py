"""Why a process ended, and the exceptions that carry such reasons.

```
Exit                      raise it to end the running process with a reason (Erlang's exit/1)
├── Stop                  a server asks to be stopped; in `init` it refuses the start
├── Ignore                `init` declines: the supervisor keeps the child without a process
└── CallError             a call got no answer; uncaught it ends the caller with CallFailed(reason)
    ├── NoProcess         nobody is there, or nobody has that name
    ├── CallTimeout       no answer within the time allowed; the request may still be handled
    ├── ServerExited      the server ended before it answered; `.why` tells how
    └── MailboxFull       a bounded mailbox had no room; the message is not, or no longer, in it
StartFailed               start or start_link did not succeed; `.reason` tells why
ChildError                a supervisor refuses a request about a child; `.code` tells why
TaskFailed                the task whose result was awaited ended without one
NotAProcess               a function for processes was called by ordinary code
Killed                    thrown into the code of a process that is already dead (a CancelledError)
Stalled                   thrown by the watchdog into code that keeps the node from running (a BaseException)
```

A reason is any value. These are known: `"normal"`, `"shutdown"`, `Shutdown(detail)`, `"kill"` (as an explicit
signal it cannot be trapped), `"killed"`, `"noproc"`, `Crash(error)`, `CallFailed(reason)`; of processes in workers
also `"out_of_memory"`, `"cpu_limit"`, `Signal(number)`, `WorkerExited(status)`.
"""

from __future__ import annotations

import signal
import traceback
from asyncio import CancelledError
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shutdown:
    """An orderly end with a word why; supervisors treat it as `"shutdown"` (Erlang's `{shutdown, Detail}`)."""

    detail: object


@dataclass(frozen=True, slots=True, eq=False)
class Crash:
    """The reason of a process whose code raised `error` and did not catch it."""

    error: BaseException

    def __str__(self) -> str:
        return f"{type(self.error).__name__}: {self.error}"

    def __repr__(self) -> str:
        return f"Crash({self.error!r})"

    @property
    def where(self) -> str | None:
        """The innermost line of the crash as `file:line`, if it is known."""
        told = getattr(
            self.error.__cause__, "where", None
        )  # of a crash in a worker, whose frames stayed there
        if isinstance(told, str):
            return told
        if isinstance(self.error, Stalled):
            return self.error.where  # its traceback ends in the watchdog
        frames = traceback.extract_tb(self.error.__traceback__)
        return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else None

    def text(self) -> str:
        """The traceback as people read it; made when asked for, since crashing must stay cheap."""
        return "".join(traceback.format_exception(self.error))


@dataclass(frozen=True, slots=True)
class CallFailed:
    """The reason of a process that did not catch the failure of its call (Erlang's `{R, {gen_server, call, _}}`)."""

    reason: object

    def __str__(self) -> str:
        return f"call failed: {reason_text(self.reason)}"


@dataclass(frozen=True, slots=True)
class Signal:
    """The reason of a process whose worker was ended by a signal of the operating system, such as a bad memory access.

    SIGKILL is told as `"killed"`, or as the limit it enforced: `"out_of_memory"`, `"cpu_limit"`.
    """

    number: int

    def __str__(self) -> str:
        try:
            return f"signal {self.number} ({signal.Signals(self.number).name})"
        except ValueError:
            return f"signal {self.number}"


@dataclass(frozen=True, slots=True)
class WorkerExited:
    """The reason of a process whose worker ended by itself with this exit status, such as by `os._exit`."""

    status: int

    def __str__(self) -> str:
        return f"its worker exited with status {self.status}"


@dataclass(frozen=True, slots=True)
class AlreadyStarted:
    """A start refused: `process` has the name, or is the running child with that id."""

    process: object


@dataclass(frozen=True, slots=True)
class FailedToStartChild:
    """Inside `Shutdown`: the supervisor could not start child `id`, for `reason`."""

    id: object
    reason: object


@dataclass(frozen=True, slots=True)
class StartRaised:
    """A child's start function raised instead of answering (Erlang's `{'EXIT', Reason}`)."""

    reason: object


class Exit(Exception):
    """Raise to end the running process with `reason`; caught, it is an ordinary exception."""

    def __init__(self, reason: object = "normal") -> None:
        super().__init__(reason)
        self.reason = reason


class Stop(Exit):
    """A server's callback asks for its orderly end with `reason`; in `init` it refuses the start."""


class Ignore(Exit):
    """`init` declines to run: no error, no process."""

    def __init__(self) -> None:
        super().__init__("normal")


class CallError(Exit):
    """A call got no answer. `server` is whom it addressed, `why` what was wrong."""

    def __init__(self, server: object, why: object, text: str) -> None:
        super().__init__(CallFailed(why))
        self.server = server
        self.why = why
        self.text = text

    def __str__(self) -> str:
        return self.text


class NoProcess(CallError):
    """Nobody is there: the process is dead, or no process has that name."""

    def __init__(self, server: object) -> None:
        super().__init__(
            server, "noproc", f"no process {server!s}: it is dead, or nobody registered that name"
        )


class CallTimeout(CallError):
    """No answer within `seconds`. The request stays in the server's mailbox and may still be handled."""

    def __init__(self, server: object, seconds: float) -> None:
        super().__init__(server, "timeout", f"{server!s} did not answer within {seconds:g} s")
        self.seconds = seconds


class ServerExited(CallError):
    """The server ended before it answered; `why` is its exit reason."""

    def __init__(self, server: object, why: object) -> None:
        super().__init__(server, why, f"{server!s} ended before it answered: {reason_text(why)}")
        if isinstance(why, Crash):
            self.__cause__ = why.error


class MailboxFull(CallError):
    """A bounded mailbox took no more than its `limit`: the message was refused, or a call was dropped from it."""

    def __init__(self, server: object, limit: int) -> None:
        super().__init__(
            server,
            "mailbox_full",
            f"the mailbox of {server!s} is full ({limit} waiting): wait with `send_when_room` or a handler's "
            "`when_room`, or bound it with a policy that drops",
        )
        self.limit = limit


class StartFailed(Exception):
    """A process did not start. `reason` is what its `init` refused or crashed with, or `AlreadyStarted`."""

    def __init__(self, what: object, reason: object) -> None:
        super().__init__(what, reason)
        self.what = what
        self.reason = reason
        if isinstance(reason, Crash):
            self.__cause__ = reason.error

    def __str__(self) -> str:
        return f"{self.what} did not start: {reason_text(self.reason)}"


class ChildError(Exception):
    """A supervisor refuses a request about a child.

    `code` is `"not_found"`, `"running"`, `"restarting"`, `"already_present"`, `"bad_combination"` (a significant child
    where `auto_shutdown` is `never`), `"no_template"` or `"simple_one_for_one"`.
    """

    def __init__(self, code: str, id: object) -> None:
        super().__init__(code, id)
        self.code = code
        self.id = id

    def __str__(self) -> str:
        return f"child {self.id!s}: {self.code.replace('_', ' ')}"


class TaskFailed(Exception):
    """The awaited task ended without a value; `reason` is its exit reason."""

    def __init__(self, reason: object) -> None:
        super().__init__(reason)
        self.reason = reason
        if isinstance(reason, Crash):
            self.__cause__ = reason.error

    def __str__(self) -> str:
        return f"task failed: {reason_text(self.reason)}"


class NotAProcess(RuntimeError):
    """A function that acts as the running process was called where no process runs."""


class Killed(CancelledError):
    """Thrown into the code of a process that is dead already, so that it lets go of what it holds."""


class Stalled(BaseException):
    """Raised by the watchdog in a process that ran too long without a pause; uncaught it is its exit reason.

    Not an `Exception`, so that code which forgives everything does not forgive this.

    Attributes:
        where: `file:line` of the innermost line of the process's own code.
        function: the function that line is in.
        seconds: how long the process had run by then.
    """

    def __init__(self, where: str, function: str, seconds: float) -> None:
        super().__init__(where, function, seconds)
        self.where = where
        self.function = function
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s without a pause, at {self.where} in {self.function}"


def reason_of(error: BaseException) -> object:
    """The exit reason of a process that `error` ended."""
    return error.reason if isinstance(error, Exit) else Crash(error)


def is_orderly(reason: object) -> bool:
    """Whether supervisors count `reason` as a wanted end: normal, shutdown, Shutdown(_)."""
    return reason == "normal" or reason == "shutdown" or isinstance(reason, Shutdown)


def reason_text(reason: object) -> str:
    """One line for people."""
    if isinstance(reason, str):
        return reason
    if isinstance(reason, Shutdown):
        return f"shutdown ({reason_text(reason.detail)})"
    if isinstance(reason, FailedToStartChild):
        return f"child {reason.id!s} did not start: {reason_text(reason.reason)}"
    if isinstance(reason, AlreadyStarted):
        return f"already started as {reason.process!s}"
    if isinstance(reason, BaseException):  # a state machine hands errors on bare
        return f"{type(reason).__name__}: {reason}"
    return str(reason) if isinstance(reason, Crash | CallFailed | Signal | WorkerExited) else repr(reason)


def root_cause(reason: object) -> str:
    """The innermost reason in words: what a person must mend, without the levels it passed through."""
    while True:
        match reason:
            case Shutdown(detail=inner) | FailedToStartChild(reason=inner) | StartRaised(reason=inner):
                reason = inner
            case CallFailed(reason=inner):
                reason = inner
            case Crash(error=StartFailed(reason=inner)):
                reason = inner
            case Crash(error=error):
                return f"{error}" or type(error).__name__
            case _:
                return reason_text(reason)
