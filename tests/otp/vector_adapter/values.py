"""The runtime's reasons and messages as the vectors' JSON, and reasons back again (README section 4).

Payloads are opaque and pass through as they are; only what the kernel gives a meaning is translated. Does badly:
a message that merely looks like a tagged value cannot be told from one, but no vector sends such a thing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from planaria.otp import (
    AlreadyStarted,
    BadReturn,
    CallFailed,
    Cast,
    Crash,
    Down,
    EventTimeout,
    Exit,
    ExitSignal,
    FailedToStartChild,
    GroupChanged,
    Info,
    Internal,
    NextEvent,
    Pid,
    Postpone,
    Shutdown,
    StartRaised,
    StateTimeout,
    Timeout,
    TimerFired,
)

from .comparison import Json
from .recorder import Recorder


class VectorError(Exception):
    """The error X that a program raises by `{"op": "raise", "what": X}`, or that an operation itself raises."""

    def __init__(self, what: Json) -> None:
        super().__init__(what)
        self.what = what


@dataclass(frozen=True)
class Nonsense:
    """What a worker's callback returns for `{"op": "bad_return"}`: None, for one, would make sense."""

    value: Json


def reason_from(value: Json) -> object:
    """An exit reason as the kernel knows it."""
    if isinstance(value, Mapping) and set(value) == {"shutdown"}:
        return Shutdown(value["shutdown"])
    return value


def inserted(event: object) -> Json:
    """An action that inserts an event, as Erlang writes it."""
    match event:
        case Internal(message):
            kind: Json = "internal"
        case Info(message):
            kind = "info"
        case Cast(_, (message,)):
            kind = "cast"
        case StateTimeout(message):
            kind = "state_timeout"
        case EventTimeout(message):
            kind = "timeout"
        case Timeout(name, message):
            kind = {"timeout": name}
        case _:
            return repr(event)
    return {"t": ["next_event", kind, message]}


class Translation:
    """From the kernel's values to JSON; knows the labels of one scenario."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def pid(self, pid: Pid) -> Json:
        return {"pid": self.recorder.name_of(pid)}

    def reason(self, reason: object) -> Json:
        match reason:
            case Shutdown(detail):
                return {"shutdown": self.reason(detail)}
            case Crash():
                return {"crash": self.error(reason.error)}
            case CallFailed(why):
                return {"call": self.reason(why)}
            case AlreadyStarted(process) if isinstance(process, Pid):
                return {"already_started": self.pid(process)}
            case FailedToStartChild():
                return {"failed_to_start_child": {"id": reason.id, "reason": self.reason(reason.reason)}}
            case StartRaised():
                return {"EXIT": self.reason(reason.reason)}
            case BaseException():  # a state machine hands errors on bare
                return self.error(reason)
            case _:
                return reason

    def error(self, error: BaseException) -> Json:
        if isinstance(error, BadReturn) and isinstance(error.value, Postpone):
            return {"bad_state_enter_action_from_state_function": "postpone"}
        if isinstance(error, BadReturn) and error.where == "enter" and isinstance(error.value, NextEvent):
            return {"bad_state_enter_action_from_state_function": inserted(error.value.event)}
        if isinstance(error, BadReturn):
            where = "init" if error.where == "init" else "state_function"
            value = error.value.value if isinstance(error.value, Nonsense) else repr(error.value)
            return {f"bad_return_from_{where}": value}
        return error.what if isinstance(error, VectorError) else repr(error)

    def raised(self, error: BaseException) -> Json:
        """`{"raise": ...}`: an exit, or any other exception."""
        if isinstance(error, Exit):
            return {"raise": {"exit": self.reason(error.reason)}}
        return {"raise": {"error": self.error(error)}}

    def message(self, message: object) -> Json:
        """A message as a worker records it or test finds it in its inbox."""
        match message:
            case ExitSignal(sender, reason):
                return {"EXIT": {"from": self.recorder.name_of(sender), "reason": self.reason(reason)}}
            case Down():
                watched = message.process
                origin = {"name": watched} if isinstance(watched, str) else self.recorder.name_of(watched)
                reference = self.recorder.reference_name(message.ref)
                return {"DOWN": {"ref": reference, "from": origin, "reason": self.reason(message.reason)}}
            case TimerFired():
                reference = self.recorder.reference_name(message.ref)
                return {"timeout": {"ref": reference, "msg": message.message}}
            case GroupChanged():
                reference = self.recorder.reference_name(message.ref)
                pids = sorted(self.recorder.name_of(pid) for pid in message.pids)
                return {
                    "pg": {"ref": reference, "event": message.event, "group": message.group, "pids": pids}
                }
            case _:
                return message
