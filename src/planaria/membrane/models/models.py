"""Which models there are, and which one a word means.

Found in this order: `planaria.toml`, keys in the environment, servers on this machine, and always `offline`, the
rule-based model that comes with us. A value built once at the start of a node; `resolve` asks no network.
Does badly: a model loaded into a local server after the start is known only after `with_local(await probe(...))`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from planaria.config.providers import ProviderSettings
from planaria.config.secret import Secret
from planaria.config.settings import ModelSettings
from planaria.membrane.errors import AuthenticationFailed, BadAddress, ModelNotFound, ProviderError
from planaria.membrane.models.prices import PriceTable, load_prices
from planaria.membrane.provider import Provider, Usage
from planaria.membrane.providers.anthropic import Anthropic
from planaria.membrane.providers.offline import MODEL as OFFLINE_MODEL
from planaria.membrane.providers.offline import OfflineProvider
from planaria.membrane.providers.openai_compatible import NO_QUIRKS, OpenAICompatible
from planaria.membrane.providers.vendors import BY_NAME, VENDORS, VendorSpec
from planaria.membrane.wire.address import is_private
from planaria.membrane.wire.http_stream import Limits
from planaria.membrane.wire.vendor_errors import missing_model

TIERS = ("local", "light", "medium", "heavy")
OFFLINE = "offline"


class Choice(msgspec.Struct, frozen=True):
    """What a word means: a provider and its own name for the model. `offline`: it is no language model."""

    provider: Provider
    model: str
    offline: bool

    @property
    def ref(self) -> str:
        """As people write it: `provider/model`."""
        return f"{self.provider.name}/{self.model}"


class LocalServer(msgspec.Struct, frozen=True):
    """A model server on this machine (or where OLLAMA_HOST points): found, with what it has loaded, or in trouble."""

    name: str
    base_url: str
    models: tuple[str, ...] = ()
    problem: str = ""


class ProviderView(msgspec.Struct, frozen=True):
    """One provider for people. Holds no key.

    Args:
        where: how it was found: a variable's name, a place in planaria.toml, an address.
        models: known names; all of them if it is a local server, else those of the tiers.
        default: whether it answers when no model is named.
        problem: why it cannot be used, with the mend; empty if it can.
    """

    name: str
    kind: str
    where: str
    base_url: str
    models: tuple[str, ...]
    local: bool
    default: bool
    problem: str = ""


class _Entry(msgspec.Struct, frozen=True):
    """One provider, usable or not."""

    name: str
    kind: str
    where: str
    base_url: str = ""
    provider: Provider | None = None
    models: tuple[str, ...] = ()
    spec: VendorSpec | None = None
    local: bool = False
    complete: bool = False  # `models` is all there is
    free: bool = False
    priced_as: str | None = None
    problem: str = ""

    def model_for(self, tier: str | None) -> str | None:
        """Its model for a tier; the one it names first where it knows no tiers."""
        if self.spec is not None and (not self.models or self.models == self.spec.models):
            return self.spec.tier(tier or "medium")
        return self.models[0] if self.models else None


class Models:
    """The providers of a node."""

    def __init__(self, entries: Sequence[_Entry], default: str | None, prices: PriceTable) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self._default = default
        self._prices = prices

    @classmethod
    def discover(
        cls,
        settings: ModelSettings,
        environ: Mapping[str, str],
        local: Iterable[LocalServer] = (),
        allow_http: Iterable[str] = (),
    ) -> Models:
        """Everything there is, without asking the network.

        Args:
            environ: where keys are looked up; only the variables' names are kept besides the keys.
            local: what `probe` found.
            allow_http: providers of planaria.toml that may be reached by plain http on a public network.
        """
        allowed = frozenset(allow_http)
        entries = [
            _configured(name, given, environ, name in allowed) for name, given in settings.providers.items()
        ]
        taken = set(settings.providers)
        entries += [
            entry for spec in VENDORS if spec.name not in taken if (entry := _from_environ(spec, environ))
        ]
        models = cls([*entries, _offline()], settings.default, load_prices())
        return models.with_local(local)

    def with_local(self, local: Iterable[LocalServer]) -> Models:
        """The same with these local servers instead of those known before."""
        kept = [entry for entry in self._entries.values() if not entry.where.startswith("found at ")]
        names = {entry.name for entry in kept}
        found = [_found(server) for server in local if server.name not in names]
        return Models([*kept[:-1], *found, kept[-1]], self._default, self._prices)

    def resolve(self, ref: str | None = None) -> Choice:
        """What a word in a record means.

        Args:
            ref: `provider/model`, a provider, a model, a tier (`local`, `light`, `medium`, `heavy`), or None for the
                default. Where there is no provider at all, tiers and None mean the offline model, and say so.
        Raises:
            ModelNotFound: no such model; names the nearest there are.
            AuthenticationFailed: its provider has no key; names the variable.
            BadAddress: its provider's base_url cannot be used.
        """
        if not ref:
            return self._default_choice(None)
        if ref in TIERS:
            return self._tier(ref)
        name, slash, model = ref.partition("/")
        entry = self._entries.get(name)
        if entry is not None:
            if not slash or not model:
                return self._first(entry, None)
            return _choose(entry, _listed(entry, model))
        for candidate in self._entries.values():
            if candidate.provider is not None and ref in candidate.models:
                return _choose(candidate, ref)
        if slash and (spec := BY_NAME.get(name)) is not None:
            variables = " or ".join(spec.key_variables)
            raise AuthenticationFailed(f"no key for {name}: set {variables}{self._instead()}")
        raise ModelNotFound(self._unknown(ref))

    def describe(self) -> list[ProviderView]:
        """All providers, in order of preference, those that cannot be used included."""
        default = self._default_name()
        return [
            ProviderView(
                entry.name,
                entry.kind,
                entry.where,
                entry.base_url,
                entry.models,
                entry.local,
                entry.name == default,
                entry.problem,
            )
            for entry in self._entries.values()
        ]

    def cost_micro(self, provider: str, model: str, usage: Usage) -> int | None:
        """What a call cost in micro-USD; 0 on one's own machine; None if the price is not known."""
        entry = self._entries.get(provider)
        if entry is None:
            return None
        if entry.free:
            # Ollama also lists models that run in its cloud.
            return None if "cloud" in model else 0
        return self._prices.cost_micro(entry.priced_as, model, usage) if entry.priced_as else None

    def close(self) -> None:
        """Close kept connections. The models can still be used."""
        for entry in self._entries.values():
            if isinstance(entry.provider, Anthropic | OpenAICompatible):
                entry.provider.close()

    # --- inside -----------------------------------------------------------------------------

    def _usable(self) -> list[_Entry]:
        """Providers that can be asked, offline not among them."""
        return [
            e
            for e in self._entries.values()
            if e.provider is not None and not e.problem and e.name != OFFLINE
        ]

    def _default_name(self) -> str:
        if self._default:
            name = self._default.partition("/")[0]
            if name in self._entries:
                return name
        # One that names no model can only be asked by a full name.
        return next((entry.name for entry in self._usable() if entry.model_for(None)), OFFLINE)

    def _default_choice(self, tier: str | None) -> Choice:
        if self._default and tier is None:
            if self._default in TIERS:
                return self._tier(self._default)
            return self.resolve(self._default)
        return self._first(self._entries[self._default_name()], tier)

    def _tier(self, tier: str) -> Choice:
        usable = self._usable()
        if tier != "local":
            return self._default_choice(tier)
        own = [entry for entry in usable if entry.local]
        if own:
            return self._first(own[0], None)
        if usable:
            # A request for a local model must not leave the machine because none is running.
            raise ModelNotFound("no local model: start Ollama or LM Studio, or set base_url in planaria.toml")
        return self._first(self._entries[OFFLINE], None)

    def _first(self, entry: _Entry, tier: str | None) -> Choice:
        model = entry.model_for(tier)
        if model is None and not entry.problem:
            raise ModelNotFound(
                f"{entry.name} needs a model's name: write {entry.name}/MODEL, or list it under models"
            )
        return _choose(entry, model or "")

    def _unknown(self, ref: str) -> str:
        known = [f"{e.name}/{model}" for e in [*self._usable(), self._entries[OFFLINE]] for model in e.models]
        short = {full.partition("/")[2]: full for full in known}
        near = difflib.get_close_matches(ref, known, n=3, cutoff=0.5)
        near += [
            short[m] for m in difflib.get_close_matches(ref, short, n=3, cutoff=0.5) if short[m] not in near
        ]
        if near:
            return f"no model {ref!r}; nearest: {', '.join(near[:3])}"
        return f"no model {ref!r}{self._instead()}"

    def _instead(self) -> str:
        names = [entry.name for entry in self._usable()] or [OFFLINE]
        return f"; there is {', '.join(names)}"


