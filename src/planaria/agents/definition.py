"""An agent as its record says: `agents/<name>.md`, front matter for settings, the body for instructions. Pure."""

import difflib
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from planaria.agents.turn.arrivals import POLICIES
from planaria.agents.turn.limits import TurnLimits
from planaria.config.budget import NO_LIMITS, Limits
from planaria.immune.guards.restart import RestartPolicy, read_policy
from planaria.immune.guards.thresholds import Thresholds, read_thresholds
from planaria.immune.ledger.budget import LimitsError, read_limits
from planaria.membrane.authority import Authority
from planaria.membrane.grants import Grant, read_grants
from planaria.membrane.structured import BadSchema, check_schema
from planaria.records.errors import Problem
from planaria.records.record import Record
from planaria.rooms.message import Arrivals

NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?\Z")
_SCHEMA_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\.json\Z")
DEFAULT_ROOM = "garden"
RESERVED = {"you": "the person at the dashboard", "all": "everybody in the room"}


class AgentDefinition(msgspec.Struct, frozen=True):
    """What makes an agent this one.

    Attributes:
        name: the file's name without `.md`.
        instructions: the record's body.
        model: `provider/model`, a tier (`local`, `light`, `medium`, `heavy`), or None for the node's default.
        tools: names or patterns (`notes.*`) of tools it is offered.
        grants: capabilities these may use, with their scopes; see `planaria.membrane.grants`.
        rooms: where it sits, one session each.
        host: whether it answers there what is addressed to nobody.
        max_steps: model calls in one turn; then one more, without tools, says what was found.
        temperature: handed to the model; None leaves it to the provider.
        arrivals: what becomes of messages that arrive while it is at work.
        parallel: tools of one step that run at once.
        limits: what else bounds one turn.
        prompt: tokens that parts of its prompt may have, by name, instead of `BUDGETS` in `agents/prompt/prompt.py`.
        guards: when its guards speak up.
        restart: what a session of it does otherwise after they have, or after it has failed.
        privacy: `local`: only models on this machine or the private network are asked, whatever else is wished.
        fallback: by tool, the one that is called in its place while a breaker holds it back.
        budget: what it may spend, by turn and day; the ledger reads it from the record itself (`immune/`).
        answer: JSON schema that its answers have to fit; None: they are text.
        answer_file: the file of `agents/` that has the schema; see `answer_file.py`.
    """

    name: str
    instructions: str
    description: str = ""
    model: str | None = None
    tools: tuple[str, ...] = ()
    rooms: tuple[str, ...] = (DEFAULT_ROOM,)
    host: bool = False
    max_steps: int = 12
    max_tokens: int | None = None
    temperature: float | None = None
    arrivals: Arrivals = "queue"
    parallel: int = 8
    limits: TurnLimits = TurnLimits()
    prompt: dict[str, int] = {}
    grants: tuple[Grant, ...] = ()
    guards: Thresholds = Thresholds()
    restart: RestartPolicy = RestartPolicy()
    privacy: Literal["local"] | None = None
    budget: Limits = NO_LIMITS
    fallback: dict[str, str] = {}
    answer: dict[str, Any] | None = None
    answer_file: str = ""

    @property
    def local_only(self) -> bool:
        """Whether nothing it is told may leave this machine and the private network."""
        return self.privacy == "local"

    def authority(self) -> Authority:
        """What it may do, compiled; made once for each version of an agent."""
        return Authority(f"agent:{self.name}", self.tools, self.grants)


