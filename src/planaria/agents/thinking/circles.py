"""What the transcript of a room says about a turn that is about to begin: whether it is one more of a circle. Pure."""

from collections.abc import Sequence

from planaria.agents.desk import Desk
from planaria.agents.turn.turn import Turn
from planaria.immune.guards.circles import Exchange, circling
from planaria.immune.guards.loops import Finding
from planaria.rooms.message import RoomMessage


def is_looked_at(turn: Turn) -> bool:
    """Whether a turn may be one of a circle: no person began it, and it was not ended for one before."""
    trips = turn.course.trips
    return turn.message.author_kind == "workflow" and all(trip.cause != "circle" for trip in trips)


def circle(desk: Desk, turn: Turn, talk: Sequence[RoomMessage]) -> Finding | None:
    """What is wrong with it; see `immune/guards/circles.py`.

    Args:
        talk: the end of the room's transcript, oldest first.
    """
    message, guards = turn.message, desk.definition.guards
    asked = {each.id: each for each in talk if each.author_kind != "notice" and each.seq < message.seq}
    before: list[Exchange] = []
    attended = False
    for each in reversed(talk):
        if each.seq >= message.seq:
            continue
        if each.author_kind == "person":
            attended = True
            break
        question = asked.get(each.cause_id or "")
        if each.author == desk.agent and question is not None:
            before.append(Exchange(question.author, question.text, each.text, question.at))
    alone = not attended or len(before) >= guards.rounds
    new = Exchange(message.author, message.text, "", message.at)
    return circling(guards, new, message.hops, before, alone)
