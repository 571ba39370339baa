"""What lies in mailboxes: the envelope around every message, and the messages the kernel itself sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from planaria.otp.kernel.process import Process

type Kind = Literal["info", "call", "cast", "exit", "start", "system"]


type Envelope = tuple[Kind, Any, Process | None, int, str | None, int, float, Process]
"""One entry of a mailbox: (kind, body, sender, id, trace, cause, at, target).

A bare tuple, since every message needs one: an object of a class costs three to five times as much to make.

- body: info: the message; call and start: a `Request`; cast: (handler name, args, kwargs); exit: an `ExitSignal`.
- sender: the process that sent it; None for code outside, timers and the kernel.
- id: unique and growing in its node.
- trace: the run of causes the message belongs to, handed on to whatever its handler sends.
- cause: id of the message the sender had in hand, 0 for none.
- at: seconds on the node's monotonic clock, as of the last turn of the run queue.
- target: whose mailbox it was put into.
"""


# The messages below are never changed, but not frozen: that would make each six times as dear (measured: 600 against
# 100 ns), and every end of a process makes one. Without slots for the same reason: 180 ns.


class Ref:
    """Names one monitor, timer or task. Compared by identity."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} {id(self):x}>"


@dataclass(eq=True, unsafe_hash=True)
class ExitSignal:
    """What a process that traps exits finds in its mailbox when `sender` signalled or a linked process ended."""

    sender: Process
    reason: object


@dataclass(eq=True, unsafe_hash=True)
class Down:
    """The watched process ended. `process` is the registered name if it was watched by name."""

    ref: Ref
    process: Process | str
    reason: object


@dataclass(eq=True, unsafe_hash=True)
class TaskDone:
    """A task started by the receiver returned `value`."""

    ref: Ref
    value: object


@dataclass(eq=True, unsafe_hash=True)
class TimerFired:
    """The message of a timer made with `start_timer`."""

    ref: Ref
    message: object
