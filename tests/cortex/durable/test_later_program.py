"""Events of a later program: the folds of the durable work go on without what they cannot read."""

from itertools import count

import pytest

from planaria.cortex.durable.dead import Box
from planaria.cortex.durable.job import Plan, WorkDied, WorkFailed, WorkFinished, WorkStarted, WorkSubmitted
from planaria.cortex.durable.letters import DeadLettered, LetterDropped, LetterReplayed
from planaria.cortex.durable.question import (
    QuestionAnswered,
    QuestionAsked,
    QuestionExpired,
    QuestionWithdrawn,
)
from planaria.cortex.durable.questions import Book
from planaria.cortex.event import Event
from planaria.cortex.event_type import EventType
from planaria.cortex.folded import Folded

LATER = 99
_places = count(1)


def event(kind: str, cause: str | None = None, *, version: int = LATER, id: str = "") -> Event:
    seq = next(_places)
    return Event(seq, id or f"e{seq}", 1.0, "t", cause, "n", "p", "s", kind, {"said": "otherwise"}, version)


def known(payload: EventType, id: str) -> Event:
    new = payload.new(session="s", id=id)
    seq = next(_places)
    return Event(seq, id, 1.0, "t", None, "n", "p", "s", new.kind, new.payload, new.version)


FOLDS: list[tuple[type[Folded], EventType, tuple[type[EventType], ...]]] = [
    (Box, DeadLettered("work", "target", "reason"), (LetterReplayed, LetterDropped)),
    (Book, QuestionAsked("Really?", "ada"), (QuestionAnswered, QuestionExpired, QuestionWithdrawn)),
    (Plan, WorkSubmitted("test"), (WorkStarted, WorkFailed, WorkFinished, WorkDied)),
]


@pytest.mark.parametrize(("fold", "first", "others"), FOLDS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_fold_goes_on_without_what_a_later_program_wrote(
    fold: type[Folded], first: EventType, others: tuple[type[EventType], ...]
):
    for other in others:
        state = fold()
        assert state.take(known(first, "one")) and state.take(event(other.kind, "one"))
        assert state.take(event(first.kind, id="two")) and state.take(event(other.kind, "two"))
        assert state.take(known(first, "three"))


def test_a_letter_that_was_closed_by_a_later_program_is_closed():
    box = Box()
    box.take(known(DeadLettered("work", "target", "reason"), "one"))
    box.take(event(LetterReplayed.kind, "one"))
    assert (list(box.open), box.closed["one"].state) == ([], "replayed")


def test_a_question_that_was_answered_by_a_later_program_is_over():
    book = Book()
    book.take(known(QuestionAsked("Really?", "ada"), "one"))
    book.take(event(QuestionAnswered.kind, "one"))
    assert (list(book.open), book.closed["one"].how) == ([], "answered")