async def probe(environ: Mapping[str, str], within: float = 0.5) -> list[LocalServer]:
    """The model servers that answer on this machine: Ollama (or where OLLAMA_HOST points) and LM Studio.

    Never raises for a server that is not there; a variable that cannot be used comes back as a problem.
    Args:
        within: seconds each may take to connect, and again to answer.
    """
    found: list[LocalServer] = []
    given = environ.get("OLLAMA_HOST", "").strip()
    for name, url, wanted in (
        ("ollama", ollama_url(given), bool(given)),
        ("lmstudio", "http://127.0.0.1:1234/v1", False),
    ):
        try:
            provider = OpenAICompatible(name, url, limits=Limits(within, within, within))
        except BadAddress as error:
            found.append(LocalServer(name, url, problem=f"OLLAMA_HOST: {error}"))
            continue
        try:
            loaded = tuple(model.id for model in await provider.models())
        except ProviderError as error:
            if wanted:
                found.append(LocalServer(name, url, problem=f"OLLAMA_HOST is set, but {error}"))
            continue
        finally:
            provider.close()
        hint = "it has no model yet: run `ollama pull NAME`" if name == "ollama" else "load a model there"
        found.append(LocalServer(name, url, loaded, "" if loaded else hint))
    return found


def ollama_url(host: str) -> str:
    """The base URL for a value of OLLAMA_HOST, by Ollama's own rules; empty is this machine."""
    scheme, mark, rest = host.partition("://")
    if not mark:
        scheme, rest = "http", host
    rest = rest.rstrip("/")
    place, colon, port = rest.rpartition(":")
    if not colon or not port.isdigit() or rest.endswith("]"):
        place, port = rest, {"http": "80", "https": "443"}.get(scheme, "") if mark else "11434"
    # 0.0.0.0 is where the server listens; one connects to this machine.
    place = "127.0.0.1" if place in ("", "0.0.0.0", "[::]") else place  # noqa: S104 (nothing is bound)
    return f"{scheme}://{place}:{port}/v1"


