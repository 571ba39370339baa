"""The rooms of a node: opened once, kept for ever.

Started under the name `rooms`, after the dynamic supervisor `room_processes`; opens every room it knows from the
journal. If the supervisor is lost this is restarted after it and opens them again; restarted alone it finds them open.
Emits in the journal, session `rooms`: `room.opened`.
"""

import re
from typing import Any, ClassVar

from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import NewEvent
from planaria.cortex.fold import events_of
from planaria.cortex.journal import Journal
from planaria.otp import (
    AlreadyStarted,
    CallError,
    ChildSpec,
    Deferred,
    Down,
    DynamicSupervisor,
    GenServer,
    Ref,
    StartFailed,
    Task,
    TaskDone,
    call,
    child,
    dynamic,
    reason_text,
    supervisor,
)
from planaria.rooms.message import room_name
from planaria.rooms.outbox import repeatable_id
from planaria.rooms.room import Room, RoomUnavailable

PROCESSES = "room_processes"
SESSION = "rooms"
OPENED = "room.opened"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")


class Rooms(GenServer):
    """The directory of rooms."""

    trap_exit: ClassVar[bool] = True
    call_timeout: ClassVar[float | None] = 30.0

    async def init(self) -> None:
        """Open the rooms there are."""
        self.names: set[str] = set()
        self.opening: dict[str, list[Deferred[None]]] = {}
        self.tasks: dict[Ref, str] = {}
        async for event in events_of("journal", SESSION, kinds=(OPENED,)):
            name = event.payload["room"]
            if name not in self.names:
                await _start(name)
                self.names.add(name)

    @call
    def open(self, name: str) -> Deferred[None]:
        """Open a room that may be open already; answers when it can be used.

        Args:
            name: checked by `open_room`.
        Raises:
            RoomUnavailable: it could not be opened; try again.
        """
        answer: Deferred[None] = self.defer()
        if name in self.names:
            answer.reply(None)
        elif name in self.opening:
            self.opening[name].append(answer)
        else:
            self.opening[name] = [answer]
            self.tasks[Task.start_link(_open, name, label=f"open {name}")] = name
        return answer

    @call
    def list(self) -> list[str]:
        """The names of all rooms, sorted."""
        return sorted(self.names)

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=(str() | None) as problem) if ref in self.tasks:
                self._opened(self.tasks.pop(ref), problem)
            case Down(ref=ref, reason=reason) if ref in self.tasks:
                self._opened(self.tasks.pop(ref), reason_text(reason))
            case _:
                pass  # the exit of a task that has said how it went

    def _opened(self, name: str, problem: str | None) -> None:
        if problem is None:
            self.names.add(name)
        for answer in self.opening.pop(name):
            if problem is None:
                answer.reply(None)
            else:
                answer.fail(RoomUnavailable(room_name(name), "unavailable", problem))


async def _open(name: str) -> str | None:
    """Note and start a room; the reason in words if that is not possible now."""
    opened = NewEvent(OPENED, {"room": name}, session=SESSION, id=repeatable_id(SESSION, OPENED, name))
    try:
        await Journal.append("journal", [opened])
    except EventRefused as error:
        if error.duplicate_of is None:
            raise
    except (JournalUnavailable, CallError) as error:
        return str(error)
    try:
        await _start(name)
    except (StartFailed, CallError) as error:
        return str(error)
    return None


async def _start(name: str) -> None:
    """Start a room's process, unless it runs."""
    try:
        await DynamicSupervisor.start_child(PROCESSES, child(Room, name, name=room_name(name)))
    except StartFailed as error:
        if not isinstance(error.reason, AlreadyStarted):
            raise


async def open_room(name: str) -> None:
    """Open a room, or do nothing if it is open.

    Raises:
        ValueError: no name for a room.
        RoomUnavailable: it could not be opened now.
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
        name="room_floor",
        max_restarts=10,
        within=30.0,
    )
