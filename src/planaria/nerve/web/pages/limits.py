"""What keeps failing and is left alone, and what may be spent by whom; both can be changed here."""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.config.budget import Limits
from planaria.cortex.errors import JournalUnavailable
from planaria.immune.breakers.keeper import BreakerRefused, Breakers, BreakerView
from planaria.immune.ledger.account_views import AccountView, LimitView
from planaria.immune.ledger.budget import LimitsError
from planaria.immune.ledger.keeper import Ledger
from planaria.immune.ledger.reserving import spoken
from planaria.nerve.web.forms import read_form
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part
from planaria.nerve.web.site import Site
from planaria.otp import CallError

ME = "person:you"
HERE = "/limits"
MOST_BREAKERS = 200
MOST_ACCOUNTS = 300
SETTABLE = tuple(Limits.__struct_fields__)
"""Limits the form offers."""


class BreakerLine(msgspec.Struct, frozen=True):
    """A breaker as the page shows it."""

    view: BreakerView
    href: str


class Bar(msgspec.Struct, frozen=True):
    """A limit as the page shows it; numbers are shares of it, 0.0 to 1.0."""

    words: str
    share: float
    spent: float
    until: float | None


class AccountLine(msgspec.Struct, frozen=True):
    """An account as the page shows it."""

    view: AccountView
    spent: str
    bars: tuple[Bar, ...]


def routes(site: Site) -> list[Route]:
    """`/limits`, its stream and its forms."""

    async def show(request: Request) -> Response:
        values = {key: value for part in await LimitsFeed(site).parts() for key, value in part.values.items()}
        return await site.page("limits.html", "limits", "/live/limits", values | {"settable": SETTABLE})

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, LimitsFeed(site))

    async def close(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            await site.node.run(_close, site, name)
        except (BreakerRefused, CallError) as error:
            return site.told(request, f"Not closed: {error}", HERE, bad=True)
        return site.told(request, f"{name} is in use again.", HERE)

    async def open_(request: Request) -> Response:
        form = await read_form(request)
        name, why = form.get("name", "").strip(), form.get("why", "").strip()[:500]
        try:
            await site.node.run(_open, site, name, why)
        except (BreakerRefused, CallError) as error:
            return site.told(request, f"Not held back: {error}", HERE, bad=True)
        return site.told(request, f"{name} is held back until it is closed here.", HERE)

    async def limit(request: Request) -> Response:
        form = await read_form(request)
        account, name = form.get("account", "").strip(), form.get("limit", "").strip()
        amount = form.get("amount", "").strip() or "none"
        try:
            await site.node.run(_limit, site, account, name, amount)
        except (LimitsError, JournalUnavailable, CallError) as error:
            return site.told(request, f"Not set: {error}", HERE, bad=True)
        said = "as settings and record say" if amount == "none" else amount
        return site.told(request, f"{name} of {account} is now {said}.", HERE)

    return [
        Route(HERE, show),
        Route("/live/limits", live),
        Route("/limits/budget", limit, methods=["POST"]),
        Route("/limits/breakers", open_, methods=["POST"]),
        Route("/limits/breakers/{name:path}/close", close, methods=["POST"]),
    ]


class LimitsFeed:
    """The page as parts."""

    topics: Sequence[str] = ("breakers", "budget")

    def __init__(self, site: Site) -> None:
        self.site = site

    async def parts(self) -> list[Part]:
        """Everything on the page that moves."""
        views = (await Breakers.views(self.site.pid("breakers")))[:MOST_BREAKERS]
        breakers = tuple(BreakerLine(view, _close_url(view.name)) for view in views)
        found: tuple[AccountView, ...] = await Ledger.views(self.site.pid("ledger"))
        shown = tuple(_line(view) for view in found if view.kind not in ("turn", "run"))[:MOST_ACCOUNTS]
        return [
            Part("breakers", "_breakers.html", {"breakers": breakers}, breakers),
            Part("accounts", "_accounts.html", {"accounts": shown}, shown),
        ]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Nothing: the next look tells all."""
        return []


def _line(view: AccountView) -> AccountLine:
    today = view.today
    parts = [spoken("usd", today.micro_usd / 1_000_000)] if today.micro_usd else []
    parts += [f"{today.tokens:,} tokens"] if today.tokens else []
    parts += [f"{today.calls:,} {'call' if today.calls == 1 else 'calls'}"] if today.calls else []
    guess = view.today_estimated
    if guess.micro_usd or guess.tokens:
        about = spoken("usd", guess.micro_usd / 1_000_000) if guess.micro_usd else f"{guess.tokens:,} tokens"
        parts += [f"{about} of it estimated"]
    return AccountLine(view, ", ".join(parts), tuple(_bar(limit) for limit in view.limits))


def _bar(limit: LimitView) -> Bar:
    name = limit.limit.replace("_", " ")
    words = f"{spoken(limit.limit, limit.spent)} of {spoken(limit.limit, limit.most)} {name}"
    if limit.estimated:
        words += f", {spoken(limit.limit, limit.estimated)} of it estimated"
    if limit.reserved:
        words += f", {spoken(limit.limit, limit.reserved)} set aside"
    spent = min(1.0, limit.spent / limit.most) if limit.most else 1.0
    return Bar(words, round(limit.share, 4), round(spent, 4), limit.until)


def _close_url(name: str) -> str:
    return f"/limits/breakers/{quote(name, safe='', errors='backslashreplace')}/close"


async def _open(site: Site, name: str, why: str) -> BreakerView:
    return await Breakers.open(site.pid("breakers"), name, ME, why)


async def _close(site: Site, name: str) -> BreakerView:
    return await Breakers.close(site.pid("breakers"), name, ME)


async def _limit(site: Site, account: str, name: str, amount: str) -> object:
    return await Ledger.set(site.pid("ledger"), account, {name: amount}, ME, site.pid("journal"))
