"""Front matter: a small, strict subset of YAML, read with the line of every key.

Read from parser events rather than with a YAML loader, for three reasons: libyaml's own loader overflows the
C stack on deep nesting (a file of brackets would kill the node), it forgets lines and swallows duplicate
keys, and YAML 1.1 turns `no` into False, `12:30` into 750 and dates into objects. Here a plain scalar is
null, true, false, a decimal number, or text; anchors, aliases and tags are refused, so a small file cannot
expand into a large one.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from planaria.records.errors import RecordError

MAX_DEPTH = 24
MAX_FRONT = 64 * 1024

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# One object named twice is written twice, since aliases are not read.
_DUMPER = type(
    "Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {"ignore_aliases": lambda self, data: True}
)

_WORDS: dict[str, bool | None] = {
    "": None,
    "~": None,
    **dict.fromkeys(("null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})\Z")
_FLOAT = re.compile(r"[-+]?(0|[1-9][0-9]{0,300})\.[0-9]{1,300}([eE][-+][0-9]{1,3})?\Z")

type Lines = dict[str, int]


def load_front(path: str, text: str, first_line: int) -> tuple[dict[str, Any], Lines]:
    """Read a front matter block.

    Args:
        path: for errors.
        text: what stands between the two `---` lines.
        first_line: the line of the file (from 1) on which `text` begins.
    Returns:
        The mapping, and the file line of each key. Nested keys are dotted (`steps.fetch.tool`), list items
        are numbered from 0 (`steps.0.tool`).
    Raises:
        RecordError: not a mapping, or not YAML, with the line and the mend.
    """
    if len(text) > MAX_FRONT:
        raise RecordError(
            path,
            first_line,
            f"the front matter is larger than {MAX_FRONT // 1024} KiB",
            "Move text below it, into the body.",
        )
    reader = _Reader(path, first_line)
    try:
        return reader.read(yaml.parse(text, Loader=_LOADER))
    except yaml.YAMLError as error:
        raise reader.translated(error, text) from error


def dump_front(front: dict[str, Any]) -> str:
    """Write a mapping so that `load_front`, and any YAML reader, gives it back.

    Raises:
        yaml.YAMLError: a value that YAML cannot write (only JSON-like values are allowed).
    """
    if not front:
        return ""
    text = yaml.dump(
        front, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, default_flow_style=False, width=100
    )
    return str(text)


class _Reader:
    """Builds the mapping from parser events, one file at a time."""

    def __init__(self, path: str, first_line: int) -> None:
        self.path = path
        self.first_line = first_line
        self.lines: Lines = {}

    def read(self, events: Iterator[Any]) -> tuple[dict[str, Any], Lines]:
        value: Any = None
        documents = 0
        for event in events:
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise self.error(
                            event, "the front matter holds a second document", "Remove the extra `---`."
                        )
                case yaml.StreamStartEvent() | yaml.StreamEndEvent() | yaml.DocumentEndEvent():
                    pass
                case yaml.MappingStartEvent():
                    value = self.node(event, events, "", 0)
                case _:
                    problem = f"the front matter is {_shape(event)}, not a list of `key: value` lines"
                    raise self.error(event, problem, "Write it as `key: value`, one key a line.")
        return value if value is not None else {}, self.lines

    def node(self, event: Any, events: Iterator[Any], place: str, depth: int) -> Any:
        self.check(event, depth)
        match event:
            case yaml.ScalarEvent():
                return _scalar(event)
            case yaml.SequenceStartEvent():
                items: list[Any] = []
                for item in events:
                    if isinstance(item, yaml.SequenceEndEvent):
                        return items
                    where = f"{place}.{len(items)}"
                    self.lines[where] = self.line(item)
                    items.append(self.node(item, events, where, depth + 1))
            case yaml.MappingStartEvent():
                return self.mapping(events, place, depth)
            case _:
                pass
        raise self.error(event, "this is not a value", "Quote it.")

    def mapping(self, events: Iterator[Any], place: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            self.check(event, depth)
            if not isinstance(event, yaml.ScalarEvent):
                raise self.error(
                    event, f"a key is {_shape(event)}, not a word", "Use a plain word as key, or quote it."
                )
            key = str(event.value)
            where = f"{place}.{key}" if place else key
            if key in found:
                raise self.error(
                    event,
                    f"the key {key!r} stands twice, first in line {self.lines[where]}",
                    "Keep one of the two.",
                )
            self.lines[where] = self.line(event)
            found[key] = self.node(next(events), events, where, depth + 1)
        return found

    def check(self, event: Any, depth: int) -> None:
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise self.error(
                event,
                "anchors (&) and aliases (*) are not used in records",
                "Write the value out, or quote it.",
            )
        if getattr(event, "tag", None) not in (None, "!"):
            raise self.error(
                event, f"the tag {event.tag!r} is not used in records", "Remove it, or quote the value."
            )
        if depth > MAX_DEPTH:
            raise self.error(event, f"the nesting is deeper than {MAX_DEPTH} levels", "Flatten it.")

    def line(self, event: Any) -> int:
        return self.first_line + int(event.start_mark.line)

    def error(self, event: Any, problem: str, mend: str) -> RecordError:
        return RecordError(self.path, self.line(event), problem, mend)

    def translated(self, error: yaml.YAMLError, text: str) -> RecordError:
        """A YAML error in words, at the line a person should look at."""
        rows = text.split("\n")
        if isinstance(error, yaml.reader.ReaderError):
            row = next((n for n, line in enumerate(rows) if _UNPRINTABLE.search(line)), 0)
            return RecordError(
                self.path, self.first_line + row, "the front matter holds a control character", "Delete it."
            )
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        row = min(int(mark.line), len(rows) - 1) if mark else 0
        opened = getattr(error, "context_mark", None)
        # What ran on to the end, or into the next key, is mended where it began.
        if opened is not None and (
            not rows[row].strip() or "flow" in (getattr(error, "context", None) or "")
        ):
            row = min(int(opened.line), len(rows) - 1)
        while row and not rows[row].strip():
            row -= 1
        line = self.first_line + row
        if "\t" in rows[row][: len(rows[row]) - len(rows[row].lstrip())]:
            return RecordError(self.path, line, "a tab is used to indent", "Indent with spaces.")
        problem = getattr(error, "problem", None) or str(error)
        for sign, (said, mend) in _SAID.items():
            if sign in problem:
                return RecordError(self.path, line, said, mend)
        context = getattr(error, "context", None)
        return RecordError(
            self.path,
            line,
            f"{problem} {context}" if context else problem,
            "Mend the YAML, or quote the value.",
        )


_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SAID = {
    "mapping values are not allowed": (
        "a second `:` in a value",
        "Quote the value, or align its line with the key above.",
    ),
    "cannot start any token": (
        "a value begins with a sign that YAML reserves (@, `, %, tab)",
        "Quote the value.",
    ),
    "expected ',' or ']'": ("a list opened with [ is not closed", "Add the missing ] or comma."),
    "expected ',' or '}'": ("a mapping opened with { is not closed", "Add the missing } or comma."),
    "expected node content": (
        "a list or mapping opened with [ or { is not closed",
        "Add the missing ] or }.",
    ),
    "unexpected end of stream": ("a quotation mark is not closed", "Add the missing quotation mark."),
    "could not find expected ':'": ("a key without a `:`", "Write `key: value`."),
    "did not find expected key": ("the indentation does not fit the lines above", "Align keys of one level."),
    "unknown escape character": ('a backslash inside "..." that means nothing', "Double it, or use '...'."),
}


def _scalar(event: Any) -> Any:
    text = str(event.value)
    if event.style not in (None, "") or event.tag == "!":
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text


def _shape(event: Any) -> str:
    match event:
        case yaml.SequenceStartEvent():
            return "a list"
        case yaml.MappingStartEvent():
            return "a mapping"
        case yaml.AliasEvent():
            return "an alias"
        case _:
            return "bare text"
