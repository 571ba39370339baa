"""Unified diffs: read, and applied to texts. Pure.

Source: POSIX `diff -u`, and what `git diff` adds. A hunk must match in every line; it may have moved.
"""

import re
from collections import Counter
from typing import NamedTuple

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
NOWHERE = "/dev/null"


class PatchError(ValueError):
    """A patch that cannot be read or does not fit; says where."""


class Hunk(NamedTuple):
    """`start`: the line it is said to begin at, from 1. Lines keep their first sign: blank, `+` or `-`."""

    start: int
    lines: tuple[str, ...]
    no_newline: bool

    @property
    def before(self) -> list[str]:
        return [line[1:] for line in self.lines if line[0] in " -"]

    @property
    def after(self) -> list[str]:
        return [line[1:] for line in self.lines if line[0] in " +"]


class FilePatch(NamedTuple):
    """What becomes of one file; `old` or `new` may be `/dev/null`."""

    old: str
    new: str
    hunks: tuple[Hunk, ...]

    @property
    def path(self) -> str:
        """The file it is about."""
        return self.old if self.new == NOWHERE else self.new


def read_patch(text: str) -> list[FilePatch]:
    """The files of a patch.

    Raises:
        PatchError: it is none, renames files, or names one twice.
    """
    lines = text.splitlines()
    found: list[FilePatch] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        if line.startswith(("rename ", "copy ", "GIT binary patch", "Binary files ")):
            raise PatchError(f"line {number + 1}: a patch cannot rename, copy or hold bytes here: {line!r}")
        if line.startswith("--- ") and number + 1 < len(lines) and lines[number + 1].startswith("+++ "):
            old, new = _name(line), _name(lines[number + 1])
            number += 2
            hunks: list[Hunk] = []
            while number < len(lines) and lines[number].startswith("@@"):
                hunk, number = _hunk(lines, number)
                hunks.append(hunk)
            if old == new == NOWHERE or (NOWHERE not in (old, new) and old != new):
                raise PatchError(f"a patch from {old} to {new} is none of one file")
            if not hunks:
                raise PatchError(f"nothing is changed in {new}: there is no line with @@ after its name")
            found.append(FilePatch(old, new, tuple(hunks)))
        elif line.startswith("@@"):
            raise PatchError(f"line {number + 1}: a hunk without `--- a/file` and `+++ b/file` above it")
        else:
            number += 1
    if not found:
        raise PatchError(
            "this is no unified diff; begin with `--- a/file` and `+++ b/file`, then `@@ -1,3 +1,3 @@`"
        )
    names = [each.path for each in found]
    if twice := next((name for name, count in Counter(names).items() if count > 1), None):
        raise PatchError(f"{twice} is in the patch twice; put its hunks together")
    return found


def apply(text: str, patch: FilePatch) -> str:
    """The text of a file after its patch.

    Raises:
        PatchError: a hunk does not fit.
    """
    lines = text.split("\n")
    ended = bool(text) and lines[-1] == ""
    if ended or not text:
        lines.pop()
    moved, least = 0, 0
    last_bare: bool | None = None
    for number, hunk in enumerate(patch.hunks, 1):
        before = hunk.before
        wanted = hunk.start - 1 + moved if before else hunk.start + moved
        place = _find(lines, before, max(wanted, least), least)
        if place is None:
            shown = "\n".join(before[:6])
            raise PatchError(
                f"{patch.path}: hunk {number} (line {hunk.start}) does not fit; it expects these lines:\n{shown}"
            )
        after = hunk.after
        lines[place : place + len(before)] = after
        moved = place + len(after) - (hunk.start - 1) - len(before)
        least = place + len(after)
        if least == len(lines):
            last_bare = hunk.no_newline
    bare = not ended and bool(text) if last_bare is None else last_bare
    return "\n".join(lines) + ("" if bare or not lines else "\n")


def _find(lines: list[str], wanted: list[str], place: int, least: int) -> int | None:
    """Where these lines stand, nearest to a place."""
    last = len(lines) - len(wanted)
    places = range(least, last + 1)
    for each in sorted(places, key=lambda start: abs(start - place)):
        if lines[each : each + len(wanted)] == wanted:
            return each
    return None


def _hunk(lines: list[str], number: int) -> tuple[Hunk, int]:
    found = _HUNK.match(lines[number])
    if found is None:
        raise PatchError(f"line {number + 1}: {lines[number]!r} is no `@@ -1,3 +1,3 @@`")
    start, old, _, new = (int(each) if each is not None else 1 for each in found.groups())
    kept: list[str] = []
    no_newline = False
    number += 1
    while old > 0 or new > 0 or (number < len(lines) and lines[number].startswith("\\")):
        line = lines[number] if number < len(lines) else None
        if line is None or (line and line[0] not in " +-\\"):
            raise PatchError(f"line {number + 1}: the hunk that begins at {start} ends too early")
        line = line or " "  # a blank line whose blank was lost on the way
        if line[0] == "\\":
            no_newline = no_newline or (bool(kept) and kept[-1][0] in " +")
        else:
            old -= line[0] in " -"
            new -= line[0] in " +"
            kept.append(line)
        number += 1
    if old < 0 or new < 0:
        raise PatchError(f"the hunk that begins at {start} has more lines than its head says")
    return Hunk(start, tuple(kept), no_newline), number


def _name(line: str) -> str:
    name = line[4:].split("\t", 1)[0].strip()
    return name[2:] if name.startswith(("a/", "b/")) else name
