"""Providers and their models: what they cost and can do, their limits and problems, and what a route would be now."""

from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import planaria.membrane.models.router as router
from planaria.config.settings import ModelSettings
from planaria.immune.breakers.table import breakers_of
from planaria.membrane.models.catalogue import ABILITIES, TIERS, Ability
from planaria.membrane.models.directory import TOPIC, models_now
from planaria.nerve.model_desk import ModelDesk
from planaria.nerve.model_views import (
    ModelRow,
    ProviderRow,
    RouteView,
    price_text,
    provider_rows,
    short_tokens,
    usd,
)
from planaria.nerve.protocol import ControlError
from planaria.nerve.web.forms import read_form
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part, dom_id
from planaria.nerve.web.site import Site
from planaria.otp import CallError

ME = "you"
HOME = "/models"
IDLE = router.ProviderUsage()
MOST_MODELS = 40
"""Models of one provider that are shown; a local server may have hundreds."""


class ModelLine(msgspec.Struct, frozen=True):
    """A model as the page shows it."""

    model: ModelRow
    context: str
    price: str
    abilities: str


class ProviderCard(msgspec.Struct, frozen=True):
    """A provider as the page shows it. `breaker` is the state of one that is not closed; `used`: how much, now."""

    dom: str
    href: str
    row: ProviderRow
    limits: str
    breaker: str
    models: tuple[ModelLine, ...]
    more: int
    can_go: bool
    used: router.ProviderUsage


class Wish(msgspec.Struct, frozen=True):
    """What the form of a route says."""

    wanted: str = ""
    needs: tuple[str, ...] = ()
    tokens: str = ""
    local: bool = False


class Way(msgspec.Struct, frozen=True):
    """A route as the page shows it."""

    view: RouteView
    costs: tuple[str, ...]


