"""A room: its durable transcript, its members, and what each has still to answer.

Started by `Rooms` under the name `room:<name>`. A message is accepted when it is in the journal; then it is
broadcast on the topic `room:<name>` and delivered to the agents it is addressed to, again and again (when the member
or the room restarts) until the agent has answered it. Writes go one after the other, many to a commit, so the order
of the transcript is the order of acceptance.

Whether a write that got no answer was done nobody knows; the next write finds out, and what came through is told then.

Turn-taking: a member takes its messages one at a time, in order (`queue`); other policies belong in the member.
Does badly: keeps the last 1000 messages in memory, older ones are only in the journal. A start reads the whole stream,
1.4 s for 100 000 messages of 400 characters (measured on two slow cores, SQLite), linear in their number.
Emits in the journal, session `room:<name>`: `room.message`, `room.joined`, `room.left`.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, ClassVar

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event, NewEvent, new_id
from planaria.cortex.fold import events_of
from planaria.otp import (
    CallError,
    Deferred,
    Down,
    GenServer,
    Pid,
    Task,
    TaskDone,
    TaskRef,
    broadcast,
    call,
    cast,
    demonitor,
    monitor,
    now,
    reason_text,
    send,
    send_after,
    set_trace,
)
from planaria.rooms.addressing import addressed, strangers
from planaria.rooms.message import (
    Accepted,
    AuthorKind,
    Delivery,
    ReplyDelta,
    RoomMessage,
    TurnState,
    room_name,
)
from planaria.rooms.outbox import Entry, Refused, Written, repeatable_id, take_batch, trace_of, write
from planaria.rooms.transcript import JOINED, KINDS, LEFT, MESSAGE, Transcript

LONGEST_TEXT = 200_000
"""Characters of one message."""
LONGEST_NAME = 200
"""Characters of an author's name, and of a client id."""
PATIENCE = 5.0
"""Seconds a member may be away before those who address it are told."""
AGAIN = 1.0
"""Seconds until what must be written is tried again."""


class RoomUnavailable(CallError):
    """The room could not make the message durable; it was not accepted. Send it again with the same client id."""


class RoomRefused(CallError):
    """The message can never be accepted as it is; the text says why."""

    def __init__(self, room: str, problem: str) -> None:
        super().__init__(room, "refused", problem)