def _choose(entry: _Entry, model: str) -> Choice:
    if entry.provider is None or entry.problem:
        kind = AuthenticationFailed if "set " in entry.problem else ModelNotFound
        raise kind(f"{entry.name} cannot be used: {entry.problem}")
    return Choice(entry.provider, model, entry.name == OFFLINE)


def _listed(entry: _Entry, model: str) -> str:
    """The model's name as the provider has it."""
    if not entry.complete or model in entry.models:
        return model
    if f"{model}:latest" in entry.models:
        return f"{model}:latest"
    if entry.problem:
        return model
    raise ModelNotFound(missing_model(entry.name, model, entry.models, entry.local))


def _offline() -> _Entry:
    provider = OfflineProvider()
    return _Entry(
        OFFLINE, "rules", "built in", "", provider, (OFFLINE_MODEL,), local=True, complete=True, free=True
    )


def _from_environ(spec: VendorSpec, environ: Mapping[str, str]) -> _Entry | None:
    variable = next((name for name in spec.key_variables if environ.get(name, "").strip()), None)
    if variable is None:
        return None
    provider = _make(
        spec.kind, spec.name, spec.base_url, Secret(environ[variable]), variable, spec.models, spec, False
    )
    return _Entry(
        spec.name, spec.kind, variable, spec.base_url, provider, spec.models, spec, priced_as=spec.name
    )


def _found(server: LocalServer) -> _Entry:
    where = f"found at {server.base_url.removesuffix('/v1')}"
    if server.problem and not server.models:
        return _Entry(server.name, "openai", where, server.base_url, local=True, problem=server.problem)
    provider = OpenAICompatible(server.name, server.base_url, known_models=server.models, local=True)
    return _Entry(
        server.name,
        "openai",
        where,
        server.base_url,
        provider,
        server.models,
        local=True,
        complete=True,
        free=True,
    )


def _configured(name: str, given: ProviderSettings, environ: Mapping[str, str], allow_http: bool) -> _Entry:
    """A provider of planaria.toml; one with a known name need not repeat what is known of it."""
    spec = BY_NAME.get(name)
    if spec is None and given.kind == "anthropic" and given.base_url is None:
        spec = BY_NAME["anthropic"]
    where = f"planaria.toml [models.providers.{name}]"
    base_url = given.base_url or (spec.base_url if spec else "")
    kind = given.kind or (spec.kind if spec and given.base_url is None else "openai")
    models = given.models or (spec.models if spec else ())
    # A known service's key goes to that service, or to an address the same person wrote with its variable.
    variables = (
        (given.api_key_env,)
        if given.api_key_env
        else spec.key_variables
        if spec and not given.base_url
        else ()
    )
    variable = next((v for v in variables if environ.get(v, "").strip()), None)

    def unusable(problem: str) -> _Entry:
        return _Entry(name, kind, where, base_url, models=models, spec=spec, problem=problem)

    if not base_url:
        return unusable("it has no address: set base_url")
    if variables and variable is None:
        return unusable(f"its key is missing: set {' or '.join(variables)}")
    key = Secret(environ[variable]) if variable else None
    try:
        provider = _make(kind, name, base_url, key, variable, models, spec, allow_http)
    except BadAddress as error:
        return unusable(str(error))
    return _Entry(
        name,
        kind,
        where,
        base_url,
        provider,
        models,
        spec,
        local=is_private(provider.client.address.host),
        priced_as=spec.name if spec and given.base_url is None else None,
        free=name in ("ollama", "lmstudio"),
    )


def _make(
    kind: str,
    name: str,
    base_url: str,
    key: Secret | None,
    variable: str | None,
    models: tuple[str, ...],
    spec: VendorSpec | None,
    allow_http: bool,
) -> Anthropic | OpenAICompatible:
    if kind == "anthropic":
        return Anthropic(name, base_url, key, variable, models, allow_http=allow_http)
    quirks = spec.quirks if spec else NO_QUIRKS
    return OpenAICompatible(name, base_url, key, variable, models, allow_http=allow_http, quirks=quirks)
