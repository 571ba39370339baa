"""A record: a Markdown file with YAML front matter, as a value.

Pure functions, no process. `parse_record` reads, `render_record` writes; what is written reads back the same.
Line ends are LF in memory; a file that had CRLF keeps it when it is written again.
Does badly: an edit keeps comments of the front matter's unchanged top-level keys only.
"""

from typing import Any

import msgspec
import yaml

from planaria.records.errors import RecordError
from planaria.records.front import Lines, dump_front, load_front

MAX_RECORD = 1024 * 1024
BOM = "\ufeff"


class Record(msgspec.Struct, frozen=True):
    """One file of the garden.

    Attributes:
        path: relative to the garden, with `/`.
        front: the front matter, JSON-like values only (dates stay text).
        body: everything below the closing `---` line, to the letter.
        front_lines: the file line of each key, nested ones dotted: `steps.fetch.tool`, `steps.0`.
        body_line: the file line on which the body begins.
        front_text: the front matter as it was written, comments included.
    """

    path: str
    front: dict[str, Any]
    body: str
    front_lines: Lines = {}
    body_line: int = 1
    front_text: str = ""

    @property
    def title(self) -> str:
        """The front matter's `title`, else the first heading, else the file's name."""
        given = self.front.get("title")
        if isinstance(given, str) and given.strip():
            return given.strip()
        return first_heading(self.body) or self.path.rsplit("/", 1)[-1].removesuffix(".md")

    def line(self, key: str) -> int:
        """The line to name in an error about `key`: its own, or the nearest one above it that is known."""
        while key:
            if key in self.front_lines:
                return self.front_lines[key]
            key = key.rpartition(".")[0]
        return 1


def parse_record(path: str, text: str) -> Record:
    """Read a record from its text.

    Args:
        path: relative to the garden; for errors and for `Record.path`.
        text: the file's content. A byte order mark is dropped, CRLF becomes LF.
    Raises:
        RecordError: it names the line and the mend.
    """
    if len(text) > MAX_RECORD:
        raise RecordError(
            path, 0, f"the file is larger than {MAX_RECORD // 1024} KiB", "Split it into several notes."
        )
    text = text.removeprefix(BOM).replace("\r\n", "\n")
    lines = text.split("\n")
    if not _is_fence(lines[0]):
        return Record(path, {}, text)
    close = next((n for n in range(1, len(lines)) if _is_fence(lines[n])), None)
    if close is None:
        raise RecordError(
            path,
            1,
            "the front matter opened in line 1 is never closed",
            "Add a line `---` after its last key.",
        )
    front_text = "".join(line + "\n" for line in lines[1:close])
    front, front_lines = load_front(path, front_text, first_line=2)
    return Record(path, front, "\n".join(lines[close + 1 :]), front_lines, close + 2, front_text)


def decode_record(path: str, data: bytes) -> Record:
    """Read a record from a file's bytes; UTF-8 only, and the error names the line that is not."""
    if len(data) > MAX_RECORD:
        raise RecordError(
            path, 0, f"the file is larger than {MAX_RECORD // 1024} KiB", "Split it into several notes."
        )
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecordError(
            path,
            line,
            f"byte 0x{data[error.start]:02x} is not UTF-8",
            "Save the file with the encoding UTF-8.",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise RecordError(
            path, line, "the file holds a zero byte, so it is no text", "Move it out of this folder."
        )
    return parse_record(path, text)


def render_record(front: dict[str, Any], body: str, before: Record | None = None) -> str:
    """The text of a file with this front matter and body; `parse_record` gives both back.

    Args:
        front: JSON-like values with text keys.
        body: as in `Record.body`.
        before: the record it replaces: front matter that did not change keeps its wording and comments.
    Raises:
        RecordError: a value that front matter cannot hold.
    """
    path = before.path if before else "the new record"
    front_text = _front_text(path, front, before)
    if not front_text and not body.startswith(BOM) and not _is_fence(body.split("\n", 1)[0]):
        return body
    return f"---\n{front_text}---\n{body}"


def first_heading(body: str) -> str:
    """The text of the first Markdown heading (`# ...`) outside code fences, or nothing."""
    fenced = False
    for line in body.split("\n"):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        elif not fenced and line.startswith("#"):
            marks, _, words = line.partition(" ")
            if words.strip() and set(marks) == {"#"} and len(marks) <= 6:
                return words.strip().rstrip("#").strip()
    return ""


def _is_fence(line: str) -> bool:
    return line.rstrip(" \t\r") == "---"


def _front_text(path: str, front: dict[str, Any], before: Record | None) -> str:
    if before is not None and before.front == front and list(before.front) == list(front):
        return before.front_text
    candidates = [_edited(front, before)] if before is not None and before.front_text else []
    for candidate in (*candidates, None):
        text = candidate if candidate is not None else _dumped(path, front)
        try:
            again, _ = load_front(path, text, first_line=2)
        except RecordError:
            if candidate is None:
                raise
            continue
        if again == front and not any(_is_fence(line) for line in text.split("\n")):
            return text
    raise RecordError(
        path, 0, "the front matter would not read back as it was given", "Use plain JSON-like values."
    )


def _dumped(path: str, front: dict[str, Any]) -> str:
    try:
        return dump_front(front)
    except yaml.YAMLError as error:
        raise RecordError(
            path, 0, f"the front matter cannot hold this: {error}", "Use text, numbers, lists and mappings."
        ) from error


def _edited(front: dict[str, Any], before: Record) -> str:
    """Keep the lines of unchanged top-level keys, write the others anew; checked by reading it back."""
    rows = before.front_text.split("\n")[:-1]
    starts = [before.front_lines[key] - 2 for key in before.front]
    ends = [*starts[1:], len(rows)]
    kept = {
        key: "".join(row + "\n" for row in rows[start:end])
        for key, start, end in zip(before.front, starts, ends, strict=True)
    }
    head = "".join(row + "\n" for row in rows[: starts[0]]) if starts else "".join(row + "\n" for row in rows)
    parts = [
        kept[key] if key in kept and _same(before.front[key], value) else _dumped(before.path, {key: value})
        for key, value in front.items()
    ]
    return head + "".join(parts)


def _same(one: Any, other: Any) -> bool:
    """Equality that tells 1 from True and from 1.0."""
    return msgspec.json.encode(one) == msgspec.json.encode(other)