class AgentError(Exception):
    """A record that makes no agent; `problems` name lines and mends."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in problems))


_IGNORED = ("class", "title", "tags", "created", "updated")
_FIELDS = (
    *("description", "model", "tools", "rooms", "host", "max_steps", "max_tokens", "temperature"),
    *("arrivals", "parallel", "limits", "prompt", "grants", "guards", "restart", "privacy"),
    *("budget", "fallback", "answer"),
)
BUDGETED = (
    *("contract", "soul", "user", "memory", "room", "instructions", "amendments", "plan", "handoff"),
    *("talk", "turn"),
)
"""Parts of a prompt that have a budget."""


def agent_name(path: str) -> str:
    """The agent's name from its record's path."""
    return path.rsplit("/", 1)[-1].removesuffix(".md")


def read_agent(record: Record) -> AgentDefinition:
    """Make an agent of a record.

    Raises:
        AgentError: everything that is wrong with it, at once.
    """
    problems: list[Problem] = []

    def wrong(key: str, problem: str, mend: str) -> None:
        problems.append(Problem(record.path, record.line(key), problem, mend))

    name = agent_name(record.path)
    if not NAME.match(name):
        wrong(
            "", f"{name!r} is no name for an agent", "Use small letters, digits, - and _ in the file's name"
        )
    if name in RESERVED:
        wrong("", f"the name {name!r} is taken: it means {RESERVED[name]}", "rename the file")
    given = record.front
    if given.get("class", "agent") != "agent":
        wrong(
            "class", f"class is {given['class']!r}", "Write `class: agent`, or move the file out of agents/"
        )
    for key in given:
        if key not in _FIELDS and key not in _IGNORED:
            near = difflib.get_close_matches(str(key), _FIELDS, n=1)
            mend = f"Did you mean {near[0]!r}?" if near else f"Known keys: {', '.join(_FIELDS)}"
            wrong(str(key), f"unknown key {key!r}", mend)
    if not record.body.strip():
        wrong("", "the agent has no instructions", "Write below the front matter what it is for")
    values = {key: given[key] for key in _FIELDS if given.get(key) is not None}
    budget = NO_LIMITS
    try:
        budget = read_limits(values.pop("budget", None))
    except LimitsError as error:
        problem, _, mend = str(error).partition("; ")
        wrong("budget", problem, mend[:1].upper() + mend[1:])
    fallback = values.pop("fallback", {})
    if not isinstance(fallback, dict) or not all(isinstance(name, str) for name in fallback.values()):
        wrong(
            "fallback", "fallback must be a mapping of tools", "Write `fallback: {web.fetch: notes.search}`"
        )
    if "grants" in values:
        grants, faults = read_grants(
            values.pop("grants"), lambda name: f"{record.path}:{record.line(f'grants.{name}')}"
        )
        for fault in faults:
            if not fault.mere:
                wrong(f"grants.{fault.key}", fault.problem, fault.mend)
    else:
        grants = ()
    checked = _checked(values, wrong)
    if problems:
        raise AgentError(problems)
    return AgentDefinition(
        name=name,
        instructions=record.body.strip(),
        grants=grants,
        budget=budget,
        fallback=fallback,
        **checked,
    )


def bare_grants(record: Record) -> list[Problem]:
    """Grants of a good record that grant nothing, as nobody may have meant: each with what to write."""
    given = record.front.get("grants")
    faults = [] if given is None else read_grants(given)[1]
    return [
        Problem(record.path, record.line(f"grants.{fault.key}"), fault.problem, fault.mend)
        for fault in faults
        if fault.mere
    ]


def _checked(values: dict[str, Any], wrong: Callable[[str, str, str], None]) -> dict[str, Any]:
    checked: dict[str, Any] = {}
    for key, value in values.items():
        match key, value:
            case (("description" | "model"), str()):
                checked[key] = None if key == "model" and value in ("", "default") else value
            case (("tools" | "rooms"), (list() | str())):
                items = [value] if isinstance(value, str) else value
                if not all(isinstance(item, str) and item for item in items):
                    wrong(key, f"{key} must be a list of names", f"Write `{key}: [one, two]`")
                elif key == "rooms" and (bad := [item for item in items if not NAME.match(item)]):
                    wrong(key, f"{bad[0]!r} is no name for a room", "Use small letters, digits, - and _")
                else:
                    checked[key] = tuple(dict.fromkeys(items))
            case "host", bool():
                checked[key] = value
            case (("max_steps" | "max_tokens" | "parallel"), int()) if _positive(value):
                checked[key] = value
            case "temperature", (int() | float()) if not isinstance(value, bool) and 0 <= value <= 2:
                checked[key] = float(value)
            case "privacy", "local":
                checked[key] = value
            case "answer", str() if _SCHEMA_FILE.match(value):
                checked["answer_file"] = value
            case "answer", dict():
                try:
                    check_schema(value)
                except BadSchema as error:
                    wrong(key, f"answer is {error}", _SHAPES[key])
                else:
                    checked[key] = value
            case "arrivals", str() if value in POLICIES:
                checked[key] = value
            case "limits", dict() if all(_positive(each) for each in value.values()):
                if unknown := [name for name in value if name not in TurnLimits.__struct_fields__]:
                    wrong(key, f"limits has no {unknown[0]!r}", _SHAPES[key])
                else:
                    checked[key] = msgspec.convert(value, TurnLimits, strict=False)
            case "prompt", dict() if all(
                isinstance(each, int) and _positive(each) for each in value.values()
            ):
                if unknown := [name for name in value if name not in BUDGETED]:
                    wrong(key, f"a prompt has no part {unknown[0]!r}", f"Parts: {', '.join(BUDGETED)}")
                else:
                    checked[key] = dict(value)
            case (("guards" | "restart"), _):
                try:
                    checked[key] = read_thresholds(value) if key == "guards" else read_policy(value)
                except ValueError as error:
                    wrong(key, str(error), _SHAPES[key])
            case _:
                wrong(key, f"{key} cannot be {value!r}", _SHAPES[key])
    return checked


def _positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


_SHAPES = {
    "description": "Write a sentence",
    "answer": "Write a JSON schema, such as `answer: {type: object, properties: {city: {type: string}}}`, or a file "
    "of agents/, such as `answer: verdict.json`",
    "privacy": "Write `local`, or leave it out",
    "model": "Write `provider/model`, a tier (local, light, medium, heavy), or leave it out",
    "tools": "Write a list such as [notes.*, web.fetch]",
    "rooms": "Write a list such as [garden]",
    "host": "Write true or false",
    "max_steps": "Write a whole number above 0",
    "max_tokens": "Write a whole number above 0",
    "temperature": "Write a number from 0 to 2",
    "arrivals": f"Write one of {', '.join(POLICIES)}",
    "parallel": "Write a whole number above 0",
    "limits": "Write such as `limits: {tool_calls: 50, tokens: 200000, seconds: 600, usd: 0.5}`, numbers above 0",
    "prompt": "Write tokens for parts of the prompt, such as `prompt: {memory: 4000, talk: 20000}`",
    "guards": "Write such as `guards: {repeats: 4, context: 0.7}`, or `guards: off`; docs/guards.md lists them",
    "restart": "Write such as `restart: [{on: loop, do: amend, then: [fresh, ask], limit: 3}]`",
}
