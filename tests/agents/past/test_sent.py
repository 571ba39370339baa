"""The prompt of a model call, part by part, as it was sent."""

import pytest

from planaria.agents.past.replay import NoSuchStep, ledger_of
from planaria.agents.past.sent import SentPrompt, sent
from planaria.agents.past.source import StoredSource
from planaria.agents.past.stored import read_run
from planaria.membrane.provider import Usage
from planaria.testing.models import Call, Say, ScriptedProvider
from tests.agents.support import SCOUT, SESSION, World
from tests.testing.test_replay import RUN


async def prompt(world: World, **which: object) -> SentPrompt:
    source = StoredSource(await world.events(session=None))
    return await sent(source, SESSION, await ledger_of(source, SESSION), **which)  # type: ignore[arg-type]


@pytest.fixture
async def talked(world: World) -> World:
    (world.garden / "SOUL.md").write_text("We are kind.\n")
    (world.garden / "MEMORY.md").write_text("It rained. " * 100)
    (world.garden / "agents" / "scout.md").write_text(SCOUT.replace("class: agent", "prompt: {memory: 20}"))
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add("Hello.", Call("work.once", {"what": "x"}), Say("Done.", usage=Usage(1000, 5)))
    await world.start()
    for text in ("hi", "do it"):
        await world.post(text)
        await world.node.advance(5.0)
    return world


async def test_every_part_is_told_with_its_size_its_budget_why_it_is_there_and_what_was_cut(talked: World):
    view = await prompt(talked)
    assert (view.call, view.calls, view.exact, view.problems) == (2, 2, True, ())
    names = ["identity", "soul", "memory", "instructions", "talk", "turn", "tools"]
    assert [part.name for part in view.parts] == names
    parts = {part.name: part for part in view.parts}
    assert parts["soul"].text == "# Soul\n\nWe are kind."
    assert parts["memory"].cut == "1029 characters do not fit"
    assert (parts["memory"].budget, parts["memory"].why) == (20, "MEMORY.md of the garden")
    assert [m.content for m in parts["talk"].messages] == ["hi", "Hello."]
    assert [m.role for m in parts["turn"].messages] == ["user", "assistant", "tool"]
    assert view.tools == ("work.again", "work.once")
    assert isinstance(talked.provider, ScriptedProvider)
    assert "\n\n".join(p.text for p in view.parts[:4]) == talked.provider.requests[2].messages[0].content


async def test_the_estimate_is_made_with_what_the_provider_counted(talked: World):
    view = await prompt(talked)
    assert view.tokens == 1000
    assert abs(sum(part.tokens for part in view.parts) - 1000) < 20
    assert (await prompt(talked, step=2)).characters_per_token > 4  # ten tokens, says the script


async def test_a_call_is_named_by_its_turn_or_by_the_step_of_the_session(talked: World):
    ledger = await ledger_of(StoredSource(await talked.events(session=None)), SESSION)
    first, second = (row.turn for row in ledger.rows)
    assert (await prompt(talked, turn=first)).turn == first
    assert (await prompt(talked, turn=second, step=1)).call == 1
    assert (await prompt(talked, step=4)).turn == second
    for which in ({"turn": "zz"}, {"turn": second, "step": 3}, {"step": 3}, {"step": 99}):
        with pytest.raises(NoSuchStep):
            await prompt(talked, **which)


async def test_a_prompt_of_the_first_composition_is_shown_as_it_was():
    source = StoredSource(read_run(RUN))
    view = await sent(source, SESSION, await ledger_of(source, SESSION))
    assert (view.composition, view.exact) == (1, True)
    assert view.parts[0].name == "system"
