"""Agents that set themselves to work for ever are held up after some turns, and a person is asked."""

from pathlib import Path

import pytest

from planaria.agents.turn.guard_events import RestartChosen, SessionTripped
from planaria.cortex.durable.questions import Questions
from planaria.cortex.durable.work import Handler, Work
from planaria.otp import ChildSpec, child, supervisor
from planaria.rooms.deferred import POST, SAY, post, say
from planaria.testing.models import Call, ScriptedProvider
from planaria.testing.node import TestNode
from planaria.tools import time
from tests.agents.support import SCOUT, TrapStore, World

WAKER = SCOUT.replace(
    "tools: [work.*]", "tools: [time.*]\ngrants: {time.schedule: ['*'], rooms.post: ['*']}\nguards: %s"
)


class Waking(World):
    """A garden whose agent may plan messages to itself."""

    def tree(self, environ: dict[str, str] | None = None) -> ChildSpec:
        work = child(Work, {SAY: Handler(say), POST: Handler(post)}, name="work")
        return supervisor(
            super().tree(environ), child(Questions, name="questions"), work, name="all", max_restarts=100
        )

    def wakes(
        self, times: int, answer: str, minutes: float = 1.0, text: str = "Look again."
    ) -> ScriptedProvider:
        """Each turn plans the next, and says something."""
        assert isinstance(self.provider, ScriptedProvider)
        for n in range(times):
            said = {"minutes": minutes, "text": text.format(n), "wake": True}
            self.provider.add(Call("time.later", said, id=f"c{n}"), answer.format(n))
        return self.provider

    def agent(self, guards: str) -> None:
        (self.garden / "agents" / "scout.md").write_text(WAKER % guards)


@pytest.fixture
async def world(node: TestNode, tmp_path: Path) -> Waking:
    (tmp_path / "agents").mkdir()
    return Waking(node, tmp_path, ScriptedProvider(), TrapStore(), [time.later])


async def trips(world: World) -> list[tuple[str, str]]:
    seen = [SessionTripped.of(event) for event in await world.events(SessionTripped.kind)]
    chosen = [RestartChosen.of(event) for event in await world.events(RestartChosen.kind)]
    return [(each.evidence["kind"], choice.mode) for each, choice in zip(seen, chosen, strict=True)]


async def test_one_that_wakes_itself_and_finds_the_same_each_time_is_held_up_and_a_person_decides(
    world: Waking,
):
    world.agent("{echoes: 3}")
    provider = world.wakes(9, "Still nothing at all.")
    await world.start()
    await world.post("look")
    await world.node.advance(600.0)
    # The first turn was a person's; three echoes of it; the fifth is held up before a model is paid.
    assert len(provider.requests) == 2 * 4
    assert await trips(world) == [("echo", "ask")]
    (question,) = await world.run(Questions.pending, "questions")
    assert "answered the same each time, and is told it again. How is it to go on?" in question.text
    await world.run(Questions.answer, "questions", question.id, "stop", by="ada")
    await world.node.advance(600.0)
    assert len(provider.requests) == 2 * 4
    assert (await world.answers())[-1].startswith("I stopped: ada ended this")


async def test_rounds_are_counted_along_what_turns_begin_over_kills_and_a_person_begins_anew(world: Waking):
    world.agent("{rounds: 3, echoes: off}".replace("off", "0"))
    provider = world.wakes(9, "Leaf {} is green.", text="Look at leaf {}.")
    await world.start()
    await world.post("look")
    await world.node.advance(90.0)
    await world.kill("session:scout@garden")
    await world.node.advance(600.0)
    assert len(provider.requests) == 2 * 3  # hops 0, 1, 2; the third is held up
    assert await trips(world) == [("rounds", "ask")]
    hops = [
        event.payload.get("hops", 0) for event in await world.events("room.message", session="room:garden")
    ]
    assert max(hops) == 3
    (question,) = await world.run(Questions.pending, "questions")
    await world.run(Questions.answer, "questions", question.id, "go on", by="ada")
    await world.node.advance(200.0)
    assert len(provider.requests) == 2 * 6  # as many again
    assert len(await trips(world)) == 2


@pytest.mark.parametrize(("guards", "minutes"), [("{polling: [timer]}", 1.0), ("{echoes: 3}", 10.0)])
async def test_what_is_declared_or_is_as_slow_as_a_schedule_goes_on(
    world: Waking, guards: str, minutes: float
):
    world.agent(guards)
    provider = world.wakes(15, "Still nothing at all.", minutes)
    await world.start()
    await world.post("look")
    await world.node.advance(14 * 60.0 * minutes + 60.0)
    assert len(provider.requests) >= 2 * 14
    assert await trips(world) == []
