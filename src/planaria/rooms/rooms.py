"""The rooms of a node: opened once, kept for ever; a fork is a room whose transcript begins with that of another.

Started under the name `rooms`, after the dynamic supervisor `room_processes`; opens every room it knows from the
journal. If the supervisor is lost this is restarted after it and opens them again; restarted alone it finds them open.
A start reads one event for each room there is.
Emits in the journal, session `rooms`: `room.opened`; in that of a fork, as its first event: `room.forked`.
"""

import re
from typing import Any, ClassVar

from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import Event, repeatable_id
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.fold import events_of
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
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
from planaria.rooms.events import DIRECTORY, RoomForked, RoomOpened
from planaria.rooms.message import room_name
from planaria.rooms.outbox import Refused
from planaria.rooms.room import Room, RoomRefused, RoomUnavailable

PROCESSES = "room_processes"
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
        async for event in events_of("journal", DIRECTORY, kinds=(RoomOpened.kind,)):
            name = _opened(event)
            if name is not None and name not in self.names:
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
            self.tasks[Task.start_link(_open, name, None, label=f"open {name}")] = name
        return answer

    @call
    def fork(self, name: str, of: str, until_seq: int) -> Deferred[None]:
        """Open a room that begins with what was said in another; see `fork_room`."""
        answer: Deferred[None] = self.defer()
        if of not in self.names:
            answer.fail(RoomRefused(room_name(name), f"there is no room {of!r} to go on from"))
        elif name in self.opening:
            answer.fail(RoomRefused(room_name(name), "it is being opened; try again"))
        else:
            self.opening[name] = [answer]
            self.tasks[Task.start_link(_open, name, RoomForked(of, until_seq), label=f"fork {name}")] = name
        return answer

    @call
    def list(self) -> list[str]:
        """The names of all rooms, sorted."""
        return sorted(self.names)

    def handle_info(self, message: Any) -> None:
        match message:
            case TaskDone(ref=ref, value=(str() | Refused() | None) as problem) if ref in self.tasks:
                self._is_open(self.tasks.pop(ref), problem)
            case Down(ref=ref, reason=reason) if ref in self.tasks:
                self._is_open(self.tasks.pop(ref), reason_text(reason))
            case _:
                pass  # the exit of a task that has said how it went

    def _is_open(self, name: str, problem: str | Refused | None) -> None:
        if problem is None:
            self.names.add(name)
        for answer in self.opening.pop(name):
            if problem is None:
                answer.reply(None)
            elif isinstance(problem, Refused):
                answer.fail(RoomRefused(room_name(name), problem.problem))
            else:
                answer.fail(RoomUnavailable(room_name(name), "unavailable", problem))


def _opened(event: Event) -> str | None:
    """The room of a `room.opened`; None if that cannot be read."""
    try:
        return RoomOpened.of(event).room
    except EventMismatch:
        return None


async def _open(name: str, origin: RoomForked | None) -> str | Refused | None:
    """Note and start a room; the reason in words if that is not possible now, or never."""
    session = room_name(name)
    known = repeatable_id(session, RoomForked.kind)
    events = [
        RoomOpened(name).new(
            session=DIRECTORY, process=DIRECTORY, id=repeatable_id(DIRECTORY, RoomOpened.kind, name)
        )
    ]
    try:
        if origin is not None:
            events.append(origin.new(session=session, process=DIRECTORY, id=known))
            newest = await Journal.read("journal", Query(limit=1, newest_first=True))
            if not 0 < origin.until_seq <= newest[0].seq:
                return Refused(f"there is no event {origin.until_seq}; the latest is {newest[0].seq}")
        await Journal.append("journal", events)
    except EventRefused as error:
        if error.duplicate_of is None:
            raise
        if origin is not None and not await _is_fork(known, origin):
            return Refused("there is a room of this name already, which begins otherwise")
    except (JournalUnavailable, CallError) as error:
        return str(error)
    try:
        await _start(name)
    except (StartFailed, CallError) as error:
        return str(error)
    return None


async def _is_fork(event_id: str, origin: RoomForked) -> bool:
    """Whether a room was opened as this fork; False, too, while the journal cannot tell."""
    try:
        event = await Journal.find("journal", event_id)
        return event is not None and RoomForked.of(event) == origin
    except (JournalUnavailable, CallError, EventMismatch):
        return False


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
    _check(name)
    await Rooms.open("rooms", name)


async def fork_room(name: str, of: str, until_seq: int) -> None:
    """Open a room whose transcript begins with that of another, or do nothing if it is open as that.

    Nothing is copied: the other's messages are read where they are. Members and what waits for an answer are not
    taken over.

    Args:
        name: of the new room.
        of: the room to go on from.
        until_seq: the place in the journal of the last event that belongs to both.
    Raises:
        ValueError: no name for a room.
        RoomRefused: there is no such room or place, or one of this name that begins otherwise.
        RoomUnavailable: it could not be opened now.
    """
    _check(name)
    await Rooms.fork("rooms", name, of, until_seq)


def _check(name: str) -> None:
    if not _NAME.match(name):
        raise ValueError(
            f"{name!r} is no name for a room: 1 to 64 small letters, digits, - and _, a letter or digit first"
        )


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
