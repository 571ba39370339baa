"""Telling a room: a job for the durable queue, so that it is said whatever is killed meanwhile, and once.

The rooms are above this floor; `rooms/deferred.py` does the job. A room that is not there is told nothing.
"""

from planaria.cortex.durable.job import submission
from planaria.cortex.event import NewEvent

NOTICE = "room.notice"
"""The kind of work."""
GARDEN_ROOM = "garden"
"""Where people are told what is nobody's own business."""


def notice(room: str, author: str, text: str, key: str) -> NewEvent:
    """The event that has a room told; append it with what it tells of.

    Args:
        author: the service that speaks: `breakers`, `budget`.
        key: makes it one message.
    """
    payload = {"room": room, "author": author, "author_kind": "notice", "text": text}
    return submission(NOTICE, payload, key=f"{NOTICE}/{key}", label=f"tell {room}", by=author, room=room)
