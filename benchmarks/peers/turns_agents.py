"""Whole turns of our agents: a message in a room, two model calls with a tool call between them, an answer in the room.

Everything a garden has is on, as in `planaria.node`: rooms, sessions with their guards, gate, breakers, ledger, router,
permits, approvals, journal, live store, metrics. Only the model is a function.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers import turns
from planaria.agents.children import with_household
from planaria.agents.keeper import tree as agents_tree
from planaria.cortex.chronicle import Chronicle
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.durable.dead import Dead
from planaria.cortex.durable.questions import Questions
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.live.store import Live
from planaria.cortex.redact import Redactor
from planaria.immune.breakers.keeper import Breakers
from planaria.immune.ledger.keeper import Ledger
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.process import Calls
from planaria.membrane.gate.gate import Gate
from planaria.membrane.gate.remembered import Approvals
from planaria.membrane.models.catalogue import Ability, Catalogue, CatalogueModel, CatalogueProvider
from planaria.membrane.models.directory import Latest, ModelDirectory, _Now
from planaria.membrane.models.models import Choice
from planaria.membrane.models.prices import ModelPrice
from planaria.membrane.provider import (
    ModelInfo,
    ModelRequest,
    ModelResponse,
    Piece,
    TextDelta,
    ToolCall,
    Usage,
)
from planaria.membrane.tool import Context, Done, tool
from planaria.nerve.live import projections
from planaria.nerve.metrics.process import Metrics
from planaria.otp import ChildSpec, Node, child, receive, subscribe, supervisor
from planaria.otp.kernel.table import publish
from planaria.records.library import Library
from planaria.rooms.message import RoomMessage
from planaria.rooms.room import Room
from planaria.rooms.rooms import tree as rooms_tree

AGENT = "---\nclass: agent\nhost: true\ntools: [weather.*]\nrooms: [r{n}]\n---\nYou tell the weather.\n"


@tool(name=turns.TOOL, idempotent=True)
async def forecast(context: Context, place: str, day: str, units: str) -> Done:
    """The weather.

    Args:
        place: where.
        day: when.
        units: in which.
    """
    return Done(turns.tool({"place": place, "day": day, "units": units}))


class Weather:
    """A model that asks for the tool, then answers."""

    name = "scripted"

    async def stream(self, request: ModelRequest) -> AsyncIterator[Piece]:
        """Answer at once."""
        last = request.messages[-1]
        if last.role == "tool":
            text = turns.answer(last.content)
            yield TextDelta(text)
            yield ModelResponse(text, (), Usage(300, 40), "stop", request.model, self.name)
        else:
            call = ToolCall("call_1", turns.TOOL, dict(turns.ARGUMENTS))
            yield ModelResponse("", (call,), Usage(200, 20), "tool_calls", request.model, self.name)

    async def models(self) -> list[ModelInfo]:
        """One."""
        return [ModelInfo("scripted")]


class OneModel:
    """Stands in for `Models`, with a catalogue, so that calls are routed."""

    def __init__(self) -> None:
        prices = ModelPrice(2_000_000, 3_000_000)
        abilities: frozenset[Ability] = frozenset(("tools", "json"))
        model = CatalogueModel("scripted", 100_000, 4_000, prices, abilities, ("medium",))
        self.catalogue = Catalogue((CatalogueProvider("scripted", "openai", models=(model,)),))

    def resolve(self, ref: str | None = None) -> Choice:
        """The one there is."""
        return Choice(Weather(), "scripted", False)

    def cost_micro(self, provider: str, model: str, usage: Usage) -> int | None:
        """A price."""
        return usage.input_tokens * 2 + usage.output_tokens * 3


class OneDirectory(ModelDirectory):
    """A directory that knows it."""

    async def init(self, models: Any) -> None:  # type: ignore[override]
        """Take it."""
        self.known = models
        self.latest = Latest()
        self.task = None
        self.secrets = None
        self.now = _Now()
        self.now.models = models
        publish(self.pid, self.now)


def tree(garden: Path, make_store: Any, master: MasterKey) -> ChildSpec:
    """What runs."""
    redactor = Redactor({})
    permits, gate = Permits(), Gate([forecast])
    home: Mapping[type, object] = with_household(garden, gate, {Redactor: redactor, Permits: permits})
    return supervisor(
        child(Chronicle, name="chronicle"),
        child(Journal, make_store, JournalOptions(), redactor, master, name="journal"),
        child(Library, garden, name="library"),
        child(Breakers, name="breakers"),
        child(Ledger, name="ledger"),
        child(OneDirectory, OneModel(), name="models"),
        child(Calls, permits, name="calls"),
        child(Approvals, name="approvals"),
        child(Live, projections, name="live"),
        child(Metrics, None, name="metrics"),
        child(Questions, name="questions"),
        child(Dead, name="dead"),
        rooms_tree(),
        agents_tree(garden, gate, home),
        name="root",
        strategy="rest_for_one",
    )


async def talk(number: int, first: int, count: int) -> None:
    """So many questions in one room, each after the answer to the one before."""
    topic = f"room:r{number}"
    subscribe(topic)
    for n in range(first, first + count):
        await Room.post(topic, "ada", turns.MESSAGE, f"{number}-{n}")
        while True:
            heard = await receive()
            if isinstance(heard, RoomMessage) and heard.author_kind == "agent":
                break
        assert heard.text == turns.ANSWER, heard


async def ready(sessions: int) -> None:
    """Back when every agent sits in its room."""
    while True:
        try:
            if all([await Room.members(f"room:r{n}") for n in range(sessions)]):
                return
        except Exception:  # noqa: BLE001 - not open yet
            pass
        await asyncio.sleep(0.05)


async def run(sessions: int, count: int, make_store: Any, master: MasterKey) -> list[float]:
    """Turns a second."""
    garden = turns.new_folder()
    (garden / "agents").mkdir()
    for n in range(sessions):
        (garden / "agents" / f"scout{n}.md").write_text(AGENT.format(n=n))
    try:
        async with Node("bench") as node:
            await node.start(tree(garden, partial(make_store, garden), master))
            await node.run(ready, sessions)
            await asyncio.gather(*(node.run(talk, n, 0, 1) for n in range(sessions)))  # warm
            took = await turns.timed(
                lambda: asyncio.gather(*(node.run(talk, n, 1, count) for n in range(sessions)))
            )
    finally:
        turns.drop_folder(garden)
    return [sessions * count / took]
