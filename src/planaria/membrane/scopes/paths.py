"""Scopes that are paths: `notes/**`, `feeds/*.xml`, `/srv/data/**`. Relative ones are relative to the garden.

- `*` and `?` stand for characters of one name, `**` for the folder itself and everything below.
- A path is taken with its links followed, so one that leads out of a scope is outside of it.
- Wildcards do not cover names with a leading dot, as in a shell, and nothing covers the node's own `.planaria`.
- What governs agents (`planaria.toml`, `agents/`, `tools/`, `SOUL.md` ...) is written only under a scope that names
  it: `agents/**` does, `**` does not, so that nobody can grant himself more by writing files. So are the plans of
  agents (`notes/plans`), which stand in their prompts: each writes its own with a tool for it, `notes/**` is none.
"""

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from planaria.membrane.scopes.names import alike
from planaria.membrane.scopes.scope import Place, ScopeError, Unreadable

PRIVATE = ".planaria"
GOVERNING = frozenset(
    {
        *("planaria.toml", "contract.md", "agents", "gateways", "skills", "tools", "workflows"),
        *("SOUL.md", "USER.md", "MEMORY.md"),  # every agent is told them, as its own
    }
)
"""First parts of paths in a garden that say what may be done there, or what its agents are."""
PLANS = ("notes", "plans")
"""The folder with the plans of agents, by its parts."""
_GOVERNING = frozenset(map(alike, GOVERNING))
_PLANS = tuple(map(alike, PLANS))
ROOT = "/"
DEEP = "**"
LONGEST = 4096


@dataclass(frozen=True, slots=True)
class FilePlace:
    """A file by its parts below the garden, or below `/` with that as the first part.

    Attributes:
        named: as it was given.
        real: with its links followed.
    """

    named: tuple[str, ...]
    real: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PathScope:
    """Paths by a pattern. `writes`: what governs agents must be named."""

    text: str
    parts: tuple[str, ...]
    writes: bool = False

    @property
    def everything(self) -> bool:
        """See `Scope`."""
        return self.parts == (DEEP,) and not self.writes

    def covers(self, what: FilePlace) -> bool:
        """See `Scope`."""
        if any(_is_private(parts) for parts in (what.named, what.real)):
            return False
        if self.writes and any(self._governs(parts) for parts in (what.named, what.real)):
            return False
        return _matches(self.parts, what.real)

    def concerns(self, what: FilePlace) -> bool:
        """See `Scope`; a folder stands for all in it, letters of any form are alike, dots are nothing special."""
        wanted = tuple(map(alike, self.parts))
        for parts in (what.named, what.real):
            known = tuple(map(alike, parts))
            if any(_matches(wanted, known[:end], dots=True) for end in range(len(known) + 1)):
                return True
        return False

    def _governs(self, parts: tuple[str, ...]) -> bool:
        """Whether it is one of those files that this pattern would have to name, and does not."""
        if not parts:
            return False
        if tuple(map(alike, parts[: len(_PLANS)])) == _PLANS:
            return self.parts[: len(_PLANS)] != parts[: len(_PLANS)]
        return alike(parts[0]) in _GOVERNING and self.parts[0] != parts[0]


def path_scope(text: str, *, writes: bool = False) -> PathScope:
    """A scope from its text.

    Raises:
        ScopeError: it climbs, or holds what no path should.
    """
    mend = "write a path in the garden such as 'notes/**', or an absolute one"
    if not text or len(text) > LONGEST or not text.isprintable() or text.strip() != text or "\\" in text:
        raise ScopeError(f"{text!r} is no path; {mend}")
    if text.startswith("~") or ".." in text.split("/"):
        raise ScopeError(f"{text!r} climbs or begins with ~; {mend}")
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    if text.startswith(ROOT):
        parts = (ROOT, *parts)
    if any(DEEP in part and part != DEEP for part in parts):
        raise ScopeError(f"{text!r}: ** stands alone between slashes, as in 'notes/**'")
    return PathScope(text, parts or (), writes)


def is_private(what: FilePlace) -> bool:
    """Whether it is the node's own, which no scope covers."""
    return _is_private(what.named) or _is_private(what.real)


def path_text(what: FilePlace) -> str:
    """The text of the scope that covers exactly this file; raises `ScopeError` if there is none."""
    text = "/".join(part for part in what.real if part != ROOT)
    text = ROOT + text if what.real[:1] == (ROOT,) else text
    if re.search(r"[*?]", text):
        raise ScopeError("a path with wildcards in it has no exact scope")
    return text or "."


def read_path(what: object, place: Place) -> FilePlace:
    """A path as it was given and as it is.

    Raises:
        Unreadable: it climbs, its links go in a circle, or two programs might read it differently.
    """
    if not isinstance(what, str) or not what or len(what) > LONGEST:
        raise Unreadable(f"{what!r} is no path")
    if not what.isprintable() or what.strip() != what or "\\" in what or what.startswith("~"):
        raise Unreadable(f"{what!r} is no plain path")
    parts = [part for part in what.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Unreadable(f"{what!r} climbs with `..`")
    garden = str(place.garden)
    start = "" if what.startswith(ROOT) or garden == ROOT else garden
    try:
        real = _followed(start, parts)
    except (OSError, ValueError) as error:
        raise Unreadable(f"{what!r} cannot be followed: {error}") from error
    return FilePlace(_parts("/".join((start, *parts)), garden), _parts(real, garden))


def _followed(start: str, parts: Sequence[str]) -> str:
    """The path with its links followed; `start` has none in it. As far as there is something, one look each."""
    path = start
    for number, part in enumerate(parts, 1):
        path = f"{path}/{part}"
        try:
            found = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return "/".join((path, *parts[number:]))
        if stat.S_ISLNK(found.st_mode):
            path = os.path.realpath("/".join((path, *parts[number:])))
            with suppress(FileNotFoundError, NotADirectoryError):
                os.stat(path)  # links in a circle are left as they are by `realpath`
            return path
    return path


def _parts(path: str, garden: str) -> tuple[str, ...]:
    """The parts of an absolute path without links: below the garden, or below `/`."""
    if path == garden:
        return ()
    if path.startswith(f"{garden.removesuffix(ROOT)}/"):
        return tuple(path[len(garden.removesuffix(ROOT)) + 1 :].split("/"))
    return (ROOT, *path.split("/")[1:])


def _is_private(parts: tuple[str, ...]) -> bool:
    return any(alike(part) == PRIVATE for part in parts)


def _matches(pattern: tuple[str, ...], parts: tuple[str, ...], *, dots: bool = False) -> bool:
    """Whether the parts of a path are what a pattern says."""
    if not pattern:
        return not parts
    first, rest = pattern[0], pattern[1:]
    if first == DEEP:
        if parts and parts[0] == ROOT:
            return False
        return _matches(rest, parts, dots=dots) or (
            bool(parts) and (dots or not parts[0].startswith(".")) and _matches(pattern, parts[1:], dots=dots)
        )
    return bool(parts) and _is_part(first, parts[0], dots) and _matches(rest, parts[1:], dots=dots)


def _is_part(pattern: str, part: str, dots: bool) -> bool:
    if pattern == part:
        return True
    if ROOT in (pattern, part) or (part.startswith(".") and not dots and not pattern.startswith(".")):
        return False
    return _compiled(pattern).match(part) is not None


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")))
