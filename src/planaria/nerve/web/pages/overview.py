"""The first page: what is broken, what each agent does now, then the living supervision tree."""

from collections.abc import Iterator, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from planaria.nerve.trace.doing import masked, session_rows
from planaria.nerve.views import TreeView, tree_views
from planaria.nerve.web.live import LiveResponse
from planaria.nerve.web.parts import Part, dom_id
from planaria.nerve.web.render import process_url
from planaria.nerve.web.site import Site

MOST_CHILDREN = 60
"""Children of one supervisor that are drawn; a supervisor of ten thousand shows the rest as a number."""
REGROWN_FOR = 6.0
"""Seconds a restarted process is marked."""
PORT = "Port"
"""Kind of the mailboxes of code outside, one for each open page: no part of the tree."""
FUNCTION = "function"
"""Kind of tasks and other plain functions: without a supervisor they are drawn apart, since most are gone at once."""
SHORT_KINDS = {"Supervisor": "", "DynamicSupervisor": "dynamic"}
"""Supervisors are told by their weight and by having children."""
MOST_SESSIONS = 100
"""Sessions that are listed."""
LASTING = 1.0
"""Seconds after which such a task is drawn at all."""


class TreeNode(msgspec.Struct, frozen=True):
    """One line of the tree and the lines below it."""

    dom: str
    title: str
    kind: str
    status: str
    queue_len: int
    reductions: int
    restarts: int
    href: str | None
    is_supervisor: bool
    regrown: bool
    children: tuple["TreeNode", ...] = ()


class Figures(msgspec.Struct, frozen=True):
    """The node in three numbers."""

    processes: int
    waiting: int
    restarts: int


def routes(site: Site) -> list[Route]:
    """`/` and its stream."""

    async def show(request: Request) -> Response:
        feed = OverviewFeed(site)
        values = {key: value for part in await feed.parts() for key, value in part.values.items()}
        return await site.page("overview.html", "overview", "/live/overview", values)

    async def live(request: Request) -> Response:
        return LiveResponse(site, request, OverviewFeed(site))

    return [Route("/", show), Route("/live/overview", live)]


class OverviewFeed:
    """The overview as parts; a line of the tree is one, so a moving counter costs one line."""

    topics: Sequence[str] = ()

    def __init__(self, site: Site) -> None:
        self.site = site

    async def parts(self) -> list[Part]:
        """Everything on the page."""
        lately = await self.site.services.lately()
        fresh = {e.who for e in lately if e.kind == "restarted" and self.site.now() - e.at < REGROWN_FOR}
        views = [view for view in tree_views(self.site.node) if view.kind != PORT]
        roots = tuple(_tree_node(view, fresh) for view in views if view.kind != FUNCTION)
        loose = tuple(
            _tree_node(view, fresh) for view in views if view.kind == FUNCTION and self._lasts(view)
        )
        lines = [line for root in roots for line in _lines(root)]
        figures = Figures(
            len(self.site.node.processes()), sum(n.queue_len for n in lines), sum(n.restarts for n in lines)
        )
        models, troubles = self.site.services.models(), await self.site.troubles()
        rows = tuple(Part(line.dom, "_node.html", {"node": line}, _line_key(line)) for line in lines)
        shown = lately[:12]
        waiting = await self.site.waiting()
        headline = {"troubles": troubles, "node_name": self.site.node.name, "waiting": waiting}
        redactor = self.site.services.redactor
        sessions = tuple(masked(row, redactor) for row in session_rows(self.site.node)[:MOST_SESSIONS])
        return [
            Part("headline", "_headline.html", headline, (bool(troubles), waiting)),
            Part("figures", "_figures.html", {"figures": figures}, figures),
            Part("health", "_health.html", {"troubles": troubles}, troubles),
            Part("offline", "_offline.html", {"models": models}, models),
            Part("sessions", "_sessions.html", {"sessions": sessions}, sessions),
            Part("tree", "_tree.html", {"roots": roots}, tuple(_shape(root) for root in roots), rows),
            Part("loose", "_loose.html", {"loose": loose}, loose),
            Part("crashes", "_crashes.html", {"crashes": shown}, shown),
        ]

    def _lasts(self, view: TreeView) -> bool:
        pid = self.site.node.find(view.pid)
        return pid is not None and self.site.node.info(pid).age >= LASTING

    def take(self, messages: Sequence[object]) -> list[str]:
        """Nothing: the next look tells all."""
        return []


def _tree_node(view: TreeView, fresh: set[str]) -> TreeNode:
    number = view.pid.rpartition(".")[2].rstrip(">")
    # A child its supervisor could not start, or that ended for good, has a line but no process.
    dom = f"p-{number}" if number else dom_id("d", view.title)
    children = [_tree_node(child, fresh) for child in view.children[:MOST_CHILDREN]]
    left = len(view.children) - MOST_CHILDREN
    if left > 0:
        children.append(
            TreeNode(f"more-{dom}", f"and {left} more", "", "waiting", 0, 0, 0, None, False, False)
        )
    return TreeNode(
        dom=dom,
        title=view.title,
        kind=SHORT_KINDS.get(view.kind, view.kind),
        status=view.status if number else "dead",
        queue_len=view.queue_len,
        reductions=view.reductions,
        restarts=view.restarts,
        href=process_url(view.name or number) if number else None,
        is_supervisor="supervisor" in view.kind.lower(),
        regrown=view.title in fresh,
        children=tuple(children),
    )


def _lines(node: TreeNode) -> Iterator[TreeNode]:
    yield node
    for child in node.children:
        yield from _lines(child)


def _shape(node: TreeNode) -> tuple[object, ...]:
    return (node.dom, node.title, tuple(_shape(child) for child in node.children))


def _line_key(node: TreeNode) -> tuple[object, ...]:
    return (node.title, node.kind, node.status, node.queue_len, node.reductions, node.restarts, node.regrown)
