"""A limit that is passed ends every turn that spends from it, at once; what was written stays."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from planaria.agents.turn.events import ModelFailed
from planaria.agents.turn.guard_events import RestartChosen, TurnStopped
from planaria.config.budget import BudgetSettings, Limits
from planaria.cortex.durable.letters import DeadLettered
from planaria.immune.ledger.account_views import AccountView
from planaria.immune.ledger.keeper import Ledger
from planaria.membrane.errors import StreamCut
from planaria.membrane.provider import ModelRequest, Piece, TextDelta
from planaria.otp import ChildSpec, child, sleep, supervisor
from planaria.testing.models import Fail, ScriptedProvider
from planaria.testing.node import TestNode
from tests.agents.support import SCOUT, TrapStore, World

KILO = "moss and stone " * 70
"""A bit more than a thousand characters, 263 tokens."""
BOTH = SCOUT.replace("tools:", "rooms: [garden, kitchen]\ntools:")


class Rationed(World):
    """A garden with a ledger."""

    settings = BudgetSettings(agent=Limits(tokens_per_day=5_000))

    def tree(self, environ: dict[str, str] | None = None) -> ChildSpec:
        inner = super().tree(environ)
        # The journal comes first: it is in the tree of the others.
        ledger = child(Ledger, self.settings, name="ledger")
        return supervisor(inner, ledger, name="all", max_restarts=100)

    async def spent(self, account: str) -> AccountView:
        views: Sequence[AccountView] = await Ledger.views(self.node["ledger"], account)
        return views[0]


class Pouring:
    """Writes a thousand characters each second, for ever."""

    name = "pouring"

    def __init__(self) -> None:
        self.begun = self.left = 0

    async def stream(self, request: ModelRequest) -> Any:
        self.begun += 1
        number = 0
        try:
            while True:
                number += 1
                piece: Piece = TextDelta("".join(f"moss {number * 1000 + n} " for n in range(100)))
                yield piece
                await sleep(1.0)
        finally:
            self.left += 1

    async def models(self) -> list[Any]:
        return []


@pytest.fixture
async def world(node: TestNode, tmp_path: Path) -> Rationed:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "scout.md").write_text(BOTH)
    return Rationed(node, tmp_path, ScriptedProvider(), TrapStore())


async def test_answers_in_two_rooms_that_pass_a_limit_together_are_both_stopped(world: Rationed):
    world.models.provider = pouring = Pouring()
    await world.start()
    await world.post()
    await world.post(room="room:kitchen")
    await world.node.advance(3.0)
    assert (pouring.begun, pouring.left) == (2, 0)
    await world.node.advance(12.0)
    assert pouring.left == pouring.begun == 2
    for room in ("room:garden", "room:kitchen"):
        (answer,) = await world.answers(room)
        assert answer.startswith("moss 1000 moss 1001")
        assert answer.endswith("`planaria budget set agent:scout tokens_per_day=…` gives it more)")
        assert "(stopped by budget: the budget of agent:scout is spent: 5," in answer
    stops = [TurnStopped.of(each) for each in await world.events(TurnStopped.kind, session=None)]
    assert [each.by for each in stops] == ["budget", "budget"]
    estimates = [each.estimate for each in stops]
    assert all(each is not None and each.usage.output_tokens >= 2_000 for each in estimates)
    (event,) = await world.events("budget.exhausted", session="budget")
    assert sorted(event.payload["stopped"]) == ["session:scout@garden", "session:scout@kitchen"]
    assert await world.events(DeadLettered.kind, session=None) == []
    # What was stopped is charged as estimated: the limit is met, and not by much.
    view = await world.spent("agent:scout")
    assert 5_000 <= view.today.tokens == view.today_estimated.tokens < 5_700
    assert view.reserved.tokens == 0
    await world.kill("ledger")
    assert await world.spent("agent:scout") == view


async def test_what_waits_behind_a_turn_that_is_stopped_gets_its_own_turn(world: Rationed):
    world.settings = BudgetSettings(agent=Limits(tokens_per_turn=2_000))
    world.models.provider = pouring = Pouring()
    await world.start()
    await world.post()
    await world.node.advance(1.0)
    await world.post("and this?", "2")
    await world.node.advance(10.0)
    assert pouring.left == pouring.begun == 1
    assert len(await world.events(TurnStopped.kind)) == 1
    # The second message is no part of it: its prompt, which has the first answer in it, is too dear for a call.
    first, second = await world.answers()
    assert "the budget of this turn is spent" in first
    assert second.startswith("I could not answer: the budget of this turn does not allow it: 0 of 2,000")


async def test_the_record_may_say_that_a_person_is_asked(world: Rationed):
    (world.garden / "agents" / "scout.md").write_text(
        BOTH.replace("tools:", "restart: [{on: budget, do: ask}]\ntools:")
    )
    world.models.provider = pouring = Pouring()
    await world.start()
    await world.post()
    await world.node.advance(40.0)
    assert pouring.left == pouring.begun == 1
    (choice,) = await world.events(RestartChosen.kind)
    assert (choice.payload["cause"], choice.payload["mode"]) == ("budget", "ask")
    assert (await world.spent("agent:scout")).today_estimated.tokens >= 5_000


async def test_a_stream_that_breaks_is_charged_as_estimated_until_the_same_attempt_is_answered(
    world: Rationed,
):
    assert isinstance(world.provider, ScriptedProvider)
    world.provider.add(Fail(StreamCut("cut"), (KILO,)), "It is the north side.")
    await world.start()
    await world.post()
    await world.node.advance(0.5)
    (event,) = await world.events(ModelFailed.kind)
    estimate = ModelFailed.of(event).estimate
    assert estimate is not None and estimate.usage.output_tokens == 263 and estimate.usage.input_tokens > 10
    assert estimate.cost_micro == estimate.usage.input_tokens * 2 + estimate.usage.output_tokens * 3
    view = await world.spent("agent:scout")
    assert view.today.tokens == view.today_estimated.tokens == estimate.usage.input_tokens + 263
    await world.until_answered()
    # The second try was the first under its key, which was charged once.
    view = await world.spent("agent:scout")
    assert (view.today.tokens, view.today_estimated.tokens) == (15, 0)
