"""Permits for providers: how many calls at once, how many in a minute and a day, who waits, and what a kill does."""

import random
from collections.abc import Awaitable, Callable

import pytest

from planaria.immune.amount import Amount
from planaria.membrane.calls.permits import Permits
from planaria.membrane.calls.process import Calls, QueueChanged, wait_for_permit
from planaria.membrane.errors import HeldBack, QueueFull
from planaria.membrane.models.catalogue import ProviderLimits
from planaria.membrane.models.router import ProviderUsage
from planaria.membrane.provider import Usage
from planaria.otp import Pid, child, exit_signal, sleep, supervisor, wall_time
from planaria.testing.node import TestNode


class Line:
    """Callers of one provider: who has got a permit, in order, and what became of those who did not."""

    def __init__(self, node: TestNode, limits: ProviderLimits) -> None:
        self.node = node
        self.limits = limits
        self.permits = Permits()
        self.served: list[str] = []
        self.refused: list[str] = []
        self.most = 0

    async def start(self) -> None:
        await self.node.start(
            supervisor(child(Calls, self.permits, name="calls"), name="root", max_restarts=100)
        )

    def caller(self, flow: str, seconds: float = 1.0, tokens: int = 10) -> Pid:
        """A process that makes one call which lasts so long."""
        return self.node.spawn(self._call, flow, seconds, tokens)

    async def _call(self, flow: str, seconds: float, tokens: int) -> None:
        try:
            permit = self.permits.acquire_nowait("p", self.limits, flow, tokens)
            if permit is None:
                permit = await wait_for_permit("p", self.limits, flow, tokens)
        except (HeldBack, QueueFull) as error:
            self.refused.append(f"{flow}: {error}")
            return
        self.served.append(flow)
        self.most = max(self.most, len(self.permits.lanes["p"].held))
        try:
            await sleep(seconds)
        finally:
            self.permits.give_back(permit, Usage(tokens, 0), 1000)

    async def kill(self, pid: Pid) -> None:
        await self.node.run(_kill, pid)

    def waiting(self) -> int:
        return len(self.permits.lanes["p"].queue)

    def held(self) -> int:
        return len(self.permits.lanes["p"].held)


async def _kill(pid: Pid) -> None:
    exit_signal(pid, "kill")


@pytest.fixture
def line(node: TestNode) -> Callable[..., Awaitable[Line]]:
    async def make(**limits: int | float | None) -> Line:
        made = Line(node, ProviderLimits(**limits))  # type: ignore[arg-type]
        await made.start()
        return made

    return make


type Make = Callable[..., Awaitable[Line]]


async def test_an_unloaded_provider_costs_no_message(node: TestNode):
    permits, limits = Permits(), ProviderLimits(concurrency=2)

    async def take() -> int:
        permit = permits.acquire_nowait("p", limits, "a", 10)
        assert permit is not None
        permits.give_back(permit)
        permits.give_back(permit)  # twice counts once
        return len(permits.lanes["p"].held)

    assert await node.run(take) == 0  # nobody is there who could be asked


async def test_no_more_calls_are_under_way_than_may_be(line: Make):
    made = await line(concurrency=3)
    for number in range(10):
        made.caller(f"s{number}")
    await made.node.settle()
    assert (made.held(), made.waiting()) == (3, 7)
    await made.node.advance(10.0)
    assert (len(made.served), made.most, made.held(), made.waiting()) == (10, 3, 0, 0)


async def test_a_session_with_many_calls_does_not_starve_one_with_few(line: Make):
    made = await line(concurrency=1)
    for _ in range(20):
        made.caller("busy")
    await made.node.settle()
    made.caller("quiet")
    await made.node.advance(3.5)
    assert "quiet" in made.served


async def test_a_full_queue_refuses_and_says_so(line: Make):
    made = await line(concurrency=1, queue=2)
    for number in range(4):
        made.caller(f"s{number}")
        await made.node.settle()
    assert made.refused == ["s3: p is busy: 1 calls are under way and 2 wait already"]


