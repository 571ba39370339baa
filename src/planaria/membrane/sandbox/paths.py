"""From granted paths to places that cannot be exchanged under our hands. Blocking; standard library only.

A path below one of the folders where others may write is walked step by step, and a link on it is refused: what was
opened is what is granted, whatever happens to its name.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

MOST = 400
"""Places of one run. Each needs a descriptor and a mount."""
MOST_SEEN = 200_000
"""Names that are looked at for a leading dot."""


class PathError(Exception):
    """A granted path that is not there, is a link, or is too much."""


class Place(NamedTuple):
    """What is granted: its name, and a descriptor (`O_PATH`) of what it is."""

    path: str
    descriptor: int
    folder: bool


class Places(NamedTuple):
    """All that is granted, each list with shorter paths first.

    Attributes:
        read: to be read.
        write: to be read and written; none of it holds anything kept, or that must not be seen whatever is granted.
        covered: what there is in both that must not be seen.
    """

    read: list[Place]
    write: list[Place]
    covered: list[Place]


class Granted(NamedTuple):
    """Paths as in `SandboxPolicy`."""

    read: Sequence[str]
    write: Sequence[str]
    kept: Sequence[str]
    hidden: Sequence[str]
    below: Sequence[str]
    dotted: bool
    over: Sequence[str] = ()


def open_places(granted: Granted, *, cover: bool) -> Places:
    """Open what a policy grants.

    A folder that holds something hidden or kept is not writable itself: nobody could keep a missing file from being
    made there. Everything else in it is, as far as it exists.

    Args:
        cover: whether what is hidden can be covered; otherwise what lies beside it is granted piece by piece.
    Raises:
        PathError: a granted path is not there, a link leads to it, or there is too much.
    """
    anchors = _paths(granted.below)
    holes = _paths(granted.hidden)
    write = _paths(granted.write)
    named = _paths([*granted.read, *granted.write])
    dots = [] if granted.dotted else [dot for path in _outermost(named) for dot in _dotted(path, anchors)]
    dots = [dot for dot in dots if dot not in named]
    holes = sorted({*holes, *dots}, key=_depth)
    over = [path for path in _paths(granted.over) if cover and _is_folder(path)]
    loose = [path for path in _paths(granted.over) if path not in over]
    firm = [*_paths(granted.hidden), *_paths(granted.kept), *loose, *([] if cover else dots)]
    pieces = [piece for path in write for piece in _without(path, firm, anchors) if piece not in dots]
    seen = [path for path in named if path not in pieces and not _is_part(path, pieces, holes)]
    seen += [path for path in over if path not in seen and any(is_below(path, piece) for piece in pieces)]
    if not cover:
        seen = [piece for path in seen for piece in _without(path, holes, anchors)]
    covered = [hole for hole in holes if cover and any(is_below(hole, path) for path in named)]
    if len(pieces) + len(seen) + len(covered) > MOST:
        raise PathError(
            f"more than {MOST} files and folders would be granted or hidden one by one; grant less"
        )
    return Places(
        [open_place(path, anchors) for path in seen],
        [open_place(path, anchors) for path in pieces],
        [place for hole in covered if (place := find_place(hole, anchors)) is not None],
    )


def _is_folder(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def is_below(path: str, top: str) -> bool:
    """Whether a path is this one, or lies below it."""
    return path == top or path.startswith(f"{top}/")


def _is_part(path: str, pieces: Sequence[str], holes: Sequence[str]) -> bool:
    """Whether a path is in one of the pieces, with nothing hidden around it there."""
    return any(
        is_below(path, piece) and not any(is_below(hole, piece) and is_below(path, hole) for hole in holes)
        for piece in pieces
    )


def _outermost(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if not any(path != each and is_below(path, each) for each in paths)]


def _dotted(top: str, anchors: Sequence[str]) -> Iterator[str]:
    """Every name with a leading dot below a folder; what is below such a one is not looked at."""
    seen = 0
    waiting = [top]
    while waiting:
        folder = waiting.pop()
        try:
            found = _entries(folder, anchors)
        except PathError:
            if folder == top:
                raise
            continue  # gone meanwhile, or not to be looked into: not by the program either
        for name, inner in found:
            seen += 1
            if name.startswith("."):
                yield f"{folder}/{name}"
            elif inner:
                waiting.append(f"{folder}/{name}")
        if seen > MOST_SEEN:
            raise PathError(f"{top} has more than {MOST_SEEN} names below it; grant a smaller folder")


def _entries(folder: str, anchors: Sequence[str]) -> list[tuple[str, bool]]:
    """The names in a folder that are no links, each with whether it is a folder; none if it is none."""
    place = open_place(folder, anchors)
    try:
        if not place.folder:
            return []
        handle = os.open(f"/proc/self/fd/{place.descriptor}", os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise PathError(f"{folder} cannot be listed: {error.strerror}") from error
    finally:
        os.close(place.descriptor)
    try:
        with os.scandir(handle) as entries:
            return sorted(
                (entry.name, entry.is_dir(follow_symlinks=False))
                for entry in entries
                if not entry.is_symlink()
            )
    finally:
        os.close(handle)


def open_place(path: str, anchors: Sequence[str] = ()) -> Place:
    """Open one path; below an anchor without following links.

    Raises:
        PathError: it is not there, or a link.
    """
    anchor = max((each for each in anchors if is_below(path, each)), key=_depth, default=None)
    try:
        if anchor is None:
            return _place(path, os.open(path, os.O_PATH))
        handle = os.open(anchor, os.O_PATH | os.O_DIRECTORY)
        for step in path[len(anchor) :].strip("/").split("/") if path != anchor else ():
            inner = os.open(step, os.O_PATH | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = inner
            if stat.S_ISLNK(os.fstat(handle).st_mode):
                os.close(handle)
                raise PathError(f"{path}: {step} is a link; grant what it leads to")
        return _place(path, handle)
    except OSError as error:
        raise PathError(f"{path} cannot be granted: {error.strerror}") from error


def find_place(path: str, anchors: Sequence[str]) -> Place | None:
    """As `open_place`; None if it is not there, or a link: what that leads to is not there by this name."""
    try:
        if stat.S_ISLNK(os.lstat(path).st_mode):
            return None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PathError(f"{path} cannot be hidden: {error.strerror}") from error
    return open_place(path, anchors)


def _without(path: str, holes: Sequence[str], anchors: Sequence[str]) -> Iterator[str]:
    """What is left of a granted path without what lies deeper in it, as paths that can be granted whole."""
    inner = [hole for hole in holes if hole != path and is_below(hole, path)]
    if not inner:
        yield path
        return
    # Case is ignored: some file systems do, and nothing is lost by it.
    taken = {hole.casefold() for hole in inner}
    for name, _ in _entries(path, anchors):
        if f"{path}/{name}".casefold() not in taken:
            yield from _without(f"{path}/{name}", inner, anchors)


def _place(path: str, descriptor: int) -> Place:
    return Place(path, descriptor, stat.S_ISDIR(os.fstat(descriptor).st_mode))


def _paths(texts: Sequence[str]) -> list[str]:
    return sorted(set(texts), key=_depth)


def _depth(path: str) -> int:
    return path.count("/")
