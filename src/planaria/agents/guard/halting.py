"""What a stop is aimed at, what is written of it, and what became of it."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from planaria.agents.desk import Desk, note
from planaria.agents.turn.estimate import Estimate
from planaria.agents.turn.guard_events import StopMode, TurnStopped
from planaria.agents.turn.turn import Turn
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import NewEvent
from planaria.otp import CallError, Deferred

type Kind = Literal["session", "agent", "room", "all"]

PREFIX = "session:"
"""Names of sessions begin with it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is stopped.

    Attributes:
        name: of the session (with or without `session:`), the agent or the room; empty for all.
    """

    kind: Kind
    name: str = ""

    def includes(self, session: str) -> bool:
        """Whether a session of this name is meant: itself, or below it."""
        agent, _, room = session.removeprefix(PREFIX).partition("@")
        room = room.partition("/")[0]
        match self.kind:
            case "session":
                whole = PREFIX + self.name.removeprefix(PREFIX)
                return session == whole or session.startswith(f"{whole}/")
            case "agent":
                return agent == self.name
            case "room":
                return room == self.name
            case "all":
                return True


class Halted(msgspec.Struct, frozen=True):
    """What became of one session.

    Attributes:
        turns: those that were stopped; none if it was idle.
        problem: why it is not certain that the stop is in the journal; empty if it is.
    """

    session: str
    turns: tuple[str, ...] = ()
    problem: str = ""


@dataclass(slots=True)
class Halting:
    """A stop on its way into the journal.

    Attributes:
        turns: that are stopped; the first is the one in hand if `current`.
        answers: who waits for it.
    """

    turns: tuple[Turn, ...]
    current: bool
    answers: list[Deferred[Halted]] = field(default_factory=list)


async def note_stops(
    desk: Desk,
    turns: Sequence[Turn],
    by: str,
    mode: StopMode,
    why: str,
    partial: str,
    ahead: Sequence[NewEvent],
    estimate: Estimate | None = None,
) -> None:
    """Write that turns are stopped, and that those began which had not; while the journal is away, wait.

    Args:
        partial: what the first had said.
        ahead: events that are to be written first, some of which may be there already.
        estimate: of the model call that was cut off.
    What people were asked in these turns is withdrawn: an answer would change nothing.
    """
    events = list(ahead)
    for number, turn in enumerate(turns):
        if not turn.begun:
            events.append(desk.started(turn, len(turn.steps)))
        stopped = TurnStopped(turn.id, by, mode, why, "" if number else partial, None if number else estimate)
        events.append(desk.event(turn, stopped, turn.id))
    await note(events)
    await _withdraw(desk, {turn.message.trace_id for turn in turns}, by)


async def _withdraw(desk: Desk, traces: Set[str], by: str) -> None:
    try:
        for question in await Questions.pending("questions"):
            if question.trace_id in traces and question.by == f"agent:{desk.agent}":
                await Questions.withdraw("questions", question.id, by=by, why="the turn was stopped")
    except (QuestionRefused, JournalUnavailable, CallError):
        pass  # answered just now, or away: the stop holds, and a question that is left expires
