"""Methods about what waits for a person or a time: questions, dead letters, planned work."""

import msgspec

from planaria.cortex.durable.dead import Dead, DeadRefused, Letter, LetterView
from planaria.cortex.durable.job import Job
from planaria.cortex.durable.question import Closed, Question
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.durable.work import Work
from planaria.cortex.errors import JournalUnavailable
from planaria.membrane.gate.answering import answer as answer_question
from planaria.nerve.methods.method import Channel, Services
from planaria.nerve.protocol import ControlError

MOST = 1000
TERMINAL = "terminal"


class WhichQuestions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The open questions, of one room if it is given; with `closed`, that many of those that are over."""

    room: str | None = None
    closed: int = 0


class QuestionList(msgspec.Struct, frozen=True):
    """Open ones oldest first, those that are over latest first."""

    open: tuple[Question, ...]
    closed: tuple[Closed, ...]


class Answering(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question by number or id, and what is answered; `by` is kept, the `code` of an authenticator is not."""

    question: str
    text: str
    by: str
    via: str = TERMINAL
    code: str = ""


class Withdrawing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question nobody is to be asked any more."""

    question: str
    by: str
    why: str = ""


class WhichLetters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the open letters, latest first; with `closed` those that were closed of late, too."""

    closed: bool = False
    limit: int = 100


class WhichLetter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A letter by number or id."""

    letter: str


class Closing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A letter to replay or to drop, and who says so."""

    letter: str
    by: str
    why: str = ""


class Replayed(msgspec.Struct, frozen=True):
    """The replay is accepted: this job does it."""

    work: str


class WhichWork(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Open jobs, the next first; of one room if it is given."""

    room: str | None = None
    limit: int = 100


class Cancelling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A job by its id."""

    work: str
    by: str
    why: str = ""


async def questions(params: WhichQuestions, services: Services, channel: Channel) -> QuestionList:
    """The questions to people."""
    open_ = await Questions.pending("questions", params.room)
    closed = await Questions.recent("questions", min(params.closed, MOST)) if params.closed else ()
    return QuestionList(open_, closed)


async def answer(params: Answering, services: Services, channel: Channel) -> Closed:
    """Answer a question, once."""
    try:
        return await answer_question(
            "questions", params.question, params.text, by=params.by, via=params.via, code=params.code
        )
    except (QuestionRefused, JournalUnavailable) as error:
        raise _refused(error) from error


async def withdraw(params: Withdrawing, services: Services, channel: Channel) -> dict[str, bool]:
    """Withdraw a question."""
    try:
        await Questions.withdraw("questions", params.question, by=params.by, why=params.why)
    except (QuestionRefused, JournalUnavailable) as error:
        raise _refused(error) from error
    return {"withdrawn": True}


async def letters(params: WhichLetters, services: Services, channel: Channel) -> tuple[Letter, ...]:
    """The dead letters."""
    return await Dead.letters("dead", params.closed, min(params.limit, MOST))


async def letter(params: WhichLetter, services: Services, channel: Channel) -> LetterView:
    """A dead letter with its evidence."""
    try:
        return await Dead.show("dead", params.letter)
    except (DeadRefused, JournalUnavailable) as error:
        raise _refused(error) from error


async def replay(params: Closing, services: Services, channel: Channel) -> Replayed:
    """Have done again what a dead letter is about."""
    try:
        return Replayed(await Dead.replay("dead", params.letter, by=params.by))
    except (DeadRefused, JournalUnavailable) as error:
        raise _refused(error) from error


async def drop(params: Closing, services: Services, channel: Channel) -> dict[str, bool]:
    """Drop a dead letter."""
    try:
        await Dead.drop("dead", params.letter, by=params.by, why=params.why)
    except (DeadRefused, JournalUnavailable) as error:
        raise _refused(error) from error
    return {"dropped": True}


async def work(params: WhichWork, services: Services, channel: Channel) -> tuple[Job, ...]:
    """What is planned, and what is tried again."""
    return await Work.jobs("work", params.room, None, (), min(params.limit, MOST))


async def cancel(params: Cancelling, services: Services, channel: Channel) -> dict[str, bool]:
    """Cancel a job."""
    try:
        return {"cancelled": await Work.cancel("work", params.work, by=params.by, why=params.why)}
    except JournalUnavailable as error:
        raise _refused(error) from error


def _refused(error: QuestionRefused | DeadRefused | JournalUnavailable) -> ControlError:
    if isinstance(error, JournalUnavailable):
        return ControlError("unavailable", error.cause, error.mend)
    return ControlError("refused", str(error))