def routes(site: Site) -> list[Route]:
    """`/models`, its stream and its forms."""

    desk = ModelDesk(site.services.garden, ModelSettings(), site.services.redactor, site.services.usage)

    async def show(request: Request) -> Response:
        wish = _wish(request)
        values: dict[str, object] = {"providers": _cards(site), "wish": wish}
        values |= {"abilities": ABILITIES, "tiers": TIERS, "asked": bool(request.query_params)}
        try:
            values |= {"way": await site.node.run(_way, desk, wish), "wrong": ""}
        except ControlError as error:
            values |= {"way": None, "wrong": str(error)}
        return await site.page("models.html", "models", "/live/models", values)

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, ModelsFeed(site))

    async def change(request: Request) -> Response:
        form = await read_form(request)
        name, words = form.get("name", "").strip(), _words(form.get("fields", ""))
        new = form.get("new") == "yes"
        return await _told(site, request, f"{name} is changed.", lambda: desk.set(name, words, ME, new))

    async def key(request: Request) -> Response:
        form = await read_form(request)
        name, secret = form.get("name", "").strip(), form.get("key", "").strip()
        if not secret:
            return site.told(request, "No key came.", HOME, bad=True)
        return await _told(
            site, request, f"The key of {name} is kept, sealed.", lambda: desk.key(name, secret, ME)
        )

    async def switch(request: Request) -> Response:
        name, way = request.path_params["name"], request.path_params["way"]
        if way not in ("on", "off"):
            raise HTTPException(404, "A provider is switched on or off.")
        said = f"{name} is switched {way}."
        return await _told(site, request, said, lambda: desk.set(name, {"enabled": way}, ME))

    async def remove(request: Request) -> Response:
        name = request.path_params["name"]
        return await _told(
            site, request, f"What was said here of {name} is gone.", lambda: desk.remove(name, ME)
        )

    async def release(request: Request) -> Response:
        name = request.path_params["name"]
        return await _told(
            site, request, f"{name} is asked again.", lambda: desk.release(name, f"person:{ME}")
        )

    async def test(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            tried = await site.node.run(desk.try_, name)
        except (ControlError, CallError) as error:
            return site.told(request, str(error), HOME, bad=True)
        if tried.error:
            return site.told(request, f"{name} does not answer as it should: {tried.error}", HOME, bad=True)
        lacks = f" It does not name {', '.join(tried.missing)}." if tried.missing else ""
        return site.told(request, f"{name} answers and names {len(tried.offered)} models.{lacks}", HOME)

    return [
        Route(HOME, show),
        Route("/live/models", live),
        Route("/models/change", change, methods=["POST"]),
        Route("/models/key", key, methods=["POST"]),
        Route("/models/{name}/test", test, methods=["POST"]),
        Route("/models/{name}/release", release, methods=["POST"]),
        Route("/models/{name}/remove", remove, methods=["POST"]),
        Route("/models/{name}/{way}", switch, methods=["POST"]),
    ]


class ModelsFeed:
    """The providers, each a part of its own; the forms are left alone."""

    topics: Sequence[str] = (TOPIC,)

    def __init__(self, site: Site) -> None:
        self.site = site

    async def parts(self) -> list[Part]:
        """The providers."""
        cards = _cards(self.site)
        inner = tuple(Part(card.dom, "_provider.html", {"card": card}, card) for card in cards)
        shape = tuple(card.dom for card in cards)
        return [Part("providers", "_providers.html", {"providers": cards}, shape, inner)]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Nothing: the next look tells all."""
        return []


async def _told(site: Site, request: Request, said: str, act: Callable[[], Awaitable[object]]) -> Response:
    """Do it in a process of the node, and say how it went."""
    try:
        await site.node.run(act)
    except (ControlError, CallError) as error:
        return site.told(request, str(error), HOME, bad=True)
    return site.told(request, said, HOME)


async def _way(desk: ModelDesk, wish: Wish) -> Way:
    needs: frozenset[Ability] = frozenset(ability for ability in ABILITIES if ability in wish.needs)
    tokens = int(wish.tokens) if wish.tokens.isdecimal() and len(wish.tokens) < 12 else 0
    request = router.Request(wish.wanted or None, needs, tokens, local_only=wish.local)
    view = await desk.route(request)
    return Way(view, tuple(usd(each.usd) or "price unknown" for each in view.candidates))


def _wish(request: Request) -> Wish:
    asked = request.query_params
    return Wish(
        asked.get("wanted", "").strip(),
        tuple(asked.getlist("needs")),
        asked.get("tokens", "").strip(),
        asked.get("local") == "yes",
    )


def _words(text: str) -> dict[str, str]:
    """`priority=5` and the like, each on a line of its own or parted by blanks."""
    pairs = (line.partition("=") for line in text.split())
    return {field: value for field, _, value in pairs if field}


def _cards(site: Site) -> tuple[ProviderCard, ...]:
    models = models_now(site.node)
    if models is None:
        return ()
    breakers = breakers_of(site.node)
    usage = {} if site.services.usage is None else site.services.usage()
    stored = {*models.sources.stored, *models.sources.keys}
    return tuple(
        _card(row, breakers.state(f"provider:{row.name}"), row.name in stored, usage.get(row.name, IDLE))
        for row in provider_rows(models)
    )


def _card(row: ProviderRow, breaker: str, can_go: bool, used: router.ProviderUsage) -> ProviderCard:
    limits = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in row.limits.items())
    lines = tuple(map(_line, row.models[:MOST_MODELS]))
    return ProviderCard(
        dom_id("provider", row.name),
        f"{HOME}/{quote(row.name, safe='')}",
        msgspec.structs.replace(row, models=()),
        limits,
        "" if breaker == "closed" else breaker.replace("_", " "),
        lines,
        len(row.models) - len(lines),
        can_go,
        used,
    )


def _line(model: ModelRow) -> ModelLine:
    abilities = "?" if model.abilities is None else ", ".join(model.abilities) or "none"
    return ModelLine(model, short_tokens(model.context_tokens) or "?", price_text(model) or "?", abilities)
