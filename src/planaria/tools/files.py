"""Tools for the files of the garden: read, list, search, write, edit, patch.

Paths are relative to the garden's folder, links on them are not followed, and `.planaria` is nobody's. A file is
replaced at once, so that readers see the old text or the new. Records under `notes/` are better written with
`notes.write`, which checks them. Nobody knows who wrote a file, so what is read of it is marked as from outside.
"""

import fnmatch
import os
import re
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from planaria.membrane.authority import Allowed
from planaria.membrane.capability import Touch
from planaria.membrane.scopes.scope import Place
from planaria.membrane.tool import Context, Done, Failed, tool
from planaria.membrane.web.outside import outside, visible
from planaria.otp import run_blocking
from planaria.otp.io.subprocess import run_command
from planaria.tools._beneath import (
    Change,
    FileError,
    Found,
    Missing,
    change_files,
    opened_folder,
    parts_of,
    read_file,
)
from planaria.tools._patch import NOWHERE, FilePatch, PatchError, apply, read_patch

MOST_LINES = 2_000
LONGEST_LINE = 2_000
"""Characters of a line that are shown."""
MOST_NAMES = 1_000
MOST_HITS = 500
SEARCH_SECONDS = 10
_MAIN = Path(__file__).with_name("_finder.py")


type _Names = list[dict[str, Any]]


class _Hits(msgspec.Struct):
    found: list[tuple[str, int, str]]
    files: int
    more: bool


