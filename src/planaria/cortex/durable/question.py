"""A question to people: what is asked, and how an answer is read. Events of the session `questions`. Pure.

A question has a number, counted in the garden, for people to name it by: `#12`. It is over when it is answered, has
expired or was withdrawn, whichever is written first: all three have the same id, and the journal takes an id once.
"""

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from planaria.cortex.event import Event, repeatable_id
from planaria.cortex.event_type import EventMismatch, EventType

SESSION = "questions"
"""The stream of all questions, and the topic on which they are told."""
LONGEST_TEXT = 4000
MOST_OPTIONS = 20
LONGEST_OPTION = 200
"""Characters of an option."""

type How = Literal["answered", "expired", "withdrawn"]


class QuestionAsked(EventType, frozen=True):
    """Somebody asks people something.

    Attributes:
        options: what can be answered; with none, any text.
        by: who asks, `agent:scout`.
        room: where it is asked; empty: nowhere in particular.
        expires: unix seconds; None: never.
        proof: what an answer needs beside words, but for the last option: `totp`, a code of an authenticator. It is
            checked by who takes the answer.
        detail: id of the event that has in full what this is about.
    """

    kind = "question.asked"

    text: str
    by: str
    options: tuple[str, ...] = ()
    room: str = ""
    expires: float | None = None
    proof: str = ""
    detail: str = ""


class QuestionAnswered(EventType, frozen=True):
    """A person has answered.

    Attributes:
        option: one of the question's; `text` is what was said beside it.
        via: how: `terminal`, `room`, `dashboard`.
        proof: what was checked beside the words.
    """

    kind = "question.answered"

    option: str
    text: str
    by: str
    via: str = ""
    proof: str = ""


class QuestionExpired(EventType, frozen=True):
    """Nobody has answered in time."""

    kind = "question.expired"


class QuestionWithdrawn(EventType, frozen=True):
    """Nobody wants to know any more."""

    kind = "question.withdrawn"

    by: str = ""
    why: str = ""


class Question(msgspec.Struct, frozen=True):
    """A question that is open. `at` and `expires` are unix seconds; see `QuestionAsked`."""

    id: str
    number: int
    text: str
    by: str
    options: tuple[str, ...]
    room: str
    at: float
    expires: float | None
    trace_id: str = ""
    subject: str = ""
    proof: str = ""
    detail: str = ""


class Closed(msgspec.Struct, frozen=True):
    """How a question ended. Without an answer `option`, `text` and `by` are empty."""

    id: str
    number: int
    how: How
    at: float
    option: str = ""
    text: str = ""
    by: str = ""
    via: str = ""
    question: str = ""
    room: str = ""
    proof: str = ""
    detail: str = ""

    @property
    def answer(self) -> str:
        """What was answered, as one text."""
        return ": ".join(filter(None, (self.option, self.text)))


def question_id(key: str) -> str:
    """The id of a question by the key of who asks it: asked again it is the same question."""
    return repeatable_id(SESSION, key)


def end_id(question: str) -> str:
    """The id of the end of a question."""
    return repeatable_id(SESSION, question, "end")


_NUMBER = re.compile(r"\s*(\d{1,3})(?:[.):,]|\s|\Z)\s*(.*)\Z", re.DOTALL)
_AFTER = re.compile(r"[\s.,:;!?()-]*")


def read_answer(options: Sequence[str], text: str) -> tuple[str, str] | None:
    """An answer as (option, what was said beside it); None if it names none of the options.

    An option is named by its number, from 1, or by its words in any case; `yes: but later` is `yes` with a remark.
    Without options any text that is not empty is an answer.
    """
    said = text.strip()
    if not options:
        return ("", said) if said else None
    folded = said.casefold()
    for option in sorted(options, key=len, reverse=True):
        wanted = option.strip().casefold()
        if folded.startswith(wanted) and not folded[len(wanted) : len(wanted) + 1].isalnum():
            rest = said[len(option.strip()) :]
            return option, rest[_AFTER.match(rest).end() :]  # type: ignore[union-attr]  # it matches the empty text
    found = _NUMBER.match(said)
    if found and 1 <= int(found[1]) <= len(options):
        return options[int(found[1]) - 1], found[2].strip()
    return None


def expected(options: Sequence[str]) -> str:
    """What can be answered, for people: `1 yes, 2 no`."""
    return ", ".join(f"{number} {option}" for number, option in enumerate(options, 1)) or "any text"


def fault(text: str, options: Sequence[str]) -> str:
    """Why this cannot be asked; empty if it can."""
    if not text.strip() or len(text) > LONGEST_TEXT:
        return f"a question has 1 to {LONGEST_TEXT} characters"
    if len(options) > MOST_OPTIONS or len({option.strip().casefold() for option in options}) != len(options):
        return f"a question has at most {MOST_OPTIONS} options, no two alike"
    if any(not option.strip() or len(option) > LONGEST_OPTION for option in options):
        return f"an option has 1 to {LONGEST_OPTION} characters"
    return ""


def closed_of(event: Event, number: int, question: str) -> Closed | None:
    """How a question ended, from the event that says so; None for another kind. Survives what cannot be read."""
    how = _HOW.get(event.kind)
    if how is None:
        return None
    closed = Closed(event.cause_id or "", number, how, event.at, question=question)
    if how == "answered":
        try:
            said = QuestionAnswered.of(event)
        except EventMismatch:
            return closed
        return msgspec.structs.replace(
            closed, option=said.option, text=said.text, by=said.by, via=said.via, proof=said.proof
        )
    return closed


_HOW: dict[str, How] = {
    QuestionAnswered.kind: "answered",
    QuestionExpired.kind: "expired",
    QuestionWithdrawn.kind: "withdrawn",
}
