"""Methods about what goes on now: the tables of the live store, whole or followed, and the view of `planaria top`."""

from typing import Any

import msgspec

from planaria.cortex.live.follow import follow
from planaria.cortex.live.store import Live, LiveStatus
from planaria.cortex.live.table import LiveError, Select
from planaria.cortex.live.tables import tables_of
from planaria.cortex.telemetry.export import export_figures
from planaria.cortex.telemetry.handlers import handlers_of
from planaria.nerve.methods.method import Channel, Nothing, Services
from planaria.nerve.protocol import ControlError
from planaria.nerve.views import NodeView, node_view
from planaria.otp import NoProcess, node_, wall_time

MOST_ROWS = 10_000


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table, and which of its rows; see `Select`."""

    table: str
    match: str = ""
    where: dict[str, str] = {}
    order: str = ""
    limit: int = 100

    @property
    def select(self) -> Select:
        """The query."""
        return Select(self.match, self.where, self.order, min(max(self.limit, 0), MOST_ROWS))


class Watching(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table to follow, and which of its rows."""

    table: str
    match: str = ""
    where: dict[str, str] = {}


class Top(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many rows of each table, at most."""

    limit: int = 20


class TopView(msgspec.Struct, frozen=True):
    """The node at a glance: its figures, and the rows that say most of each table.

    Attributes:
        at: unix seconds.
        sessions: those at work first, then the latest.
        processes: those with the longest queues, then the busiest.
        lost: what telemetry could not keep: dropped signals, rows there was no room for.
    """

    at: float
    node: NodeView
    sessions: list[Any]
    providers: list[Any]
    breakers: list[Any]
    runs: list[Any]
    processes: list[Any]
    lost: dict[str, int]


async def tables(params: Nothing, services: Services, channel: Channel) -> LiveStatus:
    """The tables there are."""
    return await Live.status("live")


async def rows(params: Which, services: Services, channel: Channel) -> list[Any]:
    """Rows of a table."""
    try:
        return tables_of(node_())[params.table].select(params.select)
    except LiveError as error:
        raise ControlError("bad_request", str(error), "`planaria live` lists the tables") from error
    except NoProcess as error:
        raise _away() from error


async def following(params: Watching, services: Services, channel: Channel) -> None:
    """Rows of a table (`whole`), then what changes, as events of the stream."""
    try:
        async for changes in follow(params.table, Select(params.match, params.where, limit=None)):
            channel.send(changes)
    except LiveError as error:
        raise ControlError("bad_request", str(error), "`planaria live` lists the tables") from error


async def top(params: Top, services: Services, channel: Channel) -> TopView:
    """The node at a glance."""
    node, limit = node_(), min(max(params.limit, 0), 1000)
    try:
        found = tables_of(node)
        status = await Live.status("live")
    except NoProcess as error:
        raise _away() from error
    sessions = found["sessions"].select(Select(limit=None))
    sessions.sort(key=lambda row: row.status == "idle")  # stable: the latest stay first
    processes = found["processes"].select(Select(limit=None))
    processes.sort(key=lambda row: (-row.queue, -row.reductions))
    lost = {
        "signals": status.dropped,
        "events no row could be made of": status.faults,
        "rows there was no room for": sum(table.evicted for table in status.tables),
        "handlers that raised": handlers_of(node).detached,
    }
    exported = export_figures(node)
    if exported is not None:
        lost["spans not exported"] = exported.dropped
    return TopView(
        at=wall_time(),
        node=node_view(node),
        sessions=sessions[:limit],
        providers=found["providers"].select(Select(order="-last_at", limit=limit)),
        breakers=[row for row in found["breakers"].select(Select(limit=limit)) if row.state != "closed"],
        runs=found["runs"].select(Select(limit=limit)),
        processes=processes[:limit],
        lost={name: number for name, number in lost.items() if number},
    )


def _away() -> ControlError:
    return ControlError(
        "unavailable",
        "the live store does not run now",
        "its supervisor starts it again; try in a moment",
    )
