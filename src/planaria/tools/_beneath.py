"""Files below the garden's folder, reached without following a link: a link that is planted leads nowhere.

Blocking. A file is replaced at once: readers see the old content or the new. POSIX only.
"""

import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

PRIVATE = ".planaria"
MOST_BYTES = 10_000_000
"""Of one file that is read or written."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


class FileError(Exception):
    """A file that cannot be used so; the message is complete and says the mend where there is one."""


class Missing(FileError):
    """There is no such file."""


class Found(NamedTuple):
    """A file as it was read, and how it can be told later that it is still the same."""

    data: bytes
    mark: tuple[int, int, int]


class Change(NamedTuple):
    """A file that is to be.

    Attributes:
        data: None removes it.
        mark: of what it must still be; None: it must not be there yet.
    """

    path: str
    data: bytes | None
    mark: tuple[int, int, int] | None


def parts_of(path: str) -> tuple[str, ...]:
    """The parts of a path below the garden; none for the garden itself.

    Raises:
        FileError: absolute, climbing, odd, or the node's own.
    """
    if not path.isprintable() or path.strip() != path or "\\" in path:
        raise FileError(f"{path!r} is no path; name a file such as notes/idea.md")
    if path.startswith(("/", "~")):
        raise FileError(f"{path!r} is not below the garden; name it from there, such as notes/idea.md")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    if ".." in parts:
        raise FileError(f"{path!r} climbs with `..`; name the file from the garden's folder")
    if any(part.casefold() == PRIVATE for part in parts):
        raise FileError(f"{PRIVATE} belongs to the node")
    return parts


@contextmanager
def opened_folder(garden: Path, parts: tuple[str, ...], *, create: bool = False) -> Generator[int]:
    """A descriptor of a folder, reached step by step.

    Raises:
        FileError: a step is missing, a link, or no folder.
    """
    handle = os.open(garden, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number, step in enumerate(parts):
            if create:
                with suppress(FileExistsError):
                    os.mkdir(step, dir_fd=handle)
            try:
                inner = os.open(step, _FOLDER, dir_fd=handle)
            except OSError as error:
                raise _fault("/".join(parts[: number + 1]), handle, step, error) from error
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def read_file(garden: Path, path: str) -> Found:
    """A plain file.

    Raises:
        Missing: there is none.
        FileError: it is no plain file, a link, too large, or not readable.
    """
    parts = parts_of(path)
    if not parts:
        raise FileError("the garden is a folder; name a file in it")
    with opened_folder(garden, parts[:-1]) as folder:
        try:
            handle = os.open(parts[-1], os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW, dir_fd=folder)
        except OSError as error:
            raise _fault(path, folder, parts[-1], error) from error
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            os.close(handle)
            folders = stat.S_ISDIR(state.st_mode)
            what = "a folder; files.list shows what is in it" if folders else "no plain file"
            raise FileError(f"{path} is {what}")
        with os.fdopen(handle, "rb") as file:
            if state.st_size > MOST_BYTES:
                raise FileError(f"{path} has {state.st_size} bytes; at most {MOST_BYTES} are read")
            return Found(file.read(MOST_BYTES + 1), _mark(state))


def change_files(garden: Path, changes: list[Change]) -> None:
    """Write and remove files, all of them or none.

    New content is on the disk under another name before the first file is touched; what fails after that is put back.

    Raises:
        FileError: one of them is not what it was, or cannot be written; nothing was changed.
    """
    ready: list[tuple[Change, str]] = []
    done: list[tuple[Change, Found | None]] = []
    try:
        for change in changes:
            ready.append((change, _prepare(garden, change)))
        for change, temporary in ready:
            former = _present(garden, change)
            _place(garden, change, temporary)
            done.append((change, former))
    except BaseException:
        for change, former in reversed(done):
            _put_back(garden, change, former)
        for change, temporary in ready:
            _discard(garden, change, temporary)
        raise


def _prepare(garden: Path, change: Change) -> str:
    """Put new content beside its place; its name there, empty for a removal."""
    if change.data is None:
        return ""
    if len(change.data) > MOST_BYTES:
        raise FileError(
            f"{change.path} would have {len(change.data)} bytes; at most {MOST_BYTES} are written"
        )
    parts = parts_of(change.path)
    if not parts:
        raise FileError("the garden is a folder; name a file in it")
    temporary = f".{secrets.token_hex(8)}.tmp"
    with opened_folder(garden, parts[:-1], create=True) as folder:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            handle = os.open(temporary, flags, _mode(folder, parts[-1]), dir_fd=folder)
            with os.fdopen(handle, "wb") as file:
                os.fchmod(handle, _mode(folder, parts[-1]))
                file.write(change.data)
                file.flush()
                os.fsync(handle)
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise FileError(f"{change.path} cannot be written: {error.strerror}") from error
    return temporary


def _present(garden: Path, change: Change) -> Found | None:
    """What is there now, which must be what was expected."""
    try:
        former = read_file(garden, change.path)
    except Missing:
        former = None
    if (former.mark if former else None) != change.mark:
        if change.mark is None:
            raise FileError(f"{change.path} exists already")
        raise FileError(f"{change.path} was changed meanwhile; read it again")
    return former


def _place(garden: Path, change: Change, temporary: str) -> None:
    *above, name = parts_of(change.path)
    with opened_folder(garden, tuple(above)) as folder:
        try:
            if change.data is None:
                os.unlink(name, dir_fd=folder)
            else:
                os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        except OSError as error:
            raise FileError(f"{change.path} cannot be written: {error.strerror}") from error


def _put_back(garden: Path, change: Change, former: Found | None) -> None:
    with suppress(FileError, OSError):
        back = Change(change.path, former.data if former else None, None)
        _place(garden, back, _prepare(garden, back))


def _discard(garden: Path, change: Change, temporary: str) -> None:
    if temporary:
        with suppress(FileError, OSError), opened_folder(garden, parts_of(change.path)[:-1]) as folder:
            os.unlink(temporary, dir_fd=folder)


def _mode(folder: int, name: str) -> int:
    try:
        return stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode) & 0o777
    except FileNotFoundError:
        return 0o644


def _mark(state: os.stat_result) -> tuple[int, int, int]:
    return (state.st_ino, state.st_mtime_ns, state.st_size)


def _fault(path: str, folder: int, name: str, error: OSError) -> FileError:
    if isinstance(error, FileNotFoundError):
        return Missing(f"there is no {path}")
    with suppress(OSError):
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return FileError(f"{path} is a link, and links are not followed; name what it leads to")
    return FileError(f"{path} cannot be opened: {error.strerror}")
