"""A workflow as a Python class, for those who like their editor to complete it.

    class Digest(WorkflowDefinition):
        \"\"\"Keeps what is new.\"\"\"
        schedule = "*/15 * * * *"

        fetch = step("feed.fetch", source="news.atom", on={"new": "keep", "unchanged": end, "failed": fail})
        keep = step("notes.write", each="{{ steps.fetch.value.items }}", ..., on={"*": end})

It is a notation and nothing else: no code of the class runs with the workflow, and `read_class` gives the
same value as the Markdown form. The first step is the start; the docstring's first paragraph describes it.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple, get_args

from planaria.workflows.definition import END, FAIL, FirstRun, Source
from planaria.workflows.fields import HEAD_KEYS, Reader

end: Final = END
"""Route target: the run is over and went well."""
fail: Final = FAIL
"""Route target: the run is over and did not do what it was for."""


class StepDeclaration(NamedTuple):
    """What `step(...)` gives: the keys as they would be written in Markdown, and the line."""

    keys: dict[str, Any]
    line: int


def step(
    tool: str,
    /,
    *,
    on: Mapping[str, str],
    each: str | None = None,
    retry: int = 0,
    backoff: float = 1.0,
    timeout: float = 300.0,
    max_visits: int | None = None,
    on_open: Literal["skip", "halt"] | Mapping[str, str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    **more: Any,
) -> StepDeclaration:
    """Declare one step; its name is the attribute it is assigned to.

    Args:
        tool: such as `room.say`.
        on: branch to step name, `end` or `fail`; the key `"*"` takes the rest.
        each: a template giving a list; the tool runs once per element.
        retry: how many more times to call when the tool says that trying again may help.
        backoff: seconds before the first of these, doubled each time.
        timeout: seconds a call may take.
        max_visits: how often one run may enter this step.
        on_open: what to do when a breaker holds the tool back: `skip`, `halt`, or `{"fallback": "other.tool"}`.
        arguments: arguments of the tool whose names are taken here (`on`, `each`, ...).
        more: the other arguments of the tool.
    """
    keys = {
        "tool": tool,
        "with": {**(arguments or {}), **more},
        "on": dict(on),
        "each": each,
        "retry": retry,
        "backoff": backoff,
        "timeout": timeout,
        "max_visits": max_visits,
        "on_open": on_open,
    }
    return StepDeclaration(keys, sys._getframe(1).f_lineno)


class WorkflowDefinition:
    """The base of a workflow written in Python; its subclasses are never instantiated."""

    name: ClassVar[str]
    schedule: ClassVar[str]
    zone: ClassVar[str]
    first_run: ClassVar[FirstRun]
    inputs: ClassVar[Mapping[str, Any] | Sequence[str]]
    room: ClassVar[str]
    start: ClassVar[str]
    grants: ClassVar[Mapping[str, Any] | Sequence[str]]


def read_class(definition: type[WorkflowDefinition], path: str, zone: str = "UTC", text: str = "") -> Source:
    """The workflow a class describes.

    Args:
        definition: its name in kebab case is the workflow's, unless it has a `name`.
        path: of its file, for errors.
        zone: the time zone of a schedule that names none.
        text: the file's text; with it errors name the very line, without it that of the step.
    Raises:
        DefinitionError: with every problem of the class.
    """
    reader = Reader(path, zone)
    written = class_lines(text, definition.__name__)
    front: dict[str, Any] = {}
    declared: dict[str, StepDeclaration] = {}
    if definition.__doc__:
        front["description"] = " ".join(definition.__doc__.strip().split("\n\n")[0].split())
    for base in reversed(definition.__mro__):
        for key, value in vars(base).items():
            if base is WorkflowDefinition or base is object or key.startswith("_"):
                continue
            if isinstance(value, StepDeclaration):
                declared[key] = value
            else:
                front[key] = value
    lines = {key: written.get(key, written.get("", 1)) for key in front}
    reader.read_head(front, lines, kebab(definition.__name__), ())
    for name, declaration in declared.items():
        inside = {
            key.removeprefix(f"{name}."): line for key, line in written.items() if key.startswith(f"{name}.")
        }
        reader.read_step(name, declaration.keys, inside, declaration.line)
    return reader.source()


def class_lines(text: str, name: str) -> dict[str, int]:
    """Where the parts of a class stand: `""` the class, `schedule`, `fetch`, `fetch.with.url`."""
    found: dict[str, int] = {}
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef) or node.name != name:
            continue
        found[""] = node.lineno
        for part in node.body:
            match part:
                case (
                    ast.Assign(targets=[ast.Name(id=key)], value=value)
                    | ast.AnnAssign(target=ast.Name(id=key), value=value)
                ):
                    found[key] = part.lineno
                    if isinstance(value, ast.Call):
                        found.update({f"{key}.{inner}": line for inner, line in _call_lines(value)})
                case _:
                    pass
    return found


def _call_lines(call: ast.Call) -> Iterator[tuple[str, int]]:
    if call.args:
        yield "tool", call.args[0].lineno
    for keyword in call.keywords:
        match keyword:
            case ast.keyword(arg="on" | "arguments" as key, value=ast.Dict(keys=keys)):
                prefix = "with" if key == "arguments" else key
                yield prefix, keyword.lineno
                for inner in keys:
                    if isinstance(inner, ast.Constant):
                        yield f"{prefix}.{inner.value!s}", inner.lineno
            case ast.keyword(
                arg="each" | "retry" | "backoff" | "timeout" | "max_visits" | "on" | "on_open" as key
            ):
                yield key, keyword.lineno
            case ast.keyword(arg=str(key)):
                yield f"with.{key}", keyword.lineno
            case _:
                pass  # **more: its keys have no lines


def kebab(name: str) -> str:
    """`GardenDigest` as `garden-digest`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


assert set(get_args(FirstRun.__value__)) == {"scheduled", "now"}
assert set(WorkflowDefinition.__annotations__) | {"description"} == set(HEAD_KEYS)
