"""What can be wrong with the garden's files.

    RecordsError
    ├── RecordError   a file's content: names file, line, problem and mend
    └── PathRefused   a path that leaves the garden, or that nobody may write

Both end with the mend, since a person reads them. They become a `Problem` where they travel as a value.
"""

import msgspec


class Problem(msgspec.Struct, frozen=True, order=True):
    """Something a person should mend: shown by the dashboard and `planaria check`.

    `path` is relative to the garden, `line` counts from 1 (0: the file as a whole).
    """

    path: str
    line: int
    problem: str
    mend: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line else self.path
        return f"{place}: {self.problem}. {self.mend}"


def shown(path: str) -> str:
    """The path as it can be shown and sent: what is no text in it (bytes that are not UTF-8, control signs) escaped."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in path
    )


class RecordsError(Exception):
    """The root of this floor's errors; always convertible to a `Problem`."""

    def __init__(self, path: str, line: int, problem: str, mend: str) -> None:
        self.path, self.line, self.problem, self.mend = path, line, problem, mend
        super().__init__(path, line, problem, mend)

    def as_problem(self) -> Problem:
        return Problem(shown(self.path), self.line, self.problem, self.mend)

    def __str__(self) -> str:
        return str(self.as_problem())


class RecordError(RecordsError):
    """A record that cannot be read as one: `path`, `line`, `problem` and `mend` say what to do."""


class PathRefused(RecordsError):
    """A path that is not ours to read or write; `line` is always 0."""

    def __init__(self, path: str, problem: str, mend: str) -> None:
        super().__init__(path, 0, problem, mend)

    def __reduce__(self) -> tuple[type["PathRefused"], tuple[str, str, str]]:
        return PathRefused, (self.path, self.problem, self.mend)
