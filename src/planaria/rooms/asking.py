"""Questions in rooms: puts each into its room, and takes the answers people write there.

Started by the node under the name `asking`, after the rooms. A question with a room is said there under the asker's
name, with its number and what can be answered:

    #12 Deploy now?
    1 yes, 2 no · answer with `#12 yes`

Whoever writes `#12 yes` (or `#12 2`, or `#12 yes: but not before noon`) in that room has answered it; such a message is
for the question and addressed to nobody else. How it ended is said in the room, wherever it was answered. What was
written while this process was away is found when it is back, and everything said is keyed, so it is said once.
Does badly: an answer further back than the latest 1000 messages of a room, written while this was away, is not seen.
"""

from typing import Any, ClassVar

from planaria.cortex.durable.question import SESSION, Closed, Question, expected
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.errors import JournalUnavailable
from planaria.otp import CallError, GenServer, send_after, subscribe, wall_time, whereis
from planaria.rooms.addressing import question_answered
from planaria.rooms.message import AuthorKind, RoomMessage, room_name
from planaria.rooms.room import Room, RoomRefused

AGAIN = 1.0
"""Seconds until what could not be said, or noted, is tried again."""
_KINDS: dict[str, AuthorKind] = {"agent": "agent", "workflow": "workflow"}
LOOK_BACK = 1000
RECENT = 3600.0
"""Seconds after its end in which a question's end is still said, when this was away."""
VIA = "room"


class Asking(GenServer):
    """Between the questions of a garden and its rooms."""

    trap_exit: ClassVar[bool] = True

    def init(self, questions: str = "questions") -> None:
        """Begin with what is open.

        Args:
            questions: the name of who keeps them.
        """
        self.questions = questions
        self.said: set[str] = set()  # questions that are in their rooms
        self.heard: set[str] = set()  # topics
        self.undone: list[Question | Closed | RoomMessage] = []
        subscribe(SESSION)
        self.continue_with("look")

    async def handle_continue(self, what: object) -> None:
        await self._look()

    async def _look(self) -> None:
        """Say what is open, and see whether it was answered meanwhile."""
        try:
            open_ = await Questions.pending(self.questions)
            over = await Questions.recent(self.questions, LOOK_BACK)
        except CallError:
            send_after(AGAIN, self.pid, "look")
            return
        for question in open_:
            if question.id not in self.said:
                await self._do(question)
        for closed in over:
            if closed.at > wall_time() - RECENT:
                await self._do(closed)

    async def handle_info(self, message: Any) -> None:
        match message:
            case Question() | Closed():
                await self._do(message)
            case RoomMessage(author_kind="person") if question_answered(message.text) is not None:
                await self._do(message)
            case "look":
                await self._look()
            case "again":
                undone, self.undone = self.undone, []
                for each in undone:
                    await self._do(each)
            case _:
                pass  # other talk

    async def _do(self, what: Question | Closed | RoomMessage) -> None:
        try:
            match what:
                case Question():
                    await self._put(what)
                case Closed():
                    await self._tell(what)
                case RoomMessage():
                    await self._answer(what)
        except RoomRefused:
            pass  # it never can be said; the terminal and the dashboard have it
        except (CallError, JournalUnavailable):
            if not self.undone:
                send_after(AGAIN, self.pid, "again")
            self.undone.append(what)

    async def _put(self, question: Question) -> None:
        place = room_name(question.room)
        if not question.room or whereis(place) is None:
            return
        self.said.add(question.id)
        if place not in self.heard:
            self.heard.add(place)
            subscribe(place)
        kind, _, author = question.by.partition(":")
        said = await Room.say(
            place,
            author or kind,
            question_words(question),
            author_kind=_KINDS.get(kind, "notice"),
            trace_id=question.trace_id,
            final=False,
            key=f"question/{question.id}",
            subject=question.subject,
        )
        for message in await Room.transcript(place, said.seq, LOOK_BACK):
            if message.author_kind == "person" and question_answered(message.text) is not None:
                await self._answer(message)

    async def _answer(self, message: RoomMessage) -> None:
        found = question_answered(message.text)
        assert found is not None
        number, text = found
        question = await Questions.find(self.questions, number)
        if isinstance(question, Closed) or (
            question is not None and room_name(question.room) != room_name(message.room)
        ):
            return  # told already, or asked elsewhere
        try:
            await Questions.answer(self.questions, number, text, by=message.author, via=VIA)
        except QuestionRefused as error:
            await self._say(room_name(message.room), str(error), message.trace_id, f"answer/{message.id}")

    async def _tell(self, closed: Closed) -> None:
        self.said.discard(closed.id)
        place = room_name(closed.room)
        if closed.room and whereis(place) is not None:
            await self._say(place, closed_words(closed), "", f"answered/{closed.id}")

    async def _say(self, place: str, text: str, trace_id: str, key: str) -> None:
        await Room.say(
            place,
            place.removeprefix("room:"),
            text,
            author_kind="notice",
            trace_id=trace_id,
            final=False,
            key=key,
        )


def question_words(question: Question) -> str:
    """A question as people read it in a room."""
    first = question.options[0] if question.options else "..."
    options = f"{expected(question.options)} · " if question.options else ""
    return f"**#{question.number}** {question.text}\n\n{options}answer with `#{question.number} {first}`"


def closed_words(closed: Closed) -> str:
    """How a question ended, as people read it in a room."""
    match closed.how:
        case "answered":
            how = f" in the {closed.via}" if closed.via and closed.via != VIA else ""
            return f"#{closed.number} answered by {closed.by}{how}: {closed.answer}"
        case "expired":
            return f"#{closed.number} has expired: nobody answered in time"
        case "withdrawn":
            return f"#{closed.number} was withdrawn"
