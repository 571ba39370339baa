"""What a person does while the node works: asks until it is accepted, answers questions, replays dead letters."""

from collections.abc import Awaitable, Callable, Sequence

from planaria.cortex.durable.dead import Dead, DeadRefused
from planaria.cortex.durable.question import Question
from planaria.cortex.durable.questions import QuestionRefused, Questions
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.cortex.store import SessionRow, Stored
from planaria.cortex.upkeep.verify import verify
from planaria.membrane.gate.unknown import AGAIN
from planaria.otp import CallError, receive, sleep
from tests.crash.boundary import rest


async def attend(is_over: Callable[[Sequence[Event]], bool], seen: list[Event] | None = None) -> list[Event]:
    """Answer and replay what there is until all is over; the journal then. `seen` gets it as it was last read.

    Subscribe to it before.
    """
    while True:
        try:
            events = await Journal.read("journal")
            if seen is not None:
                seen[:] = events
            if is_over(events):
                return events
            for question in rest.open_questions(events):
                await answer(question)
            for letter in rest.open_letters(events):
                await replay(letter)
        except (CallError, JournalUnavailable):
            pass
        try:
            await receive(timeout=0.2)
        except TimeoutError:
            pass


async def broken_chains() -> list[str]:
    """Where the journal's chains do not hold."""
    return [str(each) for each in (await verify(Chains(), read=unreadable)).breaks]


async def persist(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until there is an answer: whoever is asked may not be there yet."""
    while True:
        try:
            await ask()
            return
        except CallError:
            await sleep(0.05)


async def answer(question: str) -> None:
    """Answer a question as a person would: do it again, and yes."""
    try:
        found = await Questions.find("questions", question)
        if isinstance(found, Question):
            text = AGAIN if AGAIN in found.options else "yes"
            await Questions.answer("questions", question, text, by="ada", via="test")
    except (CallError, QuestionRefused):
        pass


async def replay(letter: str) -> None:
    """Have it done again what was given up."""
    try:
        await Dead.replay("dead", letter, by="ada")
    except (CallError, DeadRefused):
        pass


class Chains:
    """The journal as what `verify` walks."""

    async def read(self, query: Query) -> list[Stored]:
        """See `EventStore.read`."""
        return await Journal.stored("journal", query)

    async def sessions(self, prefix: str = "", limit: int | None = None) -> list[SessionRow]:
        """See `EventStore.sessions`."""
        return await Journal.sessions("journal", prefix, limit)


async def unreadable(query: Query) -> str | None:
    """What hinders reading these events."""
    try:
        await Journal.read("journal", query)
    except JournalUnavailable as error:
        return error.cause
    return None
