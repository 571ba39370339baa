"""The guard of one session: looks at its steps from beside it, and says when they go nowhere.

Started under the name `guard:<agent>@<room>` by the session's supervisor, before the session, which therefore never
works without it. A session shows it each step from the third of a turn on and waits for its word; shorter turns cost
nothing. While a turn lasts it also looks now and then whether anything came of it at all.
It keeps nothing that must survive: a session that begins anew shows it the steps again.
Emits: `Verdict` and `Pulse` to the session; what becomes of them is written by the session (`session.tripped`).
"""

from typing import Any

import msgspec

from planaria.immune.guards.loops import Finding, StepSeen, Trace
from planaria.immune.guards.thresholds import Thresholds
from planaria.otp import GenServer, NoProcess, cast, send, send_after

LOOKS = 4
"""Looks in the time after which a turn that comes to nothing is stalled."""


class Verdict(msgspec.Struct, frozen=True):
    """To the session: what the guard finds in a turn that has come to `step` steps; None: go on."""

    turn: str
    step: int
    finding: Finding | None


class Pulse(msgspec.Struct, frozen=True):
    """To the session: say what came of your turn; it answers with `Guard.alive`, or is idle and does not."""

    seconds: float


class _Look(msgspec.Struct, frozen=True):
    """To itself."""


class Guard(GenServer):
    """Watches one session; see the module."""

    # Of the class until a turn is long enough to be shown: most guards never see one.
    turn: tuple[str, int] = ("", 0)
    trace: Trace | None = None
    steps = 0
    looking = False
    stall_seconds = 0.0

    def init(self, session: str) -> None:
        """Know whom to tell."""
        self.session = session

    @cast
    def look(
        self, turn: str, since: int, thresholds: Thresholds, first: int, steps: tuple[StepSeen, ...]
    ) -> None:
        """Judge further steps of a turn; the answer is a `Verdict`.

        Args:
            since: the first step after the turn's last restart: what was before is not held against it.
            first: number of the first of `steps`.
        """
        if self.turn != (turn, since) or self.trace is None or self.trace.thresholds != thresholds:
            self.turn, self.trace, self.steps = (turn, since), Trace(thresholds), since
        finding = None
        for number, step in enumerate(steps, first):
            if number == self.steps:
                finding = self.trace.add(step)
                self.steps += 1
        self._tell(Verdict(turn, first + len(steps), finding))

    @cast
    def watch(self, stall_seconds: float) -> None:
        """Look now and then whether anything comes of the turn that begins now."""
        self.stall_seconds = stall_seconds
        if stall_seconds and not self.looking:
            self.looking = True
            send_after(stall_seconds / LOOKS, self.pid, _Look())

    @cast
    def alive(self, turn: str, seconds: float, doing: str) -> None:
        """A turn is in hand, and nothing came of it for so many seconds, waiting for people and moments not counted."""
        if self.stall_seconds and seconds >= self.stall_seconds:
            minutes = f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"
            text = f"Nothing came of it for {minutes}; it was at this: {doing}."
            finding = Finding("stall", "time", text, {"seconds": round(seconds), "doing": doing})
            self._tell(Verdict(turn, -1, finding))
        self.watch(self.stall_seconds)

    def handle_info(self, message: Any) -> None:
        match message:
            case _Look():
                self.looking = False
                self._tell(Pulse(self.stall_seconds))
            case _:
                pass

    def _tell(self, message: object) -> None:
        try:
            send(self.session, message)
        except NoProcess:
            pass  # it is being restarted, and will show its steps anew
