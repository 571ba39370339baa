from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from planaria.cortex.durable.question import Closed, QuestionAsked, question_id
from planaria.cortex.durable.questions import Book, QuestionRefused, Questions
from planaria.cortex.errors import StoreFailed
from planaria.cortex.folded import LEAST_EVENTS
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.otp import Pid, child, exit_signal, supervisor, wait_down, wall_time, whereis
from planaria.testing.memory_store import MemoryStore
from planaria.testing.node import TestNode

DAY = 86400.0


class Rig:
    def __init__(self, node: TestNode, store: MemoryStore) -> None:
        self.node = node
        self.store = store
        self.heard: list[Closed | None] = []

    async def run[T](self, what: Callable[[], Awaitable[T]]) -> T:
        return await self.node.run(what)

    async def ask(self, key: str = "k", expires_in: float | None = None, **settings: Any) -> str:
        async def ask() -> str:
            expires = None if expires_in is None else wall_time() + expires_in
            return await Questions.ask("Deploy?", key=key, by="agent:scout", expires=expires, **settings)

        return await self.run(ask)

    async def answer(self, which: str, text: str, by: str = "ada") -> Closed:
        return await self.run(partial(Questions.answer, "questions", which, text, by=by, via="terminal"))

    def wait(self, question: str) -> Pid:
        async def wait() -> None:
            self.heard.append(await Questions.wait("questions", question))

        return self.node.spawn(wait)

    async def kill(self) -> None:
        async def kill() -> None:
            pid = whereis("questions")
            assert pid is not None
            exit_signal(pid, "kill")
            await wait_down(pid)

        await self.run(kill)
        await self.node.settle()

    async def kinds(self) -> list[str]:
        events = await self.run(partial(Journal.read, "journal", Query(session="questions")))
        return [event.kind.removeprefix("question.") for event in events]


@pytest.fixture
async def rig(node: TestNode) -> Rig:
    store = MemoryStore()
    await node.start(child(Journal, lambda: store, name="journal"))
    await node.start(supervisor(child(Questions, name="questions"), max_restarts=100, within=1.0))
    return Rig(node, store)


async def test_who_asks_waits_for_the_answer(rig: Rig) -> None:
    question = await rig.ask(options=("yes", "no"))
    rig.wait(question)
    await rig.node.settle()
    assert rig.heard == []
    await rig.answer("#1", "2: too late today")
    await rig.node.settle()
    (closed,) = rig.heard
    assert closed is not None
    assert (closed.how, closed.option, closed.text, closed.by, closed.via) == (
        "answered",
        "no",
        "too late today",
        "ada",
        "terminal",
    )


async def test_asked_again_under_its_key_it_is_the_same_question(rig: Rig) -> None:
    first = await rig.ask()
    assert await rig.ask() == first
    await rig.answer(first, "yes")
    assert await rig.ask() == first
    assert await rig.kinds() == ["asked", "answered"]


async def test_it_is_answered_once_and_says_by_whom(rig: Rig) -> None:
    await rig.ask()
    await rig.answer("1", "yes")
    with pytest.raises(QuestionRefused, match="#1 was answered by ada: yes"):
        await rig.answer("1", "no", by="bob")


async def test_of_two_who_answer_at_once_one_is_refused(rig: Rig) -> None:
    await rig.ask()
    outcomes: list[object] = []

    async def answer(by: str) -> None:
        try:
            await Questions.answer("questions", "1", by, by=by)
            outcomes.append(by)
        except QuestionRefused as error:
            outcomes.append(error)

    for pid in [rig.node.spawn(partial(answer, by)) for by in ("ada", "bob", "eve")]:
        await rig.run(partial(wait_down, pid))
    assert len([each for each in outcomes if isinstance(each, str)]) == 1
    assert await rig.kinds() == ["asked", "answered"]


