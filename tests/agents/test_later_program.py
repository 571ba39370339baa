"""Events that a later program has written: the session says that it cannot go on, and goes on with the rest."""

from typing import Any

import msgspec
import pytest

from planaria.agents.keeper import Agents
from planaria.agents.past.replay import replay, step_of
from planaria.agents.past.seed import SeedLost
from planaria.agents.past.source import JournalSource, StoredSource
from planaria.agents.turn.events import FORKS, SessionForked, TurnFinished
from planaria.agents.turn.turn import KINDS
from planaria.cortex.durable.letters import DeadLettered
from planaria.cortex.event import NewEvent
from planaria.cortex.journal import Journal
from planaria.membrane.errors import Overloaded
from planaria.nerve.methods.sessions import Replaying, replaying
from planaria.testing.models import Call, Fail, ScriptedProvider
from tests.agents.support import SESSION, World

LATER = 99


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


async def wrote(world: World, *events: NewEvent) -> None:
    await world.run(Journal.append, "journal", list(events))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_turn_of_a_later_program_is_given_up_in_words_and_the_next_one_is_answered(
    world: World, kind: str
):
    """The node was killed in the middle of a turn, ran as a later program, and runs as this one again."""
    script(world, Call("work.again", {"what": "x"}), "Done.", "Next.", "Third.")
    world.book.held = {"again"}
    await world.start()
    await world.post()
    await world.node.settle()
    (message,) = await world.said()
    payload: dict[str, Any] = {"call_id": f"{message.id}/0/0", "said": "in another way"}
    await wrote(
        world,
        NewEvent(
            kind, payload, session=SESSION, trace_id=message.trace_id, cause_id=message.id, version=LATER
        ),
    )
    world.book.held.clear()
    await world.kill("tasks:scout@garden")
    await world.node.advance(60.0)
    answers = await world.until_answered(1)
    assert len(answers) == 1
    if kind not in ("tool.started", "tool.finished"):  # those tell by their headers that a call was made
        assert "has version 99, this program knows" in answers[0]
        (letter,) = await world.events(DeadLettered.kind, session=None)
        assert "has version 99, this program knows" in letter.payload["reason"]
        (end,) = [event for event in await world.events(TurnFinished.kind) if event.version != LATER]
        assert end.payload["outcome"] == "failed"
    await world.post("and now?")
    assert len(await world.until_answered(2)) == 2
    view = await world.run(replay, JournalSource(), SESSION)
    assert view.steps[-1].text in ("Done.", "Next.", "Third.")


async def test_a_branch_of_a_later_program_is_not_run_and_stands_in_nobody_s_way(world: World):
    script(world, "Hello.")
    await world.start()
    await wrote(world, NewEvent(SessionForked.kind, {"room": 7}, session=FORKS, version=LATER))
    await world.post()
    await world.until_answered()
    view = await world.run(replaying, Replaying("scout"), None, None)
    assert [step.text for step in view.steps] == ["hello", "Hello."]
    await world.kill("agents")
    await world.node.advance(2.0)
    assert await world.run(Agents.forks, "agents") == []


async def test_a_replay_names_what_this_program_cannot_read(world: World):
    script(world, Fail(Overloaded("busy")), "Hello.")
    await world.start()
    await world.post()
    await world.until_answered()
    events = await world.events(session=None)
    for number, event in enumerate(events):
        if event.session != SESSION:
            continue
        left = list(events)
        left[number] = msgspec.structs.replace(event, version=LATER)
        source = StoredSource(left)
        view = await replay(source, SESSION)
        told = [problem for step in view.steps for problem in step.problems]
        assert f"event {event.id} ({event.kind}) has version 99" in str(told), event.kind
        for step in view.steps:
            if step.problems == ("it cannot be read any more",):
                with pytest.raises(SeedLost, match="cannot be read any more"):
                    await step_of(source, SESSION, step.number)
            else:
                assert (await step_of(source, SESSION, step.number)).step == step
