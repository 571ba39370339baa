"""Questions to people, durable: asked once, answered once, by whoever is allowed to talk to the node.

Started by the node under the name `questions`. Who asks keeps the id and waits as long as it takes, over restarts:

    id = await Questions.ask("Deploy now?", key=call_id, by="agent:scout", options=("yes", "no"), room="garden")
    closed = await Questions.wait("questions", id)

A question is asked and answered when it is in the journal, which its caller writes; this process folds the session
`questions`, tells those who wait, and lets questions expire. It looks at the clock once a minute at least, so that
a machine that slept or a clock that was set is noticed.
Emits: `Question` and `Closed` on the topic `questions`; in the journal `question.asked`, `question.answered`,
`question.expired`, `question.withdrawn`.
Does badly: remembers the last 500 that are over; older ones are in the journal.
"""

from typing import Any, ClassVar

import msgspec

from planaria.cortex.durable.question import (
    SESSION,
    Closed,
    Question,
    QuestionAnswered,
    QuestionAsked,
    QuestionExpired,
    QuestionWithdrawn,
    closed_of,
    end_id,
    expected,
    fault,
    question_id,
    read_answer,
)
from planaria.cortex.errors import EventRefused, JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventMismatch
from planaria.cortex.folded import Folded, save
from planaria.cortex.journal import Journal
from planaria.otp import (
    CallError,
    Deferred,
    Down,
    GenServer,
    Ref,
    Server,
    Task,
    TaskDone,
    TimerRef,
    broadcast,
    call,
    cancel_timer,
    send_after,
    sleep,
    subscribe,
    wall_time,
)

SNAPSHOT = "book"
REMEMBERED = 500
"""Questions that are over and kept in memory."""
LONGEST_SLEEP = 60.0
"""Seconds until the clock is looked at again."""
PATIENCE = 0.5
"""Seconds between tries to reach this process while it is away."""
AGAIN = 1.0
"""Seconds until a question that could not be noted as expired is tried again."""


class QuestionRefused(ValueError):
    """It cannot be asked, answered or withdrawn; the text says why and what can be done."""


class Book(Folded):
    """All questions, folded."""

    count: int = 0
    open: dict[str, Question] = msgspec.field(default_factory=dict)
    closed: dict[str, Closed] = msgspec.field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """See `Folded`. One that was erased counts, and is over."""
        if event.kind == QuestionAsked.kind:
            self.count += 1
            try:
                asked = QuestionAsked.of(event)
            except EventMismatch:
                return
            self.open[event.id] = Question(
                event.id,
                self.count,
                asked.text,
                asked.by,
                asked.options,
                asked.room,
                event.at,
                asked.expires,
                event.trace_id,
                event.subject,
                asked.proof,
                asked.detail,
            )
            return
        question = self.open.pop(event.cause_id or "", None)
        number, text = (question.number, question.text) if question else (0, "")
        closed = closed_of(event, number, text)
        if closed is not None:
            room, detail = (question.room, question.detail) if question else ("", "")
            self.closed[closed.id] = msgspec.structs.replace(closed, room=room, detail=detail)
            while len(self.closed) > REMEMBERED:
                del self.closed[next(iter(self.closed))]

    def size(self) -> int:
        """See `Folded`."""
        return len(self.open) + len(self.closed)

    def named(self, which: str) -> Question | Closed | None:
        """A question by its id, or by its number with or without `#`."""
        if which in self.open:
            return self.open[which]
        if which in self.closed:
            return self.closed[which]
        number = which.removeprefix("#")
        every: tuple[Question | Closed, ...] = (*self.open.values(), *self.closed.values())
        return next((each for each in every if str(each.number) == number), None)


class _Tick(msgspec.Struct, frozen=True):
    """To itself: look what has expired."""


