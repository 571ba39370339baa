"""The control protocol: what goes over a garden's local socket, one JSON object a line.

    {"id": 1, "method": "inspect", "params": {"process": "journal"}}        a request
    {"id": 1, "result": {...}}                                               its answer, or
    {"id": 1, "error": {"code": "not_found", "message": ..., "mend": ...}}   why there is none
    {"id": 2, "event": {...}}                                                one of many, before the answer

Several requests may be under way on one connection; answers come as they are ready. A stream (`room.follow`) ends with
the connection, or with `{"id": 3, "method": "cancel", "params": {"request": 2}}`. Used by the server (`control.py`)
and by clients; needs msgspec only, so that a client starts quickly.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, Literal

import msgspec

from planaria.config.lock import STATE_FOLDER, PrivateFolderError

OBSERVER = "observe"
"""The other socket, of the thread that answers while the node is stuck: `observe.sock`, `observe.path`."""
LONGEST_LINE = 1 << 20
"""Bytes of one request."""
LONGEST_PATH = 103
"""Bytes of a socket's path that every system takes."""

type Code = Literal[
    "bad_request",  # not JSON, not a request, wrong parameters
    "too_long",  # a line beyond LONGEST_LINE; the connection is closed
    "too_many",  # too many requests under way on this connection
    "unknown_method",
    "not_found",  # no such process, room, note, workflow, run
    "refused",  # understood, and the answer is no
    "unavailable",  # the part of the node that would answer is not running
    "timeout",  # it did not answer in time; the work may be done all the same
    "crashed",  # a fault of the program: the journal and the log have more
]


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client asks."""

    method: str
    id: int | str = 0
    params: dict[str, Any] = {}


class Fault(msgspec.Struct, frozen=True):
    """Why there is no result, and what to do about it."""

    code: Code
    message: str
    mend: str = ""


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a client gets: exactly one of `result`, `error`, `event` is set."""

    id: int | str | None
    result: Any = msgspec.UNSET
    error: Fault | msgspec.UnsetType = msgspec.UNSET
    event: Any = msgspec.UNSET


class ControlError(Exception):
    """A request that gets no result; its fault goes to the client."""

    def __init__(self, code: Code, message: str, mend: str = "") -> None:
        self.fault = Fault(code, message, mend)
        super().__init__(f"{message}; {mend}" if mend else message)


def socket_path(garden: Path, name: str = "control") -> Path:
    """Where a client finds a socket of the garden: in `.planaria`, or where the pointer file there says."""
    folder = garden.absolute() / STATE_FOLDER
    try:
        return Path((folder / f"{name}.path").read_text(encoding="utf-8").strip())
    except OSError:
        return folder / f"{name}.sock"


def place_socket(folder: Path, name: str = "control") -> Path:
    """Where the server puts its socket: in the private `folder`, or, where that path is too long for a socket, in a
    short private folder that a pointer file names.

    Raises:
        PrivateFolderError: something that is no socket is in its place.
    """
    path = folder.absolute() / f"{name}.sock"
    if path.is_symlink() or (path.exists() and not path.is_socket()):
        raise PrivateFolderError(
            path, f"this is where the {name} socket belongs, and it is something else; remove it"
        )
    pointer = folder / f"{name}.path"
    remove_pointer(folder, name)
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    short = Path(tempfile.mkdtemp(prefix="planaria-", dir=_short_folder())) / path.name
    pointer.write_text(f"{short}\n", encoding="utf-8")
    return short


def remove_pointer(folder: Path, name: str = "control") -> None:
    """Take away the pointer file and the short folder it names, if there is one."""
    pointer = folder / f"{name}.path"
    try:
        short = Path(pointer.read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return
    pointer.unlink()
    if short.name == f"{name}.sock" and short.parent.name.startswith("planaria-"):
        try:
            short.unlink(missing_ok=True)
            short.parent.rmdir()
        except OSError:
            return  # gone already, or not ours to remove: nobody is pointed to it any more


def _short_folder() -> str:
    """The system's folder for temporary files; /tmp where that is too long itself."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) < 60 else "/tmp"
