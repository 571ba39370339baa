"""A scope: one pattern of a grant, such as `notes/**`, `*.example.org` or `git log *`. Pure, but for links in paths.

What a call touches is read once (`reader`) into a form of its kind, in which there is one way to write each thing;
what cannot be read is covered by nothing. Then scopes say whether they cover it. Who forbids or asks is careful in the
other direction: `concerns` also takes what merely looks like it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Place:
    """Where a call is made: the garden's folder, with its links resolved, and the room."""

    garden: Path
    room: str = ""


class ScopeError(ValueError):
    """A text that is no scope of its kind; says what to write."""


class Unreadable(ValueError):
    """What a call touches cannot be taken for certain, so no scope covers it; says why."""


class Scope[T](Protocol):
    """One pattern. `T` is the form in which what is touched is read."""

    @property
    def everything(self) -> bool:
        """Whether it covers also a call that does not say what it touches."""
        ...

    def covers(self, what: T) -> bool:
        """Whether this is in the scope; certain."""
        ...

    def concerns(self, what: T) -> bool:
        """Whether this is in the scope or looks like it, to people or to another file system."""
        ...
