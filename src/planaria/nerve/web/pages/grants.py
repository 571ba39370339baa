"""What agents may do and who granted it, and what people have approved for more than one call."""

from collections.abc import Sequence
from urllib.parse import quote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.agents.keeper import Agents
from planaria.cortex.errors import JournalUnavailable
from planaria.membrane.gate.approval import approval_words
from planaria.membrane.gate.remembered import Approval, ApprovalRefused, Approvals
from planaria.membrane.gate.second_factor import SecondFactor
from planaria.nerve.methods.grants import look_up
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part
from planaria.nerve.web.site import Site
from planaria.otp import CallError

ME = "you"
HOME = "/grants"


class ApprovalLine(msgspec.Struct, frozen=True):
    """An approval as the page shows it."""

    approval: Approval
    href: str
    may: str


def routes(site: Site) -> list[Route]:
    """`/grants`, one agent, their stream and the button that takes an approval back."""

    async def show(request: Request) -> Response:
        return await site.page("grants.html", "grants", "/live/grants", await _values(GrantsFeed(site)))

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, GrantsFeed(site))

    async def show_agent(request: Request) -> Response:
        name = request.path_params["agent"]
        servers = (site.pid("agents"), site.pid("library"), site.pid("journal"), site.pid("approvals"))
        found = await look_up(name, *servers)
        if found is None:
            raise HTTPException(404, f"No agent {name!r} runs here.")
        values: dict[str, object] = {"agent": name, "found": found, "lines": _lines(found.approved)}
        return await site.page("agent_grants.html", "grants", None, values)

    async def revoke(request: Request) -> Response:
        try:
            gone = await site.node.run(_revoke, site, request.path_params["id"])
        except (ApprovalRefused, JournalUnavailable, CallError) as error:
            return site.told(request, f"Not revoked: {error}.", HOME, bad=True)
        return site.told(
            request, f"Revoked: {gone.caller}, {approval_words(gone)}. It is asked for again.", HOME
        )

    return [
        Route(HOME, show),
        Route("/live/grants", live),
        Route("/grants/approvals/{id}/revoke", revoke, methods=["POST"]),
        Route("/grants/{agent}", show_agent),
    ]


class GrantsFeed:
    """The agents there are, what is approved, and the second factor."""

    topics: Sequence[str] = ()

    def __init__(self, site: Site) -> None:
        self.site = site

    async def parts(self) -> list[Part]:
        """Everything on the page."""
        agents = await Agents.definitions(self.site.pid("agents"))
        lines = _lines(await Approvals.remembered(self.site.pid("approvals")))
        factor = await SecondFactor.view(self.site.pid("second_factor"))
        names = tuple((each.name, each.description, ", ".join(each.tools)) for each in agents)
        return [
            Part("grant-agents", "_grant_agents.html", {"agents": names}, names),
            Part("approvals", "_approvals.html", {"lines": lines}, lines),
            Part("second-factor", "_second_factor.html", {"factor": factor}, factor),
        ]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Nothing: the next look tells all."""
        return []


async def _values(feed: GrantsFeed) -> dict[str, object]:
    return {key: value for part in await feed.parts() for key, value in part.values.items()}


async def _revoke(site: Site, which: str) -> Approval:
    return await Approvals.revoke(site.pid("approvals"), which, by=ME)


def _lines(approvals: Sequence[Approval]) -> tuple[ApprovalLine, ...]:
    return tuple(
        ApprovalLine(each, f"/grants/approvals/{quote(each.id, safe='')}/revoke", approval_words(each))
        for each in approvals
    )
