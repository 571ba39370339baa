"""The timeouts of a state machine: of the state, of the event, and named ones; the events they become.

```python
return Next("open", StateTimeout().after(10.0), Timeout("alarm", "beep").after(60.0))
return Keep(Timeout("alarm").cancel(), StateTimeout("still open").update())
```

Source: gen_statem's `state_timeout`, `timeout` and `{timeout, Name}`. A timeout of 0 seconds becomes an event before
anything that waits in the mailbox, after inserted and replayed events.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial

from planaria.otp.kernel.mailbox import deliver_kernel
from planaria.otp.kernel.process import Process
from planaria.otp.kernel.timers import TimerRef

STATE_KEY = object()
EVENT_KEY = object()


class TimeoutEvent:
    """What the three kinds have in common: made into an action by `after`, `at`, `update` or `cancel`."""

    __slots__ = ()

    @property
    def key(self) -> Hashable:
        """Which timeout it is; one of each key runs at a time."""
        raise NotImplementedError

    def after(self, seconds: float | None) -> SetTimeout:
        """Start it, or start it anew; None is never, which cancels it.

        Raises:
            ValueError: for a negative time.
        """
        if seconds is not None and seconds < 0:
            raise ValueError(f"a timeout cannot be over in {seconds!r} seconds: give 0 or more, or None")
        return SetTimeout(self, seconds=seconds)

    def at(self, when: float) -> SetTimeout:
        """Start it for a moment on the node's monotonic clock (`now()`)."""
        return SetTimeout(self, when=when)

    def update(self) -> SetTimeout:
        """Change the content of the running one and keep its time; if none runs, it is over at once."""
        return SetTimeout(self, update=True)

    def cancel(self) -> SetTimeout:
        """Stop it; the content does not matter."""
        return SetTimeout(self)


@dataclass(frozen=True, slots=True)
class StateTimeout(TimeoutEvent):
    """The time of the state is up; cancelled by every change of state."""

    content: object = None

    @property
    def key(self) -> Hashable:
        """Which timeout it is; one of each key runs at a time."""
        return STATE_KEY


@dataclass(frozen=True, slots=True)
class EventTimeout(TimeoutEvent):
    """No event came in time; cancelled by every event."""

    content: object = None

    @property
    def key(self) -> Hashable:
        """Which timeout it is; one of each key runs at a time."""
        return EVENT_KEY


@dataclass(frozen=True, slots=True)
class Timeout(TimeoutEvent):
    """The timeout with this name is up; changes of state do not touch it (gen_statem's generic timeouts)."""

    name: Hashable
    content: object = None

    @property
    def key(self) -> Hashable:
        """Which timeout it is; one of each key runs at a time."""
        return ("named", self.name)


@dataclass(frozen=True, slots=True)
class SetTimeout:
    """The action that starts, updates or cancels a timeout; made by the methods of the events above.

    Attributes:
        event: what the timeout becomes.
        seconds, when: from now, or on the node's clock; neither: it is cancelled.
        update: only the content changes.
    """

    event: TimeoutEvent
    seconds: float | None = None
    when: float | None = None
    update: bool = False


class Expired:
    """The body of the kernel message of a timer: which run of which timeout it was."""

    __slots__ = ("key",)

    def __init__(self, key: Hashable) -> None:
        self.key = key

    def __repr__(self) -> str:
        return "<timeout>"


class _Running:
    __slots__ = ("event", "message", "timer")

    def __init__(self, event: TimeoutEvent, message: Expired | None, timer: TimerRef | None) -> None:
        self.event = event
        self.message = message
        self.timer = timer


class Timeouts:
    """The timeouts of one state machine that run, and those of 0 seconds that wait for their turn."""

    __slots__ = ("process", "running", "zero")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.running: dict[Hashable, _Running] = {}
        self.zero: list[Hashable] = []
        if process.on_death is None:
            process.on_death = []
        process.on_death.append(self._forget)  # a killed machine leaves no timer behind

    def cancel(self, key: Hashable) -> None:
        """Stop one; what it may have put into the mailbox already is not an event any more."""
        known = self.running.pop(key, None)
        if known is None:
            return
        if known.timer is not None:
            self.process.node.timers.cancel(known.timer)
        else:
            self.zero.remove(key)

    def apply(self, actions: list[SetTimeout]) -> None:
        """Carry out what one transition asked for; the last word on each timeout counts."""
        last: dict[Hashable, SetTimeout] = {}
        for action in actions:
            last.pop(action.event.key, None)  # at the place of the last word, as gen_statem
            last[action.event.key] = action
        at_once: list[Hashable] = []
        for key, action in reversed(
            last.items()
        ):  # from the last, as gen_statem: of equal times it is over first
            known = self.running.get(key)
            if action.update and known is not None:
                known.event = action.event
            elif action.update or (action.seconds == 0 and action.when is None):
                self.cancel(key)
                self.running[key] = _Running(action.event, None, None)
                at_once.append(key)
            elif action.when is not None:
                self._start(key, action.event, action.when - self.process.node.clock.now())
            elif action.seconds is not None:
                self._start(key, action.event, action.seconds)
            else:
                self.cancel(key)
        self.zero.extend(reversed(at_once))

    def _start(self, key: Hashable, event: TimeoutEvent, seconds: float) -> None:
        self.cancel(key)
        process = self.process
        message = Expired(key)
        timer = process.node.timers.plan(seconds, partial(deliver_kernel, process, "system", message))
        self.running[key] = _Running(event, message, timer)

    def take_zero(self) -> TimeoutEvent | None:
        """The oldest timeout of 0 seconds, as an event."""
        return self.running.pop(self.zero.pop(0)).event if self.zero else None

    def take(self, message: Expired) -> TimeoutEvent | None:
        """The event a timer's message stands for; None if that timeout was stopped or started anew since."""
        known = self.running.get(message.key)
        if known is None or known.message is not message:
            return None
        del self.running[message.key]
        return known.event

    def __len__(self) -> int:
        return len(self.running)

    def _forget(self, _: Process) -> None:
        for key in list(self.running):
            self.cancel(key)
