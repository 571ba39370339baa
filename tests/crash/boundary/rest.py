"""What a person does while the node works, and when all of it is over: pure, from the journal alone."""

from collections import Counter
from collections.abc import Sequence

from planaria.cortex.event import Event

POSTS = (("@doer @helper do both", "question-1"), ("@fragile you cannot", "question-2"))
"""What is asked, each with its client id; sent again after each kill."""
STEERED = (("@mother have it seen to", "question-3"), ("@mother and quickly", "question-4"))
"""What is asked of an agent that takes further messages into its turn, and has a child do the work."""
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


def of_family(event: Event) -> bool:
    """Whether it happened in a session of `mother`, or of a child of hers."""
    return event.session.startswith("session:mother@")


def answered(events: Sequence[Event]) -> list[str]:
    """Ids of the messages that `mother` has answered, one for each answer."""
    found: list[str] = []
    for event in events:
        if event.kind == "room.message" and event.payload["author"] == "mother":
            found += [str(event.cause_id), *event.payload.get("answers", {})]
    return found


def what_is_left(events: Sequence[Event]) -> list[str]:
    """What is still to be done, in words; empty when all is over."""
    kinds = Counter(event.kind for event in events if not of_family(event))
    family = Counter(event.kind for event in events if of_family(event))
    left = {
        f"{kinds['turn.finished']} of {TURNS} turns are finished": kinds["turn.finished"] < TURNS,
        f"mother answered {answered(events)}": len(answered(events)) < len(STEERED),
        f"her family has begun {family['turn.started']} turns and finished {family['turn.finished']}": (
            family["turn.started"] != family["turn.finished"]
        ),
        "the run is not finished": not kinds["workflow.run.finished"],
        f"fewer than {JOBS} jobs have ended": sum(kinds[kind] for kind in WORK_ENDS) < JOBS,
        f"jobs {(jobs := open_ones(events, 'work.submitted', WORK_ENDS))} are open": bool(jobs),
        f"questions {open_questions(events)} are open": bool(open_questions(events)),
        f"letters {open_letters(events)} are open": bool(open_letters(events)),
    }
    return [words for words, is_so in left.items() if is_so]


def is_over(events: Sequence[Event]) -> bool:
    """Whether nothing is left to do."""
    return not what_is_left(events)
