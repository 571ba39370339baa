"""What must be true of a transcript after any number of kills. Pure."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec


class Post(msgspec.Struct):
    """One message a client wanted to say, with what it knows about it.

    `asked_at` and `accepted_at` are the client's own count of things that happened: of two posts the one that was
    accepted before the other was first asked must come first.
    """

    client_id: str
    text: str
    asked_at: int | None = None
    attempts: int = 0
    accepted_at: int | None = None
    id: str | None = None
    seq: int | None = None


class Verdict(msgspec.Struct, frozen=True):
    """What is wrong, each list empty if nothing is; the entries name texts or ids."""

    lost: list[str]
    doubled: list[str]
    misplaced: list[str]
    out_of_order: list[str]
    unanswered: list[str]
    answered_twice: list[str]
    answers_to_nothing: list[str]
    answers_out_of_order: list[str]

    def faults(self) -> dict[str, list[str]]:
        """Only the lists that are not empty."""
        return {name: found for name, found in msgspec.structs.asdict(self).items() if found}


def judge(posts: Sequence[Post], transcript: Sequence[dict[str, Any]], author: str) -> Verdict:
    """Compare what a client was told with what the room remembers.

    Args:
        posts: all of them accepted in the end, in the order they were first asked.
        transcript: the whole of it, in order of `seq`.
        author: the client's name.
    """
    said = [message for message in transcript if message["author"] == author]
    answers = [
        message for message in transcript if message["author_kind"] == "agent" and message.get("cause_id")
    ]
    by_text = {message["text"]: message for message in said}
    times_said = Counter(message["text"] for message in said)
    accepted = [post for post in posts if post.accepted_at is not None]
    places = {message["id"]: number for number, message in enumerate(transcript)}
    causes = [message["cause_id"] for message in answers]
    asked = [places[cause] for cause in causes if cause in places]
    times_answered = Counter(causes)
    return Verdict(
        lost=[post.text for post in accepted if times_said[post.text] == 0],
        doubled=[post.text for post in posts if times_said[post.text] > 1],
        misplaced=[
            post.text
            for post in accepted
            if post.text in by_text
            and (by_text[post.text]["id"], by_text[post.text]["seq"]) != (post.id, post.seq)
        ],
        out_of_order=_out_of_order(accepted),
        unanswered=[message["text"] for message in said if times_answered[message["id"]] == 0],
        answered_twice=[message["text"] for message in said if times_answered[message["id"]] > 1],
        answers_to_nothing=[cause for cause in causes if cause not in places],
        answers_out_of_order=[]
        if asked == sorted(asked)
        else [f"place {late} before {early}" for late, early in pairwise(asked) if late > early],
    )


def _out_of_order(accepted: Sequence[Post]) -> list[str]:
    """Posts asked after another was accepted, yet placed before it."""
    found: list[str] = []
    for post in accepted:
        for other in accepted:
            before = (
                other.accepted_at is not None
                and post.asked_at is not None
                and other.accepted_at < post.asked_at
            )
            if before and other.seq is not None and post.seq is not None and other.seq > post.seq:
                found.append(f"{post.text} before {other.text}")
    return found