def _patched(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    try:
        paths = [each.path for each in read_patch(arguments["patch"])]
    except PatchError:
        return ()  # it will be refused as a patch
    return tuple(Touch(name, path) for name in ("files.read", "files.write") for path in paths)


def _changed(arguments: Mapping[str, Any]) -> tuple[Touch, ...]:
    return tuple(Touch(name, arguments["path"]) for name in ("files.read", "files.write"))


@tool(needs={"files.read"}, touches={"files.read": "path"}, branches=("ok", "missing"), idempotent=True)
async def read(context: Context, path: str, start: int = 1, lines: int = 400) -> Done | Failed:
    """Read a text file, each line with its number.

    Args:
        path: such as `notes/idea.md`.
        start: the first line to read, from 1; a negative one counts from the end.
        lines: at most this many, 2000 at most.
    """
    garden = await run_blocking(context.garden.resolve)
    try:
        text = _text(path, await run_blocking(read_file, garden, path))
    except Missing as error:
        return Done({"path": path}, branch="missing", text=str(error))
    except FileError as error:
        return Failed(str(error))
    every = text.splitlines()
    first = max(len(every) + start + 1 if start < 0 else start, 1)
    shown = every[first - 1 : first - 1 + min(max(lines, 1), MOST_LINES)]
    last = first + len(shown) - 1
    told = "\n".join(f"{number}\t{_short(line)}" for number, line in enumerate(shown, first))
    if not shown:
        told = f"({path} is empty.)" if not every else f"({path} has {len(every)} lines.)"
    elif first > 1 or last < len(every):
        told += f"\n(lines {first} to {last} of {len(every)})"
    return Done(
        {"path": path, "text": "\n".join(shown), "start": first, "end": last, "lines": len(every)},
        text=outside(told, f"file {path}"),
    )


@tool(
    needs={"files.read"},
    touches={"files.read": "path"},
    branches=("found", "nothing"),
    idempotent=True,
    name="files.list",
)
async def list_files(
    context: Context, path: str = ".", pattern: str = "*", deep: bool = False
) -> Done | Failed:
    """List the files of a folder.

    Args:
        path: a folder; by default the garden.
        pattern: which names, such as `*.md`; `*` and `?` stand for characters.
        deep: also those in the folders below. Names with a leading dot are left out there.
    """
    garden = await run_blocking(context.garden.resolve)
    try:
        found, more = await run_blocking(_listed, context, garden, path, pattern, deep)
    except FileError as error:
        return Failed(str(error))
    if not found:
        return Done([], branch="nothing", text=f"Nothing in {path} is called {pattern}.")
    told = "\n".join(
        each["path"]
        + ("/" if each["kind"] == "folder" else f"  ({each['kind']})" if each["kind"] == "link" else "")
        for each in found
    )
    more_of = f"\n(More than {MOST_NAMES}; name a folder.)" if more else ""
    return Done(found, branch="found", text=outside(told + more_of, f"files in {path}"))


@tool(needs={"files.read"}, touches={"files.read": "path"}, branches=("found", "nothing"), idempotent=True)
async def search(
    context: Context,
    pattern: str,
    path: str = ".",
    names: str = "*",
    ignore_case: bool = False,
    limit: int = 100,
) -> Done | Failed:
    """Find the lines of text files that match a regular expression.

    Args:
        pattern: as Python's `re` has it; a line at a time.
        path: a file, or a folder with all below it; by default the garden. Names with a leading dot are left out.
        names: only files called so, such as `*.md`.
        ignore_case: whether small and capital letters are alike.
        limit: at most this many lines, 500 at most.
    """
    try:
        re.compile(pattern)
        parts = parts_of(path)
    except (re.error, RecursionError, OverflowError) as error:
        return Failed(f"{pattern!r} is no regular expression: {error}")
    except FileError as error:
        return Failed(str(error))
    garden = await run_blocking(context.garden.resolve)
    job = {
        "garden": str(garden),
        "parts": parts,
        "pattern": pattern,
        "glob": names,
        "ignore_case": ignore_case,
        "limit": min(max(limit, 1), MOST_HITS),
        "seconds": SEARCH_SECONDS,
    }
    try:
        done = await run_command(
            [sys.executable, "-I", "-S", str(_MAIN)],
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
            timeout=SEARCH_SECONDS + 2.0,
            stdin=msgspec.json.encode(job),
            max_output=4_000_000,
        )
    except TimeoutError:
        done = None
    if done is None or done.returncode < 0:
        return Failed(
            f"the search took longer than {SEARCH_SECONDS} s; use a simpler pattern or a smaller folder"
        )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return Failed(f"{path} cannot be searched: {said[:300]}")
    hits = msgspec.json.decode(done.stdout, type=_Hits)
    seen = await run_blocking(_readable, context, garden, {file for file, _, _ in hits.found})
    found = [{"path": file, "line": line, "text": text} for file, line, text in hits.found if file in seen]
    if not found:
        return Done([], branch="nothing", text=f"No line of {hits.files} files matches {pattern!r}.")
    told = "\n".join(f"{each['path']}:{each['line']}: {each['text']}" for each in found)
    text = outside(told + ("\n(There are more.)" if hits.more else ""), f"files in {path}")
    return Done(found, branch="found", text=text)


@tool(
    needs={"files.write"},
    touches={"files.write": "path"},
    branches=("created", "updated", "unchanged"),
    on_unknown="retry",
)
async def write(context: Context, path: str, text: str, overwrite: bool = True) -> Done | Failed:
    """Write a text file, whole. Folders are made as needed.

    Args:
        path: such as `drafts/letter.txt`.
        text: all it is to hold.
        overwrite: whether a file that is there may be replaced.
    """
    garden = await run_blocking(context.garden.resolve)
    data = text.encode("utf-8", "replace")
    try:
        try:
            former = await run_blocking(read_file, garden, path)
        except Missing:
            former = None
        if former is not None and former.data == data:
            return Done({"path": path}, branch="unchanged", text=f"{path} says so already.")
        if former is not None and not overwrite:
            return Failed(f"{path} is there already; use files.edit, or overwrite it")
        await run_blocking(change_files, garden, [Change(path, data, former.mark if former else None)])
    except FileError as error:
        return Failed(str(error))
    branch = "updated" if former is not None else "created"
    return Done(
        {"path": path, "bytes": len(data)}, branch=branch, text=f"{branch}: {path}, {len(data)} bytes"
    )


@tool(needs={"files.read", "files.write"}, touches=_changed)
async def edit(context: Context, path: str, old: str, new: str, every: bool = False) -> Done | Failed:
    """Replace a passage of a text file.

    Args:
        path: the file.
        old: the passage as it stands there, to the last blank; with enough around it to be the only one.
        new: what is to stand there instead.
        every: replace it wherever it stands.
    """
    garden = await run_blocking(context.garden.resolve)
    try:
        found = await run_blocking(read_file, garden, path)
        text = _text(path, found)
        count = text.count(old) if old else 0
        if problem := _unclear(path, text, old, new, count, every):
            return Failed(problem)
        changed = text.replace(old, new)
        await run_blocking(change_files, garden, [Change(path, changed.encode(), found.mark)])
    except FileError as error:
        return Failed(str(error))
    line = text[: text.index(old)].count("\n") + 1
    places = f"{count} places" if count > 1 else f"line {line}"
    return Done({"path": path, "places": count, "line": line}, text=f"{path}: replaced in {places}")


@tool(needs={"files.read", "files.write"}, touches=_patched)
async def patch(context: Context, patch: str) -> Done | Failed:
    """Change files by a unified diff: all of it, or nothing if one part does not fit.

    Args:
        patch: as `diff -u` or `git diff` writes it. `--- /dev/null` makes a file, `+++ /dev/null` removes one.
    """
    garden = await run_blocking(context.garden.resolve)
    try:
        files = read_patch(patch)
        changes = [await run_blocking(_change, garden, each) for each in files]
        await run_blocking(change_files, garden, changes)
    except (FileError, PatchError) as error:
        return Failed(f"{error}; nothing was changed")
    told = [{"path": each.path, "done": _done(each)} for each in files]
    return Done(told, text="\n".join(f"{each['done']}: {each['path']}" for each in told))


def _change(garden: Path, each: FilePatch) -> Change:
    if each.old == NOWHERE:
        return Change(each.path, apply("", each).encode(), None)
    found = read_file(garden, each.path)
    text = apply(_text(each.path, found), each)
    if each.new == NOWHERE:
        if text:
            raise PatchError(f"{each.path} holds more than the patch removes")
        return Change(each.path, None, found.mark)
    return Change(each.path, text.encode(), found.mark)


def _done(each: FilePatch) -> str:
    return "created" if each.old == NOWHERE else "removed" if each.new == NOWHERE else "changed"


def _unclear(path: str, text: str, old: str, new: str, count: int, every: bool) -> str:
    """Why a passage cannot be replaced; empty if it can."""
    if not old:
        return "say which passage is to be replaced; files.write writes a whole file"
    if old == new:
        return "the passage and what is to stand there are the same"
    if count == 0:
        first = next((line.strip() for line in old.splitlines() if line.strip()), "")
        near = [number for number, line in enumerate(text.splitlines(), 1) if first and first in line]
        hint = f"; its first line stands in line {', '.join(map(str, near[:5]))}" if near else ""
        if old in visible(text):
            return f"this passage stands in {path} with signs in it that show nothing, and that you were not shown"
        return f"this passage does not stand in {path}{hint}. Read the file and copy it as it is"
    if count > 1 and not every:
        lines = [str(text[: found.start()].count("\n") + 1) for found in re.finditer(re.escape(old), text)]
        return f"this passage stands {count} times in {path} (lines {', '.join(lines[:10])}); give more around it"
    return ""


def _text(path: str, found: Found) -> str:
    if b"\0" in found.data[:8192]:
        raise FileError(f"{path} is no text: it holds zero bytes")
    try:
        return found.data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is no UTF-8 text (at byte {error.start})") from error


def _short(line: str) -> str:
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}… ({len(line)} characters)"