async def test_the_permit_of_a_killed_holder_goes_to_who_waits(line: Make):
    made = await line(concurrency=1)
    holder = made.caller("a", seconds=1e9)
    await made.node.settle()
    made.caller("b")
    await made.node.settle()
    await made.kill(holder)
    await made.node.settle()
    assert made.served == ["a", "b"]


async def test_a_permit_that_a_dead_process_could_not_give_back_is_found_when_it_is_needed(node: TestNode):
    permits, limits = Permits(), ProviderLimits(concurrency=1)

    async def leak() -> None:
        assert permits.acquire_nowait("p", limits, "a", 10) is not None

    async def take() -> bool:
        return permits.acquire_nowait("p", limits, "b", 10) is not None

    await node.run(leak)
    assert await node.run(take)


async def test_one_who_is_killed_while_waiting_leaves_the_queue(line: Make):
    made = await line(concurrency=1)
    made.caller("a", seconds=5.0)
    await made.node.settle()
    waiter = made.caller("b")
    made.caller("c")
    await made.node.settle()
    await made.kill(waiter)
    await made.node.settle()
    assert made.waiting() == 1
    await made.node.advance(6.0)
    assert made.served == ["a", "c"]


async def test_permits_outlive_the_process_that_hands_them_out(line: Make):
    made = await line(concurrency=2)
    for number in range(6):
        made.caller(f"s{number}", seconds=10.0)
    await made.node.settle()
    before = made.node["calls"]
    await made.kill(before)
    await made.node.advance(1.0)
    assert made.node["calls"] is not before
    assert (made.held(), made.waiting()) == (2, 4)  # who waited has asked again
    await made.node.advance(40.0)
    assert (len(made.served), made.most) == (6, 2)


async def test_calls_of_a_minute_are_let_through_evenly(line: Make):
    made = await line(concurrency=None, requests_per_minute=6)
    for number in range(9):
        made.caller(f"s{number}", seconds=0.1)
    await made.node.settle()
    assert len(made.served) == 6
    await made.node.advance(10.5)
    assert len(made.served) == 7
    await made.node.advance(20.0)
    assert len(made.served) == 9


async def test_tokens_of_a_minute_are_counted_as_they_were_used(line: Make):
    made = await line(concurrency=None, tokens_per_minute=600)
    made.caller("a", seconds=0.1, tokens=500)
    await made.node.settle()
    made.caller("b", seconds=0.1, tokens=400)
    await made.node.advance(29.0)
    assert made.served == ["a"]
    await made.node.advance(2.0)
    assert made.served == ["a", "b"]


async def test_what_was_estimated_too_high_is_given_back(node: TestNode):
    permits, limits = Permits(), ProviderLimits(tokens_per_minute=1000)

    async def two() -> bool:
        first = permits.acquire_nowait("p", limits, "a", 900)
        assert first is not None and permits.acquire_nowait("p", limits, "b", 900) is None
        permits.give_back(first, Usage(50, 20))
        return permits.acquire_nowait("p", limits, "b", 900) is not None

    assert await node.run(two)


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        ({"requests_per_day": 2}, "its 2 requests of today are used up"),
        ({"tokens_per_day": 20}, "its 20 tokens of today are used up"),
        ({"micro_usd_per_day": 2000}, "its 0.002 USD of today are used up"),
    ],
)
async def test_a_limit_of_the_day_leaves_the_provider_out_until_tomorrow(
    line: Make, limit: dict[str, int], why: str
):
    made = await line(**limit)
    for number in range(3):
        made.caller(f"s{number}")
        await made.node.advance(2.0)
    assert len(made.served) == 2 and why in made.refused[0]
    assert (await made.node.run(_usage, made)).requests_day == 2
    await made.node.advance(86_400.0)
    made.caller("s3")
    await made.node.advance(2.0)
    assert len(made.served) == 3


async def test_a_provider_that_asked_for_time_gets_it_from_everybody(line: Make):
    made = await line(concurrency=4)
    await made.node.run(_rest, made, 30.0)
    made.caller("a")
    await made.node.advance(29.0)
    assert made.served == [] and made.waiting() == 1
    await made.node.advance(2.0)
    assert made.served == ["a"]


