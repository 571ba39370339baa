"""Whether a message can be accepted as it is, and the sentences a room says by itself. Pure."""

from collections.abc import Sequence

LONGEST_TEXT = 200_000
"""Characters of one message."""
LONGEST_NAME = 200
"""Characters of an author's name, and of a client id."""


def fault(author: str, text: str, client_id: str) -> str:
    """Why a message cannot be accepted as it is; empty if it can."""
    if not text.strip():
        return "the message is empty"
    if len(text) > LONGEST_TEXT:
        return (
            f"a message has at most {LONGEST_TEXT} characters, this one has {len(text)}; put it into a note"
        )
    if not author.strip() or len(author) > LONGEST_NAME:
        return f"an author's name has 1 to {LONGEST_NAME} characters"
    if len(client_id) > LONGEST_NAME:
        return f"a client id has at most {LONGEST_NAME} characters"
    try:
        f"{author}{text}{client_id}".encode()
    except UnicodeEncodeError as error:
        return f"the message has characters that are no text (lone surrogates): {error.reason}"
    return ""


def not_here(missing: Sequence[str], members: Sequence[str]) -> str:
    """What is said to who names strangers."""
    return f"{_are(missing)} not in this room; here: {_listed(members) or 'nobody'}"


def not_running(gone: Sequence[str]) -> str:
    """What is said to who names members whose process is away."""
    return f"{_are(gone)} not running now, but will answer when back"


def has_left(agent: str, unanswered: int) -> str:
    """What is said when a member leaves work behind."""
    what = "a message to it stays" if unanswered == 1 else f"{unanswered} messages to it stay"
    return f"{agent} has left; {what} unanswered (`planaria dead list`)"


def unanswered_by(agent: str) -> str:
    """Why a message to a member that left is given up."""
    return f"{agent} left the room before it had answered"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"@{name}" for name in names)


def _are(names: Sequence[str]) -> str:
    return f"{_listed(names)} {'is' if len(names) == 1 else 'are'}"
