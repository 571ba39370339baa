"""One time the node stood still: who ran, with which message in hand, where, for how long, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from planaria.otp.kernel.message import Envelope
from planaria.otp.kernel.process import Process, Running
from planaria.otp.observe.stack import Line

__all__ = ["Moment", "Outcome", "Stall"]

type Outcome = Literal["running", "resumed", "broken", "swallowed", "unbreakable"]


@dataclass(frozen=True, slots=True)
class Moment:
    """What ran when somebody looked. Two equal ones: the same code has run all the time between."""

    process: Process | None
    message: Envelope | None
    reductions: int
    turn: float
    """The node's time as of this turn of its run queue."""
    beat: int
    """Beats of the loop, counted where no process runs."""

    @staticmethod
    def of(running: Running, beat: int) -> Moment:
        """What runs now. Read from any thread, so it may be a mixture of two moments; the next look tells."""
        process = running.process
        if process is None:
            return Moment(None, None, 0, 0.0, beat)
        return Moment(process, process.current, process.reductions, process.node.now, 0)

    def same(self, other: Moment) -> bool:
        """Whether that is the same code, still at it. By identity: comparing messages would run their code."""
        return (
            self.process is other.process
            and self.message is other.message
            and self.reductions == other.reductions
            and self.turn == other.turn
            and self.beat == other.beat
        )


@dataclass(slots=True)
class Stall:
    """One stall, as it is seen while it lasts and afterwards."""

    process: Process | None
    """Who ran; None for code outside any process, as callbacks of the event loop."""
    who: str
    message: str | None
    """The message in hand."""
    where: Line | None
    """The innermost line of the user's code when it was noticed."""
    stack: list[Line]
    """Of the loop's thread, outermost first."""
    began: float
    """Seconds since 1970."""
    seconds: float = 0.0
    """How long it has lasted, or lasted."""
    cpu: float | None = None
    """Seconds of processor time the loop's thread used meanwhile: near 0, it waits for something."""
    raised: int = 0
    """How often `Stalled` was raised in it."""
    outcome: Outcome = "running"
    notes: list[str] = field(default_factory=list)

    def text(self) -> str:
        """One line for people."""
        at = f", at {self.where}" if self.where is not None else ""
        hand = f", with {self.message} in hand" if self.message is not None else ""
        return f"{self.who} has run for {self.seconds:.2f} s without a pause{hand}{at}"