async def test_nobody_waits_for_one_that_asked_for_more_than_a_minute(line: Make):
    made = await line(concurrency=4)
    await made.node.run(_rest, made, 3600.0)
    made.caller("a")
    await made.node.settle()
    mend = "`planaria provider release p` ends that"
    assert made.refused == [f"a: p is left out for 3600 s more: it asked for time; {mend}"]
    assert "it asked for time" in (await made.node.run(_usage, made)).resting


async def test_one_that_is_released_by_hand_serves_who_waits_and_old_turns_do_not_bring_the_rest_back(
    line: Make,
):
    made = await line(concurrency=4)
    await made.node.run(_rest, made, 40.0)
    until = await made.node.run(_moment, 40.0)
    made.caller("a")
    await made.node.advance(1.0)
    assert await made.node.run(_release) == (39.0, "it asked for time")
    await made.node.settle()
    assert made.served == ["a"]
    assert made.permits.is_void("p", until) and not made.permits.is_void("p", until + 60.0)
    assert await made.node.run(_release) == (0.0, "")


async def _release() -> tuple[float, str]:
    return await Calls.release("calls", "p")


async def _moment(seconds: float) -> float:
    return wall_time() + seconds


async def _rest(made: Line, seconds: float) -> None:
    made.permits.rest("p", made.limits, seconds, "it asked for time")


async def _usage(made: Line) -> ProviderUsage:
    return made.permits.usage()["p"]


async def test_more_room_at_run_time_serves_those_who_wait(line: Make):
    made = await line(concurrency=1)
    for flow in ("a", "b"):
        made.caller(flow, seconds=100.0)
        await made.node.settle()
    made.limits = ProviderLimits(concurrency=3)
    made.caller("c", seconds=100.0)
    await made.node.settle()
    assert sorted(made.served) == ["a", "b", "c"]


async def test_the_queue_is_told_to_whoever_listens(line: Make):
    made = await line(concurrency=1)
    async with made.node.open_port() as port:
        made.node.subscribe("calls", port.pid)
        for number in range(3):
            made.caller(f"s{number}", seconds=10.0)
        await made.node.advance(1.0)
        told = await port.receive(1.0)
    assert isinstance(told, QueueChanged)
    assert (told.provider, told.in_flight, told.waiting, told.sessions) == ("p", 1, 2, 2)


async def test_any_storm_of_callers_and_kills_keeps_the_limit_and_forgets_nobody(line: Make):
    made = await line(concurrency=4, queue=None)
    chance = random.Random(5)
    alive: list[Pid] = []
    for number in range(120):
        alive.append(made.caller(f"s{number % 7}", seconds=chance.random() * 3))
        if chance.random() < 0.2:
            await made.kill(alive.pop(chance.randrange(len(alive))))
        if chance.random() < 0.03:
            await made.kill(made.node["calls"])
        if chance.random() < 0.3:
            await made.node.advance(chance.random())
    await made.node.advance(200.0)
    assert made.most <= 4 and made.held() == 0 and made.waiting() == 0
    assert not any(pid.alive for pid in alive)


async def test_what_was_used_today_before_the_start_counts(node: TestNode):
    permits, limits = Permits(), ProviderLimits(requests_per_day=3)

    async def take() -> str:
        permits.remember({"p": Amount(500, 100, 3)})
        with pytest.raises(HeldBack) as refused:
            permits.acquire_nowait("p", limits, "a", 1)
        return str(refused.value)

    assert "its 3 requests of today are used up" in await node.run(take)


async def test_what_was_used_before_the_start_is_of_that_day_alone(node: TestNode):
    """A provider that is first called days after the start has all of that day's limit."""
    permits, limits = Permits(), ProviderLimits(requests_per_day=3)

    async def remember() -> None:
        permits.remember({"p": Amount(500, 100, 3)})

    await node.run(remember)
    await node.advance(2 * 86_400.0)

    async def take() -> bool:
        return permits.acquire_nowait("p", limits, "a", 1) is not None

    assert await node.run(take)
