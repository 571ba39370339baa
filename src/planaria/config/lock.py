"""One node for one garden: the lock file `.planaria/lock`.

Taken by whoever starts a node, before anything is opened; held by the open file, so it is free again however the
node ends, `kill -9` included. The file's text says who holds it: process id, dashboard address, start time.
Does badly: on network file systems that do not know `flock`, two machines may both hold it.
"""

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

STATE_FOLDER = ".planaria"
LOCK_FILE = "lock"
_TRIES = 5
_PAUSE = 0.01  # seconds; `holder` holds a lock for microseconds


class GardenInUse(Exception):
    """Another node runs this garden.

    Attributes:
        garden: the garden's folder.
        pid: the other's process id, 0 if it has not said yet.
        url: its dashboard, "" if it has not said yet.
    """

    def __init__(self, garden: Path, pid: int, url: str) -> None:
        self.garden = garden
        self.pid = pid
        self.url = url
        who = f"process {pid}" if pid else "another process"
        where = f", dashboard {url}" if url else ""
        super().__init__(
            f"a node already runs the garden {garden} ({who}{where}); use that one, or end it with `planaria stop`"
        )


class PrivateFolderError(Exception):
    """The garden's `.planaria` folder, or a file in it, cannot be used."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}; the user who runs the node must own and may write it")


class Holder(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who holds a lock."""

    pid: int
    url: str = ""
    since: float = 0.0  # unix seconds


class GardenLock:
    """A held lock. Release it with `release`, or use it as a context manager.

    Args:
        garden: the garden's folder.
        since: unix seconds, for those who are refused.
    Raises:
        GardenInUse: another node holds it; says which.
        PrivateFolderError: `.planaria` cannot be made or written.
    """

    def __init__(self, garden: Path, since: float = 0.0) -> None:
        self.file = private_folder(garden) / LOCK_FILE
        try:
            self._fd = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise PrivateFolderError(self.file, error.strerror or "cannot be opened") from error
        if not self._take():
            os.close(self._fd)
            other = _read(self.file) or Holder(0)
            raise GardenInUse(garden, other.pid, other.url)
        self._holder = Holder(os.getpid(), since=since)
        self._write(self._holder)

    def announce(self, url: str) -> None:
        """Write the dashboard's address into the file, for those who look for the node."""
        self._holder = msgspec.structs.replace(self._holder, url=url)
        self._write(self._holder)

    def release(self) -> None:
        """Free the garden. May be called twice."""
        if self._fd >= 0:
            # Emptied, not removed: a removed file could be locked by two who opened it before and after.
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = -1

    def _take(self) -> bool:
        for attempt in range(_TRIES):
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt < _TRIES - 1:
                    time.sleep(_PAUSE)  # before there is a node, so there is no loop to hold up
            else:
                return True
        return False

    def _write(self, holder: Holder) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, msgspec.json.encode(holder) + b"\n", 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def find_holder(garden: Path) -> Holder | None:
    """Who runs this garden now, None if nobody does. Takes no lock that outlives the question."""
    file = garden / STATE_FOLDER / LOCK_FILE
    try:
        fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PrivateFolderError(file, error.strerror or "cannot be opened") from error
    try:
        # Shared: two who ask at once do not take each other for a node.
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(file) or Holder(0)
    finally:
        os.close(fd)
    return None


def private_folder(garden: Path) -> Path:
    """The garden's `.planaria`, made if missing, closed to other users.

    Raises:
        PrivateFolderError: it cannot be made, or is no folder of ours.
    """
    folder = garden / STATE_FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink():
            raise PrivateFolderError(folder, "it is a link, and keys and journal must stay in the garden")
        if folder.stat().st_uid != os.geteuid():
            raise PrivateFolderError(folder, "it belongs to another user")
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise PrivateFolderError(folder, error.strerror or "cannot be made") from error
    return folder


def _read(file: Path) -> Holder | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None  # its holder writes it just now
