"""Methods about tools: which there are and who is offered them; a call by a person; the key of the search service."""

from typing import Any

import msgspec

from planaria.agents.definition import AgentDefinition
from planaria.agents.keeper import Agents
from planaria.config.secret import Secret
from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import new_id
from planaria.cortex.secrets import Secrets, SecretTooShort
from planaria.cortex.stores.place import master_key
from planaria.membrane.authority import Authority
from planaria.membrane.capability import capability
from planaria.membrane.gate.gate import Gate, spoken
from planaria.membrane.gate.registry import nearest_tool
from planaria.membrane.search.service import TOOL as SEARCH
from planaria.membrane.search.service import key_name
from planaria.membrane.tool import Context, Denied, Done, HeldBack, Tool
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError
from planaria.otp import CallError


class WhichTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool by its name."""

    tool: str


class Calling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call of a tool by a person.

    Attributes:
        arguments: as a model would give them; numbers and booleans may be text.
        room: where it is made, for tools that speak or ask in one.
    """

    tool: str
    by: str
    arguments: dict[str, Any] = {}
    room: str | None = None


class KeyOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key for the service a tool asks; None takes the one it has away."""

    tool: str
    key: str | None = None

    def __repr__(self) -> str:
        return f"KeyOf({self.tool!r}, ***)"


class ToolRow(msgspec.Struct, frozen=True):
    """One tool of the node.

    Attributes:
        offered: the agents that are offered it.
        source: the file of the garden, or server, it comes from; empty: it is built in.
        lacking: what the node has to be given before it can be used; empty: nothing.
    """

    name: str
    description: str
    needs: tuple[str, ...]
    offered: tuple[str, ...]
    source: str = ""
    lacking: str = ""


class Need(msgspec.Struct, frozen=True):
    """A capability a tool uses.

    Attributes:
        default: scopes granted without a line; empty: only a scope grants it.
        by: the argument that says what it is used on; empty: another way, or anything.
    """

    capability: str
    says: str
    scopes: str
    default: tuple[str, ...] = ()
    by: str = ""


class ToolShown(msgspec.Struct, frozen=True):
    """All about one tool. `parameters` is the JSON schema of its arguments."""

    row: ToolRow
    whole: str
    branches: tuple[str, ...]
    needs: tuple[Need, ...]
    parameters: dict[str, Any]
    on_unknown: str
    ask: bool = False
    second_factor: bool = False
    waits: bool = False


class Called(msgspec.Struct, frozen=True):
    """What a call came to.

    Attributes:
        text: what a model would read.
        ok: whether it was done; if not, `failure` is `denied`, `held_back` or `failed`.
        trace: for `planaria trace`.
    """

    tool: str
    ok: bool
    branch: str
    text: str
    value: Any = None
    failure: str = ""
    trace: str = ""


async def list_(params: Nothing, services: Services, channel: Channel) -> list[ToolRow]:
    """All tools, by name."""
    gate = _gate(services)
    offered = await _offered(gate)
    return [_row(tool, offered) for tool in gate.tools()]


async def show(params: WhichTool, services: Services, channel: Channel) -> ToolShown:
    """One tool."""
    gate = _gate(services)
    tool = _tool(gate, params.tool)
    by = tool.touch_names or {}
    needs = [capability(name) for name in sorted(tool.needs)]
    return ToolShown(
        _row(tool, await _offered(gate)),
        tool.description,
        tool.branches,
        tuple(Need(each.name, each.says, each.kind, each.default, by.get(each.name, "")) for each in needs),
        tool.parameters,
        tool.on_unknown,
        tool.ask,
        tool.second_factor,
        tool.waits,
    )


async def call(params: Calling, services: Services, channel: Channel) -> Called:
    """Call a tool as the person at the terminal: through the gate, noted in the journal as that person's.

    The garden is that person's, so no grant is needed. All else holds: arguments, breakers, the addresses that nobody
    fetches from, the sandbox, and a tool that wants a person's word for each call.
    """
    gate = _gate(services)
    _tool(gate, params.tool)
    if not params.by.strip() or not params.by.isprintable():
        raise ControlError(
            "refused", f"{params.by!r} is no name of a person", "say who you are in one plain line"
        )
    caller = f"person:{params.by}"
    context = Context(
        caller=caller,
        garden=services.garden,
        session=caller,
        room=params.room,
        trace_id=new_id(),
        subject=caller,
        services=services.context,
    )
    try:
        outcome = await gate.call(
            params.tool, params.arguments, context, Authority(caller, None, unbounded=True)
        )
    except (JournalUnavailable, CallError) as error:
        raise ControlError(
            "unavailable", f"the call could not be made: {error}", "see `planaria doctor`"
        ) from error
    match outcome:
        case Done():
            failure = ""
        case Denied():
            failure = "denied"
        case HeldBack():
            failure = "held_back"
        case _:
            failure = "failed"
    value = outcome.value if isinstance(outcome, Done) else None
    return Called(params.tool, not failure, outcome.branch, spoken(outcome), value, failure, context.trace_id)


async def key(params: KeyOf, services: Services, channel: Channel) -> dict[str, Any]:
    """Keep the key of the search service, sealed; it counts from the next search on."""
    search = services.settings.search
    if params.tool != SEARCH:
        raise ControlError("refused", f"{params.tool} asks no service with a key", f"only {SEARCH} does")
    if search.service is None:
        mend = 'write [search] with service = "brave", start the node again, then give the key'
        raise ControlError("refused", "planaria.toml names no search service", mend)
    secrets = Secrets(master_key(services.garden), services.redactor)
    try:
        if params.key is None:
            await secrets.drop(key_name(search))
        else:
            services.redactor.learn(f"search:{search.service}", params.key.strip())
            await secrets.put(key_name(search), Secret(params.key))
    except SecretTooShort as error:
        raise ControlError("refused", str(error), "see whether it was copied whole") from error
    except JournalUnavailable as error:
        raise ControlError("unavailable", f"the key was not kept: {error}", "nothing was changed") from error
    return {"tool": SEARCH, "service": search.service, "url": search.url, "key": params.key is not None}


def _gate(services: Services) -> Gate:
    if services.gate is None:
        raise ControlError("unavailable", "this node offers no tools", "start it with `planaria up`")
    return services.gate


def _tool(gate: Gate, name: str) -> Tool:
    found = gate.find(name)
    if found is None:
        near = nearest_tool(name, [tool.name for tool in gate.tools()])
        mend = f"did you mean {near!r}?" if near else "`planaria tools` lists them"
        raise ControlError("not_found", f"there is no tool {name!r}", mend)
    return found


async def _offered(gate: Gate) -> dict[str, list[str]]:
    """By tool the agents that are offered it; of agents that cannot be asked now nothing is said."""
    try:
        agents: list[AgentDefinition] = await Agents.definitions("agents")
    except CallError:
        agents = []
    found: dict[str, list[str]] = {}
    for agent in agents:
        for tool in gate.offered(agent.authority()):
            found.setdefault(tool.name, []).append(agent.name)
    return found


def _row(tool: Tool, offered: dict[str, list[str]]) -> ToolRow:
    return ToolRow(
        tool.name,
        tool.description.strip().partition("\n")[0],
        tuple(sorted(tool.needs)),
        tuple(offered.get(tool.name, ())),
        tool.source,
        tool.lacking,
    )
