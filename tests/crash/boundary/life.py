"""What the judge and the program that forks nodes say to each other."""

import msgspec

from planaria.cortex.event import Event
from planaria.immune.amount import Amount


class Life(msgspec.Struct, frozen=True):
    """One life of a node: where it lives, and at which boundary it is killed.

    Attributes:
        at: the number of the commit, counted in this life from 0; -1 to live until all is done.
        after: killed when the commit is on disk and before anybody is told; else before it is made.
    """

    garden: str
    at: int = -1
    after: bool = False


class End(msgspec.Struct, frozen=True):
    """How it ended: by the kill, or at rest after so many commits; `fault` says what else.

    Attributes:
        events: the whole journal, of a life that came to rest.
        breaks: where its chains do not hold.
        spent: what its accounts say, by name, of a life that came to rest.
    """

    killed: bool
    commits: int = 0
    fault: str = ""
    events: list[Event] = []
    breaks: list[str] = []
    spent: dict[str, Amount] = {}
