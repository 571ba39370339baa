"""Whole turns of our agents: a message in a room, two model calls with a tool call between them, an answer in the room.

Everything a garden has is on: rooms, sessions, gate, journal, live store, metrics. Only the model is a function.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.peers import turns
from planaria.agents.keeper import tree as agents_tree
from planaria.cortex.chronicle import Chronicle
from planaria.cortex.codec.seal import MasterKey
from planaria.cortex.durable.dead import Dead
from planaria.cortex.durable.questions import Questions
from planaria.cortex.journal import Journal, JournalOptions
from planaria.cortex.live.store import Live
from planaria.cortex.redact import Redactor
from planaria.membrane.gate.gate import Gate
from planaria.membrane.models.directory import Latest, ModelDirectory
from planaria.membrane.models.models import Choice
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
    """Stands in for `Models`."""

    def resolve(self, ref: str | None = None) -> Choice:
        """The one there is."""
        return Choice(Weather(), ref or "scripted", False)

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


def tree(garden: Path, make_store: Any, master: MasterKey) -> ChildSpec:
    """What runs."""
    redactor = Redactor({})
    services: Mapping[type, object] = {Redactor: redactor}
    return supervisor(
        child(Chronicle, name="chronicle"),
        child(Journal, make_store, JournalOptions(), redactor, master, name="journal"),
        child(Library, garden, name="library"),
        child(OneDirectory, OneModel(), name="models"),
        child(Live, projections, name="live"),
        child(Metrics, None, name="metrics"),
        child(Questions, name="questions"),
        child(Dead, name="dead"),
        rooms_tree(),
        agents_tree(garden, Gate([forecast]), services),
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