class Room(GenServer):
    """One room."""

    trap_exit: ClassVar[bool] = True
    call_timeout: ClassVar[float | None] = 30.0  # an answer waits for the disk

    async def init(self, name: str) -> None:
        """Rebuild the room from the journal."""
        self.name = name
        self.topic = room_name(name)
        self.transcript_ = Transcript(name)
        self.present: dict[str, tuple[Pid, Any]] = {}
        self.gone: dict[str, float] = {}  # members whose process is not there, and since when
        self.waiting: deque[Entry] = deque()
        self.writing: list[Entry] = []
        self.task: TaskRef | None = None
        self.last_seq = 0  # of the last event taken in
        # What was on its way when an earlier process of this room ended may be written only after this fold.
        self.unsure = True
        async for event in events_of("journal", self.topic, kinds=KINDS):
            self.last_seq = event.seq
            self.transcript_.take(event)
        self.gone = dict.fromkeys(self.transcript_.members, now())

    # --- people, gateways, workflows ----------------------------------------------------------------------------

    @call
    def post(
        self,
        author: str,
        text: str,
        client_id: str = "",
        author_kind: AuthorKind = "person",
        to: tuple[str, ...] | None = None,
    ) -> Deferred[Accepted]:
        """Say something; answered when it is durable.

        Args:
            author: who speaks.
            text: at most 200 000 characters; `@name` addresses a member.
            client_id: the sender's own id for the message. Sent twice with the same one it is one message, and
                both get the same answer.
            to: the members who are to answer, instead of what the text says.
        Raises:
            RoomUnavailable: it is not accepted; try again.
            RoomRefused: it is not accepted and never will be.
        """
        answer: Deferred[Accepted] = self.defer()
        problem = _fault(author, text, client_id)
        if problem:
            answer.fail(RoomRefused(self.topic, problem))
            return answer
        room = self.transcript_
        known = room.by_client.get(f"{author}\0{client_id}") if client_id else None
        if known is not None:
            answer.reply(known)
            return answer
        members = list(room.members)
        from_text = author_kind == "person" and to is None
        asked = (
            addressed(text, members, room.host)
            if from_text
            else [name for name in to or () if name in members]
        )
        payload: dict[str, Any] = {
            "author": author,
            "author_kind": author_kind,
            "text": text,
            "to": list(asked),
            "client_id": f"{author}\0{client_id}" if client_id else "",
        }
        event_id = repeatable_id(self.topic, "post", author, client_id) if client_id else ""
        trace_id = trace_of("", event_id)
        events = [NewEvent(MESSAGE, payload, session=self.topic, trace_id=trace_id, id=event_id)]
        if from_text and (missing := strangers(text, members)):
            here = _listed(members) or "nobody"
            events.append(self._notice(f"{_are(missing)} not in this room; here: {here}", trace_id))
        if gone := [name for name in asked if now() - self.gone.get(name, now()) > PATIENCE]:
            events.append(self._notice(f"{_are(gone)} not running now, but will answer when back", trace_id))
        self._write(Entry(tuple(events), answer))
        return answer

    @call
    def say(
        self,
        author: str,
        text: str,
        cause_id: str | None = None,
        author_kind: AuthorKind = "agent",
        model: str | None = None,
        trace_id: str = "",
        final: bool = True,
        key: str = "",
    ) -> Deferred[Accepted]:
        """Let an agent or a workflow speak.

        Args:
            cause_id: the message this answers. An agent answers a message once: saying it again changes nothing.
            final: whether the message is answered with it; False for a remark on the way.
            key: makes a remark, or a message of a workflow, harmless to repeat.
        Raises:
            RoomUnavailable: it is not durable; say it again.
            RoomRefused: it never will be.
        """
        answer: Deferred[Accepted] = self.defer()
        if cause_id is not None and final:
            event_id = repeatable_id(self.topic, "reply", author, cause_id)
        else:
            event_id = repeatable_id(self.topic, "key", author, key) if key else ""
        payload = {"author": author, "author_kind": author_kind, "text": text, "model": model, "final": final}
        trace_id = trace_of(trace_id, event_id)
        event = NewEvent(
            MESSAGE, payload, session=self.topic, trace_id=trace_id, cause_id=cause_id, id=event_id
        )
        self._write(Entry((event,), answer))
        return answer

    @call
    def transcript(self, after_seq: int = 0, limit: int = 200) -> list[RoomMessage]:
        """The latest messages after a place, oldest first."""
        return self.transcript_.page(after_seq, limit)

    @call
    def members(self) -> list[str]:
        """The agents of this room."""
        return list(self.transcript_.members)

    @call
    def absent(self) -> list[str]:
        """The members whose process is not there now."""
        return list(self.gone)

    @call
    def pending(self, agent: str) -> list[RoomMessage]:
        """What an agent has not answered, oldest first."""
        return list(self.transcript_.pending.get(agent, {}).values())

    # --- members --------------------------------------------------------------------------------------------------

    @call
    def join(self, agent: str, pid: Pid, host: bool = False) -> list[RoomMessage]:
        """Become a member, or come back as one after a restart.

        Returns:
            What the agent has not answered yet, oldest first; what comes later arrives as `Delivery`.
        """
        before = self.present.get(agent)
        if before is not None:
            demonitor(before[1], flush=True)
        self.present[agent] = (pid, monitor(pid))
        self.gone.pop(agent, None)
        if self.transcript_.members.get(agent) is not host:
            self.transcript_.members[agent] = host
            joined = NewEvent(JOINED, {"agent": agent, "host": host}, session=self.topic, trace_id=new_id())
            self._write(Entry((joined,), keep=True))
        return list(self.transcript_.pending.get(agent, {}).values())

    @call
    def leave(self, agent: str) -> None:
        """Stop being a member: what it has not answered stays unanswered, with a notice."""
        before = self.present.pop(agent, None)
        if before is not None:
            demonitor(before[1], flush=True)
        if agent not in self.transcript_.members:
            return
        self.gone.pop(agent, None)
        del self.transcript_.members[agent]  # at once: what is posted from now on is not for it
        trace_id = new_id()
        events = [NewEvent(LEFT, {"agent": agent}, session=self.topic, trace_id=trace_id)]
        left = len(self.transcript_.pending.get(agent, {}))
        if left:
            what = "a message to it stays" if left == 1 else f"{left} messages to it stay"
            events.append(self._notice(f"{agent} has left; {what} unanswered", trace_id))
        self._write(Entry(tuple(events), keep=True))

    @cast
    def delta(self, author: str, cause_id: str, text: str) -> None:
        """A piece of an answer being written."""
        broadcast(self.topic, ReplyDelta(self.name, author, cause_id, text))

    @cast
    def state(self, agent: str, state: str, cause_id: str) -> None:
        """What a member does now."""
        broadcast(self.topic, TurnState(self.name, agent, state, cause_id))

    # --- writing ----------------------------------------------------------------------------------------------------

    def _notice(self, text: str, trace_id: str) -> NewEvent:
        payload = {"author": self.name, "author_kind": "notice", "text": text}
        return NewEvent(MESSAGE, payload, session=self.topic, trace_id=trace_id)

    def _write(self, entry: Entry) -> None:
        self.waiting.append(entry)
        self._begin()

    def _begin(self) -> None:
        if self.task is None and self.waiting:
            self.writing = take_batch(self.waiting)
            entries = tuple(entry.events for entry in self.writing)
            after = self.last_seq if self.unsure else None
            self.task = Task.start_link(
                _write_or_say, self.topic, entries, after, label=f"{self.topic} write"
            )

    def handle_info(self, message: Any) -> None:
        """A write is over, a member is gone."""
        match message:
            case TaskDone(ref=ref, value=Written() as written) if ref is self.task:
                self.task = None
                self._written(written)
                self._begin()
            case TaskDone(ref=ref, value=str() as problem) if ref is self.task:
                self._not_written(problem)
            case Down(ref=ref, reason=reason) if ref is self.task:
                self._not_written(f"writing ended with {reason_text(reason)}")
            case Down(ref=ref):
                for agent, (_, watched) in list(self.present.items()):
                    if watched is ref:
                        del self.present[agent]
                        self.gone[agent] = now()
            case "again":
                self._begin()
            case _:
                pass  # the exit of a task that has said how it went

    def _written(self, written: Written) -> None:
        entries, self.writing = self.writing, []
        self.unsure = False
        for event in written.events:
            if event.seq > self.last_seq:
                self.last_seq = event.seq
                self._take(event)
        for entry, outcome in zip(entries, written.outcomes, strict=True):
            if entry.answer is None:
                continue
            if isinstance(outcome, Refused):
                entry.answer.fail(RoomRefused(self.topic, f"this cannot be written down: {outcome.problem}"))
            else:
                entry.answer.reply(Accepted(outcome.id, outcome.seq))

    def _not_written(self, problem: str) -> None:
        entries, self.writing = self.writing, []
        self.task = None
        self.unsure = True  # it may be on disk all the same
        for entry in entries:
            if entry.answer is not None:
                entry.answer.fail(RoomUnavailable(self.topic, "unavailable", problem))
        self.waiting.extendleft(entry for entry in reversed(entries) if entry.keep)
        if any(entry.answer is not None for entry in self.waiting):
            self._begin()
        elif self.waiting:
            send_after(AGAIN, self.pid, "again")

    def _take(self, event: Event) -> None:
        message = self.transcript_.take(event)
        if message is None:
            return
        set_trace(message.trace_id)
        broadcast(self.topic, message)
        for agent in message.to:
            member = self.present.get(agent)
            if member is not None:
                send(member[0], Delivery(message))


async def _write_or_say(
    session: str, entries: tuple[tuple[NewEvent, ...], ...], unsure_after: int | None
) -> Written | str:
    """Write; the reason in words if that is not possible now."""
    try:
        return await write(session, entries, KINDS, unsure_after)
    except (JournalUnavailable, CallError, LookupError) as error:
        return str(error)


def _fault(author: str, text: str, client_id: str) -> str:
    """Why a message cannot be accepted as it is; empty if it can."""
    if not text.strip():
        return "the message is empty"
    if len(text) > LONGEST_TEXT:
        return (
            f"a message has at most {LONGEST_TEXT} characters, this one has {len(text)}; put it into a note"
        )
    if not author.strip() or len(author) > LONGEST_NAME:
        return f"an author's name has 1 to {LONGEST_NAME} characters"
    if len(client_id) > LONGEST_NAME:
        return f"a client id has at most {LONGEST_NAME} characters"
    try:
        f"{author}{text}{client_id}".encode()
    except UnicodeEncodeError as error:
        return f"the message has characters that are no text (lone surrogates): {error.reason}"
    return ""


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"@{name}" for name in names)


def _are(names: Sequence[str]) -> str:
    return f"{_listed(names)} {'is' if len(names) == 1 else 'are'}"
