"""Which model answers: a pure function from a wish, the catalogue and the state of things to ordered candidates.

No model is asked and nothing is remembered: equal arguments give equal answers. In this order counts: what was wished
before what stands in for it, what the caller prefers, the provider of the configured default, the higher priority,
one's own machine before others (where `local_first`), the lower cost, the catalogue's order.
A wish that names a provider or a model is met by that one alone, unless `[models.fallback]` says what stands in for it.
A tier is met by its own models alone, likewise; where none of them can ever be asked, by models of which nobody says
what tier they are. No wish means the default; of a session that is `local_only`, whose default is elsewhere, any local
model.
Does badly: costs are estimated from tokens that are estimated themselves, and a model without a known price counts as
dearer than all whose price is known.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from planaria.membrane.errors import AuthenticationFailed, ModelNotFound, ProviderError, RateLimited
from planaria.membrane.models.catalogue import (
    DEFAULT,
    OFFLINE,
    TIERS,
    Ability,
    Catalogue,
    CatalogueProvider,
    Place,
    ProviderLimits,
)

EMBEDS: frozenset[Ability] = frozenset({"embeddings"})
RULES = "the built-in rules are no language model"
type Rank = tuple[int, bool, int, int, bool, bool, int, int]

ASSUMED_OUTPUT = 1000
"""Tokens an answer is taken to have, for its cost alone, where nobody said how long it may be."""


class Request(msgspec.Struct, frozen=True):
    """What is wanted.

    Args:
        wanted: `provider/model`, a provider, a model, a tier, or None for the default.
        needs: what the model must be able to do.
        input_tokens: of the whole prompt, estimated.
        max_output_tokens: of the answer; None if nobody said.
        local_only: nothing may leave this machine and the private network.
        exclude: refs (or providers) not to be taken.
        prefer: refs (or providers) to be taken before others, the first first.
    """

    wanted: str | None = None
    needs: frozenset[Ability] = frozenset()
    input_tokens: int = 0
    max_output_tokens: int | None = None
    local_only: bool = False
    exclude: frozenset[str] = frozenset()
    prefer: tuple[str, ...] = ()


class ProviderUsage(msgspec.Struct, frozen=True):
    """How much a provider is used now; what nobody counted is 0.

    Args:
        in_flight, queued: calls under way and waiting.
        requests_day, tokens_day, micro_usd_day: today.
        resting: why it is left alone for a while (`it asked us to wait 20 s`); empty if it is not.
    """

    in_flight: int = 0
    queued: int = 0
    requests_day: int = 0
    tokens_day: int = 0
    micro_usd_day: int = 0
    resting: str = ""


class Preferences(msgspec.Struct, frozen=True):
    """What holds for all requests. `local_first`: among equals, one's own machine before others."""

    local_first: bool = True


class Candidate(msgspec.Struct, frozen=True):
    """A model that may be asked, and why it stands where it does.

    Args:
        cost_estimate_micro: of the whole call in micro-USD; None if the price is unknown.
        instead_of: the wish it stands in for; empty if it is what was wished.
        queues: the provider has no room now, so the call would wait.
    """

    provider: str
    model: str
    why: str
    cost_estimate_micro: int | None = None
    local: bool = False
    instead_of: str = ""
    queues: bool = False

    @property
    def ref(self) -> str:
        """As people write it: `provider/model`."""
        return f"{self.provider}/{self.model}"


class LeftOut(msgspec.Struct, frozen=True):
    """A model that may not be asked, and why.

    Args:
        passing: it may be otherwise soon.
        asked: the wish meant it, too.
        cost_estimate_micro: of one that is `passing`, as a candidate's.
    """

    provider: str
    model: str
    why: str
    passing: bool = False
    asked: bool = True
    cost_estimate_micro: int | None = None

    @property
    def ref(self) -> str:
        """As people write it: `provider/model`."""
        return f"{self.provider}/{self.model}"


