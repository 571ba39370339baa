"""Tools for rooms: say something where people and agents read it.

The message is keyed by the call, so a call that is made again, after a crash or as the next attempt of a workflow's
step, is still one message.
"""

from collections.abc import Mapping
from typing import Any

from planaria.membrane.capability import Touch
from planaria.membrane.scopes.names import HERE
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.otp import whereis
from planaria.rooms.message import AuthorKind, room_name
from planaria.rooms.room import Room
from planaria.rooms.rooms import list_rooms

_KINDS: dict[str, AuthorKind] = {"agent": "agent", "workflow": "workflow", "person": "person"}


def _touches(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return (Touch("rooms.post", str(arguments["room"]).removeprefix("room:") or HERE),)


@tool(needs={"rooms.post"}, touches=_touches, branches=("ok",), idempotent=True)
async def say(context: Context, text: str, room: str = "") -> Done | Failed:
    """Say something in a room.

    Args:
        text: Markdown; not empty.
        room: the room's name; by default the room of the conversation.
    """
    name = (room or context.room or "").removeprefix("room:")
    if not name:
        return Failed(f"name the room to speak in: {await _known()}")
    if whereis(room_name(name)) is None:
        return Failed(f"there is no room {name!r}; there are: {await _known()}")
    if not text.strip():
        return Failed("there is nothing to say: the text is empty")
    kind, _, author = context.caller.partition(":")
    accepted = await Room.say(
        room_name(name),
        author or kind,
        text,
        cause_id=context.cause_id,
        author_kind=_KINDS.get(kind, "agent"),
        trace_id=context.trace_id,
        final=False,
        key=context.effect,
    )
    return Done({"room": name, "id": accepted.id}, text=f"Said in {name}.")


async def _known() -> str:
    return ", ".join(await list_rooms()) or "none"
