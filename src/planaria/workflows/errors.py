"""What can be wrong with a workflow's file.

    DefinitionError   a file that gives no workflow: all its problems at once, each with line and mend
    ImportStopped     a Python file that asked the whole program to end; its cause is what it raised

What is wrong with a workflow that could be read is not raised: `check` answers with a list of problems.
"""

from collections.abc import Sequence

from planaria.records.errors import Problem


class DefinitionError(Exception):
    """A workflow's file that cannot be read as one."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class ImportStopped(Exception):
    """A file raised `SystemExit` or the like, which would otherwise end the node and not only its import."""
