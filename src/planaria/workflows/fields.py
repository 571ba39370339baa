"""The keys a person writes, read into a workflow: shared by the Markdown and the Python form.

Both forms give plain values and their lines; here the values are checked for their types, so that one error
is worded in one way. Whether the graph makes sense is said by `check`.
"""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET, UnsetType

from planaria.membrane.grants import Grant, read_grants
from planaria.records.errors import Problem
from planaria.records.front import Lines
from planaria.workflows.check import nearest
from planaria.workflows.definition import TERMINALS, OnOpen, Places, Schedule, Source, Step, Workflow
from planaria.workflows.errors import DefinitionError

HEAD_KEYS = ("name", "description", "schedule", "zone", "first_run", "inputs", "room", "start", "grants")
STEP_KEYS = ("tool", "with", "on", "each", "retry", "backoff", "timeout", "max_visits", "on_open")
STEP_ID = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")


class Reader:
    """Collects the values of one workflow and everything that is wrong with them."""

    def __init__(self, path: str, zone: str) -> None:
        self.path, self.zone = path, zone
        self.lines: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.head: dict[str, Any] = {}
        self.steps: dict[str, Step] = {}

    def wrong(self, line: int, problem: str, mend: str) -> None:
        self.problems.append(Problem(self.path, line, problem, mend))

    def read_head(self, front: Mapping[str, Any], lines: Lines, name: str, ignored: tuple[str, ...]) -> None:
        """The keys about the whole workflow; `ignored` are keys that mean something to others."""
        for key, value in front.items():
            line = lines.get(key, 1)
            self.lines[key] = line
            if key in ignored:
                continue
            if key not in HEAD_KEYS:
                self.wrong(line, f"a workflow has no key {key!r}", nearest(key, HEAD_KEYS))
            elif key == "inputs":
                self.head["inputs"] = self._inputs(value, line)
            elif key == "grants":
                self.head["grants"] = self._grants(value, lines)
            elif not isinstance(value, str) and value is not None:
                self.wrong(line, f"{key!r} is {value!r}, not text", f'write {key}: "..."')
            elif value is not None:
                self.head[key] = value.strip()
        self.head.setdefault("name", name)
        if not NAME.match(self.head["name"]):
            mend = "use lower case letters, digits and dashes"
            self.wrong(self.lines.get("name", 1), f"{self.head['name']!r} is no name for a workflow", mend)
        first_run = self.head.get("first_run", "scheduled")
        if first_run not in ("scheduled", "now"):
            problem = f"first_run is {first_run!r}"
            self.wrong(self.lines["first_run"], problem, "use 'scheduled' or 'now', or leave it out")

    def read_step(self, step: str, keys: Mapping[str, Any], lines: Lines, line: int) -> None:
        """One step; `lines` has dotted keys as in front matter (`with.url`, `on.failed`)."""
        before = len(self.problems)
        self.lines[f"steps.{step}"] = line
        for key, at in lines.items():
            top, _, rest = key.partition(".")
            top = {"with": "arguments", "on": "routes"}.get(top, top)
            self.lines[f"steps.{step}.{top}.{rest}" if rest else f"steps.{step}.{top}"] = at
        if step in TERMINALS or not STEP_ID.match(step):
            mend = "use lower case letters, digits and underscores, and not 'end' or 'fail'"
            self.wrong(line, f"{step!r} is no name for a step", mend)
        if step in self.steps:
            self.wrong(line, f"the step {step!r} is written twice", "rename one of the two")
        for key in keys:
            if key not in STEP_KEYS:
                self.wrong(lines.get(key, line), f"a step has no key {key!r}", nearest(key, STEP_KEYS))
        tool = keys.get("tool")
        if not isinstance(tool, str) or not tool:
            self.wrong(
                lines.get("tool", line), f"step {step!r} names no tool", "add a line such as 'tool: room.say'"
            )
        arguments = self._mapping(keys, "with", step, lines, line)
        routes = self._mapping(keys, "on", step, lines, line)
        for branch, target in routes.items():
            if not isinstance(target, str):
                mend = "name a step, 'end' or 'fail'"
                self.wrong(lines.get(f"on.{branch}", line), f"the route {branch!r} leads to {target!r}", mend)
        numbers = {
            key: self._number(keys, key, kind, lines, line)
            for key, kind in (("retry", int), ("backoff", float), ("timeout", float), ("max_visits", int))
            if keys.get(key) is not None
        }
        each = keys.get("each")
        if each is not None and not isinstance(each, str):
            self.wrong(
                lines.get("each", line), f"'each' is {each!r}", 'write a template: "{{ steps.x.value }}"'
            )
        way = self._way(keys.get("on_open"), lines.get("on_open", line))
        if len(self.problems) == before:
            self.steps[step] = Step(step, str(tool), arguments, routes, each, **numbers, on_open=way)

    def source(self) -> Source:
        """The workflow. Raises DefinitionError with everything found wrong."""
        if not self.steps and not self.problems:
            self.wrong(1, "the workflow has no steps", "write at least one step that names a tool")
        if self.problems:
            raise DefinitionError(sorted(self.problems, key=lambda problem: problem.line))
        head, schedule = self.head, None
        if cron := head.get("schedule"):
            schedule = Schedule(cron, head.get("first_run", "scheduled"))
        workflow = Workflow(
            name=head["name"],
            steps=self.steps,
            start=head.get("start") or next(iter(self.steps)),
            schedule=schedule,
            zone=head.get("zone", self.zone),
            description=head.get("description", ""),
            inputs=head.get("inputs", {}),
            room=head.get("room"),
            grants=head.get("grants") or UNSET,
        )
        return Source(workflow, Places(self.path, self.lines))

    def _inputs(self, value: Any, line: int) -> dict[str, Any]:
        if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
            return dict.fromkeys(value)
        if isinstance(value, Mapping):
            return dict(value)
        self.wrong(line, f"'inputs' is {value!r}", "write a list of names, or 'name: default' lines")
        return {}

    def _grants(self, value: Any, lines: Lines) -> tuple[Grant, ...]:
        given = list(value) if isinstance(value, tuple) else value
        grants, faults = read_grants({} if given is None else given, lambda name: "its file")
        for fault in faults:
            line = lines.get(f"grants.{fault.key}", self.lines["grants"])
            self.wrong(line, fault.problem, fault.mend)
        return grants

    def _way(self, value: Any, line: int) -> OnOpen | UnsetType:
        match value:
            case None:
                return UNSET
            case "skip" | "halt":
                return OnOpen(value)
            case {"fallback": str(tool), **rest} if tool and not rest:
                return OnOpen("fallback", tool)
            case _:
                mend = "write skip, halt, or {fallback: TOOL}"
                self.wrong(line, f"'on_open' is {value!r}", mend)
                return UNSET

    def _mapping(
        self, keys: Mapping[str, Any], key: str, step: str, lines: Lines, line: int
    ) -> dict[str, Any]:
        value = keys.get(key)
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return dict(value)
        self.wrong(
            lines.get(key, line),
            f"{key!r} of step {step!r} is {value!r}",
            "write 'name: value' lines under it",
        )
        return {}

    def _number(
        self,
        keys: Mapping[str, Any],
        key: str,
        kind: type[float],
        lines: Lines,
        line: int,
    ) -> Any:
        value = keys[key]
        if isinstance(value, bool) or not isinstance(value, (int, kind)):
            self.wrong(lines.get(key, line), f"{key!r} is {value!r}, not a number", f"write {key}: 3")
            return 0
        return kind(value)
