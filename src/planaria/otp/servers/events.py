"""What a state machine's callback is given: one event at a time. Made for `match`.

```python
match event:
    case Call("unlock", (code,)) if code == self.code: ...
    case Cast("push"): ...
    case Enter(previous): ...
    case StateTimeout(): ...
```

Source: gen_statem's event types.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from planaria.otp.kernel.process import Process, Request
from planaria.otp.servers.timeouts import TimeoutEvent


@dataclass(frozen=True, slots=True)
class Call:
    """A request that wants an answer; keep it to answer later.

    Attributes:
        name: of the `@call` method.
        args: its arguments in the order of its parameters, defaults filled in.
    """

    name: str
    args: tuple[Any, ...] = ()
    request: Request | None = field(default=None, repr=False, compare=False)

    def reply(self, value: object) -> None:
        """Answer; only the first answer counts (gen_statem:reply/2)."""
        if self.request is not None:
            self.request.reply(value)

    def fail(self, error: BaseException) -> None:
        """Let the call raise `error` at the caller; the machine goes on."""
        if self.request is not None:
            self.request.fail(error)

    @property
    def caller(self) -> Process | None:
        """Who asks; None for code outside any process."""
        return None if self.request is None else self.request.caller


@dataclass(frozen=True, slots=True)
class Cast:
    """A request without answer: the name of the `@cast` method and its arguments, defaults filled in."""

    name: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Info:
    """Any other message: `send`, `Down`, `TaskDone`, timers, a trapped `ExitSignal`."""

    message: Any


@dataclass(frozen=True, slots=True)
class Internal:
    """An event the machine inserted itself."""

    content: Any = None


@dataclass(frozen=True, slots=True)
class Enter:
    """The state was entered (`state_enter = True`), from `previous`; at the start that is the state itself."""

    previous: Any


type Event = Call | Cast | Info | Internal | Enter | TimeoutEvent
"""Timeouts come as `StateTimeout`, `EventTimeout` or `Timeout`."""

EVENTS = (Call, Cast, Info, Internal, Enter, TimeoutEvent)
"""The same, to check with."""
