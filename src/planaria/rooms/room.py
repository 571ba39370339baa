"""A room: its durable transcript, its members, and what each has still to answer.

Started by `Rooms` under the name `room:<name>`. A message is accepted when it is in the journal; then it is
broadcast on the topic `room:<name>` and delivered to the agents it is addressed to, again and again (when the member
or the room restarts) until the agent has answered it. Writes go one after the other, many to a commit, so the order
of the transcript is the order of acceptance.

Whether a write that got no answer was done nobody knows; the next write finds out, and what came through is told then.

Turn-taking: a member takes its messages one at a time, in order; others are its own (`agents/turn/arrivals.py`).
A start takes a snapshot (members, what waits) and reads what came after it; earlier messages are read when somebody
asks for them. Snapshots are made every 1000 events and at an orderly stop.
Does badly: the first start without a snapshot reads the whole stream. What waits for a member that never comes back is
kept until it is made to leave.
Emits in the journal, session `room:<name>`: see `rooms/events.py`. Spans: `room.post`, `room.say`.
"""

from collections import deque
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec

from planaria.cortex.codec.commit import Appended, Overtaken, Posted, Unavailable
from planaria.cortex.codec.prepare import Refused as NotWritable
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event, NewEvent, former_id, new_id, repeatable_id
from planaria.cortex.event_type import EventType
from planaria.cortex.fold import events_of
from planaria.cortex.journal import Journal
from planaria.cortex.store import Snapshot
from planaria.cortex.telemetry.conventions import message_key, spoken_under
from planaria.cortex.telemetry.span import begin_span
from planaria.otp import (
    CallError,
    Deferred,
    Down,
    GenServer,
    Pid,
    Ref,
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
from planaria.rooms.addressing import addressed, arrivals_asked, stop_asked, strangers
from planaria.rooms.admission import fault, has_left, not_here, not_running, unanswered_by
from planaria.rooms.events import MemberJoined, MemberLeft, MessageRedelivered, MessageSaid
from planaria.rooms.giving_up import given_up, reply_id
from planaria.rooms.message import (
    Accepted,
    Arrivals,
    AuthorKind,
    Delivery,
    ReplyDelta,
    RoomMessage,
    StopAsked,
    TurnState,
    room_name,
    subject_of,
)
from planaria.rooms.outbox import LONGEST_WRITE, Entry, Refused, Written, placed, take_batch, write
from planaria.rooms.past import Unread, again, earlier, messages, redelivery_id
from planaria.rooms.transcript import (
    KINDS,
    REMEMBERED,
    SNAPSHOT,
    SNAPSHOT_VERSION,
    Standing,
    Transcript,
)

PATIENCE = 5.0
"""Seconds a member may be away before those who address it are told."""
AGAIN = 1.0
"""Seconds until what must be written is tried again."""
SNAPSHOT_EVERY = 1000
"""Events after which it is kept how the room stands; at a stop a tenth of them is enough."""


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

    posted: object | None = None  # names the write under way, if no task makes it
    posted_at = 0.0
    looking = False  # whether it is looked after how long a write takes
    journal: Ref | None = None  # the monitor of the journal that was posted to

    async def init(self, name: str) -> None:
        """Rebuild the room from the journal."""
        self.name = name
        self.topic = room_name(name)
        self.transcript_ = Transcript(name)
        self.present: dict[str, tuple[Pid, Any]] = {}
        self.to_stop: dict[str, StopAsked] = {}  # what members that are not there will be told
        self.gone: dict[str, float] = {}  # members whose process is not there, and since when
        self.waiting: deque[Entry] = deque()
        self.writing: list[Entry] = []
        self.task: TaskRef | None = None
        self.tasks: dict[Ref, str] = {}  # those that read, or keep a snapshot: what for
        self.readers: list[
            tuple[Deferred[list[RoomMessage]], int, int]
        ] = []  # who waits for earlier messages
        self.redelivering: dict[Ref, tuple[str, Deferred[int]]] = {}
        self.last_seq = 0  # of the last event taken in
        self.since_kept = 0  # events since the latest snapshot
        self.earlier: int | None = None  # messages before this place are not in memory and never were
        # What was on its way when an earlier process of this room ended may be written only after this fold.
        self.unsure = True
        await self._rebuild()
        self.gone = dict.fromkeys(self.transcript_.members, now())
        self._keep_if_due()

    async def _rebuild(self) -> None:
        kept = await _load(self.topic)
        if kept is not None:
            standing, self.last_seq = kept
            self.transcript_.stand(standing)
            self.earlier = self.last_seq + 1
        first = 0
        said: list[RoomMessage] = []
        async for event in events_of("journal", self.topic, kinds=KINDS, after_seq=self.last_seq):
            first = first or event.seq
            self.last_seq = event.seq
            self.since_kept += 1
            message = self.transcript_.take(event)
            if message is not None and message.author_kind == "person" and not message.to:
                said.append(message)
        for message in said:
            self._stop_again(message)
        if kept is None and self.transcript_.origin is not None:
            self.earlier = first + 1
        for message_id, message in (await messages(self.transcript_.unread())).items():
            self.transcript_.recall(message_id, message)
        self._give_up_left()

    # --- people, gateways, workflows ----------------------------------------------------------------------------

    @call
    def post(
        self,
        author: str,
        text: str,
        client_id: str = "",
        author_kind: AuthorKind = "person",
        to: tuple[str, ...] | None = None,
        arrivals: Arrivals | Literal[""] = "",
        hops: int = 0,
    ) -> Deferred[Accepted]:
        """Say something; answered when it is durable.

        Args:
            author: who speaks.
            text: at most 200 000 characters; `@name` addresses a member, `/stop` ends what members do;
                `/steer`, `/collect`, `/interrupt` or `/queue` before it stands for `arrivals`.
            client_id: the sender's own id for the message. Sent twice with the same one it is one message, and
                both get the same answer.
            to: the members who are to answer, instead of what the text says.
            arrivals: what becomes of it with those who are at work; by default as each of them does it.
            hops: turns of agents that led to it.
        Raises:
            RoomUnavailable: it is not accepted; try again.
            RoomRefused: it is not accepted and never will be.
        """
        answer: Deferred[Accepted] = self.defer()
        problem = fault(author, text, client_id)
        if problem:
            answer.fail(RoomRefused(self.topic, problem))
            return answer
        room = self.transcript_
        event_id = repeatable_id(self.topic, "post", author, client_id) if client_id else new_id()
        known = room.messages.get(event_id) if client_id else None
        if known is not None:  # an older one is found when the journal refuses it
            answer.reply(Accepted(known.id, known.seq))
            return answer
        members = list(room.members)
        from_text = author_kind == "person" and to is None
        if from_text and not arrivals:
            arrivals, text = arrivals_asked(text)
        asked = (
            addressed(text, members, room.host)
            if from_text
            else tuple(name for name in to or () if name in members)
        )
        if from_text and stop_asked(text, members) is not None:
            asked = ()
            self._stop(author, text)  # at once: spending does not wait for the disk
        trace_id = event_id
        subject = subject_of(author) if author_kind == "person" else ""
        said = MessageSaid(author, author_kind, text, asked, client_id, arrivals=arrivals, hops=hops)
        events = [self._event(said, trace_id, id=event_id, subject=subject)]
        if from_text and (missing := strangers(text, members)):
            events.append(self._notice(not_here(missing, members), trace_id))
        if gone := [name for name in asked if now() - self.gone.get(name, now()) > PATIENCE]:
            events.append(self._notice(not_running(gone), trace_id))
        key = message_key(event_id)
        span = begin_span("room.post", {"planaria.room": self.name}, trace_id=trace_id, key=key)
        former = self._former("post", author, client_id) if client_id else ""
        self._write(Entry(tuple(events), answer, span=span, former=former))
        return answer

    def _stop(self, by: str, text: str, place: int = 0) -> None:
        """Tell those whom a `/stop` means; those that are being restarted, when they are back."""
        found = stop_asked(text, list(self.transcript_.members))
        if found is None:
            return
        whom, why = found
        for agent in whom:
            member = self.present.get(agent)
            if member is not None:
                send(member[0], StopAsked(by, why=why, before=place))
            elif place:
                self.to_stop[agent] = StopAsked(by, why=why, before=place)

    def _stop_again(self, said: RoomMessage) -> None:
        """A `/stop` that was said, and all was killed before it took hold: it holds for what was said before it.

        Not where something was asked for once more: that may have come after the stop.
        """
        found = stop_asked(said.text, list(self.transcript_.members))
        for agent in found[0] if found is not None else ():
            pending = self.transcript_.pending
            waiting = tuple(pending[agent].values()) if agent in pending else ()
            earlier = any(each.message is None or each.message.seq < said.seq for each in waiting)
            if found is not None and earlier and all(each.attempt == 1 for each in waiting):
                self.to_stop[agent] = StopAsked(said.author, why=found[1], before=said.seq)

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
        attempt: int = 1,
        subject: str = "",
        answers: Mapping[str, int] | None = None,
        ending: tuple[NewEvent, ...] = (),
    ) -> Deferred[Accepted]:
        """Let an agent or a workflow speak.

        Args:
            cause_id: the message this answers. An agent answers a message once: saying it again changes nothing.
            final: whether the message is answered with it; False for a remark on the way.
            key: makes a remark, or a message of a workflow, harmless to repeat.
            attempt: that of the delivery this answers; each attempt is answered once.
            answers: further messages that are answered with it, each with its attempt.
            ending: events of other sessions that are written with it, all or none; those that are there already stay.
            trace_id, subject: what it is part of, and whose data it is; by default those of the message it answers,
                while the room remembers it. Without either a trace begins here.
        Raises:
            RoomUnavailable: it is not durable; say it again.
            RoomRefused: it never will be.
        """
        answer: Deferred[Accepted] = self.defer()
        if cause_id is not None and final:
            event_id = reply_id(self.name, author, cause_id, attempt)
        else:
            event_id = repeatable_id(self.topic, "key", author, key) if key else new_id()
        said = MessageSaid(
            *(author, author_kind, text),
            model=model,
            final=final,
            attempt=attempt,
            answers=dict(answers or {}),
        )
        cause = self._cause(author, cause_id)
        if cause is not None:
            trace_id, subject = trace_id or cause.trace_id, subject or cause.subject
        trace_id = trace_id or event_id
        event = self._event(said, trace_id, id=event_id, cause_id=cause_id, subject=subject)
        answered = cause_id if author_kind == "agent" else None
        under = spoken_under(author, self.name, answered, attempt, key)
        span = begin_span("room.say", {"planaria.room": self.name}, trace_id=trace_id, under=under)
        former = self._former("key", author, key) if key and (cause_id is None or not final) else ""
        self._write(Entry((event,), answer, span=span, former=former, tail=ending))
        return answer

    def _cause(self, author: str, cause_id: str | None) -> RoomMessage | None:
        """The message that is answered, while the room remembers it."""
        if cause_id is None:
            return None
        waiting = self.transcript_.waits(author, cause_id)
        return self.transcript_.messages.get(cause_id) or (None if waiting is None else waiting.message)

    @call
    def redeliver(self, message_id: str, agent: str) -> Deferred[int]:
        """Make a message wait for an agent's answer again, whether it was answered, given up, or left behind.

        Returns:
            The number of the attempt, 2 or more; it is in the journal.
        Raises:
            RoomRefused: it waits already, there is no such message, it was erased, or no such member is here.
            RoomUnavailable: try again.
        """
        answer: Deferred[int] = self.defer()
        if agent not in self.transcript_.members:
            answer.fail(RoomRefused(self.topic, f"{agent!r} is no member of this room"))
        elif self.transcript_.waits(agent, message_id) is not None:
            answer.fail(RoomRefused(self.topic, f"the message {message_id!r} waits for {agent} already"))
        else:
            task = Task.start_link(again, self.name, message_id, agent, label=f"{self.topic} redeliver")
            self.redelivering[task] = (agent, answer)
        return answer

    def _redeliver(self, ref: Ref, found: object) -> None:
        agent, answer = self.redelivering.pop(ref)
        match found:
            case Delivery(message=message, attempt=attempt):
                waiting = self.transcript_.waits(agent, message.id)
                if waiting is not None:  # asked for twice at once
                    answer.reply(waiting.attempt)
                    return
                self.transcript_.lend(message)
                event = self._event(
                    MessageRedelivered(message.id, agent, attempt),
                    message.trace_id,
                    id=redelivery_id(self.name, message.id, agent, attempt),
                    cause_id=message.id,
                )
                self._write(Entry((event,), answer, value=attempt))
            case Refused(problem=problem):
                answer.fail(RoomRefused(self.topic, problem))
            case Unread(problem=problem):
                answer.fail(RoomUnavailable(self.topic, "unavailable", problem))
            case reason:
                answer.fail(RoomUnavailable(self.topic, "unavailable", reason_text(reason)))

    @call
    def transcript(self, after_seq: int = 0, limit: int = 200) -> Deferred[list[RoomMessage]]:
        """The latest messages after a place, oldest first.

        Raises:
            RoomUnavailable: earlier ones are asked for and cannot be read from the journal now.
        """
        answer: Deferred[list[RoomMessage]] = self.defer()
        page = self.transcript_.page(after_seq, limit)
        if self.earlier is None or after_seq >= self.earlier or len(page) >= min(limit, REMEMBERED):
            answer.reply(page)
        else:
            self.readers.append((answer, after_seq, limit))
            if "earlier" not in self.tasks.values():
                room = REMEMBERED - len(self.transcript_.messages)
                self._read(earlier, self.name, self.earlier, room, what="earlier")
        return answer

    def _remember(self, found: object) -> None:
        readers, self.readers = self.readers, []
        if isinstance(found, list):
            self.transcript_.remember(found)
            self.earlier = None
        for answer, after_seq, limit in readers:
            if isinstance(found, list):
                answer.reply(self.transcript_.page(after_seq, limit))
            else:
                problem = found.problem if isinstance(found, Unread) else reason_text(found)
                answer.fail(RoomUnavailable(self.topic, "unavailable", problem))

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
        return [delivery.message for delivery in self.transcript_.deliveries(agent)]

    @call
    def around(self, agent: str) -> tuple[list[str], list[str]]:
        """What an agent has to know before it thinks: ids of what it has not answered, and the agents of this room."""
        return list(self.transcript_.pending.get(agent, ())), list(self.transcript_.members)

    # --- members --------------------------------------------------------------------------------------------------

    @call
    def enrol(self, agent: str, host: bool = False) -> None:
        """Make an agent a member before its process comes: what is said from now on reaches it when it joins."""
        if agent not in self.present:
            self.gone.setdefault(agent, now())
        self._enter(agent, host)

    @call
    def join(self, agent: str, pid: Pid, host: bool = False) -> list[Delivery]:
        """Become a member, or come back as one after a restart.

        Returns:
            What the agent has not answered yet, oldest first; what comes later arrives as `Delivery`.
        """
        before = self.present.get(agent)
        if before is not None:
            demonitor(before[1], flush=True)
        self.present[agent] = (pid, monitor(pid))
        self.gone.pop(agent, None)
        if (stop := self.to_stop.pop(agent, None)) is not None:
            send(pid, stop)
        self._enter(agent, host)
        return self.transcript_.deliveries(agent)

    def _enter(self, agent: str, host: bool) -> None:
        if self.transcript_.members.get(agent) is not host:
            self.transcript_.members[agent] = host
            joined = self._event(MemberJoined(agent, host), new_id())
            self._write(Entry((joined,), keep=True))

    @call
    def leave(self, agent: str) -> None:
        """Stop being a member: what it has not answered is given up, with a notice and a dead letter each."""
        before = self.present.pop(agent, None)
        if before is not None:
            demonitor(before[1], flush=True)
        if agent not in self.transcript_.members:
            return
        self.gone.pop(agent, None)
        self.to_stop.pop(agent, None)
        del self.transcript_.members[agent]  # at once: what is posted from now on is not for it
        trace_id = new_id()
        events = [self._event(MemberLeft(agent), trace_id)]
        if left := len(self.transcript_.pending.get(agent, {})):
            events.append(self._notice(has_left(agent, left), trace_id))
        self._write(Entry(tuple(events), keep=True))

    @cast
    def delta(self, author: str, cause_id: str, text: str, again: str = "", step: int = 0) -> None:
        """A piece of an answer being written; see `ReplyDelta`."""
        broadcast(self.topic, ReplyDelta(self.name, author, cause_id, text, again, step))

    @cast
    def state(self, agent: str, state: str, cause_id: str, doing: str = "") -> None:
        """What a member does now."""
        broadcast(self.topic, TurnState(self.name, agent, state, cause_id, doing))

    # --- writing ----------------------------------------------------------------------------------------------------

    def _notice(self, text: str, trace_id: str) -> NewEvent:
        return self._event(MessageSaid(self.name, "notice", text), trace_id)

    def _event(
        self, what: EventType, trace_id: str, *, id: str = "", cause_id: str | None = None, subject: str = ""
    ) -> NewEvent:
        # The room speaks, not the task that writes for it: its name is the same for years.
        return what.new(
            session=self.topic,
            process=self.topic,
            trace_id=trace_id,
            cause_id=cause_id,
            id=id,
            subject=subject,
        )

    def _former(self, *parts: str) -> str:
        """The id that an earlier build would have given, if one has written anything here."""
        return former_id(self.topic, *parts) if self.transcript_.former else ""

    def _write(self, entry: Entry) -> None:
        self.waiting.append(entry)
        self._begin()

    def _begin(self) -> None:
        if self.task is None and self.posted is None and self.waiting:
            self.writing = take_batch(self.waiting)
            if self.unsure or any(entry.former for entry in self.writing):
                self._write_with_care()
            else:
                self._post()

    def _post(self) -> None:
        """Hand the entries to the journal as they are, which is nearly always enough."""
        if self.journal is None:
            self.journal = monitor("journal")
        self.posted, self.posted_at = object(), now()
        if not self.looking:
            self.looking = True
            send_after(LONGEST_WRITE, self.pid, "slow")
        events = [event for entry in self.writing for event in (*entry.events, *entry.tail)]
        Journal.post("journal", tuple(events), self.posted)

    def _write_with_care(self) -> None:
        """Write the entries in a task, which looks what of them is in the journal already."""
        entries = tuple(entry.events for entry in self.writing)
        tails = tuple(entry.tail for entry in self.writing)
        after = self.last_seq if self.unsure else None
        former = tuple(entry.former for entry in self.writing)
        self.task = Task.start_link(
            _write_or_say, self.topic, entries, after, former, tails, label=f"{self.topic} write"
        )

    def _has_posted(self, answer: object) -> None:
        self.posted = None
        match answer:
            case Appended(events=events):
                self._written(placed(self.writing, events))
                self._begin()
            case NotWritable():
                self._write_with_care()  # one of them is there already, or cannot be written
            case Unavailable(cause=cause, mend=mend, retry=retry):
                self._not_written(str(JournalUnavailable(cause, mend, retry)))
            case Overtaken(lease=lease):
                self._not_written(f"another has the lease {lease!r}")
            case _:
                raise AssertionError(f"the journal answered {answer!r}")

    def _look_after_write(self) -> None:
        self.looking = False
        if self.posted is None:
            return
        left = self.posted_at + LONGEST_WRITE - now()
        if left <= 0.0:
            self.posted = None
            self._not_written("the journal did not answer in time")
        else:
            self.looking = True
            send_after(left, self.pid, "slow")

    def handle_info(self, message: Any) -> None:
        """A write is over, a member is gone."""
        match message:
            case Posted(ref=posted, answer=answered):
                if posted is self.posted:
                    self._has_posted(answered)
            case TaskDone(ref=ref, value=Written() as written) if ref is self.task:
                self.task = None
                self._written(written)
                self._begin()
            case TaskDone(ref=ref, value=str() as problem) if ref is self.task:
                self._not_written(problem)
            case Down(ref=ref, reason=reason) if ref is self.task:
                self._not_written(f"writing ended with {reason_text(reason)}")
            case TaskDone(ref=ref, value=value) if ref in self.redelivering:
                self._redeliver(ref, value)
            case Down(ref=ref, reason=reason) if ref in self.redelivering:
                self._redeliver(ref, reason)
            case TaskDone(ref=ref, value=value) if ref in self.tasks:
                self._has_read(self.tasks.pop(ref), value)
            case Down(ref=ref, reason=reason) if ref in self.tasks:
                self._has_read(self.tasks.pop(ref), reason)
            case Down(ref=ref, reason=reason) if ref is self.journal:
                self.journal = None
                if self.posted is not None:
                    self.posted = None
                    self._not_written(f"the journal ended: {reason_text(reason)}")
            case "slow":
                self._look_after_write()
            case Down(ref=ref):
                for agent, (_, watched) in list(self.present.items()):
                    if watched is ref:
                        del self.present[agent]
                        self.gone[agent] = now()
            case "again":
                self._begin()
            case "read":
                self._read(messages, self.transcript_.unread(), what="waiting")
            case _:
                pass  # the exit of a task that has said how it went

    def _read(self, work: Any, *args: Any, what: str) -> None:
        self.tasks[Task.start_link(work, *args, label=f"{self.topic} {what}")] = what

    def _has_read(self, what: str, found: object) -> None:
        if what == "earlier":
            self._remember(found)
        elif what == "waiting" and isinstance(found, dict):
            for message_id, message in found.items():
                self.transcript_.recall(message_id, message)
                self._deliver_again(message_id)
        elif what == "waiting":
            send_after(AGAIN, self.pid, "read")

    def _deliver_again(self, id: str) -> None:
        for agent, waiting in self.transcript_.pending.items():
            again = waiting.get(id)
            member = self.present.get(agent)
            if again is not None and again.message is not None and member is not None:
                send(member[0], Delivery(again.message, again.attempt))

    def _keep_if_due(self) -> None:
        """Keep how the room stands, if enough has happened and all of it is in the journal."""
        if self.since_kept < SNAPSHOT_EVERY or "snapshot" in self.tasks.values():
            return
        if self._is_settled():
            self.since_kept = 0
            self._read(_keep, self._snapshot(), what="snapshot")

    def _is_settled(self) -> bool:
        # Who joins or leaves is taken for that before it is written.
        return not any(entry.keep for entry in (*self.waiting, *self.writing))

    def _snapshot(self) -> Snapshot:
        data = msgspec.json.encode(self.transcript_.standing())
        return Snapshot(self.topic, SNAPSHOT, SNAPSHOT_VERSION, self.last_seq, data)

    async def terminate(self, reason: object) -> None:
        """Keep how the room stands, so that the next start is short."""
        if self.since_kept >= SNAPSHOT_EVERY // 10 and self._is_settled():
            await _keep(self._snapshot())

    def _written(self, written: Written) -> None:
        entries, self.writing = self.writing, []
        self.unsure = False
        for event in written.events:
            if event.seq > self.last_seq:
                self.last_seq = event.seq
                self.since_kept += 1
                self._take(event)
        self._give_up_left()
        self._keep_if_due()
        for entry, outcome in zip(entries, written.outcomes, strict=True):
            if entry.answer is None:
                continue
            if isinstance(outcome, Refused):
                self._fail(entry, RoomRefused(self.topic, f"this cannot be written down: {outcome.problem}"))
            else:
                place = Accepted(outcome.id, outcome.seq) if entry.value is None else entry.value
                entry.answer.reply(place)
                if entry.span is not None:
                    entry.span.stop()

    def _give_up_left(self) -> None:
        """Write the dead letters about what those who left had not answered; one that is there already stays one."""
        for agent, each in self.transcript_.left:
            if each.message is not None:
                why = unanswered_by(agent)
                self._write(
                    Entry((given_up(self.name, each.message, agent, why, attempt=each.attempt),), keep=True)
                )
        self.transcript_.left.clear()

    def _not_written(self, problem: str) -> None:
        entries, self.writing = self.writing, []
        self.task = None
        self.unsure = True  # it may be on disk all the same
        for entry in entries:
            self._fail(entry, RoomUnavailable(self.topic, "unavailable", problem))
        self.waiting.extendleft(entry for entry in reversed(entries) if entry.keep)
        if any(entry.answer is not None for entry in self.waiting):
            self._begin()
        elif self.waiting:
            send_after(AGAIN, self.pid, "again")

    def _fail(self, entry: Entry, error: CallError) -> None:
        if entry.answer is not None:
            entry.answer.fail(error)
        if entry.span is not None:
            entry.span.fail(type(error).__name__, str(error))

    def _take(self, event: Event) -> None:
        message = self.transcript_.take(event)
        if event.kind == MessageRedelivered.kind and event.cause_id is not None:
            self._deliver_again(event.cause_id)
            if event.cause_id in self.transcript_.unread():
                self.handle_info("read")
        if message is None:
            return
        set_trace(message.trace_id)
        broadcast(self.topic, message)
        if message.author_kind == "person" and not message.to:
            # Once more: what was said before it has now been delivered.
            self._stop(message.author, message.text, message.seq)
        for agent in message.to:
            member = self.present.get(agent)
            if member is not None:
                send(member[0], Delivery(message))


async def _write_or_say(
    session: str,
    entries: tuple[tuple[NewEvent, ...], ...],
    unsure_after: int | None,
    former: tuple[str, ...],
    tails: tuple[tuple[NewEvent, ...], ...],
) -> Written | str:
    """Write; the reason in words if that is not possible now."""
    try:
        return await write(session, entries, KINDS, unsure_after, former, tails)
    except (JournalUnavailable, CallError, LookupError) as error:
        return str(error)


async def _load(session: str) -> tuple[Standing, int] | None:
    """How a room stood, and the event after which; None if no snapshot fits."""
    try:
        kept = await Journal.load_snapshot("journal", session, SNAPSHOT, SNAPSHOT_VERSION)
        return None if kept is None else (msgspec.json.decode(kept.data, type=Standing), kept.seq)
    except (JournalUnavailable, msgspec.DecodeError):
        return None  # the journal tells it all, if slower


async def _keep(snapshot: Snapshot) -> None:
    """Keep a snapshot; without it the next start is slower, and that is all."""
    try:
        await Journal.save_snapshot("journal", snapshot)
    except (JournalUnavailable, CallError):
        pass
