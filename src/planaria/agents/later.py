"""Children that nobody waits for: a job runs one to its end and says its result to the parent, whatever is killed.

A child that was stopped wakes nobody: with the turn that asked for it nothing is said of it, else the room is told.
"""

from collections.abc import Awaitable, Callable, Mapping

from planaria.agents.children import Household, result_of, run
from planaria.agents.desk import find, note
from planaria.agents.guard.unbegun import ending, is_stopped, stopped_by
from planaria.agents.kinship import CHILD as CHILD
from planaria.agents.kinship import ChildAsked, ChildFinished, asked_id
from planaria.cortex.durable.job import Job
from planaria.cortex.durable.work import GiveUp
from planaria.cortex.event_type import EventMismatch
from planaria.rooms.message import room_name
from planaria.rooms.room import Room, RoomRefused


def children(services: Mapping[type, object]) -> Callable[[Job], Awaitable[dict[str, str]]]:
    """The handler of the jobs of the kind `CHILD`.

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
        finished = await result_of(stream)
        if finished is None and (by := await stopped_by(asked, event.seq)):
            await note([ending(event, by)])
        if (finished := finished or await result_of(stream)) is None:
            finished = await run(stream, household)
        if finished.outcome == "stopped" and await is_stopped(asked):
            return {}
        return await _say(stream, asked, finished)

    return tell


async def _say(stream: str, asked: ChildAsked, finished: ChildFinished) -> dict[str, str]:
    """Say the result in the room, for the agent that asked; a child's child has told its parent by being read."""
    if not asked.room or asked.depth > 1:
        return {}
    how = "has finished" if finished.outcome == "answered" else f"ended without a result ({finished.outcome})"
    # Whoever stopped it wants nothing to begin by it: the parent reads of it when it is spoken to next.
    to = () if finished.outcome == "stopped" else (asked.by,)
    text = f"{stream}, which you asked to {asked.task[:200]!r}, {how}:\n\n{finished.text}"
    try:
        said = await Room.post(
            *(room_name(asked.room), asked.agent, text),
            client_id=stream,
            author_kind="workflow",
            to=to,
            hops=asked.hops,
        )
    except RoomRefused as error:
        raise GiveUp(str(error)) from error
    return {"message": said.id}
