"""One fault: how it is brought about, and what has to come of it; and one row of the table: what came of it."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from planaria.agents.turn.events import ModelFailed
from tests.faults.table.world import CALL, Setting, World, running

ROUTINE = frozenset(
    {
        *("room.opened", "room.joined", "room.message", "turn.started", "model.requested", "model.responded"),
        *("tool.started", "tool.finished", "turn.finished", "node.started", "budget.day", "process.started"),
    }
)
"""Kinds that every turn writes."""


@dataclass(frozen=True)
class Case:
    """A fault.

    Args:
        group: the part of the table.
        name: in words.
        play: brings it about in a world and sees it through; may answer more about what was seen.
        says: words the person must see in the room.
        kinds: events the journal must have.
        page: of the dashboard, and words that must stand there; `{trace}` is put in.
        useful: answers of models a run without the fault needs.
        waits: seconds of configured time-outs and cool-downs that pass before anything can be done about it.
        apart: does all of it by itself, with a node that is a program of its own.
    """

    group: str
    name: str
    play: Callable[[World], Awaitable[Any]] | None
    says: str
    kinds: tuple[str, ...] = ()
    page: tuple[str, str] = ("/traces/{trace}", "")
    useful: int = 1
    waits: float = 0.0
    setting: Setting = field(default_factory=Setting)
    apart: Callable[["Case", Path], Awaitable["Row"]] | None = None


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a fault.

    Attributes:
        room: what the person saw: what was struck out, what the agent was said to do, what was said.
        journal: kinds of events beyond those of every turn, with what they say in brackets, in order.
        page, shown: of the dashboard, and the words there.
        whole_ms: from the message (or the fault, if that came later) to the answer; `waits_ms`: of that, time-outs of
            the settings and pauses that are noted in the journal; `beyond_ms`: the rest, the machinery's own.
        wasted_tokens, wasted_micro_usd: charged by the services beyond what a run without the fault costs.
        billed_micro_usd: of the charge, what the services told us.
        estimated_micro_usd: what the accounts took the rest to be.
        problems: what is not as it has to be.
    """

    group: str
    name: str
    room: tuple[str, ...] = ()
    journal: tuple[str, ...] = ()
    page: str = ""
    shown: str = ""
    whole_ms: float = 0.0
    waits_ms: float = 0.0
    beyond_ms: float = 0.0
    charged_micro_usd: int = 0
    wasted_tokens: int = 0
    wasted_micro_usd: int = 0
    billed_micro_usd: int = 0
    estimated_micro_usd: int = 0
    note: str = ""
    problems: tuple[str, ...] = ()


async def inject(
    case: Case, folder: Path, look: Callable[[World, Case], Awaitable[None]] | None = None
) -> Row:
    """Bring a fault about in a garden of its own, and look at room, journal and dashboard.

    Args:
        folder: empty.
        look: something more to do at the end.
    """
    if case.apart is not None:
        return await case.apart(case, folder)
    assert case.play is not None
    async with running(folder, case.setting) as world:
        problems: list[str] = []
        note = ""
        try:
            note = await case.play(world) or ""
        except TimeoutError as error:
            problems.append(str(error))
            world.over = time.perf_counter()
        room = _room(world)
        if case.says not in " | ".join(room):
            problems.append(f"the room does not say {case.says!r}")
        events = await world.events()
        kinds = {event.kind for event in events}
        problems += [f"no {kind} in the journal" for kind in case.kinds if kind not in kinds]
        path = case.page[0].format(trace=world.trace)
        words = await world.page(path)
        if case.page[1] not in words or not words.startswith("200"):
            problems.append(f"{path} does not show {case.page[1]!r}: {words[:3000]}")
        if look is not None:
            await look(world, case)
        tokens, money = world.charged()
        fair = world.fair or (15 * case.useful, CALL * case.useful)
        pauses = sum(event.payload.get("wait", 0.0) for event in events if event.kind == ModelFailed.kind)
        whole = (world.over - world.begun) * 1000
        waits = (case.waits + pauses) * 1000
        return Row(
            case.group,
            case.name,
            tuple(room),
            tuple(told(events)),
            _page_name(case.page[0]),
            case.page[1],
            round(whole, 1),
            round(waits, 1),
            round(whole - waits, 1),
            money,
            tokens - fair[0],
            money - fair[1],
            await world.billed(),
            world.estimated(),
            note,
            tuple(problems),
        )


def _room(world: World) -> list[str]:
    struck = [f"struck out: {why}" for why in world.struck()]
    doing = [f"meanwhile: {what}" for what in world.doing()]
    return [*struck, *doing, *world.aside, *world.texts()]


def told(events: Sequence[Any]) -> list[str]:
    """Telling kinds with their telling fields; what repeats is counted."""
    found: dict[str, int] = {}
    for event in events:
        said = _told(event)
        if event.kind not in ROUTINE or said:
            line = event.kind + (f" ({said})" if said else "")
            found[line] = found.get(line, 0) + 1
    return [line if times == 1 else f"{times} x {line}" for line, times in found.items()]


def _told(event: Any) -> str:
    payload = event.payload
    match event.kind:
        case "model.failed":
            return f"{payload.get('fault')}, then {payload.get('then') or 'stop'}"
        case "tool.finished" if payload.get("error"):
            return "failed"
        case "session.tripped":
            return str(payload["cause"])
        case "restart.chosen":
            return str(payload["mode"])
        case "session.handed_off":
            return f"by {payload['by']}"
        case "budget.exhausted" | "budget.warned":
            return f"{payload['account'].partition(':')[0]} {payload['limit']}"
        case "turn.stopped":
            return f"by {payload['by']}"
        case "turn.finished" if payload["outcome"] != "answered":
            return str(payload["outcome"])
        case _:
            return ""


def _page_name(path: str) -> str:
    return {"/traces/{trace}": "trace", "/": "overview"}.get(path, path.strip("/").partition("/")[0])
