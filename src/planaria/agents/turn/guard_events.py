"""What guards, restarts, hand-offs and stops write into a session's stream. All have the turn as their cause.

They are folded by `take` in `turn.py` into `Turn.course`: nothing else changes what a restarted session does.
"""

from typing import Any, ClassVar, Literal

import msgspec

from planaria.agents.turn.estimate import Estimate
from planaria.cortex.event_type import EventType
from planaria.immune.guards.restart import Cause, Mode
from planaria.membrane.provider import Usage

type StopMode = Literal["cancel", "kill"]
"""`cancel` lets running work unwind (its cleanup runs, for a second at most); `kill` does not wait for that."""


class SessionTripped(EventType, frozen=True, omit_defaults=True):
    """A guard has ended the session's process over its turn.

    Attributes:
        number: which trip of the turn, from 1.
        step: model answers the turn had by then.
        words: what was seen, in a sentence.
        evidence: what it was seen by: names, counts and digests, no contents.
        estimate: what the model call that was cut off with it is taken to have cost.
    """

    kind: ClassVar[str] = "session.tripped"
    turn: str
    number: int
    cause: Cause
    words: str
    step: int = 0
    evidence: dict[str, Any] = msgspec.field(default_factory=dict)
    estimate: Estimate | None = None


class RestartChosen(EventType, frozen=True, omit_defaults=True):
    """What the next process does otherwise. Written before the session's process ends.

    Attributes:
        number: the trip that it answers.
        step: model answers the turn had by then; guards judge those after it.
        why: how the policy came to it.
        amendment: the instruction that is added to the system text; of `amend`.
        exclude: the model that is not to answer again; of `reroute`.
        since: with `fresh`, the first step that is shown; those before give way to the hand-off note.
        question: what a person is asked; of `ask`.
        notice: what the room is told; of `give_up`.
    """

    kind: ClassVar[str] = "restart.chosen"
    turn: str
    number: int
    cause: Cause
    mode: Mode
    step: int = 0
    why: str = ""
    amendment: str = ""
    exclude: str = ""
    since: int = 0
    question: str = ""
    notice: str = ""


class SessionHandedOff(EventType, frozen=True, omit_defaults=True):
    """What a session leaves its fresh successor, in Markdown.

    Attributes:
        by: `model` deliberated it; `mechanical`: it was put together from the turn.
        since: steps of the turn that it stands for; they stay in the journal.
        references: names of the tool results it stands for; `session.result` reads them.
        problem: why no model wrote it, if one was asked.
        provider, model, usage, cost_micro: of the call that wrote it.
    """

    kind: ClassVar[str] = "session.handed_off"
    turn: str
    number: int
    text: str
    by: Literal["model", "mechanical"]
    since: int
    references: tuple[str, ...] = ()
    problem: str = ""
    provider: str = ""
    model: str = ""
    usage: Usage = Usage()
    cost_micro: int | None = None


class TurnGuided(EventType, frozen=True, omit_defaults=True):
    """A person has said how a turn goes on; `option` is empty if nobody did in time. `handoff`: of a fresh start."""

    kind: ClassVar[str] = "turn.guided"
    turn: str
    number: int
    option: str = ""
    text: str = ""
    by: str = ""
    handoff: str = ""


class TurnStopped(EventType, frozen=True, omit_defaults=True):
    """Somebody has stopped a turn: it is over, and its message is not handled again.

    Attributes:
        partial: what had been written of the answer by then.
        by: who: a person, `budget`, or a parent session.
        estimate: what the model call that was cut off with it is taken to have cost.
    """

    kind: ClassVar[str] = "turn.stopped"
    turn: str
    by: str
    mode: StopMode = "cancel"
    why: str = ""
    partial: str = ""
    estimate: Estimate | None = None


class Trip(msgspec.Struct, frozen=True):
    """A restart a turn has behind it; `at` in unix seconds."""

    cause: Cause
    mode: Mode
    words: str = ""
    at: float = 0.0


class StopMark(msgspec.Struct, frozen=True):
    """By whom a turn was stopped, why, and what it had said."""

    by: str
    why: str = ""
    partial: str = ""


class Course(msgspec.Struct, frozen=True):
    """What changed the course of a turn, folded.

    Attributes:
        trips: its restarts, oldest first.
        seen: what the guard saw last, until the choice about it is known.
        amendments: instructions added to the system text.
        excluded: models that are not to answer, `provider/model`.
        since: the first step that is shown; earlier ones are in `handoff`.
        handoff: the note they left.
        watched: steps before it are no longer held against the turn.
        question: the text a person is asked, while that is open.
        notice: why the turn is given up; empty if it is not.
        stopped: given, it is over.
    """

    trips: tuple[Trip, ...] = ()
    seen: str = ""
    amendments: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    since: int = 0
    handoff: str = ""
    watched: int = 0
    question: str = ""
    notice: str = ""
    stopped: StopMark | None = None


STRAIGHT = Course()
"""Of a turn that nothing has changed."""
