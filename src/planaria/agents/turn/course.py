"""How restarts, hand-offs and stops change the course of a turn: the fold of their events. Pure."""

from collections.abc import Mapping

import msgspec

from planaria.agents.turn.guard_events import (
    Course,
    RestartChosen,
    SessionHandedOff,
    SessionTripped,
    StopMark,
    Trip,
    TurnGuided,
    TurnStopped,
)
from planaria.cortex.event import Event
from planaria.membrane.gate.unknown import UNKNOWN

KINDS = (
    *(SessionTripped.kind, RestartChosen.kind, SessionHandedOff.kind, TurnGuided.kind, TurnStopped.kind),
)
GO_ON, FRESH, END = "go on", "start afresh", "stop"
OPTIONS = (GO_ON, FRESH, END)
"""What a person may say about a session that was ended."""
NOT_RUN = "This was not run: the turn was interrupted before it."
CUT_OFF = f"This was interrupted while it ran. {UNKNOWN[0].upper()}{UNKNOWN[1:]}"
ENDING = frozenset({"fresh", "amend", "reroute", "ask"})
"""Modes after which calls of tools that were under way are not made again."""


def changed(course: Course, event: Event, steps: int) -> Course:
    """The course after an event of its turn.

    Args:
        steps: model answers the turn has.
    Raises:
        EventMismatch: the event cannot be read.
    """
    match event.kind:
        case SessionTripped.kind:
            return msgspec.structs.replace(course, seen=SessionTripped.of(event).words)
        case SessionHandedOff.kind:
            return msgspec.structs.replace(course, handoff=SessionHandedOff.of(event).text)
        case RestartChosen.kind:
            return _chosen(course, RestartChosen.of(event), event.at)
        case TurnGuided.kind:
            return _guided(course, TurnGuided.of(event), steps)
        case TurnStopped.kind:
            stopped = TurnStopped.of(event)
            return msgspec.structs.replace(course, stopped=StopMark(stopped.by, stopped.why, stopped.partial))
        case _:
            return course


def _chosen(course: Course, chosen: RestartChosen, at: float) -> Course:
    if chosen.number <= len(course.trips):
        return course
    course = msgspec.structs.replace(
        course,
        trips=(*course.trips, Trip(chosen.cause, chosen.mode, course.seen, at)),
        seen="",
        watched=max(course.watched, chosen.step),
    )
    match chosen.mode:
        case "amend":
            return msgspec.structs.replace(course, amendments=(*course.amendments, chosen.amendment))
        case "reroute":
            return msgspec.structs.replace(course, excluded=(*course.excluded, chosen.exclude))
        case "fresh":
            return msgspec.structs.replace(course, since=max(course.since, chosen.since))
        case "ask":
            return msgspec.structs.replace(course, question=chosen.question)
        case "give_up":
            return msgspec.structs.replace(course, notice=chosen.notice)
        case _:
            return course


def _guided(course: Course, guided: TurnGuided, steps: int) -> Course:
    if guided.number != len(course.trips):
        return course
    course = msgspec.structs.replace(course, question="")
    by = guided.by or "somebody"
    match guided.option:
        case option if option in (GO_ON, FRESH):
            said = f"{by} says: {guided.text}" if guided.text else f"{by} has looked at this and says: go on."
            if option == FRESH:
                course = msgspec.structs.replace(course, since=steps, handoff=guided.handoff)
            return msgspec.structs.replace(course, amendments=(*course.amendments, said))
        case option if option == END:
            why = f": {guided.text}" if guided.text else ""
            return msgspec.structs.replace(course, notice=f"{by} ended this{why}")
        case _:
            return msgspec.structs.replace(course, notice="nobody said how to go on")


def cut_off_results(places: Mapping[str, bool]) -> dict[str, str]:
    """What the model is told of calls that the end of the session's process cut off, by place.

    Args:
        places: of calls without a result; whether each had begun.
    """
    return {place: CUT_OFF if begun else NOT_RUN for place, begun in places.items()}
