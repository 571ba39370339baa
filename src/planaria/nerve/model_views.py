"""Providers, models and routes as plain data for people: what the command prints and the dashboard shows. No keys."""

import msgspec

from planaria.membrane.models.catalogue import TIERS, CatalogueModel, CatalogueProvider, Place
from planaria.membrane.models.models import Models
from planaria.membrane.models.router import Candidate, LeftOut, Request, Route

MICRO = 1_000_000


class ModelRow(msgspec.Struct, frozen=True):
    """One model. Prices are USD for a million tokens; what nobody told us is None.

    Attributes:
        local: what it is told stays on this machine or the private network.
    """

    id: str
    tiers: tuple[str, ...]
    context_tokens: int | None
    max_output_tokens: int | None
    usd_in: float | None
    usd_out: float | None
    usd_cached: float | None
    usd_cache_write: float | None
    abilities: tuple[str, ...] | None
    priority: int
    local: bool


class ProviderRow(msgspec.Struct, frozen=True):
    """One provider.

    Attributes:
        key: where its key is from: a variable, the garden's database, or empty.
        limits: those that are set.
    """

    name: str
    dialect: str
    base_url: str
    source: str
    where: str
    local: bool
    enabled: bool
    default: bool
    priority: int
    key: str
    problem: str
    limits: dict[str, int | float]
    models: tuple[ModelRow, ...]

    @property
    def state(self) -> str:
        """In a word or two: `ready`, `off`, or that there is a problem."""
        return "off" if not self.enabled else "problem" if self.problem else "ready"


class CandidateRow(msgspec.Struct, frozen=True):
    """A model that may be asked; `usd` is the whole call's estimate."""

    ref: str
    why: str
    usd: float | None
    local: bool
    instead_of: str
    queues: bool


class LeftOutRow(msgspec.Struct, frozen=True):
    """A model that may not be asked, and why."""

    ref: str
    why: str
    passing: bool
    asked: bool


class RouteView(msgspec.Struct, frozen=True):
    """What a route would be now."""

    wanted: str
    needs: tuple[str, ...]
    input_tokens: int
    local_only: bool
    candidates: tuple[CandidateRow, ...]
    left_out: tuple[LeftOutRow, ...]
    problem: str


def provider_rows(models: Models) -> list[ProviderRow]:
    """All providers, in order of preference."""
    default = next((view.name for view in models.describe() if view.default), "")
    return [_provider(each, models, each.name == default) for each in models.catalogue.providers]


def provider_row(models: Models, name: str) -> ProviderRow | None:
    """The provider of this name."""
    return next((row for row in provider_rows(models) if row.name == name), None)


def route_view(request: Request, route: Route) -> RouteView:
    """A route in rows."""
    return RouteView(
        request.wanted or "",
        tuple(sorted(request.needs)),
        request.input_tokens,
        request.local_only,
        tuple(map(_candidate, route.candidates)),
        tuple(map(_left_out, route.left_out)),
        route.problem,
    )


def short_tokens(count: int | None) -> str:
    """`200k`, `1M`; empty if nobody knows."""
    if count is None:
        return ""
    if count >= MICRO:
        return f"{count / MICRO:.3g}M"
    return f"{round(count / 1000)}k" if count >= 1000 else str(count)


def usd(amount: float | None) -> str:
    """Dollars for people: `$0.0012`, `free`; empty if nobody knows."""
    if amount is None:
        return ""
    return "free" if amount == 0 else f"${amount:.4g}"


def price_text(model: ModelRow) -> str:
    """`$3 / $15`: a million tokens in, and out."""
    if model.usd_in is None or model.usd_out is None:
        return ""
    if model.usd_in == model.usd_out == 0:
        return "free"
    return f"{usd(model.usd_in)} / {usd(model.usd_out)}"


def _provider(each: CatalogueProvider, models: Models, default: bool) -> ProviderRow:
    limits = {name: value for name, value in msgspec.structs.asdict(each.limits).items() if value is not None}
    if "micro_usd_per_day" in limits:
        limits["usd_per_day"] = limits.pop("micro_usd_per_day") / MICRO
    return ProviderRow(
        name=each.name,
        dialect=each.dialect,
        base_url=each.base_url,
        source=each.source,
        where=each.where,
        local=each.local,
        enabled=each.enabled,
        default=default,
        priority=each.priority,
        key=models.key_source(each.name),
        problem=each.problem,
        limits=limits,
        models=tuple(_model(Place(each, model)) for model in each.models),
    )


def _model(place: Place) -> ModelRow:
    model: CatalogueModel = place.model
    price = model.prices
    abilities = None if model.abilities is None else tuple(sorted(model.abilities))
    return ModelRow(
        id=model.id,
        tiers=tuple(tier for tier in TIERS if tier in model.tiers),
        context_tokens=model.context_tokens,
        max_output_tokens=model.max_output_tokens,
        usd_in=_dollars(None if price is None else price.input),
        usd_out=_dollars(None if price is None else price.output),
        usd_cached=_dollars(None if price is None else price.cached),
        usd_cache_write=_dollars(None if price is None else price.cache_write),
        abilities=abilities,
        priority=model.priority,
        local=place.local,
    )


def _dollars(micro: int | None) -> float | None:
    return None if micro is None else micro / MICRO


def _candidate(each: Candidate) -> CandidateRow:
    dollars = _dollars(each.cost_estimate_micro)
    return CandidateRow(each.ref, each.why, dollars, each.local, each.instead_of, each.queues)


def _left_out(each: LeftOut) -> LeftOutRow:
    return LeftOutRow(each.ref, each.why, each.passing, each.asked)
