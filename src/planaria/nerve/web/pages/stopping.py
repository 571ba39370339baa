"""The buttons that stop what agents do: one in a room beside an answer, one for a whole room, one for a session."""

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.agents.guard.halting import Halted, Target
from planaria.agents.stop import stop
from planaria.nerve.web.render import process_url
from planaria.nerve.web.site import Site

ME = "you"


def routes(site: Site) -> list[Route]:
    """`/rooms/<name>/stop` and `/sessions/<agent>@<room>/stop`."""

    async def room(request: Request) -> Response:
        name = request.path_params["name"]
        return await _stop(site, request, Target("room", name), "/rooms/" + quote(name))

    async def session(request: Request) -> Response:
        ref = request.path_params["ref"]
        return await _stop(site, request, Target("session", ref), process_url(f"session:{ref}"))

    return [
        Route("/rooms/{name}/stop", room, methods=["POST"]),
        Route("/sessions/{ref:path}/stop", session, methods=["POST"]),
    ]


async def _stop(site: Site, request: Request, target: Target, href: str) -> Response:
    halted = await site.node.run(_stop_now, target)
    unsure = [each.problem for each in halted if each.problem]
    turns = sum(len(each.turns) for each in halted)
    if unsure:
        return site.told(request, f"It ends, but that is not certain to be kept: {unsure[0]}", href, bad=True)
    what = "message was" if turns == 1 else "messages were"
    text = f"Stopped: {turns} {what} under way." if turns else "Nothing was under way."
    return site.told(request, text, href)


async def _stop_now(target: Target) -> tuple[Halted, ...]:
    return await stop(target, by=ME)
