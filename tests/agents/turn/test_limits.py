"""An agent that meets an open breaker, or a budget that is spent."""

from functools import partial

from planaria.config.budget import BudgetSettings, Limits
from planaria.immune.breakers.keeper import Breakers
from planaria.immune.ledger.keeper import Ledger
from planaria.membrane.provider import Message
from planaria.otp import child
from planaria.testing.models import Call, ScriptedProvider
from tests.agents.support import SCOUT, World

STAND_IN = SCOUT.replace("tools:", "fallback: {work.once: work.again}\ntools:")


def script(world: World, *lines: object) -> ScriptedProvider:
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(*lines)  # type: ignore[arg-type]
    return world.provider


def results(provider: ScriptedProvider) -> list[str]:
    """What the model read of its tools in the last request."""
    messages: tuple[Message, ...] = provider.requests[-1].messages
    return [message.content for message in messages if message.role == "tool"]


async def start(world: World, settings: BudgetSettings | None = None) -> None:
    await world.start()
    await world.node.start(child(Breakers, name="breakers"))
    await world.node.start(child(Ledger, settings, name="ledger"))
    await world.node.advance(1.0)


async def hold_back(world: World, name: str) -> None:
    await world.run(partial(Breakers.open, "breakers", name, "person:ada", "being moved"))


async def test_the_model_is_told_what_is_held_back_and_why(world: World):
    provider = script(world, Call("work.once", {"what": "x"}), "Then not.")
    await start(world)
    await hold_back(world, "tool:work.once")
    await world.post()
    assert "Then not." in await world.until_answered()
    (text,) = results(provider)
    assert text.startswith(
        "Failed: tool:work.once is held back until somebody closes its breaker (being moved)"
    )
    assert world.book.runs == []


async def test_another_tool_stands_in_where_the_record_says_so_and_the_model_is_told(world: World):
    (world.garden / "agents" / "scout.md").write_text(STAND_IN)
    provider = script(
        world, Call("work.once", {"what": "x"}), "Well.", Call("work.once", {"what": "y"}), "Good."
    )
    await start(world)
    await hold_back(world, "tool:work.once")
    await world.post()
    await world.until_answered()
    assert results(provider) == [
        "(work.once is held back now; work.again was called with the same arguments instead)\ndid x again"
    ]
    await world.run(partial(Breakers.close, "breakers", "tool:work.once", "person:ada"))
    await world.post("more")
    await world.until_answered(2)
    assert results(provider)[-1:] == ["did y once"]
    assert [name for name, _ in world.book.runs] == ["again", "once"]


async def test_what_cannot_stand_in_does_not(world: World):
    (world.garden / "agents" / "scout.md").write_text(STAND_IN.replace("work.again", "work.nobody"))
    provider = script(world, Call("work.once", {"what": "x"}), "Then not.")
    await start(world)
    await hold_back(world, "tool:work.once")
    await world.post()
    await world.until_answered()
    assert "tool:work.once is held back" in results(provider)[0]


async def test_a_budget_that_is_spent_ends_the_turn_and_keeps_what_was_said(world: World):
    script(world, Call("work.once", {"what": "x"}, text="First I look."), "Never said.")
    await start(world, BudgetSettings(agent=Limits(calls_per_day=2)))
    await world.post()
    (said, *_) = await world.until_answered()
    assert said.startswith(
        "I could not answer: the budget of agent:scout does not allow it: 1 of 2 calls_per_day"
    )
    assert said.endswith("This is what I had so far:\n\nFirst I look.")
    (turn,) = await world.events("turn.finished")
    assert turn.payload["outcome"] == "failed"
    (refused,) = await world.events("budget.exhausted", session="budget")
    assert (refused.payload["account"], refused.payload["limit"]) == ("agent:scout", "calls_per_day")