async def test_an_answer_that_is_no_option_is_refused_with_the_options(rig: Rig) -> None:
    await rig.ask(options=("yes", "no"))
    with pytest.raises(QuestionRefused, match="#1 takes: 1 yes, 2 no"):
        await rig.answer("1", "perhaps")
    with pytest.raises(QuestionRefused, match="no question '9'"):
        await rig.answer("9", "yes")


async def test_a_question_expires_at_its_time_and_not_before(rig: Rig) -> None:
    rig.wait(await rig.ask(expires_in=DAY))
    await rig.node.advance(DAY - 1)
    assert rig.heard == []
    await rig.node.advance(2)
    assert [closed.how for closed in rig.heard if closed] == ["expired"]
    with pytest.raises(QuestionRefused, match="#1 has expired"):
        await rig.answer("1", "yes")


async def test_one_that_expired_while_nobody_looked_is_over_at_the_next_start(rig: Rig) -> None:
    question = await rig.ask(expires_in=DAY)
    rig.node.virtual_clock._offset += 2 * DAY
    await rig.kill()
    rig.wait(question)
    await rig.node.settle()
    assert [closed.how for closed in rig.heard if closed] == ["expired"]


async def test_expiry_is_noted_when_the_journal_is_back(rig: Rig) -> None:
    rig.wait(await rig.ask(expires_in=10.0))
    rig.store.fault = StoreFailed("the disk is full", "make room")
    await rig.node.advance(60.0)
    rig.store.fault = None
    await rig.node.advance(5.0)
    assert [closed.how for closed in rig.heard if closed] == ["expired"]


async def test_who_waits_waits_on_when_the_process_is_killed(rig: Rig) -> None:
    question = await rig.ask()
    rig.wait(question)
    await rig.node.settle()
    await rig.kill()
    await rig.node.advance(1.0)
    await rig.answer("1", "yes")
    await rig.node.advance(1.0)
    assert len(rig.heard) == 1


async def test_one_that_is_withdrawn_is_over(rig: Rig) -> None:
    rig.wait(await rig.ask())
    await rig.run(partial(Questions.withdraw, "questions", "1", by="ada", why="no need"))
    await rig.node.settle()
    assert [closed.how for closed in rig.heard if closed] == ["withdrawn"]


async def test_numbers_and_open_questions_survive_restarts_and_years(rig: Rig) -> None:
    for number in range(LEAST_EVENTS // 2 + 5):
        await rig.ask(str(number))
        await rig.answer(str(number + 1), "yes")
    await rig.ask("open")
    await rig.node.settle()
    book = await rig.run(partial(Book.load, "questions", "book"))
    assert book.unsaved < LEAST_EVENTS
    await rig.kill()
    (question,) = await rig.run(partial(Questions.pending, "questions"))
    assert question.number == LEAST_EVENTS // 2 + 6


async def test_the_answer_of_one_long_over_is_in_the_journal(rig: Rig) -> None:
    first = await rig.ask("first")
    await rig.answer("1", "the first answer")
    for number in range(510):
        await rig.ask(str(number))
        await rig.answer(str(number + 2), "yes")
    rig.wait(first)
    await rig.node.settle()
    assert [closed.text for closed in rig.heard if closed] == ["the first answer"]


async def test_one_nobody_asked_has_no_answer(rig: Rig) -> None:
    rig.wait(question_id("never"))
    await rig.node.settle()
    assert rig.heard == [None]


def test_one_that_was_erased_counts_and_is_over() -> None:
    from planaria.cortex.event import Event

    book = Book()
    asked = QuestionAsked("secret", "agent:scout").new()
    book.take(Event(1, "Q1", 0.0, "", None, "n", "p", "questions", asked.kind, {}, state="erased"))
    book.take(Event(2, "E1", 0.0, "", "Q1", "n", "p", "questions", "question.answered", {}, state="erased"))
    book.take(Event(3, "Q2", 0.0, "", None, "n", "p", "questions", asked.kind, asked.payload))
    assert [question.number for question in book.open.values()] == [2]
    assert book.closed["Q1"].answer == ""
