"""Whether turn follows turn without coming anywhere: what a guard beside one turn cannot see. Pure.

Two signs, both about messages no person wrote. An echo: the same message was answered by the same words, turn after
turn. Rounds: a session sets itself to work again and again, by what its own turns have begun (the results of its
sub-agents, timers), and no person has said a word since. Each message says how many turns led to it (`hops`), so a
hundred results of one turn are no circle. What comes ten minutes after the one like it, or later, is no echo:
so slow a circle is a schedule. Authors that are declared as polling are never held against a session.
Does badly: what people say is never counted, so programs that speak as people (through a gateway) are not seen.
"""

import re
from collections.abc import Iterable, Sequence

import msgspec

from planaria.immune.guards.likeness import settled
from planaria.immune.guards.loops import Finding
from planaria.immune.guards.thresholds import Thresholds

PAUSE = 600.0
"""Seconds after which a message is no echo of the one before it: nobody is in a hurry to ask again."""
FAR = 0.3
"""Difference in length, as a share, from which two texts are not looked at: they cannot say the same."""
_SESSION = re.compile(r"session:\S+")
"""A sub-agent's own name is another one each time."""


class Exchange(msgspec.Struct, frozen=True):
    """A message to an agent, of the unix second `asked`, and its answer."""

    author: str
    message: str
    answer: str
    asked: float


def circling(
    thresholds: Thresholds, new: Exchange, hops: int, before: Sequence[Exchange], alone: bool
) -> Finding | None:
    """What is wrong with a turn that is about to begin.

    Args:
        new: its message, which nobody has answered yet.
        hops: turns that led to it, each by what the one before it had begun.
        before: the exchanges of this agent before, newest first, until a person spoke.
        alone: whether no person has spoken for as many of its turns as `thresholds.rounds`.
    """
    if new.author in thresholds.polling:
        return None
    most = thresholds.echoes
    if most and (times := echoes(new, before)) >= most and times % most == 0:
        words = f"It was told the same {times} times in a row and answered the same each time, and is told it again."
        return Finding("circle", "echo", words, {"times": times, "author": new.author})
    most = thresholds.rounds
    if most and hops >= most and hops % most == 0 and alone:
        words = f"It has set itself to work {hops} times in a row, and no person has said a word since."
        return Finding("circle", "rounds", words, {"hops": hops, "author": new.author})
    return None


def echoes(new: Exchange, before: Iterable[Exchange]) -> int:
    """How often in a row a message like this was answered alike; 0 if never."""
    asked = answer = ""
    times, at = 0, new.asked
    for each in before:
        if each.author != new.author or at - each.asked >= PAUSE or _is_far(each.message, new.message):
            break
        asked = asked or _alike(new.message)
        if _alike(each.message) != asked:
            break
        said = _alike(each.answer)
        if times and said != answer:
            break
        answer = said
        times, at = times + 1, each.asked
    return times


def _alike(text: str) -> str:
    return settled(_SESSION.sub("session", text))


def _is_far(one: str, other: str) -> bool:
    return abs(len(one) - len(other)) > 40 + FAR * max(len(one), len(other))
