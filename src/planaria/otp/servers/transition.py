"""What a state machine's callback answers: where to go next, and what else to do. Plain values, easy to test.

```python
return Next("open", StateTimeout().after(10.0), reply=True)
return Keep(postpone=True)
```

Source: gen_statem's state callback results and actions. The order of work after a transition: replies, the enter
call, inserted events, replayed events, timeouts of 0 seconds, the mailbox.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import FunctionType, MethodType

from planaria.otp.servers.events import Call, Event
from planaria.otp.servers.timeouts import SetTimeout


class _Nothing:
    def __repr__(self) -> str:
        return "<none>"


NOTHING = _Nothing()


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the call in hand, or `to` one kept from before; done at once, before anything else."""

    value: object = None
    to: Call | None = None


@dataclass(frozen=True, slots=True)
class Postpone:
    """Put the event aside until the state has changed; then it comes again, before newer ones."""


@dataclass(frozen=True, slots=True)
class NextEvent:
    """Insert an event, handled before all that wait (gen_statem's next_event)."""

    event: Event


@dataclass(frozen=True, slots=True)
class Hibernate:
    """A long wait is ahead: let go of memory that is not needed. No visible effect."""


type Action = Reply | Postpone | NextEvent | Hibernate | SetTimeout


class Transition:
    """What a callback may return; made as `Next`, `Keep`, `Repeat` or `End`."""

    __slots__ = ("actions",)

    def __init__(self, *actions: Action, reply: object = NOTHING, postpone: bool = False) -> None:
        if reply is not NOTHING:
            actions = (Reply(reply), *actions)
        if postpone:
            actions = (*actions, Postpone())
        self.actions = actions

    def _parts(self) -> tuple[object, ...]:
        return self.actions

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(part) for part in self._parts())})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._parts() == self._parts()

    __hash__ = None  # type: ignore[assignment]


class Keep(Transition):
    """Stay in the state (keep_state).

    Args:
        actions: done in order; of several on one timeout the last counts.
        reply: answers the call in hand.
        postpone: puts the event aside until the state has changed.
    """

    __slots__ = ()


class Repeat(Transition):
    """Stay in the state but make the enter call again (repeat_state); arguments as of `Keep`."""

    __slots__ = ()


class Next(Transition):
    """Go to `state` (next_state): a value compared by `==`, or the method of the state itself.

    The same state again is no change: no enter call, nothing replayed, the state timeout goes on. Other arguments as
    of `Keep`.
    """

    __slots__ = ("state",)

    def __init__(
        self, state: object, *actions: Action, reply: object = NOTHING, postpone: bool = False
    ) -> None:
        super().__init__(*actions, reply=reply, postpone=postpone)
        self.state: object = state.__name__ if isinstance(state, MethodType | FunctionType) else state

    def _parts(self) -> tuple[object, ...]:
        return (self.state, *self.actions)


class End(Transition):
    """Stop the machine with `reason`, through `terminate` (stop, stop_and_reply); the replies are sent first."""

    __slots__ = ("reason",)

    def __init__(self, reason: object = "normal", *replies: Reply, reply: object = NOTHING) -> None:
        super().__init__(*replies, reply=reply)
        self.reason = reason

    def _parts(self) -> tuple[object, ...]:
        return (self.reason, *self.actions)


class BadReturn(Exception):
    """A callback of a state machine answered with something that means nothing there.

    Attributes:
        where: `"state"`, `"enter"` or `"init"`.
        value: what it answered.
        mend: what it should answer.
        machine: whose callback it is, and its state.
    """

    def __init__(self, where: str, value: object, mend: str, machine: str) -> None:
        super().__init__(where, value)
        self.where = where
        self.value = value
        self.mend = mend
        self.machine = machine

    def __str__(self) -> str:
        return f"the {self.where} callback of {self.machine} answered {self.value!r}: {self.mend}"
