"""The workflows as loaded from their files: the last good version of each, and what is wrong now.

Belongs to one process; reading files is done by others. A name belongs to the file that had it first.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath

import msgspec

from planaria.membrane.tool import Tool
from planaria.records.errors import Problem
from planaria.workflows.check import check
from planaria.workflows.definition import Source


class Entry(msgspec.Struct, frozen=True):
    """One workflow. `source` is its last good version, None if there was none; `problems` are those of its file."""

    name: str
    path: str
    source: Source | None
    problems: tuple[Problem, ...] = ()


class Catalogue:
    """Names to entries."""

    def __init__(self, tools: Iterable[Tool]) -> None:
        self.tools = tuple(tools)
        self.entries: dict[str, Entry] = {}

    def put(
        self, path: str, sources: Iterable[Source], problems: tuple[Problem, ...] = ()
    ) -> tuple[Problem, ...]:
        """Take in what a file gives now.

        Args:
            path: the file.
            sources: its workflows, as far as they could be read.
            problems: why some could not.
        Returns:
            All problems of the file, those of `check` included.
        """
        found = list(problems)
        before = {name: entry for name, entry in self.entries.items() if entry.path == path}
        now: dict[str, Entry] = {}
        for source in sources:
            name = source.workflow.name
            owner = self.entries.get(name)
            if (owner is not None and owner.path != path) or name in now:
                other = path if owner is None else owner.path
                line = source.places.line("name")
                found.append(
                    Problem(path, line, f"a workflow {name!r} is in {other} already", "rename one of the two")
                )
                continue
            wrong = check(source.workflow, self.tools, source.places)
            found += wrong
            old = before.get(name)
            good = source if not wrong else old.source if old else None
            now[name] = Entry(name, path, good, wrong)
        if problems:
            for name, entry in before.items():
                now.setdefault(name, msgspec.structs.replace(entry, problems=problems))
            stem = PurePosixPath(path).stem
            if not now and stem not in self.entries:
                now[stem] = Entry(stem, path, None, problems)
        for name in before:
            del self.entries[name]
        self.entries.update(now)
        return tuple(found)

    def remove(self, path: str) -> None:
        """Forget a file's workflows; their runs go on."""
        self.entries = {name: entry for name, entry in self.entries.items() if entry.path != path}
