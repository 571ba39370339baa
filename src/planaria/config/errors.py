"""What can go wrong with settings.

SettingsError       the file a person wrote cannot be used; it says where and how to mend it
"""

from pathlib import Path


class SettingsError(Exception):
    """`planaria.toml` cannot be used.

    Attributes:
        file: the settings file.
        line: 1-based line of the fault, or None where no line is at fault (no such file).
        key: the full dotted key, `web.port`, or "" where no key is at fault (bad TOML).
        problem: what is wrong, one clause.
        mend: what to write instead, one clause.
    """

    def __init__(
        self, file: Path, problem: str, mend: str, *, line: int | None = None, key: str = ""
    ) -> None:
        self.file = file
        self.line = line
        self.key = key
        self.problem = problem
        self.mend = mend
        place = f"line {line} of {file.name}" if line is not None else str(file)
        super().__init__(f"{problem}, {place}; {mend}")