def _listed(context: Context, garden: Path, path: str, pattern: str, deep: bool) -> tuple[_Names, bool]:
    found: _Names = []
    waiting = [parts_of(path)]
    while waiting:
        parts = waiting.pop(0)
        with opened_folder(garden, parts) as handle, os.scandir(handle) as entries:
            for entry in sorted(entries, key=lambda each: each.name):
                place = "/".join((*parts, entry.name))
                hidden = entry.name.startswith(".")
                if not _may_read(context, garden, place):
                    continue
                if deep and not hidden and entry.is_dir(follow_symlinks=False):
                    waiting.append((*parts, entry.name))
                if fnmatch.fnmatch(entry.name, pattern) and not (deep and hidden):
                    if len(found) >= MOST_NAMES:
                        return found, True
                    found.append(_entry(place, entry.stat(follow_symlinks=False)))
    return found, False


def _entry(place: str, state: os.stat_result) -> dict[str, Any]:
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    kind = kinds.get(stat.S_IFMT(state.st_mode), "other")
    return {"path": place, "kind": kind, "bytes": state.st_size, "changed": int(state.st_mtime)}


def _readable(context: Context, garden: Path, paths: set[str]) -> set[str]:
    return {path for path in paths if _may_read(context, garden, path)}


def _may_read(context: Context, garden: Path, path: str) -> bool:
    """Whether a file below the folder that was asked for may be shown, too."""
    if context.authority is None:
        return True
    return isinstance(
        context.authority.check(Touch("files.read", path), Place(garden, context.room or "")), Allowed
    )
