"""The rooms of a node: opened once, kept for ever.

Started under the name `rooms`, after the dynamic supervisor `room_processes`; opens every room it knows from the
journal. If the supervisor is lost this is restarted after it and opens them again.
Emits in the journal, session `rooms`: `room.opened`.
"""

import re

from planaria.cortex.event import NewEvent
from planaria.cortex.fold import events_of
from planaria.cortex.journal import Journal
from planaria.otp import ChildSpec, DynamicSupervisor, GenServer, call, child, dynamic, supervisor
from planaria.rooms.message import room_name
from planaria.rooms.room import Room

PROCESSES = "room_processes"
SESSION = "rooms"
OPENED = "room.opened"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")


class Rooms(GenServer):
    """The directory of rooms."""

    call_timeout = 30.0

    async def init(self) -> None:
        """Open the rooms there are."""
        self.names: list[str] = []
        async for event in events_of("journal", SESSION, kinds=(OPENED,)):
            await self._start(event.payload["room"])

    @call
    async def open(self, name: str) -> None:
        """Open a room that may be open already; answers when it can be used.

        Args:
            name: checked by `open_room`.
        """
        if name not in self.names:
            await Journal.append("journal", [NewEvent(OPENED, {"room": name}, session=SESSION)])
            await self._start(name)

    @call
    def list(self) -> list[str]:
        """The names of all rooms, sorted."""
        return sorted(self.names)

    async def _start(self, name: str) -> None:
        spec = child(Room, name, name=room_name(name))
        await DynamicSupervisor.start_child(PROCESSES, spec)
        self.names.append(name)


async def open_room(name: str) -> None:
    """Open a room, or do nothing if it is open.

    Raises:
        ValueError: no name for a room.
    """
    if not _NAME.match(name):
        raise ValueError(
            f"{name!r} is no name for a room: 1 to 64 small letters, digits, - and _, a letter or digit first"
        )
    await Rooms.open("rooms", name)


async def list_rooms() -> list[str]:
    """The names of all rooms, sorted."""
    return await Rooms.list("rooms")


def tree() -> ChildSpec:
    """The processes of this floor, as one child of the node."""
    return supervisor(
        dynamic(name=PROCESSES, max_restarts=10, within=10.0),
        child(Rooms, name="rooms"),
        strategy="rest_for_one",
        name="room_tree",
    )
