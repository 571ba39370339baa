"""Children that nobody waits for: a job runs one to its end and says its result to the parent, whatever is killed."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from planaria.agents.children import Household, result_of, run
from planaria.agents.desk import find
from planaria.agents.kinship import ChildAsked, ChildFinished, asked_id
from planaria.cortex.durable.job import Job
from planaria.cortex.durable.work import GiveUp
from planaria.cortex.event_type import EventMismatch
from planaria.rooms.message import room_name
from planaria.rooms.room import Room, RoomRefused

CHILD: Literal["agents.child"] = "agents.child"
"""The kind of these jobs; the payload names the child."""


def children(services: Mapping[type, object]) -> Callable[[Job], Awaitable[dict[str, str]]]:
    """The handler of these jobs.

    Args:
        services: of agents' tools, as `with_household` makes them.
    """
    household = services[Household]
    assert isinstance(household, Household)

    async def tell(job: Job) -> dict[str, str]:
        stream = str(job.payload["child"])
        event = await find(asked_id(stream))
        if event is None:
            raise GiveUp(f"nobody asked for {stream}")
        try:
            asked = ChildAsked.of(event)
        except EventMismatch as error:
            raise GiveUp(str(error)) from error
        finished = await result_of(stream) or await run(stream, household)
        return await _say(stream, asked, finished)

    return tell


async def _say(stream: str, asked: ChildAsked, finished: ChildFinished) -> dict[str, str]:
    """Say the result in the room, for the agent that asked; a child's child has told its parent by being read."""
    if not asked.room or asked.depth > 1:
        return {}
    how = "has finished" if finished.outcome == "answered" else f"ended without a result ({finished.outcome})"
    text = f"{stream}, which you asked to {asked.task[:200]!r}, {how}:\n\n{finished.text}"
    try:
        said = await Room.post(
            room_name(asked.room), asked.agent, text, client_id=stream, author_kind="workflow", to=(asked.by,)
        )
    except RoomRefused as error:
        raise GiveUp(str(error)) from error
    return {"message": said.id}
