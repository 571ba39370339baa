"""Who is to answer a message. Pure."""

import re
from collections.abc import Sequence
from typing import Literal

from planaria.rooms.message import Arrivals

_MENTION = re.compile(r"(?<![\w@/.])@([a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)", re.IGNORECASE)
_ANSWER = re.compile(r"\s*#(\d{1,9})\b[\s:,.]*(.+)\Z", re.DOTALL)
_STOP = re.compile(r"\s*/stop\b[ :,]*(.*)\Z", re.DOTALL | re.IGNORECASE)
_ARRIVALS = re.compile(r"\s*/(queue|steer|collect|interrupt)\b[\s:,]*(\S.*)\Z", re.DOTALL | re.IGNORECASE)
_WORDS: dict[str, Arrivals] = {
    "queue": "queue",
    "steer": "steer",
    "collect": "collect",
    "interrupt": "interrupt",
}
_CODE = re.compile(r"(`{3,}|~{3,}).*?(?:\1|\Z)|(`+).+?\2", re.DOTALL)


def mentions(text: str) -> tuple[str, ...]:
    """The names written as `@name`, in order, each once. `a@b.c` is no mention, nor is `@x` inside code."""
    if "@" not in text:
        return ()
    found = (match.group(1).casefold() for match in _MENTION.finditer(_CODE.sub(" ", text)))
    return tuple(dict.fromkeys(found))


def addressed(text: str, members: Sequence[str], host: str | None) -> tuple[str, ...]:
    """The members who are to answer.

    Args:
        members: names of the room's agents.
        host: who answers what is addressed to nobody; None: nobody does.
    Returns:
        Those mentioned (`@all`: everybody); the host if nobody is. Who mentions only strangers gets nobody:
        see `strangers`. An answer to a question (`#12 yes`) is for nobody else, unless it mentions somebody.
    """
    known = {name.casefold(): name for name in members}
    named = mentions(text)
    if "all" in named and "all" not in known:
        return tuple(members)
    if named and any(name in known for name in named):
        return tuple(known[name] for name in named if name in known)
    return (host,) if host is not None and not named and question_answered(text) is None else ()


def question_answered(text: str) -> tuple[str, str] | None:
    """The number of the question a message answers, and the answer: `#12 yes` is ("12", "yes"). None for other talk."""
    found = _ANSWER.match(text)
    return (found[1], found[2].strip()) if found and found[2].strip() else None


def stop_asked(text: str, members: Sequence[str]) -> tuple[tuple[str, ...], str] | None:
    """Whom `/stop` means and the word about why: `/stop @scout too slow`; None for other talk.

    Without a mention it means everybody in the room.
    """
    found = _STOP.match(text)
    if found is None:
        return None
    rest = found[1] or ""
    named = mentions(rest)
    known = {name.casefold(): name for name in members}
    everybody = not named or ("all" in named and "all" not in known)
    whom = tuple(members) if everybody else tuple(known[name] for name in named if name in known)
    return whom, _MENTION.sub("", rest).strip()


def arrivals_asked(text: str) -> tuple[Arrivals | Literal[""], str]:
    """What is to become of a message with those who are at work, and the message: `/steer look at the roof instead`.

    The words are `/queue`, `/steer`, `/collect` and `/interrupt`; other talk says nothing of that.
    """
    found = _ARRIVALS.match(text)
    if found is None:
        return "", text
    word: Arrivals = _WORDS[found[1].casefold()]
    return word, found[2]


def strangers(text: str, members: Sequence[str]) -> tuple[str, ...]:
    """The mentioned names that are not members; the room says so rather than stay silent."""
    known = {name.casefold() for name in members} | {"all"}
    return tuple(name for name in mentions(text) if name not in known)
