"""Scopes that are names: of rooms, agents, workflows, `server/tool`. `*` stands for any characters, `?` for one."""

import re
import unicodedata
from dataclasses import dataclass
from fnmatch import translate

from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable

LONGEST = 300
HERE = "@here"
"""Stands for the room of the call."""


@dataclass(frozen=True, slots=True)
class NameScope:
    """Names by a pattern; small and capital letters differ."""

    text: str
    exact: re.Pattern[str]
    like: re.Pattern[str]

    @property
    def everything(self) -> bool:
        """See `Scope`."""
        return self.text == "*"

    def covers(self, what: str) -> bool:
        """See `Scope`."""
        return self.exact.match(what) is not None

    def concerns(self, what: str) -> bool:
        """See `Scope`; letters that differ in size or form only are alike."""
        return self.covers(what) or self.like.match(alike(what)) is not None


def name_scope(text: str) -> NameScope:
    """A scope from its text.

    Raises:
        ScopeError: it is empty, too long or holds what cannot be seen.
    """
    if not text or len(text) > LONGEST or not text.isprintable() or text.strip() != text:
        raise ScopeError(f"{text!r} is no name; write one such as 'garden', or a pattern such as 'help-*'")
    # Brackets mean nothing here, so that a name that holds some can be written.
    return NameScope(text, _compiled(text), _compiled(alike(text)))


def name_text(what: str) -> str:
    """The text of the scope that covers this name; raises `ScopeError` if there is none."""
    if "*" in what or "?" in what:
        raise ScopeError("a name with wildcards in it has no exact scope")
    return what


def read_name(what: object, place: Place) -> str:
    """A name as it was touched.

    Raises:
        Unreadable: it is no name.
    """
    if what == HERE:
        what = place.room
    if not isinstance(what, str) or not what or len(what) > LONGEST or not what.isprintable():
        raise Unreadable(f"{what!r} is no name")
    return what


def alike(text: str) -> str:
    """The text in the form that all texts looking like it to a careless reader share."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))
