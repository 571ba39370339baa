"""Model services that fail, over real sockets: another one answers, and room and journal say how it came to that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from planaria.agents.guard.halting import Target
from planaria.agents.past.replay import replay
from planaria.agents.past.source import JournalSource
from planaria.agents.stop import stop
from planaria.agents.turn.events import ModelDelayed, ModelFailed, ModelRequested, ModelResponded
from planaria.config.providers import LimitSettings, ModelDetails, ProviderSettings
from planaria.config.settings import ModelSettings
from planaria.cortex.event import Event
from planaria.immune.amount import Amount
from planaria.immune.ledger.ledger import accounts_of
from planaria.membrane.calls.lane import Permit
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.process import Calls, wait_for_permit
from planaria.membrane.models.catalogue import Ability, ProviderLimits
from planaria.membrane.models.models import Models
from planaria.nerve.trace.build import build
from planaria.otp import Node, Pid, child, exit_signal, node_, supervisor
from planaria.rooms.message import ReplyDelta, RoomMessage, TurnState
from planaria.testing.fault_server import FaultServer
from planaria.testing.faults import FAULTS, RETRY_AFTER, TEXT
from planaria.testing.model_answer import Answer
from tests.agents.support import GARDEN, SCOUT, TrapStore, World

SILENCE = 0.25
"""Seconds of silence that are borne here."""
GOOD = "from the other one"
BROKEN = {name: fault for name, fault in FAULTS.items() if fault.becomes is not None}
PARTIAL = ("hang", "cut_mid_token", "error_in_stream")
"""Faults in the middle of an answer, of which people have seen a piece."""


class Garden(World):
    """A garden whose agent asks `bad` first, then `good`."""

    def __init__(
        self,
        folder: Path,
        bad: FaultServer,
        good: FaultServer | None,
        kind: str = "openai",
        queue: int | None = None,
        can: tuple[Ability, ...] | None = None,
    ) -> None:
        super().__init__(Node("garden"), folder, None, TrapStore())  # type: ignore[arg-type]
        self.good: FaultServer
        self.permits = Permits()
        prices = ModelDetails(usd_in=2.0, usd_out=10.0, abilities=can)
        limits = LimitSettings(
            first_byte_s=SILENCE, idle_s=SILENCE, queue=queue, concurrency=None if queue is None else 1
        )
        providers = {
            "bad": ProviderSettings(
                kind=kind, base_url=bad.url, models=("m",), about={"m": prices}, limits=limits
            )
        }
        if good is not None:
            providers["good"] = ProviderSettings(base_url=good.url, models=("works",))
        settings = ModelSettings("bad/m", providers, fallback={"default": ("good/works",) if good else ()})
        self.models = Models.discover(settings, {})  # type: ignore[assignment]

    def tree(self, environ: dict[str, str] | None = None) -> Any:
        inner = super().tree(environ)
        return supervisor(child(Calls, self.permits, name="calls"), inner, name="all", max_restarts=100)

    async def ask(self, number: int = 1) -> list[object]:
        """Say something; all that is heard in the room until the agent has answered."""
        heard: list[object] = []
        async with self.node.open_port() as port:
            self.node.subscribe(GARDEN, port.pid)
            await self.post("hello", str(number))
            while not isinstance(last := heard[-1] if heard else None, RoomMessage) or last.author != "scout":
                heard.append(await port.receive(20.0))
        return heard

    async def calls(self) -> list[Event]:
        return await self.events(ModelRequested.kind, ModelResponded.kind, ModelFailed.kind)


@asynccontextmanager
async def garden_of(
    folder: Path,
    *faults: str,
    kind: str = "openai",
    alone: bool = False,
    queue: int | None = None,
    can: tuple[Ability, ...] | None = None,
) -> AsyncIterator[tuple[Garden, FaultServer]]:
    """A garden that runs: its first model service fails like this, one fault after the other."""
    (folder / "agents").mkdir()
    (folder / "agents" / "scout.md").write_text(SCOUT)
    async with FaultServer() as bad, FaultServer() as good:
        for fault in faults:
            bad.inject(fault)
        good.fallback.text = GOOD
        garden = Garden(folder, bad, None if alone else good, kind, queue, can)
        garden.services = {Permits: garden.permits}
        async with garden.node:
            await garden.node.start(garden.tree())
            while garden.node.whereis("session:scout@garden") is None:
                await asyncio.sleep(0)
            try:
                garden.good = good
                yield garden, bad
            finally:
                bad.release()
                good.release()


def told(heard: list[object]) -> list[ReplyDelta]:
    return [each for each in heard if isinstance(each, ReplyDelta)]


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(name, "openai") for name in BROKEN]
    + [(name, "anthropic") for name in (*PARTIAL, "overloaded", "bad_json", "early_end")],
)
async def test_when_a_service_fails_another_one_answers(fault: str, kind: str, tmp_path: Path):
    becomes = FAULTS[fault].becomes
    assert becomes is not None
    async with garden_of(tmp_path, fault, kind=kind) as (garden, _):
        heard = await garden.ask()
        assert (await garden.answers()) == [GOOD]
        asked, failed, again, answered = await garden.calls()
        assert [each.payload["provider"] for each in (asked, failed, again, answered)] == [
            *("bad", "bad", "good", "good"),
        ]
        assert (again.payload["attempt"], answered.payload["attempt"]) == (2, 2)
        problem = ModelFailed.of(failed)
        assert (problem.fault, problem.then, problem.attempt) == (becomes.kind, "other", 1)
        said = "".join(each.text for each in told(heard))
        assert problem.text or (fault, kind) not in [(each, "openai") for each in PARTIAL]
        if problem.text:  # people have seen a piece, and are told that it does not count
            struck = [each for each in told(heard) if each.again]
            assert [each.text for each in struck] == [""] and "another model is asked" in struck[0].again
            assert problem.text and said.startswith(problem.text) and said.endswith(GOOD)
        else:
            assert said.strip() == GOOD and not any(each.again for each in told(heard))
        assert garden.permits.lanes["bad"].held == set()


async def test_both_attempts_are_in_replay_and_trace(tmp_path: Path):
    async with garden_of(tmp_path, "hang") as (garden, _):
        await garden.ask()
        view = await garden.node.run(replay, JournalSource(), "session:scout@garden")
        answer = view.steps[-1]
        assert answer.model == "good/works" and len(answer.failures) == 1
        assert "fell silent" in answer.failures[0]
        message = (await garden.said())[0]
        events = await garden.events(session=None)
        trace = build(
            message.trace_id,
            [each for each in events if each.trace_id == message.trace_id],
            now=events[-1].at,
        )
        tries = [node for node in trace.nodes if node.kind == "model"]
        assert [(node.title, node.state) for node in tries] == [("bad/m", "failed"), ("good/works", "done")]
        assert "fell silent" in tries[0].said and "another model is asked" in tries[0].said


async def test_what_a_failed_attempt_cost_is_on_the_bill(tmp_path: Path):
    """Anthropic tells what the prompt cost before it begins to answer."""
    async with garden_of(tmp_path, "hang", kind="anthropic") as (garden, _):
        await garden.ask()
        (failed,) = await garden.events(ModelFailed.kind)
        problem = ModelFailed.of(failed)
        assert problem.usage is not None and problem.usage.input_tokens == 10
        assert problem.cost_micro == 10 * 2 + problem.usage.output_tokens * 10


async def test_who_asked_for_time_is_left_alone_and_the_other_one_asked_at_once(tmp_path: Path):
    async with garden_of(tmp_path, "rate_limited") as (garden, bad):
        await garden.ask(1)
        await garden.ask(2)
        asked = [each.payload["provider"] for each in await garden.events(ModelRequested.kind)]
        assert asked == ["bad", "good", "good"]
        assert len(bad.requests) == 1
        resting = await garden.node.run(_usage, garden)
        assert f"{RETRY_AFTER} s more" in resting


async def _usage(garden: Garden) -> str:
    return garden.permits.usage(True)["bad"].resting


async def test_a_session_killed_during_the_second_attempt_makes_that_one_again_and_not_the_first(
    tmp_path: Path,
):
    async with garden_of(tmp_path, "server_error") as (garden, bad):
        garden.good.answers.append(Answer(GOOD, hold_at=3))
        asking = asyncio.create_task(garden.ask())
        await garden.good.held()
        await garden.node.run(_kill, garden.node["session:scout@garden"])
        garden.good.release()
        await asking
        assert (await garden.answers()) == [GOOD]
        keys = [each.headers["idempotency-key"] for each in garden.good.requests]
        assert len(keys) == 2 and len(set(keys)) == 1 and keys[0].endswith("/0/2")
        assert len(bad.requests) == 1
        asked = [each.payload["provider"] for each in await garden.events(ModelRequested.kind)]
        assert asked == ["bad", "good"]


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


async def test_where_there_is_nobody_else_the_same_one_is_asked_again_under_the_same_key(tmp_path: Path):
    async with garden_of(tmp_path, "cut_mid_token", alone=True) as (garden, bad):
        heard = await garden.ask()
        assert (await garden.answers()) == [TEXT]
        keys = [each.headers["idempotency-key"] for each in bad.requests]
        assert len(keys) == 2 and len(set(keys)) == 1
        (struck,) = [each for each in told(heard) if each.again]
        assert "it is asked again" in struck.again
        doing = [(each.state, each.doing) for each in heard if isinstance(each, TurnState) and each.doing]
        assert doing == [
            ("waiting", "bad/m failed (stream cut), the next try is in 1 s"),
            ("thinking", "step 1"),
        ]
        (failed,) = await garden.events(ModelFailed.kind)
        assert (ModelFailed.of(failed).then, ModelFailed.of(failed).wait) == ("again", 1.0)


async def test_what_no_other_attempt_can_mend_is_said_at_once(tmp_path: Path):
    async with garden_of(tmp_path, "no_key", alone=True) as (garden, bad):
        await garden.ask()
        (text,) = await garden.answers()
        assert text.startswith("I could not answer: bad ")
        assert len(bad.requests) == 1


async def test_one_that_waits_for_its_turn_says_before_whom(tmp_path: Path):
    async with garden_of(tmp_path, alone=True, queue=5) as (garden, _):
        permit = await garden.node.run(_take, garden)
        waiting = asyncio.create_task(garden.ask())
        while not garden.permits.lanes["bad"].queue:
            await asyncio.sleep(0)
        view = await garden.view()
        await garden.node.run(_give, garden, permit)
        heard = await waiting
        words = "1 calls are under way at bad, 0 wait before it"
        assert [each.doing for each in heard if isinstance(each, TurnState) and each.doing] == [
            words,
            "step 1",
        ]
        assert (view.status, view.doing) in (("waiting", words), ("thinking", "step 1"))
        asked = ModelRequested.of((await garden.events(ModelRequested.kind))[0])
        assert asked.waited_ms > 0.0 and await garden.answers() == [TEXT]


@pytest.mark.parametrize("how", ["/stop", "stop"])
async def test_one_that_is_stopped_while_it_waits_leaves_the_queue_and_holds_nothing(
    tmp_path: Path, how: str
):
    async with garden_of(tmp_path, alone=True, queue=5) as (garden, bad):
        permit = await garden.node.run(_take, garden)
        waiting = asyncio.create_task(garden.ask())
        lane = garden.permits.lanes["bad"]
        while not lane.queue:
            await asyncio.sleep(0)
        if how == "/stop":
            await garden.post("/stop")
        else:
            await garden.run(stop, Target("room", "garden"), by="ada")
        await waiting
        assert await garden.answers() == ["(stopped by ada)"]
        assert len(lane.queue) == 0 and [each for each in lane.held if each is not permit] == []
        book = await garden.run(_reserved)
        assert book == {}
        await garden.node.run(_give, garden, permit)
        assert not lane.held
        await garden.ask(2)
        assert (await garden.answers(), len(bad.requests)) == (["(stopped by ada)", TEXT], 1)


async def test_one_that_finds_every_queue_full_says_so_and_is_served_when_there_is_a_place(tmp_path: Path):
    async with garden_of(tmp_path, alone=True, queue=1) as (garden, _):
        permit = await garden.node.run(_take, garden)
        other = garden.node.spawn(_queue_up, garden)
        while not garden.permits.lanes["bad"].queue:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(garden.ask())
        while "1 calls are under way and 1 wait already" not in (await garden.view()).doing:
            await asyncio.sleep(0)
        await garden.node.run(_give, garden, permit)
        await waiting
        assert await garden.answers() == [TEXT] and not other.alive
        assert not await garden.events(ModelDelayed.kind)  # it was not left waiting for half a minute


def _limits(garden: Garden) -> ProviderLimits:
    provider = garden.models.catalogue.provider("bad")  # type: ignore[attr-defined]
    limits: ProviderLimits = provider.limits
    return limits


async def _take(garden: Garden) -> Permit | None:
    permit = garden.permits.acquire_nowait("bad", _limits(garden), "somebody else", 1)
    if permit is not None:
        permit.holder = garden.node["journal"]  # a process that lives on
    return permit


async def _give(garden: Garden, permit: Permit) -> None:
    garden.permits.give_back(permit)


async def _reserved() -> dict[str, Amount]:
    """What is set aside, by account."""
    reserved = accounts_of(node_()).book.reserved()
    return {name: amount for name, amount in reserved.items() if amount != Amount()}


async def _queue_up(garden: Garden) -> None:
    garden.permits.give_back(await wait_for_permit("bad", _limits(garden), "somebody else", 1))


async def test_who_has_tools_asks_no_model_that_cannot_use_them(tmp_path: Path):
    async with garden_of(tmp_path, can=("json",)) as (garden, bad):
        await garden.ask()
        assert (await garden.answers(), bad.requests) == ([GOOD], [])


async def test_where_there_is_no_other_model_it_is_said_what_this_one_cannot_do(tmp_path: Path):
    async with garden_of(tmp_path, alone=True, can=("json",)) as (garden, _):
        await garden.ask()
        (said,) = await garden.answers()
        assert "bad/m: it cannot do tools" in said
