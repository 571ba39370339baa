"""Methods about traces: one as a tree, a node of it opened, the latest; and one that is followed while it grows."""

from collections.abc import Callable
from functools import partial

import msgspec

from planaria.cortex.errors import JournalUnavailable
from planaria.cortex.event import Event
from planaria.cortex.journal import Journal
from planaria.cortex.query import Query
from planaria.nerve.methods.method import Channel, Services
from planaria.nerve.protocol import ControlError
from planaria.nerve.trace.detail import Detail
from planaria.nerve.trace.doing import doing_now
from planaria.nerve.trace.find import NoTrace, find_trace
from planaria.nerve.trace.opening import open_nodes
from planaria.nerve.trace.reading import Reading, latest, read_trace
from planaria.nerve.trace.shape import Trace
from planaria.otp import node_, receive, subscribe, wall_time

MOST_TRACES = 200
LOOK_EVERY = 0.5
"""Seconds between two looks at a trace that is followed, when nothing is written."""
GATHER = 0.1
"""Seconds in which what is written becomes one look."""


class WhichTrace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A trace: its id, that of a message or an event, a piece of one, a session, a room; empty for the latest."""

    trace: str = ""


class Following(WhichTrace, frozen=True, forbid_unknown_fields=True):
    """Which trace; with `beat` it is told twice a second while it runs, changed or not, since its times grow."""

    beat: bool = False


class Latest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many of the latest; `failed`: only those that failed or were cut off."""

    limit: int = 20
    failed: bool = False


class WhichNode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Nodes of a trace to open: by their ids; none for all."""

    trace: str
    nodes: tuple[str, ...] = ()


async def trace(params: WhichTrace, services: Services, channel: Channel) -> Trace:
    """One trace as it is now."""
    return (await _reading(params.trace)).trace


async def traces(params: Latest, services: Services, channel: Channel) -> list[Trace]:
    """The latest, newest first, without their nodes."""
    limit = min(max(params.limit, 0), MOST_TRACES)
    try:
        return await latest(
            read, limit, failed=params.failed, now=wall_time(), look=partial(doing_now, node_())
        )
    except JournalUnavailable as error:
        raise ControlError("unavailable", error.cause, error.mend) from error


async def open_(params: WhichNode, services: Services, channel: Channel) -> list[Detail]:
    """Nodes with their texts."""
    reading = await _reading(params.trace)
    try:
        return await open_nodes(read, reading, params.nodes, services.redactor)
    except JournalUnavailable as error:
        raise ControlError("unavailable", error.cause, error.mend) from error


async def follow(params: Following, services: Services, channel: Channel) -> Trace:
    """A trace whenever it has grown, as events; it as it ended is the result."""
    subscribe("journal")
    first = await _reading(params.trace)
    told, now = first.trace, first.trace
    channel.send(told)
    grows = _grows(told.id)
    while now.open:
        try:
            await receive(grows, LOOK_EVERY)
            while True:  # what else is written within a moment
                await receive(grows, GATHER)
        except TimeoutError:
            pass
        now = (await _reading(told.id)).trace
        if now != told or (params.beat and now.open):
            told = now
            channel.send(told)
    return now


def _grows(trace_id: str) -> Callable[[object], bool]:
    return lambda message: isinstance(message, Event) and message.trace_id == trace_id


async def _reading(what: str) -> Reading:
    try:
        found = await find_trace(read, _find, what)
        reading = await read_here(found.trace_id)
    except NoTrace as error:
        mend = f"perhaps {', '.join(error.near)}" if error.near else "`planaria traces` lists the latest"
        if not what:
            mend = "ask something: `planaria chat -m TEXT`"
        raise ControlError("not_found", str(error), mend) from error
    except JournalUnavailable as error:
        raise ControlError("unavailable", error.cause, error.mend) from error
    if reading is None:
        raise ControlError("not_found", f"there is no trace {what!r}", "`planaria traces` lists the latest")
    return reading


async def read(query: Query) -> list[Event]:
    """Read the journal of the node the caller is in."""
    return await Journal.read("journal", query)


async def _find(id: str) -> Event | None:
    return await Journal.find("journal", id)


async def read_here(trace_id: str) -> Reading | None:
    """One trace of this node, with what living processes do about it."""
    return await read_trace(read, trace_id, now=wall_time(), look=partial(doing_now, node_()))
