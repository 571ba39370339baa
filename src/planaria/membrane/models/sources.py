"""Where providers come from: the garden's database, `planaria.toml`, keys in the environment, servers on this machine.

Pure: the same sources give the same catalogue; nobody is asked. What the database says stands over the file, and both
over what was found. `offline`, the rules that come with us, is always there, and last.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from planaria.config.providers import LimitSettings, ModelDetails, ProviderSettings, merged
from planaria.config.secret import Secret
from planaria.config.settings import ModelSettings
from planaria.membrane.errors import BadAddress
from planaria.membrane.models.catalogue import (
    FREE,
    OFFLINE,
    CatalogueModel,
    CatalogueProvider,
    Facts,
    ProviderLimits,
    Source,
    Tier,
    ordered,
)
from planaria.membrane.models.changes import GivenKey
from planaria.membrane.models.local_servers import LocalServer
from planaria.membrane.models.prices import ModelPrice
from planaria.membrane.providers.bridge import KIND, MISSING, is_installed
from planaria.membrane.providers.offline import MODEL as OFFLINE_MODEL
from planaria.membrane.providers.openai_compatible import NO_QUIRKS, Quirks
from planaria.membrane.providers.vendors import BY_NAME, VENDORS, VendorSpec
from planaria.membrane.wire.address import is_private, parse_address

DATABASE = "the garden's database"
MICRO = 1_000_000
"""Millionths in a dollar."""


class Sources:
    """Everything providers are made of. Holds keys, and so shows nothing of itself.

    Args:
        environ: where keys are looked up.
        local: what `probe` found.
        stored: what the database says of providers.
        keys: those the database has.
        allow_http: providers that may be reached by plain http on a public network.
    """

    def __init__(
        self,
        settings: ModelSettings,
        environ: Mapping[str, str],
        local: tuple[LocalServer, ...] = (),
        stored: Mapping[str, ProviderSettings] = {},
        keys: Mapping[str, GivenKey] = {},
        allow_http: frozenset[str] = frozenset(),
    ) -> None:
        self.settings = settings
        self.environ = environ
        self.local = local
        self.stored = stored
        self.keys = keys
        self.allow_http = allow_http

    def __repr__(self) -> str:
        return f"Sources({len(self.settings.providers)} in planaria.toml, {len(self.stored)} in the database)"

    def but(
        self,
        local: tuple[LocalServer, ...] | None = None,
        stored: Mapping[str, ProviderSettings] | None = None,
        keys: Mapping[str, GivenKey] | None = None,
    ) -> Sources:
        """The same with others of these."""
        return Sources(
            self.settings,
            self.environ,
            self.local if local is None else local,
            self.stored if stored is None else stored,
            self.keys if keys is None else keys,
            self.allow_http,
        )


class Declared(msgspec.Struct, frozen=True):
    """One provider as its sources declare it, with what it takes to ask it.

    Args:
        key_source: where the key is from, for messages: a variable's name, or `DATABASE`.
    """

    provider: CatalogueProvider
    key: Secret | None = None
    key_source: str | None = None
    quirks: Quirks = NO_QUIRKS


def declare(sources: Sources, facts: Facts) -> tuple[Declared, ...]:
    """All providers, in order of preference."""
    found = {server.name: server for server in sources.local}
    names = dict.fromkeys(sources.settings.providers)
    names |= dict.fromkeys(name for name in sources.stored if name not in BY_NAME and name not in found)
    names |= dict.fromkeys(spec.name for spec in VENDORS if _is_wanted(spec, sources))
    names |= dict.fromkeys(found)
    names.pop(OFFLINE, None)
    made = {name: _declared(name, sources, found.get(name), facts) for name in names}
    order = ordered([each.provider for each in made.values()])
    return (*(made[provider.name] for provider in order), Declared(_rules()))


def unkeyed(sources: Sources, declared: Mapping[str, object]) -> dict[str, str]:
    """The vendors that are known and not declared, with the variables of their keys."""
    return {
        spec.name: f"{' or '.join(spec.key_variables)}, or type `planaria provider key {spec.name}`"
        for spec in VENDORS
        if spec.name not in declared
    }


def _is_wanted(spec: VendorSpec, sources: Sources) -> bool:
    return (
        spec.name in sources.stored or spec.name in sources.keys or _variable(spec.key_variables, sources)[0]
    )


def _variable(names: tuple[str, ...], sources: Sources) -> tuple[bool, str]:
    """Whether one of these variables has a key, and which."""
    found = next((name for name in names if sources.environ.get(name, "").strip()), None)
    return found is not None, found or ""


def _declared(name: str, sources: Sources, server: LocalServer | None, facts: Facts) -> Declared:
    """One provider: what the database says over the file, both over what was found, all over what is known."""
    in_file = sources.settings.providers.get(name)
    if in_file is not None:
        server = None  # who writes a server's name into the file says where it is
    stored = sources.stored.get(name)
    said = merged(in_file or ProviderSettings(), stored or ProviderSettings())
    spec = BY_NAME.get(name)
    if spec is None and said.kind == "anthropic" and said.base_url is None:
        spec = BY_NAME["anthropic"]
    own = spec is not None and said.base_url in (None, spec.base_url)
    base_url = said.base_url or (server.base_url if server else "") or (spec.base_url if spec else "")
    kind = said.kind or (spec.kind if spec is not None and own else "openai")
    bridged = kind.startswith(KIND)
    origin, local, problem = _place(base_url, name in sources.allow_http, bridged)
    key, key_source, trouble = _key(name, said, spec if own else None, sources, origin)
    problem = problem or trouble
    if server is not None and not problem:
        problem = server.problem if not server.models else ""
    free = (server is not None and said.base_url is None) or name in ("ollama", "lmstudio")
    local = local and said.local is not False
    known_as = spec.name if spec is not None and own else ""
    provider = CatalogueProvider(
        name,
        kind,
        base_url,
        _models(said, spec, server, local, free, known_as, facts),
        local=local,
        priority=said.priority or 0,
        limits=_limits(said.limits),
        enabled=said.enabled is not False,
        source=_source(stored, in_file, server),
        where=_where(name, stored, in_file, server, key_source),
        complete=server is not None and bool(server.models),
        free=free and local,
        known_as=known_as,
        problem=problem,
    )
    return Declared(provider, key, key_source, spec.quirks if spec is not None else NO_QUIRKS)


def _place(base_url: str, allow_http: bool, bridged: bool) -> tuple[str, bool, str]:
    """Origin of an address, whether it is on this machine or a private network, and what is wrong with it."""
    if bridged and not is_installed():
        return "", False, MISSING
    if not base_url:
        return "", False, "" if bridged else "it has no address: set base_url"
    try:
        address = parse_address(base_url, allow_http)
    except BadAddress as error:
        return "", False, str(error)
    return address.origin, is_private(address.host), ""


def _key(
    name: str, said: ProviderSettings, spec: VendorSpec | None, sources: Sources, origin: str
) -> tuple[Secret | None, str | None, str]:
    """The key, where it is from, and what is wrong with it. One from the database stands over the environment."""
    command = f"planaria provider key {name}"
    given = sources.keys.get(name)
    if given is not None and given.problem:
        return None, DATABASE, given.problem
    if given is not None and given.origin != origin:
        return (
            None,
            DATABASE,
            f"its key was given for {given.origin}, not for {origin}: give it again with `{command}`",
        )
    if given is not None:
        return given.key, DATABASE, ""
    # A known service's key goes to that service, or to an address the same person wrote with its variable.
    variables = (said.api_key_env,) if said.api_key_env else spec.key_variables if spec is not None else ()
    there, variable = _variable(variables, sources)
    if there:
        return Secret(sources.environ[variable]), variable, ""
    if variables:
        return None, None, f"its key is missing: set {' or '.join(variables)}, or type `{command}`"
    return None, None, ""


def _models(
    said: ProviderSettings,
    spec: VendorSpec | None,
    server: LocalServer | None,
    local: bool,
    free: bool,
    known_as: str,
    facts: Facts,
) -> tuple[CatalogueModel, ...]:
    """Its models, with what is known of them under what is said of them."""
    names = said.models or (server.models if server is not None else ()) or (spec.models if spec else ())
    by_tier = spec is not None and set(names) == set(spec.models)
    names = tuple(dict.fromkeys((*names, *said.about)))
    made: list[CatalogueModel] = []
    for name in names:
        known = facts.about(known_as, name) if known_as else CatalogueModel(name)
        details = said.about.get(name, ModelDetails())
        elsewhere = local and "cloud" in name if details.elsewhere is None else details.elsewhere
        tiers: tuple[Tier, ...] = details.tiers or (
            tiers_of(spec, name) if by_tier and spec is not None else ()
        )
        made.append(
            CatalogueModel(
                name,
                details.context_tokens or known.context_tokens,
                details.max_output_tokens or known.max_output_tokens,
                _price(details) or (FREE if free and local and not elsewhere else known.prices),
                known.abilities if details.abilities is None else frozenset(details.abilities),
                tiers,
                details.priority or 0,
                elsewhere,
            )
        )
    return tuple(made)


def tiers_of(spec: VendorSpec, model: str) -> tuple[Tier, ...]:
    """The tiers a vendor's model is meant for."""
    tiers: tuple[Tier, ...] = ("light", "medium", "heavy")
    return tuple(tier for tier in tiers if spec.tier(tier) == model)


