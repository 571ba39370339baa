"""Which files are records, and of which kind: the one place that knows the garden's layout.

| kind | files | name |
|---|---|---|
| agents | `agents/*.md` | `scout` for `agents/scout.md` |
| workflows | `workflows/*.md` (`workflows/*.py` are no records: the workflows read them) | `digest` |
| notes | `notes/**/*.md` | `reading/april` for `notes/reading/april.md` |
| skills | `skills/*/SKILL.md` | the folder's name |
| garden | `SOUL.md`, `USER.md`, `contract.md` and other `.md` beside them | the name without `.md` |
"""

import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Literal

type Kind = Literal["agents", "workflows", "notes", "skills", "garden"]

FOLDERS = ("agents", "workflows", "notes", "skills")


def kind_of(path: str) -> tuple[Kind, str] | None:
    """Kind and name of the record at `path` (relative to the garden), or None if it is no record."""
    parts = PurePosixPath(path).parts
    if not parts or not path.endswith(".md") or any(part.startswith(".") for part in parts):
        return None
    name = parts[-1].removesuffix(".md")
    match parts:
        case (_,):
            return "garden", name
        case ("agents", _):
            return "agents", name
        case ("workflows", _):
            return "workflows", name
        case ("skills", folder, "SKILL.md"):
            return "skills", folder
        case ("notes", *folders, _):
            return "notes", "/".join((*folders, name))
        case _:
            return None


def record_paths(garden: Path, under: str = "", folders: Collection[str] = FOLDERS) -> Iterator[str]:
    """The paths of all records at or under a path of the garden. Links to folders are not followed.

    Args:
        folders: which of the garden's folders are looked into, if the path is the garden itself.
    """
    start = garden / under if under else garden
    above = [
        garden.joinpath(*PurePosixPath(under).parts[:depth])
        for depth in range(1, len(PurePosixPath(under).parts) + 1)
    ]
    if any(step.is_symlink() and step.is_dir() for step in above):
        return
    if not start.is_dir():
        if kind_of(under) and (start.is_file() or start.is_symlink()):
            yield under
        return
    for folder, below, files in os.walk(start):
        here = Path(folder).relative_to(garden).as_posix()
        below[:] = sorted(
            name for name in below if not name.startswith(".") and (here != "." or name in folders)
        )
        for name in sorted(files):
            path = name if here == "." else f"{here}/{name}"
            if kind_of(path):
                yield path
