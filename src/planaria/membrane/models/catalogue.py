"""Which models there are, as data: providers, and their models with sizes, prices, abilities, tiers and limits.

A value: it asks nobody and holds no key. `directory.py` keeps the newest one and makes another when something changes;
`router.py` chooses from it. What nobody told us is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import msgspec

from planaria.membrane.models.prices import ModelPrice, cost_of

type Ability = Literal["tools", "vision", "thinking", "json", "embeddings"]
type Tier = Literal["local", "light", "medium", "heavy"]
type Source = Literal["built-in", "environment", "planaria.toml", "database", "found"]

ABILITIES: tuple[Ability, ...] = get_args(Ability.__value__)
TIERS: tuple[Tier, ...] = get_args(Tier.__value__)
DEFAULT = "default"
"""Stands for no wish at all, where a wish is a key: `[models.fallback]`."""
OFFLINE = "offline"
"""The provider that comes with us. It is no language model, and answers only where there is nothing else."""
MOST_REMEMBERED = 512
"""Answers a catalogue keeps at hand; beyond, all are let go."""
FREE = ModelPrice(0, 0)
"""What a model on one's own machine costs."""


class ProviderLimits(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much one provider is asked. None is no limit; a day is a day of the garden's zone.

    Args:
        concurrency: calls under way at once.
        queue: calls that may wait for their turn; one more is not taken.
        requests_per_minute, tokens_per_minute: tokens of prompt and answer together.
        requests_per_day, tokens_per_day, micro_usd_per_day: once reached, the provider is left out until tomorrow.
        first_byte_s: seconds until the answer begins; idle_s: seconds between two pieces; wordless_s: seconds of signs
            of life without a word. None: the wire's own.
    """

    concurrency: int | None = 8
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    requests_per_day: int | None = None
    tokens_per_day: int | None = None
    micro_usd_per_day: int | None = None
    queue: int | None = 100
    first_byte_s: float | None = None
    idle_s: float | None = None
    wordless_s: float | None = None


class CatalogueModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model of a provider.

    Args:
        id: the provider's own name for it.
        context_tokens: prompt and answer together; None if unknown, as with the next three.
        prices: micro-USD for a million tokens.
        abilities: all it can do; None if nobody said, and then it is tried.
        tiers: the sizes it serves as; none if nobody said.
        priority: the higher, the earlier; compared after the provider's.
        elsewhere: its server is near, it is not: Ollama's cloud models.
    """

    id: str
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    prices: ModelPrice | None = None
    abilities: frozenset[Ability] | None = None
    tiers: tuple[Tier, ...] = ()
    priority: int = 0
    elsewhere: bool = False

    @property
    def tier(self) -> Tier | None:
        """The first of its tiers."""
        return self.tiers[0] if self.tiers else None

    def cost_micro(self, input_tokens: int, output_tokens: int) -> int | None:
        """What a call would cost in micro-USD, rounded up; None if the price is unknown."""
        return None if self.prices is None else cost_of(self.prices, input_tokens, output_tokens)


class CatalogueProvider(msgspec.Struct, frozen=True, omit_defaults=True):
    """One LLM service.

    Args:
        name: what people write before the slash.
        dialect: how it is spoken to: `openai`, `anthropic`, `rules`, or one of the bridge's.
        models: those known by name, in order of preference.
        local: it runs on this machine or on a private network, and answers itself.
        priority: the higher, the earlier; 0 where nobody said.
        source: who declared it, the last to have a word: `database` stands over the others.
        where: the same in detail for people: a variable's name, a place in planaria.toml, an address.
        complete: it has no models but those listed.
        free: what it answers costs nothing.
        known_as: the vendor under whose name facts about its models are looked up; "" for none.
        problem: why it cannot be used, with the mend; empty if it can.
    """

    name: str
    dialect: str
    base_url: str = ""
    models: tuple[CatalogueModel, ...] = ()
    local: bool = False
    priority: int = 0
    limits: ProviderLimits = ProviderLimits()
    enabled: bool = True
    source: Source = "built-in"
    where: str = ""
    complete: bool = False
    free: bool = False
    known_as: str = ""
    problem: str = ""

    @property
    def usable(self) -> bool:
        """Whether it can be asked at all."""
        return self.enabled and not self.problem

    @property
    def tiered(self) -> bool:
        """Whether it says of any of its models what tier it is."""
        return any(model.tiers for model in self.models)

    def listed(self, id: str) -> CatalogueModel | None:
        """The model of this name; `name` also finds `name:latest`."""
        latest = None
        for model in self.models:
            if model.id == id:
                return model
            if model.id == f"{id}:latest":
                latest = model
        return latest

    def serving(self, tier: str) -> tuple[CatalogueModel, ...]:
        """Its models for `light`, `medium` or `heavy`; all of them where it does not part them into tiers."""
        if not self.tiered:
            return self.models
        return self.of_tier(tier)

    def of_tier(self, tier: str) -> tuple[CatalogueModel, ...]:
        """Its models that are said to be of this tier."""
        return tuple(model for model in self.models if tier in model.tiers)


class Facts(Protocol):
    """Sizes, prices and abilities of the models of known vendors."""

    def about(self, vendor: str, model: str) -> CatalogueModel:
        """What is known of a model; its id alone if nothing is."""
        ...


class Place:
    """One model with its provider.

    Attributes:
        ref: as people write it: `provider/model`.
        local: whether what it is told stays on this machine or on the private network.
    """

    __slots__ = ("local", "model", "provider", "ref")

    def __init__(self, provider: CatalogueProvider, model: CatalogueModel) -> None:
        self.provider = provider
        self.model = model
        self.ref = f"{provider.name}/{model.id}"
        self.local = provider.local and not model.elsewhere

    def __repr__(self) -> str:
        return f"<Place {self.ref}>"


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All providers, in order of preference.

    Args:
        default: what is meant by no wish: a ref, a provider or a tier; None takes the first provider that can be used.
        fallback: for a wish (`default`, a tier, a ref), the wishes that are tried when nothing of it is to be had.
        facts: about models that are asked for by name and listed by nobody.
        unkeyed: vendors that could be used if there were a key, with the variables it is looked up in.
    """

    providers: tuple[CatalogueProvider, ...] = ()
    default: str | None = None
    fallback: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    facts: Facts | None = field(default=None, compare=False, repr=False)
    unkeyed: Mapping[str, str] = field(default_factory=dict[str, str])
    _names: Mapping[str, CatalogueProvider] = field(init=False, compare=False, repr=False)
    _tiers: Mapping[str, tuple[Place, ...]] = field(init=False, compare=False, repr=False)
    _refs: Mapping[str, Place] = field(init=False, compare=False, repr=False)
    _untiered: tuple[Place, ...] = field(init=False, compare=False, repr=False)
    _usable: tuple[CatalogueProvider, ...] = field(init=False, compare=False, repr=False)
    _memory: dict[Hashable, Any] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_names", {provider.name: provider for provider in self.providers})
        object.__setattr__(self, "_refs", {place.ref: place for place in self})
        tiers: dict[str, tuple[Place, ...]] = {}
        for tier in TIERS:
            if tier == "local":
                tiers[tier] = tuple(place for place in self if place.local)
            else:
                tiers[tier] = tuple(Place(p, model) for p in self.providers for model in p.of_tier(tier))
        object.__setattr__(self, "_tiers", tiers)
        untiered = tuple(
            place for place in self if not place.provider.tiered and place.provider.name != OFFLINE
        )
        object.__setattr__(self, "_untiered", untiered)
        usable = tuple(each for each in self.providers if each.usable and each.name != OFFLINE)
        rules = self._names.get(OFFLINE)
        object.__setattr__(self, "_usable", usable or ((rules,) if rules is not None else ()))
        object.__setattr__(self, "_memory", {})

    def __iter__(self) -> Iterator[Place]:
        """Every model that is listed."""
        return (Place(provider, model) for provider in self.providers for model in provider.models)

    def provider(self, name: str) -> CatalogueProvider | None:
        """The provider of this name."""
        return self._names.get(name)

    def usable(self) -> tuple[CatalogueProvider, ...]:
        """The providers that can be asked; `offline` only if it is the only one."""
        return self._usable

    @property
    def only_rules(self) -> bool:
        """Whether `offline` has to answer, since there is nothing else."""
        return bool(self._usable) and self._usable[0].name == OFFLINE

    def remember[R](self, key: Hashable, make: Callable[[], R]) -> R:
        """What `make` gives, which follows from the catalogue and `key` alone; made once."""
        found = self._memory.get(key)
        if found is None:
            if len(self._memory) >= MOST_REMEMBERED:
                self._memory.clear()
            found = self._memory[key] = make()
        made: R = found
        return made

    def find(self, ref: str) -> Place | None:
        """The model of `provider/model`, also one the provider does not list but may have; None if it has not."""
        if (known := self._refs.get(ref)) is not None:
            return known
        name, _, model_id = ref.partition("/")
        provider = self._names.get(name)
        if provider is None or not model_id:
            return None
        model = provider.listed(model_id)
        if model is None:
            if provider.complete:
                return None
            model = self._unlisted(provider, model_id)
        return Place(provider, model)

    def of_tier(self, tier: str) -> tuple[Place, ...]:
        """The models that are of this tier, in the providers' order; `local`: all that stay here."""
        return self._tiers[tier]

    def untiered(self) -> tuple[Place, ...]:
        """The models of providers that say nothing of tiers, `offline` not among them."""
        return self._untiered

    def of_name(self, id: str) -> tuple[Place, ...]:
        """The models that providers list under this name."""
        return tuple(
            Place(provider, model)
            for provider in self.providers
            if (model := provider.listed(id)) is not None
        )

    def _unlisted(self, provider: CatalogueProvider, id: str) -> CatalogueModel:
        known = (
            self.facts.about(provider.known_as, id)
            if self.facts is not None and provider.known_as
            else CatalogueModel(id)
        )
        return msgspec.structs.replace(known, prices=FREE) if provider.free else known


def ordered(providers: Sequence[CatalogueProvider]) -> tuple[CatalogueProvider, ...]:
    """Providers by priority, else as given; `offline` last."""
    return tuple(sorted(providers, key=lambda each: (each.name == OFFLINE, -each.priority)))
