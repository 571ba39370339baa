"""Everything that is wrong, which models answer, and the recent crashes."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part
from planaria.nerve.web.site import Site


def routes(site: Site) -> list[Route]:
    """`/problems` and its stream."""

    async def show(request: Request) -> Response:
        values = {
            key: value for part in await ProblemsFeed(site).parts() for key, value in part.values.items()
        }
        return await site.page("problems.html", "problems", "/live/problems", values)

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, ProblemsFeed(site))

    return [Route("/problems", show), Route("/live/problems", live)]


class ProblemsFeed:
    """The page as parts."""

    topics: Sequence[str] = ("records",)

    def __init__(self, site: Site) -> None:
        self.site = site

    async def parts(self) -> list[Part]:
        """Everything on the page."""
        troubles, crashes = await self.site.troubles(), await self.site.services.lately()
        models = self.site.services.models()
        return [
            Part("health", "_health.html", {"troubles": troubles}, troubles),
            Part("models", "_models.html", {"models": models}, models),
            Part("crashes", "_crashes.html", {"crashes": crashes}, crashes),
        ]

    def take(self, messages: Sequence[object]) -> list[str]:
        """Nothing: the next look tells all."""
        return []