class Route(msgspec.Struct, frozen=True):
    """The answer.

    Args:
        candidates: in the order in which they are to be asked.
        left_out: those the wish meant and that may not be asked; with `explain` every other model too.
        problem: why there is no candidate, with the mend; empty if there is one.
    """

    candidates: tuple[Candidate, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    problem: str = ""

    @property
    def later(self) -> tuple[Candidate, ...]:
        """Those that are left out for a while only, as the candidates they will be."""
        return tuple(
            Candidate(each.provider, each.model, each.why, each.cost_estimate_micro)
            for each in self.left_out
            if each.passing and each.asked
        )

    def refusal(self) -> ProviderError:
        """The error to raise where there is no candidate; `retry` says whether there may be one soon."""
        asked = [each for each in self.left_out if each.asked]
        if any(each.passing for each in asked):
            return RateLimited(self.problem)
        no_key = all(" key " in each.why for each in asked) and " key " in self.problem
        return AuthenticationFailed(self.problem) if no_key else ModelNotFound(self.problem)


class _Entry:
    """A model in its stage, with what is the same for every request.

    Attributes:
        why: words for people, so far.
        head: what it is sorted by before its cost.
        breakers: whose it takes.
    """

    __slots__ = ("breakers", "head", "place", "why")

    def __init__(self, place: Place, why: str, head: tuple[bool, int, int, bool]) -> None:
        self.place = place
        self.why = why
        self.head = head
        self.breakers = (f"provider:{place.provider.name}", f"provider:{place.ref}")


class _Stage(msgspec.Struct, frozen=True):
    """The models one wish means. `exact`: they were named, else they are a tier's.

    `vague`: nobody says what tier they are, so they count only where the stage before came to nothing for good.
    """

    wish: str
    places: Sequence[Place]
    instead_of: str = ""
    exact: bool = False
    vague: bool = False
    entries: tuple[_Entry, ...] = ()


def route(
    request: Request,
    catalogue: Catalogue,
    usage: Mapping[str, ProviderUsage] = {},
    breakers: Mapping[str, str] = {},
    preferences: Preferences = Preferences(),  # noqa: B008 - frozen
    explain: bool = False,
) -> Route:
    """Decide which models may be asked, in which order. Pure: it asks nobody.

    Args:
        usage: by provider.
        breakers: states by name (`provider:openai`, `provider:openai/gpt-x`); what is not there is closed.
        explain: also say of every model that was not meant that it was not; costs time that grows with the catalogue.
    """
    key = (request.wanted, request.local_only, preferences.local_first)
    stages, problem = catalogue.remember(key, lambda: _prepared(request, catalogue, preferences))
    candidates: list[Candidate] = []
    left_out: list[LeftOut] = []
    seen: set[str] = set()
    met = False
    for stage in stages:
        if stage.vague and met:
            continue
        met = False
        found: list[tuple[Rank, Candidate]] = []
        for entry in stage.entries:
            place = entry.place
            if place.ref in seen:
                continue
            seen.add(place.ref)
            reason, passing = _against(entry, request, stage, usage, breakers, catalogue.only_rules)
            if reason:
                cost = _cost(place, request) if passing else None
                left_out.append(LeftOut(place.provider.name, place.model.id, reason, passing, True, cost))
                met = met or passing
            else:
                found.append(_ranked(entry, stage, request, usage, breakers, len(found)))
        if len(found) > 1:
            found.sort(key=_rank_of)
        candidates += [candidate for _, candidate in found]
        met = met or bool(found)
    if not candidates and not problem:
        problem = _nothing(request, catalogue, left_out)
    if explain:
        left_out += _not_meant(catalogue, seen, request)
    return Route(tuple(candidates), tuple(left_out), problem if not candidates else "")


# --- what a wish means -----------------------------------------------------------------------------------------------


def _prepared(
    request: Request, catalogue: Catalogue, preferences: Preferences
) -> tuple[tuple[_Stage, ...], str]:
    """The stages with what holds of their models for every such request."""
    stages, problem = _stages(request, catalogue, catalogue.only_rules)
    made = [
        msgspec.structs.replace(
            stage, entries=tuple(_entry(place, stage, catalogue, preferences) for place in stage.places)
        )
        for stage in stages
    ]
    return tuple(made), problem


def _entry(place: Place, stage: _Stage, catalogue: Catalogue, preferences: Preferences) -> _Entry:
    provider, model = place.provider, place.model
    # The provider of the default is the one its owner chose; others are asked after it.
    chosen = not stage.exact and bool(catalogue.default) and _named(catalogue.default, provider)
    said = [f"instead of {stage.instead_of}: {stage.wish}"] if stage.instead_of else []
    if stage.wish == DEFAULT:
        said.append("the default" if stage.exact else "of the default's tier")
    elif stage.exact:
        said.append("asked for by name")
    else:
        said.append(f"{stage.wish}, its tier is not known" if stage.vague else stage.wish)
    if chosen:
        said.append("of the default's provider")
    if provider.priority or model.priority:
        said.append(f"priority {provider.priority}" + (f".{model.priority}" if model.priority else ""))
    if place.local:
        said.append("stays here")
    away = preferences.local_first and not place.local
    return _Entry(place, ", ".join(said), (not chosen, -provider.priority, -model.priority, away))


def _stages(request: Request, catalogue: Catalogue, only_rules: bool) -> tuple[list[_Stage], str]:
    """The models meant, those that stand in for them after them; and what is wrong with the wish."""
    wish = request.wanted or DEFAULT
    stages, problem = _meaning(wish, catalogue, only_rules)
    further = catalogue.fallback.get(wish, ())
    if not further and stages and not request.wanted and catalogue.default:
        further = catalogue.fallback.get(catalogue.default, ())
    if request.local_only and not request.wanted:
        further = (*further, "local")
    for other in further:
        more, trouble = _meaning(other, catalogue, only_rules)
        stages += [msgspec.structs.replace(stage, instead_of=wish) for stage in more]
        problem = "" if more else problem or trouble
    return stages, problem


def _meaning(wish: str, catalogue: Catalogue, only_rules: bool) -> tuple[list[_Stage], str]:
    if wish == DEFAULT:
        return _default(catalogue, only_rules)
    if wish in TIERS:
        if only_rules:
            rules = catalogue.usable()[0]
            return [_Stage(wish, [Place(rules, model) for model in rules.models])], ""
        return _tier(wish, catalogue), ""
    if (provider := catalogue.provider(wish)) is not None:
        places, problem = _first_of(provider)
        return [_Stage(wish, places, exact=True)], problem
    if (place := catalogue.find(wish)) is not None:
        return [_Stage(wish, [place], exact=True)], ""
    if places := catalogue.of_name(wish):
        return [_Stage(wish, places, exact=True)], ""
    if variables := catalogue.unkeyed.get(wish.partition("/")[0]):
        return [], f"no key for {wish.partition('/')[0]}: set {variables}{_instead(catalogue)}"
    return [], unknown(wish, catalogue)


def _tier(tier: str, catalogue: Catalogue) -> list[_Stage]:
    own = _Stage(tier, catalogue.of_tier(tier))
    return [own] if tier == "local" else [own, _Stage(tier, catalogue.untiered(), vague=True)]


def _default(catalogue: Catalogue, only_rules: bool) -> tuple[list[_Stage], str]:
    """What no wish means: what the settings name, else the first provider that can be used, and its like after it."""
    if catalogue.default:
        stages, problem = _meaning(catalogue.default, catalogue, only_rules)
        return [msgspec.structs.replace(stage, wish=DEFAULT) for stage in stages], problem
    for provider in catalogue.usable():
        places, _ = _first_of(provider)
        if places:
            first = _Stage(DEFAULT, places, exact=True)
            if only_rules:
                return [first], ""
            like = [msgspec.structs.replace(stage, wish=DEFAULT) for stage in _tier("medium", catalogue)]
            return [first, *like], ""
    return [], "no provider names a model: write provider/MODEL as the default in planaria.toml"


def _first_of(provider: CatalogueProvider) -> tuple[Sequence[Place], str]:
    """What a provider's bare name means: its medium model, else the one it lists first."""
    models = provider.serving("medium") or provider.models
    if not models and not provider.problem:
        name = provider.name
        return (), f"{name} needs a model's name: write {name}/MODEL, or list it under models"
    if not models:
        return (), f"{provider.name} cannot be used: {provider.problem}"
    return [Place(provider, models[0])], ""


# --- whether a model may be asked ------------------------------------------------------------------------------------


def _against(
    entry: _Entry,
    request: Request,
    stage: _Stage,
    usage: Mapping[str, ProviderUsage],
    breakers: Mapping[str, str],
    only_rules: bool,
) -> tuple[str, bool]:
    """The first reason against a model, and whether it will pass; empty if there is none."""
    place = entry.place
    provider, model = place.provider, place.model
    if not provider.enabled:
        return f"{provider.name} is switched off", False
    if provider.problem:
        return provider.problem, False
    if provider.name == OFFLINE and not only_rules and not stage.exact:
        return RULES, False
    if request.exclude and (place.ref in request.exclude or provider.name in request.exclude):
        return "it was ruled out by whoever asks", False
    if request.local_only and not place.local:
        return "local only: what it is told would leave this machine", False
    if model.abilities == EMBEDS and not request.needs:
        return "it makes embeddings only", False
    if model.abilities is not None and not request.needs <= model.abilities:
        lacking = ", ".join(sorted(request.needs - model.abilities))
        return f"it cannot do {lacking}", False
    wanted = request.input_tokens + (request.max_output_tokens or 0)
    if model.context_tokens is not None and wanted > model.context_tokens:
        return f"{wanted} tokens do not fit its {model.context_tokens}", False
    most = model.max_output_tokens
    if most is not None and request.max_output_tokens is not None and request.max_output_tokens > most:
        return f"it writes at most {most} tokens", False
    if usage and (used := usage.get(provider.name)) is not None:
        if full := _full(provider.limits, used, wanted):
            return full, True
    if breakers:
        for name in entry.breakers:
            if breakers.get(name) == "open":
                return f"the breaker {name} is open", True
    return "", False


def _full(limits: ProviderLimits, used: ProviderUsage, tokens: int) -> str:
    """Which limit a provider has reached; empty if it has room, or a place in its queue."""
    if used.resting:
        return used.resting
    if limits.requests_per_day is not None and used.requests_day >= limits.requests_per_day:
        return f"its {limits.requests_per_day} requests of today are used up"
    if limits.tokens_per_day is not None and used.tokens_day + tokens > limits.tokens_per_day:
        return f"its {limits.tokens_per_day} tokens of today are used up"
    if limits.micro_usd_per_day is not None and used.micro_usd_day >= limits.micro_usd_per_day:
        return f"its {limits.micro_usd_per_day / 1_000_000:g} USD of today are used up"
    if limits.queue is not None and _busy(limits, used) and used.queued >= limits.queue:
        return f"{used.in_flight} calls are under way and {used.queued} wait"
    return ""


def _busy(limits: ProviderLimits, used: ProviderUsage) -> bool:
    return used.queued > 0 or (limits.concurrency is not None and used.in_flight >= limits.concurrency)


# --- their order -----------------------------------------------------------------------------------------------------


def _ranked(
    entry: _Entry,
    stage: _Stage,
    request: Request,
    usage: Mapping[str, ProviderUsage],
    breakers: Mapping[str, str],
    position: int,
) -> tuple[Rank, Candidate]:
    """A candidate behind what it is sorted by."""
    place, why = entry.place, entry.why
    provider, model = place.provider, place.model
    cost = _cost(place, request)
    preferred = 0
    if request.prefer:
        preferred = _place_in(request.prefer, place)
        if preferred < len(request.prefer):
            why += ", preferred"
    if request.needs and model.abilities is None:
        why += ", abilities unknown"
    if breakers and breakers.get(entry.breakers[0]) == "half_open":
        why += ", on probation"
    queues = False
    if usage and (used := usage.get(provider.name)) is not None and _busy(provider.limits, used):
        queues = True
        why += ", must wait for its turn"
    rank = (preferred, *entry.head, cost is None, cost or 0, position)
    return rank, Candidate(provider.name, model.id, why, cost, place.local, stage.instead_of, queues)


def _cost(place: Place, request: Request) -> int | None:
    """What the whole call may cost, in micro-USD; None if the price is unknown."""
    output = ASSUMED_OUTPUT if request.max_output_tokens is None else request.max_output_tokens
    return place.model.cost_micro(request.input_tokens, output)


def _rank_of(each: tuple[Rank, Candidate]) -> Rank:
    return each[0]


def _place_in(refs: tuple[str, ...], place: Place) -> int:
    """Where a list names a model or its provider first; its length if it does not."""
    if not refs:
        return 0
    return next((n for n, ref in enumerate(refs) if ref in (place.ref, place.provider.name)), len(refs))


def _named(default: str | None, provider: CatalogueProvider) -> bool:
    return default is not None and default.partition("/")[0] == provider.name


# --- words -----------------------------------------------------------------------------------------------------------


def _not_meant(catalogue: Catalogue, seen: set[str], request: Request) -> Iterable[LeftOut]:
    """Every model the wish did not mean."""
    wish = request.wanted or catalogue.default or "the default"
    for place in catalogue:
        if place.provider.name == OFFLINE and place.ref not in seen:
            yield LeftOut(place.provider.name, place.model.id, RULES, asked=False)
        elif not place.provider.usable and place.ref not in seen:
            why = (
                place.provider.problem if place.provider.enabled else f"{place.provider.name} is switched off"
            )
            yield LeftOut(place.provider.name, place.model.id, why, asked=False)
        elif place.ref not in seen:
            tiers = (
                f"it is {' and '.join(place.model.tiers)}" if place.model.tiers else "its tier is not known"
            )
            why = f"not asked for: {tiers}" if wish in TIERS else f"not asked for: {wish} is another model"
            yield LeftOut(place.provider.name, place.model.id, why, asked=False)


def _nothing(request: Request, catalogue: Catalogue, left_out: Sequence[LeftOut]) -> str:
    """Why there is no candidate at all."""
    wish = f"{request.wanted!r}" if request.wanted else "the default"
    if not left_out:
        if request.wanted == "local" or request.local_only:
            return "no local model: start Ollama or LM Studio, or set base_url in planaria.toml"
        return f"no model for {wish}{_instead(catalogue)}"
    reasons = "; ".join(f"{each.ref}: {each.why}" for each in left_out[:4])
    more = f"; and {len(left_out) - 4} more" if len(left_out) > 4 else ""
    mend = "see `planaria route --explain`"
    if request.local_only and all("local only" in each.why for each in left_out):
        mend = "start Ollama or LM Studio, or name a model on this machine"
    return f"no model for {wish}: {reasons}{more}; {mend}"


def unknown(wish: str, catalogue: Catalogue) -> str:
    """What is wrong with a word that means no model; names the nearest there are."""
    usable = [*catalogue.usable()]
    if (rules := catalogue.provider(OFFLINE)) is not None and rules not in usable:
        usable.append(rules)
    known = [f"{provider.name}/{model.id}" for provider in usable for model in provider.models]
    short = {full.partition("/")[2]: full for full in known}
    near = difflib.get_close_matches(wish, known, n=3, cutoff=0.5)
    near += [
        short[m] for m in difflib.get_close_matches(wish, short, n=3, cutoff=0.5) if short[m] not in near
    ]
    if near:
        return f"no model {wish!r}; nearest: {', '.join(near[:3])}"
    return f"no model {wish!r}{_instead(catalogue)}"


def _instead(catalogue: Catalogue) -> str:
    names = [provider.name for provider in catalogue.usable()] or [OFFLINE]
    return f"; there is {', '.join(names)}"
