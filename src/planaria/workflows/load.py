"""From a file of the garden to workflows: `workflows/*.md` and `workflows/*.py`.

A Python file is the owner's own code, like a configuration file: it is imported under a private name, in a task,
so that whatever it raises becomes a problem with its file and line, and nothing else stops.
"""

import sys
import traceback
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from planaria.otp import run_blocking
from planaria.records.errors import Problem
from planaria.records.record import Record
from planaria.workflows.definition import Source
from planaria.workflows.errors import DefinitionError, ImportStopped
from planaria.workflows.markdown import read_markdown
from planaria.workflows.python import WorkflowDefinition, read_class

FOLDER = "workflows"


def load_record(record: Record, zone: str) -> Source:
    """The workflow of a Markdown file. Raises DefinitionError."""
    if record.front.get("class") != "workflow":
        problem = f"the class is {record.front.get('class')!r}, not 'workflow'"
        mend = "write 'class: workflow' between the '---' lines"
        raise DefinitionError([Problem(record.path, record.line("class"), problem, mend)])
    return read_markdown(record, zone)


async def load_python(garden: Path, path: str, zone: str) -> tuple[Source, ...]:
    """Import a Python file and read its workflows, in order; to be run as a task, since it raises what the file raises.

    Raises:
        DefinitionError: a class in it is no workflow.
    """
    return await run_blocking(import_workflows, garden, path, zone)


def import_workflows(garden: Path, path: str, zone: str) -> tuple[Source, ...]:
    """As `load_python`, in this thread."""
    text = (garden / path).read_text(encoding="utf-8")
    name = "planaria_garden_" + "".join(sign if sign.isalnum() else "_" for sign in path.removesuffix(".py"))
    spec = spec_from_loader(name, loader=None, origin=path)
    assert spec is not None
    module = module_from_spec(spec)
    module.__file__ = str(garden / path)
    sys.modules[name] = module  # dataclasses and typing look a class's module up there
    try:
        exec(compile(text, str(garden / path), "exec"), module.__dict__)  # noqa: S102 - the owner's own file
    except (
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
    ) as error:  # not for the node: this is one file's thread
        raise ImportStopped(path) from error
    sources: list[Source] = []
    problems: list[Problem] = []
    for definition in _classes(module):
        try:
            sources.append(read_class(definition, path, zone, text))
        except DefinitionError as error:
            problems += error.problems
    if not sources and not problems:
        mend = "write a class that inherits from WorkflowDefinition, or remove the file"
        problems.append(Problem(path, 1, "the file holds no workflow", mend))
    if problems:
        raise DefinitionError(problems)
    return tuple(sources)


def python_files(garden: Path) -> tuple[str, ...]:
    """The Python files of the workflows folder, relative to the garden; those that begin with `_` are for import."""
    folder = garden / FOLDER
    return tuple(sorted(f"{FOLDER}/{file.name}" for file in folder.glob("[!_.]*.py") if file.is_file()))


def problem_of(error: BaseException, garden: Path, path: str) -> tuple[Problem, ...]:
    """What a person should mend when a file could not be imported: the last of its own lines that was reached."""
    if isinstance(error, DefinitionError):
        return error.problems
    if isinstance(error, ImportStopped) and error.__cause__ is not None:
        error = error.__cause__
    file = str(garden / path)
    if isinstance(error, SyntaxError) and error.filename == file:
        return (Problem(path, error.lineno or 1, f"this is not Python: {error.msg}", "mend the syntax"),)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    problem = f"importing it raised {type(error).__name__}: {error}"
    return (Problem(path, (lines[-1] if lines else None) or 1, problem, "mend this line"),)


def _classes(module: ModuleType) -> list[type[WorkflowDefinition]]:
    return [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, WorkflowDefinition)
        and value.__module__ == module.__name__
        and not value.__name__.startswith("_")
    ]
