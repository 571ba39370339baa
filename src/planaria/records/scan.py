"""Reading and writing records on disk: what the library does off the loop, as plain functions."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

import msgspec

from planaria.records.errors import Problem, RecordError, RecordsError
from planaria.records.kinds import FOLDERS, Kind, kind_of, record_paths
from planaria.records.paths import inside, read_file, writable, write_file
from planaria.records.record import MAX_RECORD, Record, decode_record, parse_record, render_record

type Outcome = Literal["created", "updated", "unchanged"]
type Found = dict[str, Record | RecordError]
CHANGED = "it was changed meanwhile"
"""The problem with a body that was made from another than the file has now."""


class Written(msgspec.Struct, frozen=True):
    """A write that was done: the record as it now is, and what changed."""

    record: Record
    outcome: Outcome


class RecordChanged(msgspec.Struct, frozen=True):
    """A record appeared, changed, broke or went away.

    `error` set: the file is broken; keep what you have (`record` is the last good version, if one is held).
    `error` and `record` both None: the file is gone.
    """

    kind: Kind
    name: str
    path: str
    record: Record | None
    error: RecordError | None


def load(garden: Path, path: str) -> Record:
    """Read one record.

    Raises:
        RecordsError: refused or broken; a missing file is refused with the problem `there is no such file`.
    """
    place = inside(garden, path)
    try:
        data = read_file(garden, place, MAX_RECORD)
    except FileNotFoundError as error:
        raise RecordError(path, 0, "there is no such file", "Check the name.") from error
    return decode_record(path, data)


def scan(garden: Path, under: str = "", folders: Collection[str] = FOLDERS) -> Found:
    """Read every record at or under a path of the garden; a broken one gives its error.

    Args:
        folders: as in `record_paths`.
    """
    found: Found = {}
    for path in record_paths(garden, under, folders):
        try:
            found[path] = load(garden, path)
        except RecordsError as error:
            if (garden / path).exists():  # else it went away meanwhile
                found[path] = RecordError(error.path, error.line, error.problem, error.mend)
    return found


def store(
    garden: Path,
    path: str,
    front: dict[str, Any] | None,
    body: str,
    merge: bool = False,
    append: bool = False,
    instead_of: str | None = None,
) -> Written | Problem:
    """Write a record atomically.

    Args:
        path: a `.md` file in the garden.
        front: the new front matter; None keeps what is there.
        body: the new body.
        merge: `front` is laid over what is there; a key given as None goes away.
        append: `body` is added below the present one.
        instead_of: the body `body` was made from; if the file has another now, the answer is the problem `CHANGED`.
    """
    try:
        place = writable(garden, path)
        if kind_of(place.as_posix()) is None:
            return Problem(
                path,
                0,
                "no record lives at this place",
                "Use notes/, agents/, workflows/ or skills/*/SKILL.md.",
            )
        before, text_before = _present(garden, path, must_parse=front is None or merge or append)
        if instead_of is not None and (before is None or before.body != instead_of):
            return Problem(path, 0, CHANGED, "Read it again.")
        kept = before.front if before else {}
        wanted = kept if front is None else _merged(kept, front) if merge else front
        if append and before is not None:
            body = _joined(before.body, body)
        text = render_record(wanted, body.replace("\r\n", "\n"), before)
        record = parse_record(path, text)
        if text_before is not None and "\r\n" in text_before:
            text = text.replace("\n", "\r\n")
        if text == text_before:
            return Written(record, "unchanged")
        write_file(garden, place, text.encode("utf-8"))
    except UnicodeEncodeError as error:
        return Problem(
            path, 0, f"the text cannot be written as UTF-8 ({error.reason})", "Remove lone surrogates."
        )
    except RecordsError as error:
        return Problem(path, error.line, error.problem, error.mend)
    return Written(record, "created" if text_before is None else "updated")


def _present(garden: Path, path: str, must_parse: bool) -> tuple[Record | None, str | None]:
    try:
        data = read_file(garden, inside(garden, path), MAX_RECORD)
    except FileNotFoundError:
        return None, None
    try:
        return decode_record(path, data), data.decode("utf-8")
    except RecordError:
        if must_parse:
            raise
        return None, data.decode("utf-8", "replace")


def _merged(kept: dict[str, Any], front: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**kept, **front}.items() if value is not None or key not in front}


def _joined(above: str, below: str) -> str:
    if not above.strip():
        return below
    return above.rstrip("\n") + "\n\n" + below
