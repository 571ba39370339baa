"""`[[name]]` links between notes: found in a text, in time that grows with its length alone.

Pure functions, no process. The index keeps what `note_links` finds; the dashboard draws what `LINK` matches.
Does badly: it reads line by line, so code that Markdown sees by other signs (a span of backticks over two lines,
an indented block inside a list item) is taken for text.
"""

import re
from collections.abc import Iterator
from itertools import islice

LINK = re.compile(r"\[\[([^\[\]\n|]++)(?:\|([^\[\]\n]*+))?\]\]")
"""A link: its name, and the text shown instead of it. No part is ever tried twice."""
MOST_LINKS = 1000
"""Different links kept of one note."""
LONGEST_NAME = 300

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_ITEM = re.compile(r" {0,3}(?:[-+*]|\d{1,9}[.)])(?:\s|$)")
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)")


def note_links(body: str) -> list[str]:
    """The different names a note links to (as `plain_name` writes them), those in code left out."""
    names = (
        plain_name(found[1]) for line in _text_lines(body) for found in LINK.finditer(_without_code(line))
    )
    return list(islice(dict.fromkeys(name for name in names if 0 < len(name) <= LONGEST_NAME), MOST_LINKS))


def plain_name(link: str) -> str:
    """The name a link means: without a heading after `#`, `notes/` before and `.md` behind."""
    return link.partition("#")[0].strip().removeprefix("notes/").removesuffix(".md")


def _text_lines(body: str) -> Iterator[str]:
    """The lines that may hold a link and are no code block."""
    fence, in_list, code_may_begin = "", False, True
    for line in body.split("\n"):
        found = _FENCE.match(line)
        if fence:
            if found and found[1].startswith(fence) and not found[2].strip():
                fence = ""
            continue
        if found and not (found[1][0] == "`" and "`" in found[2]):
            fence, code_may_begin = found[1], True
            continue
        if not line.strip():
            code_may_begin = True
            continue
        indented = _INDENTED.match(line) is not None
        in_list = _ITEM.match(line) is not None or (in_list and line[0] in " \t")
        if indented and code_may_begin and not in_list:
            continue
        code_may_begin = False
        if "[[" in line:
            yield line


def _without_code(line: str) -> str:
    """The line without its spans of code: from a run of backticks to the next run of the same length."""
    if "`" not in line:
        return line
    pieces = re.split(r"(`+)", line)  # text, run, text, run, ... text
    later: dict[int, int] = {}
    closing: dict[int, int] = {}
    for at in range(len(pieces) - 2, 0, -2):
        length = len(pieces[at])
        if length in later:
            closing[at] = later[length]
        later[length] = at
    kept, at = [pieces[0]], 1
    while at < len(pieces):
        at = closing.get(at, at)
        kept.append(" " + pieces[at + 1])
        at += 2
    return "".join(kept)
