"""Where each key of a TOML text stands: `key_lines(text)[("web", "port")] == 7`.

The standard library's parser keeps no positions, so this reads the text a second time, only to find keys.
It expects text that `tomllib` has already accepted. Does badly: of a key given as `[a]` and again as `[a.b]`
the first line is kept.
"""

import re

type KeyPath = tuple[str, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR_END = re.compile(r"[,\]}#\n]")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map every key path of a valid TOML text to its 1-based line.

    Tables, dotted and quoted keys and inline tables are keys of their own; the n-th `[[name]]` adds the
    part `str(n)`, counted from 0, as do inline tables within an array.
    """
    return _Scan(text).document()


class _Scan:
    """One pass over the text; `at` is the place of reading."""

    def __init__(self, text: str) -> None:
        self.text = text.replace("\r\n", "\n")
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.arrays: dict[KeyPath, int] = {}

    def document(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        while self.skip_blank():
            if self.text.startswith("[[", self.at):
                self.at += 2
                table = self.note(self.with_indexes(self.key()))
                number = self.arrays.get(table, -1) + 1
                self.arrays[table] = number
                table = self.note((*table, str(number)))
                self.at += 2
            elif self.text[self.at] == "[":
                self.at += 1
                table = self.note(self.with_indexes(self.key()))
                self.at += 1
            else:
                self.pair(table)
        return self.lines

    def with_indexes(self, path: KeyPath) -> KeyPath:
        """`[a.b]` below `[[a]]` belongs to the latest `a`."""
        full: KeyPath = ()
        for depth, part in enumerate(path, start=1):
            full = (*full, part)
            if depth < len(path) and full in self.arrays:
                full = (*full, str(self.arrays[full]))
        return full

    def note(self, path: KeyPath) -> KeyPath:
        """Remember the line of `path` and of the parents it made."""
        line = self.text.count("\n", 0, self.at) + 1
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)
        return path

    def pair(self, table: KeyPath) -> None:
        path = self.note((*table, *self.key()))
        self.skip_spaces()
        self.at += 1  # the equals sign
        self.skip_spaces()
        self.value(path)

    def key(self) -> KeyPath:
        parts: list[str] = []
        while True:
            self.skip_spaces()
            if self.peek() in ('"', "'"):
                parts.append(self.string())
            elif bare := _BARE.match(self.text, self.at):
                parts.append(bare.group())
                self.at = bare.end()
            else:
                raise ValueError(f"no key at offset {self.at}: tomllib must accept the text first")
            self.skip_spaces()
            if self.peek() != ".":
                return tuple(parts)
            self.at += 1

    def value(self, path: KeyPath) -> None:
        match self.peek():
            case '"' | "'":
                self.string()
            case "[":
                self.at += 1
                number = 0
                while self.skip_blank() and self.peek() != "]":
                    if self.peek() == ",":
                        self.at += 1
                        number += 1
                    else:
                        self.value((*path, str(number)))
                self.at += 1
            case "{":
                self.at += 1
                while self.skip_blank() and self.peek() != "}":
                    if self.peek() == ",":
                        self.at += 1
                    else:
                        self.pair(path)
                self.at += 1
            case _:
                end = _SCALAR_END.search(self.text, self.at)
                self.at = end.start() if end else len(self.text)

    def string(self) -> str:
        """Step over a string of any of the four kinds; gives its text with the commonest escapes undone."""
        quote = self.text[self.at]
        if self.text.startswith(quote * 3, self.at):
            end = self.at + 3
            while not self.text.startswith(quote * 3, end):
                end += 2 if quote == '"' and self.text[end] == "\\" else 1
            while self.text.startswith(quote, end + 3):  # up to two quotes may stand before the closing three
                end += 1
            inner, self.at = self.text[self.at + 3 : end], end + 3
        else:
            end = self.at + 1
            while self.text[end] != quote:
                end += 2 if quote == '"' and self.text[end] == "\\" else 1
            inner, self.at = self.text[self.at + 1 : end], end + 1
        return re.sub(r'\\(["\\])', r"\1", inner) if quote == '"' else inner

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip_spaces(self) -> None:
        while self.peek() in (" ", "\t"):
            self.at += 1

    def skip_blank(self) -> bool:
        """Step over white space, line ends and comments; False at the end of the text."""
        while self.at < len(self.text):
            here = self.text[self.at]
            if here == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif here.isspace():
                self.at += 1
            else:
                return True
        return False
