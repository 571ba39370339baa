"""What a person does while the node works, and when all of it is over: pure, from the journal alone."""

from collections import Counter
from collections.abc import Sequence

from planaria.cortex.event import Event

POSTS = (("@doer @helper do both", "question-1"), ("@fragile you cannot", "question-2"))
"""What is asked, each with its client id; sent again after each kill."""
TURNS = 4
"""One each of `doer` and `helper`, two of `fragile`, whose first is given up."""
WORK_ENDS = ("work.finished", "work.cancelled", "work.died")
JOBS = 2
"""The message that is said later, and the replay of the dead letter."""
QUESTION_ENDS = ("question.answered", "question.expired", "question.withdrawn")
LETTER_ENDS = ("dead.replayed", "dead.dropped")


def open_ones(events: Sequence[Event], began: str, ends: tuple[str, ...]) -> list[str]:
    """Ids of what began and has not ended."""
    over = {event.cause_id for event in events if event.kind in ends}
    return [event.id for event in events if event.kind == began and event.id not in over]


def open_questions(events: Sequence[Event]) -> list[str]:
    """Questions that wait for an answer."""
    return open_ones(events, "question.asked", QUESTION_ENDS)


def open_letters(events: Sequence[Event]) -> list[str]:
    """Letters that wait for a person."""
    return open_ones(events, "dead.lettered", LETTER_ENDS)


def is_over(events: Sequence[Event]) -> bool:
    """Whether nothing is left to do."""
    kinds = Counter(event.kind for event in events)
    return (
        kinds["turn.finished"] >= TURNS
        and kinds["workflow.run.finished"] >= 1
        and sum(kinds[kind] for kind in WORK_ENDS) >= JOBS
        and not open_ones(events, "work.submitted", WORK_ENDS)
        and not open_questions(events)
        and not open_letters(events)
    )
