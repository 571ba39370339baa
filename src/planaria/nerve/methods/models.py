"""Methods about models: providers are looked at, changed and tried, routes explained; in a stopped garden too."""

import msgspec

from planaria.agents.definition import AgentError, read_agent
from planaria.membrane.models.catalogue import ABILITIES, Ability
from planaria.membrane.models.router import Request
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.model_desk import ModelDesk, Released, Removed, Tried
from planaria.nerve.model_views import ProviderRow, RouteView
from planaria.nerve.protocol import ControlError
from planaria.records.errors import RecordsError
from planaria.records.scan import load


class WhichProvider(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider by its name; who asks."""

    name: str
    by: str = ""


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said of a provider: fields and values as a person writes them; `new` for one there was not before."""

    name: str
    words: dict[str, str]
    new: bool = False
    by: str = ""


class Keying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A provider's key; None takes it away."""

    name: str
    key: str | None = None
    by: str = ""

    def __repr__(self) -> str:
        return f"Keying({self.name!r}, ***)"


class Trying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ask a provider for its models; `ask` also has this model answer a word, which costs."""

    name: str
    ask: str | None = None


class Routing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A wish; `agent` takes over what that agent's record says."""

    wanted: str | None = None
    needs: tuple[str, ...] = ()
    input_tokens: int = 0
    max_output_tokens: int | None = None
    local_only: bool = False
    agent: str | None = None
    exclude: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    explain: bool = True


async def list_(params: Nothing, services: Services, channel: Channel) -> list[ProviderRow]:
    """All providers, in order of preference."""
    return await _desk(services).rows()


async def show(params: WhichProvider, services: Services, channel: Channel) -> ProviderRow:
    """One provider."""
    return await _desk(services).row(params.name)


async def set_(params: Setting, services: Services, channel: Channel) -> ProviderRow:
    """Say something of a provider; in force when this answers."""
    return await _desk(services).set(params.name, params.words, params.by, params.new)


async def remove(params: WhichProvider, services: Services, channel: Channel) -> Removed:
    """Forget what the database says of a provider, and its key."""
    return await _desk(services).remove(params.name, params.by)


async def key(params: Keying, services: Services, channel: Channel) -> ProviderRow:
    """Keep a provider's key, sealed; in force when this answers."""
    return await _desk(services).key(params.name, params.key, params.by)


async def release(params: WhichProvider, services: Services, channel: Channel) -> Released:
    """Have a provider asked again that is left alone."""
    return await _desk(services).release(params.name, params.by)


async def test(params: Trying, services: Services, channel: Channel) -> Tried:
    """Ask a provider what models it has, and perhaps one of them for a word."""
    return await _desk(services).try_(params.name, params.ask)


async def routing(params: Routing, services: Services, channel: Channel) -> RouteView:
    """What a route would be now."""
    return await _desk(services).route(_request(params, services), params.explain)


def _desk(services: Services) -> ModelDesk:
    return ModelDesk(services.garden, services.settings.models, services.redactor, services.usage)


def _request(params: Routing, services: Services) -> Request:
    wanted, most, local_only = params.wanted, params.max_output_tokens, params.local_only
    if params.agent is not None:
        try:
            agent = read_agent(load(services.garden, f"agents/{params.agent}.md"))
        except (RecordsError, AgentError) as error:
            raise ControlError("not_found", f"no agent {params.agent!r}", str(error)) from error
        wanted = wanted or agent.model
        most = most or agent.max_tokens
        local_only = local_only or agent.local_only
    return Request(
        wanted,
        abilities_of(params.needs),
        params.input_tokens,
        most,
        local_only,
        frozenset(params.exclude),
        params.prefer,
    )


def abilities_of(words: tuple[str, ...]) -> frozenset[Ability]:
    """Abilities by their names; raises `ControlError` for what is none."""
    found: frozenset[Ability] = frozenset(ability for ability in ABILITIES if ability in words)
    if unknown := sorted(set(words) - found):
        raise ControlError("bad_request", f"no ability {unknown[0]!r}", f"abilities: {', '.join(ABILITIES)}")
    return found