class Questions(GenServer):
    """The questions of a garden. `ask`, `wait`, `answer` and `withdraw` are for callers, in their own process."""

    trap_exit: ClassVar[bool] = True

    async def init(self) -> None:
        """Read what was asked."""
        subscribe(f"journal:{SESSION}")
        self.waiting: dict[str, list[Deferred[Closed | None]]] = {}
        self.expiring: set[str] = set()
        self.tasks: dict[Ref, str] = {}
        self.timer: TimerRef | None = None
        self.book = await Book.load(SESSION, SNAPSHOT)
        self._look()

    # --- for callers ---------------------------------------------------------------------------------------------

    @staticmethod
    async def ask(
        text: str,
        *,
        key: str,
        by: str,
        options: tuple[str, ...] = (),
        room: str = "",
        expires: float | None = None,
        trace_id: str = "",
        cause_id: str | None = None,
        subject: str = "",
        proof: str = "",
        detail: str = "",
    ) -> str:
        """Ask people something; the question's id. It is asked when this returns.

        Args:
            text: at most 4000 characters.
            key: the asker's own name for the question. Asked again under it, it is the same question still, whether it
                is open or over.
            by: who asks, `agent:scout`.
            options: what can be answered; with none, any text.
            room: where people are asked, beside the terminal and the dashboard.
            expires: unix seconds.
            subject: whose data the question is about.
            proof, detail: see `QuestionAsked`.
        Raises:
            QuestionRefused: it cannot be asked like this.
            JournalUnavailable, CallError: it is not certain that it was asked; ask again.
        """
        if problem := fault(text, options):
            raise QuestionRefused(problem)
        question = question_id(key)
        asked = QuestionAsked(text, by, tuple(options), room, expires, proof, detail)
        event = asked.new(session=SESSION, trace_id=trace_id, cause_id=cause_id, id=question, subject=subject)
        try:
            await Journal.append("journal", [event])
        except EventRefused as error:
            if error.duplicate_of is None:
                raise QuestionRefused(f"this cannot be written down: {error.reason}") from error
        return question

    @staticmethod
    async def wait(questions: Server, id: str) -> Closed | None:
        """How a question ends; waits for it, also while the process of this server is away.

        Returns:
            None if there is no such question, or if its content was erased while it was open.
        """
        while True:
            try:
                return await Questions.outcome.within(None)(questions, id)
            except (CallError, JournalUnavailable):
                await sleep(PATIENCE)

    @staticmethod
    async def answer(
        questions: Server, which: str, text: str, *, by: str, via: str = "", proof: str = ""
    ) -> Closed:
        """Answer a question, once.

        Args:
            which: its id, or its number: `12` or `#12`.
            text: one of its options by number or words, with a remark if wanted (`2: on Monday`), or any text if it
                has none.
            by: who answers; kept.
            via: how: `terminal`, `room`, `dashboard`.
            proof: what the caller has checked beside the words.
        Raises:
            QuestionRefused: no such question, over already, no such option, or its proof is missing.
            JournalUnavailable, CallError: it is not certain that it was answered; answer again.
        """
        question = await Questions._open(questions, which)
        said = read_answer(question.options, text)
        if said is None:
            raise QuestionRefused(f"#{question.number} takes: {expected(question.options)}")
        if question.proof != proof and question.proof and said[0] != question.options[-1]:
            raise QuestionRefused(
                f"#{question.number} needs a code of your authenticator; answer with "
                f"`planaria questions answer {question.number} {said[0]} --code 123456`, or on the dashboard"
            )
        event = QuestionAnswered(*said, by, via, proof)
        await Questions._close(questions, question, event, f"person:{by}" if by else question.subject)
        return Closed(
            *(question.id, question.number, "answered", wall_time(), *said, by, via, question.text),
            room=question.room,
            proof=proof,
            detail=question.detail,
        )

    @staticmethod
    async def withdraw(questions: Server, which: str, *, by: str, why: str = "") -> None:
        """Let nobody be asked any more. Raises as `answer`."""
        question = await Questions._open(questions, which)
        await Questions._close(questions, question, QuestionWithdrawn(by, why), question.subject)

    @staticmethod
    async def _open(questions: Server, which: str) -> Question:
        match await Questions.find(questions, which):
            case Question() as question:
                return question
            case Closed() as closed:
                raise QuestionRefused(_over(closed))
            case None:
                raise QuestionRefused(
                    f"there is no question {which!r}; `planaria questions` lists those that are open"
                )

    @staticmethod
    async def _close(
        questions: Server, question: Question, how: QuestionAnswered | QuestionWithdrawn, subject: str
    ) -> None:
        event = how.new(
            session=SESSION,
            trace_id=question.trace_id,
            cause_id=question.id,
            id=end_id(question.id),
            subject=subject,
        )
        try:
            await Journal.append("journal", [event])
        except EventRefused as error:
            if error.duplicate_of is None:
                raise QuestionRefused(f"this cannot be written down: {error.reason}") from error
            closed = await Questions.find(questions, question.id)
            over = _over(closed) if isinstance(closed, Closed) else f"#{question.number} is over"
            raise QuestionRefused(over) from error

    # --- calls ---------------------------------------------------------------------------------------------------

    @call
    def find(self, which: str) -> Question | Closed | None:
        """A question by id or number, open or of late."""
        return self.book.named(which)

    @call
    def pending(self, room: str | None = None) -> tuple[Question, ...]:
        """The open questions, oldest first; of one room only if it is given."""
        return tuple(each for each in self.book.open.values() if room is None or each.room == room)

    @call
    def recent(self, limit: int = 50) -> tuple[Closed, ...]:
        """Those that are over, latest first."""
        return tuple(self.book.closed.values())[: -1 - max(0, limit) : -1]

    @call
    def outcome(self, id: str) -> Deferred[Closed | None]:
        """How a question ended, answered when it has; see `wait`."""
        answer: Deferred[Closed | None] = self.defer()
        if (closed := self.book.closed.get(id)) is not None:
            answer.reply(closed)
        elif id in self.book.open:
            self.waiting.setdefault(id, []).append(answer)
        else:
            Task.start_link(_look_up, id, answer, label=f"question {id}")
        return answer

    # --- time and news -------------------------------------------------------------------------------------------

    def handle_info(self, message: Any) -> None:
        match message:
            case Event():
                if self.book.take(message):
                    self._tell(message)
                    self._look()
            case _Tick():
                self._look()
            case TaskDone(ref=ref) | Down(ref=ref) if ref in self.tasks:
                self.expiring.discard(self.tasks.pop(ref))
                self._look(AGAIN)
            case _:
                pass  # the exit of a task

    def _tell(self, event: Event) -> None:
        if (question := self.book.open.get(event.id)) is not None:
            broadcast(SESSION, question)
        elif (closed := self.book.closed.get(event.cause_id or "")) is not None:
            broadcast(SESSION, closed)
            for answer in self.waiting.pop(closed.id, ()):
                answer.reply(closed)
        if self.book.is_due():
            Task.start_link(save, self.book.saved(SESSION, SNAPSHOT), label="questions snapshot")

    def _look(self, at_least: float = 0.0) -> None:
        """Let expire what has; plan the next look."""
        now = wall_time()
        wait = LONGEST_SLEEP
        for question in self.book.open.values():
            if question.expires is None or question.id in self.expiring:
                continue
            if question.expires > now:
                wait = min(wait, question.expires - now)
            elif at_least:
                wait = min(wait, at_least)
            else:
                self.expiring.add(question.id)
                self.tasks[Task.start_link(_expire, question, label=f"question {question.id}")] = question.id
        if self.timer is not None:
            cancel_timer(self.timer)
        self.timer = send_after(max(wait, at_least), self.pid, _Tick())


async def _expire(question: Question) -> None:
    event = QuestionExpired().new(
        session=SESSION, trace_id=question.trace_id, cause_id=question.id, id=end_id(question.id)
    )
    try:
        await Journal.append("journal", [event])
    except (EventRefused, JournalUnavailable, CallError):
        pass  # answered at the last moment, or tried again


async def _look_up(id: str, answer: Deferred[Closed | None]) -> None:
    """A question that is over for long, or never was."""
    try:
        event = await Journal.find("journal", end_id(id))
    except (JournalUnavailable, CallError) as error:
        answer.fail(error)
    else:
        answer.reply(None if event is None else closed_of(event, 0, ""))


def _over(closed: Closed) -> str:
    if closed.how == "answered":
        return f"#{closed.number} was answered by {closed.by or 'somebody'}: {closed.answer or '(erased)'}"
    return f"#{closed.number} has {'expired' if closed.how == 'expired' else 'been withdrawn'}"