def _price(details: ModelDetails) -> ModelPrice | None:
    if details.usd_in is None or details.usd_out is None:
        return None
    cached, written = (
        None if usd is None else round(usd * MICRO) for usd in (details.usd_cached, details.usd_cache_write)
    )
    return ModelPrice(round(details.usd_in * MICRO), round(details.usd_out * MICRO), cached, written)


def _limits(said: LimitSettings) -> ProviderLimits:
    """Limits as they hold: nobody's word is our default, 0 is none."""
    fields = {
        name: value or None
        for name, value in msgspec.structs.asdict(said).items()
        if value is not None and name != "usd_per_day"
    }
    if said.usd_per_day is not None:
        fields["micro_usd_per_day"] = round(said.usd_per_day * MICRO) or None
    return ProviderLimits(**fields)


def _source(
    stored: ProviderSettings | None, in_file: ProviderSettings | None, server: LocalServer | None
) -> Source:
    if stored is not None:
        return "database"
    if in_file is not None:
        return "planaria.toml"
    return "environment" if server is None else "found"


def _where(
    name: str,
    stored: ProviderSettings | None,
    in_file: ProviderSettings | None,
    server: LocalServer | None,
    key_source: str | None,
) -> str:
    """How it was found, for people."""
    if in_file is not None:
        below = f"planaria.toml [models.providers.{name}]"
    elif server is not None:
        below = f"found at {server.base_url.removesuffix('/v1')}"
    else:
        below = key_source if key_source not in (None, DATABASE) else ""
    if stored is None:
        return below or DATABASE
    return f"{DATABASE}, over {below}" if below else DATABASE


def _rules() -> CatalogueProvider:
    model = CatalogueModel(OFFLINE_MODEL, prices=FREE)
    return CatalogueProvider(
        OFFLINE, "rules", models=(model,), local=True, where="built in", complete=True, free=True
    )
