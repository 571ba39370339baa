"""A workflow as a note: front matter, prose, and one section per step.

    ## fetch
    Anything may stand here.
    ```yaml
    tool: feed.fetch
    with: {source: feeds/news.atom}
    on: {new: keep, unchanged: end, failed: tell}
    ```

A section of the second level with a `yaml` block is a step, named by its heading; the first one is the start.
Everything else is for people. Pure; the errors name the line of the file.
"""

import re
from typing import Any, NamedTuple

from planaria.records.errors import RecordError
from planaria.records.front import load_front
from planaria.records.record import Record
from planaria.workflows.definition import Source
from planaria.workflows.fields import Reader

RECORD_KEYS = ("class", "title", "tags", "aliases", "created", "updated")
"""Front matter that any record may have and that says nothing about the graph."""

_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*\Z")
_FENCE = re.compile(r"(\s{0,3})(`{3,}|~{3,})\s*(\S*)")


class Block(NamedTuple):
    """A `yaml` block under a heading; lines count from 1 in the body."""

    heading: str
    heading_line: int
    first_line: int
    text: str


def read_markdown(record: Record, zone: str = "UTC") -> Source:
    """The workflow a record describes.

    Args:
        record: its file's name is the workflow's, unless the front matter has a `name`.
        zone: the time zone of a schedule that names none.
    Raises:
        DefinitionError: with every problem of the file.
    """
    reader = Reader(record.path, zone)
    name = record.path.rsplit("/", 1)[-1].removesuffix(".md")
    reader.read_head(record.front, record.front_lines, name, RECORD_KEYS)
    offset = record.body_line - 1
    for block in blocks(record.body):
        line = block.heading_line + offset
        try:
            keys, lines = load_front(record.path, block.text, block.first_line + offset)
        except RecordError as error:
            reader.problems.append(_about_templates(error, block, offset).as_problem())
            continue
        reader.read_step(block.heading, keys, lines, line)
    _unfinished(reader, record, offset)
    return reader.source()


def blocks(body: str) -> list[Block]:
    """Every `yaml` block that stands under a heading of the second level, in order."""
    found: list[Block] = []
    heading, heading_line = "", 0
    fence, language, start = "", "", 0
    rows = body.split("\n")
    for number, row in enumerate(rows, 1):
        mark = _FENCE.match(row)
        if fence:
            if mark and mark[2].startswith(fence) and not mark[3]:
                if language in ("yaml", "yml") and heading:
                    found.append(
                        Block(heading, heading_line, start + 1, "\n".join(rows[start : number - 1]) + "\n")
                    )
                fence = ""
        elif mark:
            fence, language, start = mark[2], mark[3].lower(), number
        elif title := _HEADING.match(row):
            if len(title[1]) <= 2:
                heading, heading_line = (title[2].strip("`"), number) if len(title[1]) == 2 else ("", 0)
    return found


def _about_templates(error: RecordError, block: Block, offset: int) -> RecordError:
    row = block.text.split("\n")[max(0, error.line - offset - block.first_line)]
    if "{{" in row and not re.search(r"""["'|>].*\{\{""", row):
        return RecordError(
            error.path, error.line, "a template without quotes", 'Put quotes around it: key: "{{ ... }}".'
        )
    return error


def _unfinished(reader: Reader, record: Record, offset: int) -> None:
    """A block that was opened and never closed swallows the rest of the file: say so."""
    fence: tuple[str, int] | None = None
    for number, row in enumerate(record.body.split("\n"), 1):
        mark: Any = _FENCE.match(row)
        if fence and mark and mark[2].startswith(fence[0]) and not mark[3]:
            fence = None
        elif not fence and mark:
            fence = (mark[2], number)
    if fence:
        reader.wrong(fence[1] + offset, "this block is never closed", f"add a line {fence[0]} at its end")
