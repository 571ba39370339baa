"""Whether a workflow can run, said before it runs: every error names file, line and the mend.

Checked: step, tool, argument and input names (the nearest valid one is offered), required arguments, types
of literal arguments, templates and what they refer to, routes for every branch a tool has, unreachable
steps, cycles without a bound, schedule and zone. Pure: the tools are given, nothing is read.

Does badly: the type of a template's value shows only when it is filled in, and then the gate refuses it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from planaria.membrane.tool import Tool
from planaria.records.errors import Problem
from planaria.workflows.definition import (
    ANY,
    FAILED,
    MIXED,
    NONE,
    SKIPPED,
    TERMINALS,
    Places,
    Source,
    Step,
    Workflow,
)
from planaria.workflows.template import TemplateError, is_lone_expression, is_template, references

RESULT_FIELDS = ("value", "branch", "text", "error", "attempts")
"""What a finished step offers to templates; one with `each` also `branches` and `counts`."""
EACH_FIELDS = (*RESULT_FIELDS, "branches", "counts")
RUN_FIELDS = ("id", "workflow", "trigger")
"""What `run` offers to templates."""
_ROOM = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)


def check(workflow: Workflow, tools: Iterable[Tool], places: Places | None = None) -> tuple[Problem, ...]:
    """Everything that is wrong with a workflow, in the order of its lines; empty if it may run."""
    source = Source(workflow, places or Places(workflow.name))
    known = {tool.name: tool for tool in tools}
    found = [
        *_head(source),
        *_start(source),
        *(problem for step in workflow.steps.values() for problem in _step(source, step, known)),
        *_unreachable(source),
        *_cycles(source),
    ]
    return tuple(sorted(found, key=lambda problem: problem.line))


def branches_of(step: Step, tool: Tool) -> tuple[str, ...]:
    """The branches a step may take: its tool's and `failed`; with `each` also `none` and perhaps `mixed`.

    With `on_open: skip` it also may take `skipped`.
    """
    skipped = (SKIPPED,) if step.way is not None and step.way.way == "skip" else ()
    branches = tuple(dict.fromkeys((*tool.branches, *skipped, FAILED)))
    if step.each is None:
        return branches
    return (*branches, NONE, MIXED) if len(branches) > 2 else (*branches, NONE)


def nearest(name: str, valid: Iterable[str]) -> str:
    """The mend for a wrong name: the nearest valid one, or all of them while they are few."""
    names = sorted(valid)
    if close := get_close_matches(name, names, n=1, cutoff=0.5):
        return f"did you mean {close[0]!r}?"
    if not names:
        return "there are none"
    shown = ", ".join(names[:12])
    return f"use one of: {shown}" + (", ..." if len(names) > 12 else "")


def ancestors(workflow: Workflow) -> dict[str, set[str]]:
    """For each step, the steps that may have run before it (itself too, on a cycle)."""
    after: dict[str, set[str]] = {step: set() for step in workflow.steps}
    for step in workflow.steps:
        for reached in _reached(workflow, _targets(workflow, step)):
            after[reached].add(step)
    return after


def _head(source: Source) -> Iterator[Problem]:
    schedule, zone = source.workflow.schedule, source.workflow.zone
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        mend = "use an IANA name such as UTC or Europe/Berlin"
        yield _problem(source, f"unknown time zone {zone!r}", mend, "zone")
    if source.workflow.room is not None and not _ROOM.match(source.workflow.room):
        mend = "use small letters, digits, - and _, a letter or digit first"
        yield _problem(source, f"{source.workflow.room!r} is no name for a room", mend, "room")
    if schedule is None:
        return
    mend = "write five fields: minute hour day-of-month month day-of-week, such as '*/15 * * * *'"
    if len(schedule.cron.split()) != 5:
        yield _problem(source, f"the schedule {schedule.cron!r} does not have five fields", mend, "schedule")
        return
    try:
        next(CronSim(schedule.cron, _ANY_TIME))
    except StopIteration:
        yield _problem(source, f"the schedule {schedule.cron!r} never comes", mend, "schedule")
    except CronSimError as error:
        problem = f"the schedule {schedule.cron!r} cannot be read: {str(error).lower()}"
        yield _problem(source, problem, mend, "schedule")


def _start(source: Source) -> Iterator[Problem]:
    steps = source.workflow.steps
    if not steps:
        yield _problem(source, "the workflow has no steps", "write at least one step that names a tool")
    elif source.workflow.start not in steps:
        problem = f"the workflow starts at an unknown step {source.workflow.start!r}"
        yield _problem(source, problem, nearest(source.workflow.start, steps), "start")


def _step(source: Source, step: Step, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    at = ("steps", step.id)
    tool = tools.get(step.tool)
    if tool is None:
        problem = f"step {step.id!r} calls an unknown tool {step.tool!r}"
        yield _problem(source, problem, nearest(step.tool, tools), *at, "tool")
    else:
        yield from _arguments(source, step, tool)
    other = None
    if step.way is not None and step.way.way == "fallback":
        other = tools.get(step.way.tool)
        yield from _fallback(source, step, step.way.tool, tools)
    yield from _routes(source, step, tool, other)
    if step.each is not None:
        yield from _template(source, step, step.each, "each", (*at, "each"), inside_each=False)
        if is_template(step.each) and not _may_give_value(step.each):
            problem = f"'each' of step {step.id!r} gives text, not a list"
            yield _problem(source, problem, 'write one expression alone: "{{ steps.x.value }}"', *at, "each")
        elif not is_template(step.each):
            problem = f"'each' of step {step.id!r} has nothing to fill in"
            yield _problem(source, problem, 'write a list as a template: "{{ steps.x.value }}"', *at, "each")
    for name, value in step.arguments.items():
        for text in _texts(value):
            label = f"argument {name!r}"
            yield from _template(
                source, step, text, label, (*at, "arguments", name), inside_each=step.each is not None
            )
    for key, number in (("retry", step.retry), ("backoff", step.backoff), ("timeout", step.timeout)):
        if not 0 <= number < 1e6 or (key == "timeout" and number == 0):
            yield _problem(source, f"{key} of step {step.id!r} is {number}", "use a number above 0", *at, key)
    if step.max_visits is not None and step.max_visits < 1:
        problem = f"step {step.id!r} may never be visited"
        yield _problem(source, problem, "use a max_visits of 1 or more, or leave it out", *at, "max_visits")


def _fallback(source: Source, step: Step, name: str, tools: Mapping[str, Tool]) -> Iterator[Problem]:
    """The tool a step falls back to is there, is another one, and takes its arguments."""
    at = ("steps", step.id, "on_open")
    tool = tools.get(name)
    if tool is None:
        problem = f"step {step.id!r} falls back to an unknown tool {name!r}"
        yield _problem(source, problem, nearest(name, tools), *at)
        return
    if name == step.tool:
        problem = f"step {step.id!r} falls back to its own tool"
        yield _problem(source, problem, "name another one, or write skip or halt", *at)
        return
    for wrong in _arguments(source, step, tool):
        yield msgspec.structs.replace(wrong, line=source.places.line(*at))


def _arguments(source: Source, step: Step, tool: Tool) -> Iterator[Problem]:
    at = ("steps", step.id, "arguments")
    properties: dict[str, Any] = tool.parameters.get("properties", {})
    for name, value in step.arguments.items():
        if name not in properties:
            problem = f"{tool.name} has no argument {name!r} (step {step.id!r})"
            yield _problem(source, problem, nearest(name, properties), *at, name)
        elif wrong := mismatch(value, properties[name], tool.parameters):
            problem = f"argument {name!r} of step {step.id!r}: {wrong}"
            mend = f"give {describe(properties[name], tool.parameters)}"
            yield _problem(source, problem, mend, *at, name)
    for name in tool.parameters.get("required", ()):
        if name not in step.arguments:
            problem = f"step {step.id!r} does not give {tool.name} its argument {name!r}"
            mend = f"add {name}: {describe(properties.get(name, {}), tool.parameters)}"
            yield _problem(source, problem, mend, *at)


def _routes(source: Source, step: Step, tool: Tool | None, other: Tool | None) -> Iterator[Problem]:
    """Routes for every branch, those of the tool it falls back to (`other`) included."""
    at = ("steps", step.id, "routes")
    valid = [*source.workflow.steps, *TERMINALS]
    for branch, target in step.routes.items():
        if target not in valid:
            problem = f"step {step.id!r} goes to an unknown step {target!r} on {branch!r}"
            yield _problem(source, problem, nearest(target, valid), *at, branch)
    if tool is None:
        return
    branches = branches_of(step, tool)
    if other is not None:
        branches = tuple(dict.fromkeys((*branches, *branches_of(step, other))))
    for branch in step.routes:
        if branch != ANY and branch not in branches:
            problem = f"{step.tool} has no branch {branch!r} (step {step.id!r})"
            yield _problem(source, problem, nearest(branch, branches), *at, branch)
    for branch in branches:
        if step.route(branch) is None:
            problem = f"step {step.id!r} does not say where {branch!r} leads"
            yield _problem(source, problem, f"add a route '{branch}: ...', or '\"*\": ...' for the rest", *at)


def _template(
    source: Source, step: Step, text: str, label: str, at: tuple[str, ...], *, inside_each: bool
) -> Iterator[Problem]:
    try:
        chains = list(references(text))
    except TemplateError as error:
        mend = "see the templates section of docs/workflows.md"
        yield _problem(source, f"{label} of step {step.id!r} cannot be read: {error}", mend, *at)
        return
    for chain in chains:
        if wrong := _reference(source.workflow, step, chain, inside_each):
            problem, mend = wrong
            yield _problem(source, f"{label} of step {step.id!r}: {problem}", mend, *at)


def _reference(
    workflow: Workflow, step: Step, chain: tuple[str, ...], inside_each: bool
) -> tuple[str, str] | None:
    match chain:
        case ("steps", other, *rest):
            if other not in workflow.steps:
                return f"there is no step {other!r}", nearest(other, workflow.steps)
            if other not in ancestors(workflow)[step.id]:
                earlier = ancestors(workflow)[step.id]
                return f"step {other!r} cannot have run before {step.id!r}", nearest(other, earlier)
            fields = EACH_FIELDS if workflow.steps[other].each is not None else RESULT_FIELDS
            if rest and rest[0] not in fields:
                return f"a step has no {rest[0]!r}", nearest(rest[0], fields)
        case ("trigger", name, *_):
            if name not in workflow.inputs:
                mend = f"name it under 'inputs', or {nearest(name, workflow.inputs)}"
                return f"the workflow has no input {name!r}", mend
        case ("run", field, *_):
            if field not in RUN_FIELDS:
                return f"a run has no {field!r}", nearest(field, RUN_FIELDS)
        case ("item" | "index" as name, *_):
            if not inside_each:
                return (
                    f"{name!r} exists only in the arguments of a step with 'each'",
                    "add 'each' to the step",
                )
        case _:
            names = ("steps", "trigger", "run", "now", *(("item", "index") if inside_each else ()))
            if chain[0] not in names:
                return f"nothing is called {chain[0]!r}", nearest(chain[0], names)
    return None


def _unreachable(source: Source) -> Iterator[Problem]:
    workflow = source.workflow
    if workflow.start not in workflow.steps:
        return
    reached = _reached(workflow, [workflow.start])
    for step in workflow.steps:
        if step not in reached:
            mend = f"route a branch to {step!r}, or remove the step"
            yield _problem(source, f"step {step!r} can never be reached from the start", mend, "steps", step)


def _cycles(source: Source) -> Iterator[Problem]:
    """Every cycle must hold a step with `max_visits`: without those steps there must be no cycle."""
    steps = source.workflow.steps
    done = {step for step, spec in steps.items() if spec.max_visits is not None}

    def walk(step: str, path: tuple[str, ...]) -> Iterator[Problem]:
        for branch, target in steps[step].routes.items():
            if target in path:
                loop = " -> ".join((*path[path.index(target) :], target))
                mend = f"give one of its steps a bound, for example 'max_visits: 10' on {target!r}"
                problem = f"the steps go round without a bound: {loop}"
                yield _problem(source, problem, mend, "steps", step, "routes", branch)
            elif target in steps and target not in done:
                yield from walk(target, (*path, target))
        done.add(step)

    for step in steps:
        if step not in done:
            yield from walk(step, (step,))


def mismatch(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> str | None:
    """Why a literal does not fit a JSON schema; None if it does, or if a template will tell only later."""
    schema = _resolved(schema, root)
    if is_template(value):
        if _may_give_value(value):
            return None
        value = ""
        if "enum" in schema:
            return None
    if "anyOf" in schema:
        options = [_resolved(option, root) for option in schema["anyOf"]]
        fitting = [option for option in options if _fits_type(value, option)]
        found = [mismatch(value, option, root) for option in fitting]
        if fitting:
            return None if None in found else found[0]
        return f"{value!r} is {_article(_type(value))}, not {describe(schema, root)}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{value!r} is not one of the possible values"
    if not _fits_type(value, schema):
        return f"{value!r} is {_article(_type(value))}, not {describe(schema, root)}"
    if isinstance(value, list) and "items" in schema:
        return next((wrong for part in value if (wrong := mismatch(part, schema["items"], root))), None)
    return None


def describe(schema: Mapping[str, Any], root: Mapping[str, Any]) -> str:
    """A schema in words: `a string`, `one of "a", "b"`, `an integer or nothing`."""
    schema = _resolved(schema, root)
    if "enum" in schema:
        return "one of " + ", ".join(f"{value!r}" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(describe(option, root) for option in schema["anyOf"])
    names = [_article(name) for name in _names(schema.get("type", ()))]
    return " or ".join(names) if names else "a value"


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if not isinstance(reference, str):
        return schema
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found.get(part, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
    "null": (type(None),),
}


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, _TYPES.get(name, (object,)))


def _type(value: Any) -> str:
    return next((name for name in _TYPES if _is(value, name)), type(value).__name__)


def _names(types: Any) -> tuple[str, ...]:
    return (types,) if isinstance(types, str) else tuple(types)


def _article(name: str) -> str:
    if name == "null":
        return "nothing"
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _fits_type(value: Any, schema: Mapping[str, Any]) -> bool:
    expected = schema.get("type")
    return expected is None or any(_is(value, name) for name in _names(expected))


def _may_give_value(text: str) -> bool:
    """Whether a template may give something other than text; a broken one is reported where it is read."""
    try:
        return is_lone_expression(text)
    except TemplateError:
        return True


def _texts(value: Any) -> Iterator[str]:
    if is_template(value):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)


def _targets(workflow: Workflow, step: str) -> list[str]:
    return [target for target in workflow.steps[step].routes.values() if target in workflow.steps]


def _reached(workflow: Workflow, roots: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        step = waiting.pop()
        if step not in seen:
            seen.add(step)
            waiting.extend(_targets(workflow, step))
    return seen


def _problem(source: Source, problem: str, mend: str, *part: str) -> Problem:
    return Problem(source.places.path, source.places.line(*part), problem, mend)
