"""Scopes that are commands, word by word: `git log *`. A shell's text is never looked at, only the list of words.

The first word is the program as it was called: `git` does not cover `/tmp/git`. `*` alone stands for one word, at the
end for any number of words; within a word it stands for any characters. Words with blanks are quoted as in a shell.
"""

import re
import shlex
from dataclasses import dataclass
from fnmatch import translate

from planaria.membrane.scopes.names import alike
from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable

MOST_WORDS = 4096
ANY = "*"


@dataclass(frozen=True, slots=True)
class CommandScope:
    """Commands by a pattern. `open` at its end: any words may follow."""

    text: str
    words: tuple[re.Pattern[str], ...]
    program: re.Pattern[str]
    open: bool

    @property
    def everything(self) -> bool:
        """See `Scope`."""
        return not self.words

    def covers(self, what: tuple[str, ...]) -> bool:
        """See `Scope`."""
        count = len(self.words)
        if len(what) < count or (len(what) > count and not self.open):
            return False
        return all(pattern.match(word) for pattern, word in zip(self.words, what, strict=False))

    def concerns(self, what: tuple[str, ...]) -> bool:
        """See `Scope`; the program goes by the last part of its name, and what a pattern names may stand anywhere."""
        if self.covers(what) or self.everything:
            return True
        if not self.program.match(alike(what[0].rpartition("/")[2])):
            return False
        # `deny: git push *` also means `git -C there push`.
        rest = iter(what[1:])
        return all(any(pattern.match(word) for word in rest) for pattern in self.words[1:])


def command_scope(text: str) -> CommandScope:
    """A scope from its text.

    Raises:
        ScopeError: it has no words, or quotes that do not end.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ScopeError(f"{text!r} cannot be read as a command: {error}") from error
    if not words or not all(words) or "\0" in text:
        raise ScopeError(f"{text!r} is no command; write one such as 'git log *'")
    ends_open = words[-1] == ANY
    fixed = words[:-1] if ends_open else words
    program = alike(fixed[0].rpartition("/")[2]) if fixed else ANY
    return CommandScope(text, tuple(map(_compiled, fixed)), _compiled(program), ends_open)


def command_text(words: tuple[str, ...]) -> str:
    """The text of the scope that covers exactly this command; raises `ScopeError` if there is none."""
    if any(sign in word for word in words for sign in "*?[") or not all(words):
        raise ScopeError("a command with wildcards or empty words in it has no exact scope")
    return shlex.join(words)


def read_command(what: object, place: Place) -> tuple[str, ...]:
    """The words of a command.

    Raises:
        Unreadable: it is a text, empty, or has a word that no program can be given.
    """
    if not isinstance(what, list | tuple):
        raise Unreadable("a command is a list of words, not a text for a shell")
    words = tuple(what)
    if not words or len(words) > MOST_WORDS or not all(isinstance(word, str) for word in words):
        raise Unreadable("a command is a list of words, at least one")
    if not words[0] or any("\0" in word for word in words):
        raise Unreadable("the command names no program, or has a zero byte in it")
    return words


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))
