"""Which files of the garden may be named, read and written. Pure checks and descriptor work, no process.

A path from outside (a model, a workflow, a web form) is text such as `notes/a.md`. `inside` turns it into a
real place or refuses; `write_file` and `read_file` then walk to it one folder at a time without following
links, so that a link swapped in after the check leads nowhere. POSIX only.
"""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from planaria.records.errors import PathRefused

PRIVATE = ".planaria"
PROTECTED = frozenset({"planaria.toml", PRIVATE})

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | _NO_LINK


def inside(garden: Path, path: str) -> PurePosixPath:
    """The place of `path` in the garden, links resolved, relative to the garden's real folder.

    Raises:
        PathRefused: absolute, `..`, odd characters, a link that leads out, or the node's own `.planaria`.
    """
    if not path or path.strip() != path or not path.isprintable():
        raise PathRefused(path, "this is no path", "Name a file such as notes/idea.md.")
    if "\\" in path or PureWindowsPath(path).drive or path.startswith(("/", "~")):
        raise PathRefused(
            path, "the path must be relative to the garden", "Name a file such as notes/idea.md."
        )
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise PathRefused(path, "the path climbs out with `..`", "Name the file from the garden's folder.")
    root = garden.resolve()
    try:
        real = root.joinpath(*parts).resolve()
        place = PurePosixPath(real.relative_to(root).as_posix())
    except ValueError as error:
        raise PathRefused(
            path, "a link on this path leads out of the garden", "Name the file itself."
        ) from error
    except (OSError, RuntimeError) as error:  # a loop of links, a name too long
        raise PathRefused(path, f"the path cannot be followed ({error})", "Name another file.") from error
    for step in (*parts[:1], *place.parts[:1]):
        if step.casefold() == PRIVATE:
            raise PathRefused(path, f"{PRIVATE} belongs to the node", "Name a file outside of it.")
    return place


def writable(garden: Path, path: str) -> PurePosixPath:
    """As `inside`, for a record that is to be written.

    Raises:
        PathRefused: also for `planaria.toml`, hidden files and folders (`.git` holds programs), and all but
            `.md`.
    """
    place = inside(garden, path)
    for part in (*PurePosixPath(path).parts, *place.parts):
        if part.casefold() in PROTECTED:
            raise PathRefused(path, f"{part} is never written from inside", "Edit it by hand.")
        if part.startswith("."):
            raise PathRefused(
                path, "hidden files and folders are not written", "Choose a name without a leading dot."
            )
    if place.suffix != ".md" or not path.endswith(".md"):
        raise PathRefused(
            path, "only records are written, and their names end in .md", "Choose a name ending in .md."
        )
    return place


def read_file(garden: Path, place: PurePosixPath, limit: int) -> bytes:
    """At most `limit + 1` bytes of a plain file (one more tells that there is more).

    Raises:
        FileNotFoundError: there is none.
        PathRefused: a folder, a pipe, a device, or not readable.
    """
    try:
        with _folder(garden, place, create=False) as folder:
            # Non-blocking, since opening a pipe for reading would wait for a writer.
            handle = os.open(place.name, os.O_RDONLY | os.O_NONBLOCK | _NO_LINK, dir_fd=folder)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise PathRefused(str(place), "this is not a plain file", "Name a text file.")
                return file.read(limit + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise PathRefused(
            str(place), f"it cannot be read ({error.strerror})", "Check its permissions."
        ) from error


def write_file(garden: Path, place: PurePosixPath, data: bytes) -> None:
    """Replace a file at once and durably: temporary file, fsync, rename, fsync of the folder.

    Readers see the old content or the new, never a part, also after a power cut.

    Raises:
        PathRefused: the folder cannot be made or written, the disk is full.
    """
    temporary = f".{place.name[:200]}.{os.getpid()}.tmp"
    try:
        with _folder(garden, place, create=True) as folder:
            handle = os.open(
                temporary,
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _NO_LINK,
                _mode(folder, place.name),
                dir_fd=folder,
            )
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(handle)
                os.rename(temporary, place.name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                os.unlink(temporary, dir_fd=folder)
                raise
            os.fsync(folder)
    except OSError as error:
        raise PathRefused(
            str(place),
            f"it cannot be written ({error.strerror})",
            "Check the folder's permissions and the disk.",
        ) from error


def _mode(folder: int, name: str) -> int:
    try:
        return stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return 0o644


@contextmanager
def _folder(garden: Path, place: PurePosixPath, *, create: bool) -> Generator[int]:
    """A descriptor of the file's folder, reached step by step without following a link."""
    handle = os.open(garden.resolve(), os.O_RDONLY | os.O_DIRECTORY)
    try:
        for step in place.parts[:-1]:
            if create:
                try:
                    os.mkdir(step, dir_fd=handle)
                except FileExistsError:
                    pass
            below = os.open(step, _DIRECTORY, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)
