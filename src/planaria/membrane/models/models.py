"""The models of a node: the catalogue, the providers that answer, and which model a word means.

Found in this order: `planaria.toml`, the garden's database, keys in the environment, servers on this machine, and
always `offline`, the rule-based model that comes with us. What the database says of a provider stands over all else.
A value: `resolve` asks no network, and `changed` makes another.
Does badly: a model loaded into a local server after the start is known only after another `probe`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from planaria.config.providers import ProviderSettings
from planaria.config.settings import ModelSettings
from planaria.membrane.errors import AuthenticationFailed, ModelNotFound
from planaria.membrane.models.catalogue import OFFLINE, TIERS, Catalogue, CatalogueProvider, Place
from planaria.membrane.models.changes import GivenKey
from planaria.membrane.models.facts import load_known
from planaria.membrane.models.local_servers import LocalServer
from planaria.membrane.models.prices import cost_of
from planaria.membrane.models.router import Preferences, unknown
from planaria.membrane.models.sources import Declared, Sources, declare, unkeyed
from planaria.membrane.provider import Provider, Usage
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.bridge import KIND, BridgeProvider
from planaria.membrane.providers.offline import OfflineProvider
from planaria.membrane.providers.openai_compatible import OpenAICompatible
from planaria.membrane.providers.vendors import BY_NAME
from planaria.membrane.wire.vendor_errors import missing_model


class Choice(msgspec.Struct, frozen=True):
    """What a word means: a provider and its own name for the model. `offline`: it is no language model."""

    provider: Provider
    model: str
    offline: bool

    @property
    def ref(self) -> str:
        """As people write it: `provider/model`."""
        return f"{self.provider.name}/{self.model}"


class ProviderView(msgspec.Struct, frozen=True):
    """One provider for people. Holds no key.

    Args:
        where: how it was found: a variable's name, a place in planaria.toml, an address.
        models: known names; all of them if it is a local server, else those of the tiers.
        default: whether it answers when no model is named.
        problem: why it cannot be used, with the mend; empty if it can.
        enabled: False if somebody switched it off.
    """

    name: str
    kind: str
    where: str
    base_url: str
    models: tuple[str, ...]
    local: bool
    default: bool
    problem: str = ""
    enabled: bool = True


class Models:
    """The providers of a node.

    Attributes:
        catalogue: what there is; what the router chooses from.
        preferences: what holds for all requests.
        sources: what it was made of; `changed` makes another of others.
    """

    def __init__(
        self, sources: Sources, before: Mapping[str, tuple[Declared, Provider]] | None = None
    ) -> None:
        self.sources = sources
        declared = {each.provider.name: each for each in declare(sources, load_known())}
        settings = sources.settings
        self.catalogue = Catalogue(
            tuple(each.provider for each in declared.values()),
            settings.default,
            settings.fallback,
            load_known(),
            unkeyed(sources, declared),
        )
        self.preferences = Preferences(settings.local_first)
        self._keys = {name: each.key_source or "" for name, each in declared.items() if each.key}
        self._made: dict[str, tuple[Declared, Provider]] = {}
        for name, each in declared.items():
            if each.provider.problem:
                continue
            known = None if before is None else before.get(name)
            # One that is asked in the same way keeps its connections, whatever else is said of it.
            kept = known is not None and _how(known[0]) == _how(each)
            made = known[1] if known is not None and kept else _make(each, name in sources.allow_http)
            self._made[name] = each, made

    @classmethod
    def discover(
        cls,
        settings: ModelSettings,
        environ: Mapping[str, str],
        local: Iterable[LocalServer] = (),
        allow_http: Iterable[str] = (),
    ) -> Models:
        """Everything there is without the garden's database, and without asking the network.

        Args:
            environ: where keys are looked up.
            local: what `probe` found.
            allow_http: providers of planaria.toml that may be reached by plain http on a public network.
        """
        return cls(Sources(settings, environ, tuple(local), allow_http=frozenset(allow_http)))

    def changed(
        self,
        local: tuple[LocalServer, ...] | None = None,
        stored: Mapping[str, ProviderSettings] | None = None,
        keys: Mapping[str, GivenKey] | None = None,
    ) -> Models:
        """The same with other local servers, words of the database, or keys. Providers that are as before are kept."""
        return Models(self.sources.but(local, stored, keys), self._made)

    def with_local(self, local: Iterable[LocalServer]) -> Models:
        """The same with these local servers instead of those known before."""
        return self.changed(local=tuple(local))

    def provider(self, name: str) -> Provider:
        """The provider of this name, to be asked.

        Raises:
            AuthenticationFailed, ModelNotFound: there is none, or it cannot be used; says why.
        """
        entry = self.catalogue.provider(name)
        if entry is None:
            raise ModelNotFound(unknown(name, self.catalogue))
        if not entry.enabled:
            raise ModelNotFound(f"{name} is switched off: `planaria provider enable {name}`")
        if entry.problem:
            kind = AuthenticationFailed if " key " in entry.problem else ModelNotFound
            raise kind(f"{name} cannot be used: {entry.problem}")
        return self._made[name][1]

    def key_source(self, name: str) -> str:
        """Where a provider's key is from: a variable, the garden's database; empty if it has none."""
        return self._keys.get(name, "")

    def address_of(self, name: str) -> str:
        """Where a provider is asked, also one that is known and has no key yet; empty if there is none."""
        if (entry := self.catalogue.provider(name)) is not None:
            return entry.base_url
        return BY_NAME[name].base_url if name in BY_NAME else ""

    def resolve(self, ref: str | None = None) -> Choice:
        """What a word in a record means.

        Args:
            ref: `provider/model`, a provider, a model, a tier (`local`, `light`, `medium`, `heavy`), or None for the
                default. Where there is no provider at all, tiers and None mean the offline model, and say so.
        Raises:
            ModelNotFound: no such model; names the nearest there are.
            AuthenticationFailed: its provider has no key; names the variable.
        """
        if not ref:
            return self._default(None)
        if ref in TIERS:
            return self._tier(ref)
        name, slash, model = ref.partition("/")
        entry = self.catalogue.provider(name)
        if entry is not None:
            if not slash or not model:
                return self._first(entry, None)
            return self._listed(entry, ref, model)
        for place in self.catalogue.of_name(ref):
            if place.provider.usable:
                return self._choice(place)
        if slash and (variables := self.catalogue.unkeyed.get(name)) is not None:
            raise AuthenticationFailed(f"no key for {name}: set {variables}{self._instead()}")
        raise ModelNotFound(unknown(ref, self.catalogue))

    def describe(self) -> list[ProviderView]:
        """All providers, in order of preference, those that cannot be used included."""
        default = self._default_name()
        return [
            ProviderView(
                entry.name,
                entry.dialect,
                entry.where,
                entry.base_url,
                tuple(model.id for model in entry.models),
                entry.local,
                entry.name == default,
                entry.problem,
                entry.enabled,
            )
            for entry in self.catalogue.providers
        ]

    def cost_micro(self, provider: str, model: str, usage: Usage) -> int | None:
        """What a call cost in micro-USD: as the provider says, else by the prices; 0 on one's own machine.

        Returns:
            None if nobody says and the price is not known.
        """
        if usage.told_micro_usd is not None:
            return usage.told_micro_usd
        place = self.catalogue.find(f"{provider}/{model}")
        if place is None or place.model.prices is None:
            return None
        return cost_of(
            place.model.prices,
            usage.input_tokens,
            usage.output_tokens,
            usage.cached_tokens,
            usage.cache_write_tokens,
        )

    def close(self, but: Models | None = None) -> None:
        """Close kept connections, save those of providers that `but` has too. The models can still be used."""
        kept = set() if but is None else {id(provider) for _, provider in but._made.values()}
        for _, provider in self._made.values():
            if (
                isinstance(provider, Anthropic | OpenAICompatible | BridgeProvider)
                and id(provider) not in kept
            ):
                provider.close()

    # --- inside -----------------------------------------------------------------------------

    def _default_name(self) -> str:
        if default := self.catalogue.default:
            name = default.partition("/")[0]
            if self.catalogue.provider(name) is not None:
                return name
        # One that names no model can only be asked by a full name.
        return next((entry.name for entry in self.catalogue.usable() if entry.models), OFFLINE)

    def _default(self, tier: str | None) -> Choice:
        default = self.catalogue.default
        if default and tier is None:
            return self._tier(default) if default in TIERS else self.resolve(default)
        entry = self.catalogue.provider(self._default_name())
        assert entry is not None  # offline is always there
        return self._first(entry, tier)

    def _tier(self, tier: str) -> Choice:
        if tier != "local":
            return self._default(tier)
        usable = self.catalogue.usable()
        own = [place for place in self.catalogue.of_tier("local") if place.provider in usable]
        if own:
            return self._choice(own[0])
        # A request for a local model must not leave the machine because none is running.
        raise ModelNotFound("no local model: start Ollama or LM Studio, or set base_url in planaria.toml")

    def _first(self, entry: CatalogueProvider, tier: str | None) -> Choice:
        models = entry.serving(tier or "medium") or entry.models
        if not models:
            provider = self.provider(entry.name)  # says first what else is wrong with it
            name = provider.name
            raise ModelNotFound(f"{name} needs a model's name: write {name}/MODEL, or list it under models")
        return self._choice(Place(entry, models[0]))

    def _listed(self, entry: CatalogueProvider, ref: str, model: str) -> Choice:
        place = self.catalogue.find(ref)
        if place is not None:
            return self._choice(place)
        self.provider(entry.name)
        names = tuple(known.id for known in entry.models)
        raise ModelNotFound(missing_model(entry.name, model, names, entry.local))

    def _choice(self, place: Place) -> Choice:
        return Choice(self.provider(place.provider.name), place.model.id, place.provider.name == OFFLINE)

    def _instead(self) -> str:
        return f"; there is {', '.join(entry.name for entry in self.catalogue.usable())}"


def _how(declared: Declared) -> tuple[object, ...]:
    """What decides how a provider is asked."""
    entry = declared.provider
    names = tuple(model.id for model in entry.models)
    return (
        entry.dialect,
        entry.base_url,
        declared.key,
        declared.key_source,
        declared.quirks,
        names,
        entry.free,
    )


def _make(declared: Declared, allow_http: bool) -> Provider:
    """What asks it."""
    entry = declared.provider
    names = tuple(model.id for model in entry.models)
    key, variable = declared.key, declared.key_source
    match entry.dialect:
        case "rules":
            return OfflineProvider()
        case bridged if bridged.startswith(KIND):
            return BridgeProvider(entry.name, bridged.removeprefix(KIND), key, entry.base_url, names)
        case "anthropic":
            return Anthropic(
                entry.name, entry.base_url, key, variable, names, entry.free, allow_http=allow_http
            )
        case _:
            return OpenAICompatible(
                *(entry.name, entry.base_url, key, variable, names, entry.free),
                allow_http=allow_http,
                quirks=declared.quirks,
            )
