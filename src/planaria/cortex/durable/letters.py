"""Dead letters: what was accepted and never will be done by itself, with the reason and the evidence.

Whoever gives something up writes the letter in the same append as the end of what it gives up:

    await Journal.append("journal", [turn_failed, letter("room.message", reason, target=..., evidence=...).new()])

A letter stays open until a person replays or drops it; see `cortex/durable/dead.py`.
"""

from typing import Any

import msgspec

from planaria.cortex.event import NewEvent, repeatable_id
from planaria.cortex.event_type import EventType

SESSION = "dead"
"""The stream of all letters."""
LONGEST_REASON = 2000
"""Characters."""


class DeadLettered(EventType, frozen=True):
    """Something was given up.

    Attributes:
        letter: what it is: `room.message`, `work`, `workflow.start`. Who replays it is found by this.
        target: what would be done again, unique among its kind: `room:garden/<message>/scout`.
        reason: why it was given up, a sentence for people.
        evidence: what a person, and whoever replays it, needs to know.
        attempt: how often it has been given up, this time included.
    """

    kind = "dead.lettered"

    letter: str
    target: str
    reason: str
    evidence: dict[str, Any] = msgspec.field(default_factory=dict)
    attempt: int = 1

    def new(
        self,
        *,
        session: str = "",
        trace_id: str = "",
        cause_id: str | None = None,
        id: str = "",
        process: str = "",
        subject: str = "",
    ) -> NewEvent:
        """As any event; by default in the session `dead`, with an id that makes one letter of each attempt."""
        return super().new(
            session=session or SESSION,
            trace_id=trace_id,
            cause_id=cause_id,
            id=id or letter_id(self.letter, self.target, self.attempt),
            process=process,
            subject=subject,
        )


class LetterReplayed(EventType, frozen=True):
    """A person wants it done again; the work that does so is in the same append. Caused by the letter."""

    kind = "dead.replayed"

    by: str
    work: str


class LetterDropped(EventType, frozen=True):
    """A person has decided that it need not be done. Caused by the letter."""

    kind = "dead.dropped"

    by: str
    why: str = ""


def letter(
    letter: str, reason: str, *, target: str, evidence: dict[str, Any] | None = None, attempt: int = 1
) -> DeadLettered:
    """A letter to append; see `DeadLettered` for the arguments. The reason is cut at 2000 characters."""
    return DeadLettered(letter, target, reason[:LONGEST_REASON], evidence or {}, attempt)


def letter_id(letter: str, target: str, attempt: int) -> str:
    """The id of the letter about one attempt: however often it is written, it is one."""
    return repeatable_id(SESSION, letter, target, str(attempt))


def closing_id(letter_id: str) -> str:
    """The id of the event that closes a letter: it is replayed or dropped once, whoever tries."""
    return repeatable_id(SESSION, letter_id, "closed")
