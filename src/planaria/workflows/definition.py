"""What a workflow is: a frozen graph of steps, equal for equal content however it was written.

A step calls one tool with templated arguments; the branch of the outcome is looked up in its routes and
gives the next step, or one of the two ends. Where each part was written (file and line) is kept apart, in
`Places`, so that the Markdown form and the Python form of one workflow are the same value with the same hash.
"""

import hashlib
from typing import Any, Literal

import msgspec

from planaria.membrane.authority import Authority
from planaria.membrane.grants import Grant

END = "end"
"""Route target: the run is over and went well."""
FAIL = "fail"
"""Route target: the run is over and did not do what it was for."""
ANY = "*"
"""Route key: every branch that has no route of its own."""
FAILED = "failed"
"""The branch every tool has."""
NONE = "none"
"""The branch of a step with `each` whose list is empty."""
MIXED = "mixed"
"""The branch of a step with `each` whose elements took different branches, none of them `failed`."""
SKIPPED = "skipped"
"""The branch of a step with `on_open: skip` whose tool is held back."""

TERMINALS = (END, FAIL)

type FirstRun = Literal["scheduled", "now"]


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a workflow starts by itself.

    `cron` has five fields (minute, hour, day of month, month, day of week), read in the workflow's zone.
    `first_run="now"` starts a workflow that has never run as soon as it is seen, then by the clock.
    """

    cron: str
    first_run: FirstRun = "scheduled"


class OnOpen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a step does when a breaker holds its tool back.

    Attributes:
        way: `skip` takes the branch `skipped`; `halt` ends the run and leaves a dead letter, whose replay starts it
            once more; `fallback` makes the same call with another tool.
        tool: that tool.
    """

    way: Literal["skip", "halt", "fallback"]
    tool: str = ""


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One call of one tool, and where each of its branches leads.

    Args:
        arguments: values, templates (`{{ ... }}`) or lists and mappings of them.
        routes: branch to step id, `end` or `fail`; the key `*` takes every branch not named.
        each: a template giving a list; the tool then runs once per element, in order.
        retry: how many more times a call is made when the tool fails and says that trying again may help.
        backoff: seconds before the first of these; doubled each time, at most ten minutes.
        timeout: seconds a call may take.
        max_visits: how often one run may enter this step; needed on every cycle.
        on_open: what it does when a breaker holds its tool back; unset, the call has failed, and may be retried. A
            step without one is written as by programs that did not know of it, so the hash of a definition holds.
    """

    id: str
    tool: str
    arguments: dict[str, Any] = {}
    routes: dict[str, str] = {}
    each: str | None = None
    retry: int = 0
    backoff: float = 1.0
    timeout: float = 300.0
    max_visits: int | None = None
    on_open: OnOpen | msgspec.UnsetType = msgspec.UNSET

    @property
    def way(self) -> OnOpen | None:
        """`on_open`, if it is said."""
        return None if isinstance(self.on_open, msgspec.UnsetType) else self.on_open

    @property
    def tools(self) -> tuple[str, ...]:
        """The tools it may call."""
        return (self.tool, self.way.tool) if self.way is not None and self.way.tool else (self.tool,)

    def route(self, branch: str) -> str | None:
        """Where a branch leads; None if the step says nothing about it."""
        return self.routes.get(branch, self.routes.get(ANY))


class Workflow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A named graph.

    Args:
        zone: IANA name; the schedule and `now` are read in it.
        inputs: what a trigger may bring: name to default; None means it must be given.
        room: where its tools speak when they name no room.
        grants: capabilities its tools may use, beside the safe ones; see `planaria.membrane.grants`. Without any it is
            written as by programs that did not know of them, so the hash of a definition holds.
    """

    name: str
    steps: dict[str, Step]
    start: str
    schedule: Schedule | None = None
    zone: str = "UTC"
    description: str = ""
    inputs: dict[str, Any] = {}
    room: str | None = None
    grants: tuple[Grant, ...] | msgspec.UnsetType = msgspec.UNSET

    def authority(self) -> Authority:
        """What a run of it may do: call the tools of its steps, within its grants."""
        names = sorted({tool for step in self.steps.values() for tool in step.tools})
        given = () if isinstance(self.grants, msgspec.UnsetType) else self.grants
        return Authority(f"workflow:{self.name}", names, given)


class Places(msgspec.Struct, frozen=True):
    """Where the parts of a workflow were written.

    Keys of `lines` are paths such as `schedule`, `steps.fetch`, `steps.fetch.arguments.url` and
    `steps.fetch.routes.new`; a part without a line of its own is found by its nearest parent.
    """

    path: str
    lines: dict[str, int] = {}

    def line(self, *parts: str) -> int:
        """The line of a part, 1 for the whole file."""
        while parts:
            if (line := self.lines.get(".".join(parts))) is not None:
                return line
            parts = parts[:-1]
        return 1


class Source(msgspec.Struct, frozen=True):
    """A workflow as read from a file: the value, and where its parts stand."""

    workflow: Workflow
    places: Places


def definition_hash(workflow: Workflow) -> str:
    """A short name for exactly this definition: equal content, equal hash, on every node."""
    return hashlib.sha256(msgspec.json.encode(workflow, order="deterministic")).hexdigest()[:16]


def pack(workflow: Workflow) -> dict[str, Any]:
    """The definition as plain data, for the journal."""
    data = msgspec.to_builtins(workflow)
    assert isinstance(data, dict)
    return data


def unpack(data: dict[str, Any]) -> Workflow:
    """The definition a run started with. Raises msgspec.ValidationError if this is not one."""
    return msgspec.convert(data, Workflow)
