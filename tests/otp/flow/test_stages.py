"""Producers, consumers and those between: demand, batches, pressure, ends."""

from typing import Any

import pytest

from planaria.otp import (
    Crash,
    EventsDropped,
    KernelEvent,
    NoProcess,
    Pid,
    Producer,
    RateLimiter,
    Shutdown,
    StartFailed,
    child,
    exit_signal,
    spawn,
    supervisor,
)
from planaria.otp.flow.subscription import demand_range
from planaria.testing.node import TestNode
from tests.otp.support import idle

from .support import Collector, Hand, Numbers, Times


async def started(node: TestNode, cls: Any, *args: Any, **kwargs: Any) -> Pid:
    """A stage linked to nobody."""

    async def start() -> Pid:
        pid: Pid = await cls.start(*args, **kwargs)
        return pid

    return await node.run(start)


async def killed(node: TestNode, pid: Pid, reason: object = "kill") -> None:
    """End a process from outside and let the others take note."""

    async def kill() -> None:
        exit_signal(pid, reason)

    await node.run(kill)
    await node.settle()


# --- demand -----------------------------------------------------------------------------------------------------


async def test_a_producer_gives_what_was_asked_and_no_more(node: TestNode) -> None:
    producer = await started(node, Numbers)
    consumer = await started(node, Collector, producer, max_demand=10, manual=True)
    await node.settle()
    assert await Numbers.made(producer) == (0, [])
    await Collector.want(consumer, 3)
    await node.settle()
    assert await Collector.got(consumer) == [0, 1, 2]
    assert await Numbers.made(producer) == (3, [3])


async def test_a_consumer_asks_again_when_no_more_than_min_demand_is_outstanding(node: TestNode) -> None:
    producer = await started(node, Numbers, 0, 100)
    consumer = await started(node, Collector, producer, max_demand=10, min_demand=6, cancel="temporary")
    await node.settle()
    assert await Collector.got(consumer) == list(range(100))
    sizes = await Collector.sizes(consumer)
    assert max(sizes) == 4  # max_demand - min_demand
    assert sum(sizes) == 100


async def test_a_slow_consumer_makes_the_producer_idle(node: TestNode) -> None:
    """Pressure travels upstream through two stages, and what is under way stays bounded."""
    producer = await started(node, Numbers)
    middle = await started(node, Times, producer, max_demand=10)
    consumer = await started(node, Collector, middle, 1.0, max_demand=10)
    await node.settle()
    made_before, _ = await Numbers.made(producer)
    assert made_before <= 30
    await node.settle()
    assert (await Numbers.made(producer))[0] == made_before  # nobody moves while the consumer is busy
    body: Any = consumer.body
    for _ in range(200):
        await node.advance(1.0)
        handled = sum(map(len, body.batches))
        made, _ = await Numbers.made(producer)
        assert node.info(middle).queue_len + node.info(consumer).queue_len <= 10
        assert made - handled <= 30
    assert sum(map(len, body.batches)) > 900


async def test_demand_that_was_not_met_is_met_later(node: TestNode) -> None:
    hand = await started(node, Hand)
    consumer = await started(node, Collector, hand, max_demand=4)
    await node.settle()
    assert await Hand.asked_for(hand) == [4]
    await Hand.give(hand, "a")
    await Hand.give(hand, "b", "c")
    await node.settle()
    assert await Collector.got(consumer) == ["a", "b", "c"]
    # Three of four have come: three more are wanted, and the one still owed is not asked for again.
    assert await Hand.asked_for(hand) == [4, 3]


async def test_demand_can_be_held_until_all_are_there(node: TestNode) -> None:
    class Patient(Numbers):
        demand_mode = "accumulate"

    producer = await started(node, Patient, 0, 5)
    consumer = await started(node, Collector, producer, cancel="temporary")
    await node.settle()
    assert await Patient.made(producer) == (0, [])
    await Patient.set_demand(producer, "forward")
    await node.settle()
    assert await Collector.got(consumer) == [0, 1, 2, 3, 4]


async def test_one_consumer_may_have_several_producers(node: TestNode) -> None:
    one, other = await started(node, Numbers, 0, 3), await started(node, Numbers, 100, 103)
    consumer = await started(node, Collector)
    for producer in (one, other):
        await Collector.subscribe(consumer, producer, cancel="temporary")
    await node.settle()
    assert sorted(await Collector.got(consumer)) == [0, 1, 2, 100, 101, 102]


async def test_async_demand_and_events_work_alike(node: TestNode) -> None:
    class Slow(Producer):
        def init(self) -> None:
            self.given = 0

        async def handle_demand(self, demand: int) -> list[int]:
            self.given += demand
            return [0] * demand

    producer = await started(node, Slow)
    consumer = await started(node, Collector, producer, 1.0, max_demand=4)
    await node.advance(10.5)
    body: Any = consumer.body
    assert len(body.batches) == 10


# --- the buffer -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keep", "left"), [("last", [3, 4, 5]), ("first", [1, 2, 3])])
async def test_what_nobody_asked_for_is_kept_up_to_the_buffers_size(
    node: TestNode, keep: Any, left: list[int]
) -> None:
    class Small(Hand):
        buffer_size = 3
        buffer_keep = keep

    told: list[tuple[int, str]] = []

    def note(event: KernelEvent) -> None:
        if isinstance(event, EventsDropped):
            told.append((event.count, event.kept))

    node.subscribe_events(note)
    hand = await started(node, Small)
    assert await Small.give(hand, 1, 2, 3, 4, 5) == 3
    assert told == [(2, keep)]
    consumer = await started(node, Collector, hand)
    await node.settle()
    assert await Collector.got(consumer) == left


async def test_what_was_made_for_a_consumer_that_died_goes_to_the_next(node: TestNode) -> None:
    hand = await started(node, Hand)
    first = await started(node, Collector, hand, max_demand=3)
    await node.settle()
    await killed(node, first)
    await Hand.give(hand, 1, 2, 3)
    second = await started(node, Collector, hand, max_demand=2)
    await node.settle()
    assert await Collector.got(second) == [1, 2, 3]


async def test_events_beyond_the_demand_of_a_stage_between_wait_in_its_buffer(node: TestNode) -> None:
    producer = await started(node, Numbers, 1, 4)
    middle = await started(node, Times, producer, 1, 5)
    consumer = await started(node, Collector, middle, max_demand=2, cancel="temporary")
    await node.settle()
    assert await Collector.got(consumer) == [1] * 5 + [2] * 5 + [3] * 5


# --- ends -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "reason", "survives"),
    [
        ("permanent", "normal", False),
        ("permanent", "boom", False),
        ("transient", "normal", True),
        ("transient", "shutdown", True),
        ("transient", Shutdown("told so"), True),
        ("transient", "boom", False),
        ("temporary", "boom", True),
    ],
)
async def test_the_cancel_mode_says_what_the_producers_end_means(
    node: TestNode, mode: Any, reason: object, survives: bool
) -> None:
    producer = await started(node, Numbers)
    consumer = await started(node, Collector, producer, max_demand=10, manual=True, cancel=mode)
    await node.settle()
    Numbers.end_with(producer, reason)
    await node.settle()
    assert consumer.alive is survives
    assert survives or consumer.reason == reason
    if survives:
        assert await Collector.news(consumer) == [reason]


async def test_a_producer_hears_of_its_consumers_and_outlives_them(node: TestNode) -> None:
    producer = await started(node, Numbers)
    consumer = await started(node, Collector, producer, manual=True)
    await node.settle()
    assert node.info(producer).monitored_by == [consumer]
    assert node.info(consumer).monitored_by == [producer]
    await killed(node, consumer)
    assert await Numbers.news(producer) == [("subscribed", consumer), ("cancelled", "killed")]
    assert node.info(producer).monitors == []


async def test_a_consumer_that_cancels_gets_nothing_more_and_acts_by_its_mode(node: TestNode) -> None:
    hand = await started(node, Hand)
    temporary = await started(node, Collector, hand, cancel="temporary")
    permanent = await started(node, Collector, hand)
    await node.settle()
    await Collector.leave(temporary)
    await Collector.leave(permanent, "enough")
    await node.settle()
    assert permanent.reason == "enough"
    await Hand.give(hand, 1)
    await node.settle()
    assert await Collector.got(temporary) == []
    assert await Collector.news(temporary) == ["normal"]
    assert (node.info(hand).monitors, node.info(temporary).monitors) == ([], [])


async def test_a_producer_may_end_a_subscription(node: TestNode) -> None:
    hand = await started(node, Hand)
    consumer = await started(node, Collector, hand, cancel="transient")
    await node.settle()
    await Hand.throw_out(hand, "crowded")
    await node.settle()
    assert consumer.reason == "crowded"


async def test_all_that_was_made_arrives_before_the_end(node: TestNode) -> None:
    producer = await started(node, Numbers, 0, 1000)
    middle = await started(node, Times, producer, 1, max_demand=64)
    consumer = await started(node, Collector, middle, max_demand=7, cancel="temporary")
    await node.settle()
    assert await Collector.got(consumer) == list(range(1000))
    assert (producer.reason, middle.reason) == ("normal", "normal")


async def test_finish_waits_for_what_is_in_the_buffer(node: TestNode) -> None:
    hand = await started(node, Hand)
    await Hand.give(hand, *range(10))
    Hand.close(hand)
    await node.settle()
    assert hand.alive
    consumer = await started(node, Collector, hand, max_demand=3, cancel="temporary")
    await node.settle()
    assert await Collector.got(consumer) == list(range(10))
    assert hand.reason == "normal"


async def test_a_crash_of_the_producer_passes_through_a_stage_between_at_once(node: TestNode) -> None:
    hand = await started(node, Hand)
    middle = await started(node, Times, hand)
    consumer = await started(node, Collector, middle)
    await node.settle()
    await killed(node, hand, "boom")
    assert (middle.reason, consumer.reason) == ("boom", "boom")


async def test_a_producer_that_is_not_there_ends_the_subscription(node: TestNode) -> None:
    producer = await started(node, Numbers)
    await killed(node, producer)
    consumer = await started(node, Collector, producer)
    await node.settle()
    assert consumer.reason == "noproc"
    with pytest.raises(StartFailed, match="noproc"):
        await started(node, Collector, "nobody")
    alive = await started(node, Collector)
    with pytest.raises(NoProcess):
        await node.run(Collector.subscribe, alive, "nobody")


async def test_a_supervised_pipeline_comes_back_after_a_kill(node: TestNode) -> None:
    await node.start(
        supervisor(
            child(Numbers, name="numbers"),
            child(Times, "numbers", name="times"),
            child(Collector, "times", 0.1, name="collector"),
            strategy="rest_for_one",
        )
    )
    await node.settle()
    before = node["collector"]
    await killed(node, node["numbers"])
    await node.advance(1.0)
    assert node["collector"] is not before
    assert node.info(node["collector"]).reductions > 2


async def test_a_crash_in_handle_events_is_a_crash_of_the_consumer_alone(node: TestNode) -> None:
    class Broken(Collector):
        async def handle_events(self, events: list[Any], source: Any) -> None:
            raise ValueError(events)

    producer = await started(node, Numbers)
    consumer = await started(node, Broken, producer)
    await node.settle()
    assert isinstance(consumer.reason, Crash)
    assert producer.alive


# --- wrong use ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("high", "low"), [(0, None), (1, 1), (5, -1), (-3, None)])
def test_limits_that_make_no_sense_are_refused(high: int, low: int | None) -> None:
    with pytest.raises(ValueError, match="max_demand must be at least 1"):
        demand_range(high, low)


def test_min_demand_is_half_of_max_demand_unless_said() -> None:
    assert demand_range(1000, None) == (1000, 500)
    assert demand_range(1, None) == (1, 0)


async def test_wrong_use_is_told_to_the_caller_and_hurts_nobody(node: TestNode) -> None:
    producer, consumer = await started(node, Numbers), await started(node, Collector)
    with pytest.raises(ValueError, match="max_demand must be at least 1"):
        await Collector.subscribe(consumer, producer, max_demand=0)
    with pytest.raises(ValueError, match="permanent, transient, temporary"):
        await Collector.subscribe(consumer, producer, cancel="never")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="itself"):
        await Collector.subscribe(consumer, consumer)
    with pytest.raises(ValueError, match=r"\(Collector\) is no producer"):
        await Collector.subscribe(consumer, await started(node, Collector))
    with pytest.raises(ValueError, match=r"\(idle\) is no producer"):
        await Collector.subscribe(consumer, node.spawn(idle))
    assert consumer.alive


async def test_a_demand_answered_with_no_events_names_the_callback(node: TestNode) -> None:
    class Wrong(Producer):
        def handle_demand(self, demand: int) -> int:
            return demand

    producer = await started(node, Wrong)
    await started(node, Collector, producer, cancel="temporary")
    await node.settle()
    assert "Wrong.handle_demand answered 1000: it answers an iterable of events, or None" in str(
        producer.reason
    )


async def test_a_stage_without_its_callback_says_which_is_missing(node: TestNode) -> None:
    producer = await started(node, Producer)
    await started(node, Collector, producer, cancel="temporary")
    await node.settle()
    assert "has no handle_demand" in str(producer.reason)


# --- the rate limiter -----------------------------------------------------------------------------------------------


async def test_a_rate_limiter_lets_a_burst_through_and_then_its_rate(node: TestNode) -> None:
    producer = await started(node, Numbers)
    limiter = await started(node, RateLimiter, producer, 10, burst=5)
    consumer = await started(node, Collector, limiter, max_demand=100)
    await node.settle()
    assert await Collector.got(consumer) == list(range(5))
    for second in range(1, 6):
        await node.advance(1.0)
        assert len(await Collector.got(consumer)) == 5 + 10 * second
    assert (await Numbers.made(producer))[0] <= 55 + 10  # the producer waits too
    assert limiter.alive


async def test_a_rate_limiter_saves_no_more_than_a_burst(node: TestNode) -> None:
    producer = await started(node, Numbers)
    limiter = await started(node, RateLimiter, producer, 2)
    await node.advance(100.0)
    consumer = await started(node, Collector, limiter)
    await node.settle()
    assert await Collector.got(consumer) == [0, 1]


async def test_a_rate_of_nothing_is_refused(node: TestNode) -> None:
    with pytest.raises(StartFailed, match="must be above 0"):
        await started(node, RateLimiter, None, 0)


async def test_stages_do_not_need_processes_with_names(node: TestNode) -> None:
    pid = await started(node, Hand)

    async def loose() -> None:
        await Collector.start(pid)

    async def work() -> Pid:
        return spawn(loose)

    await node.run(work)
    await node.settle()
    assert await Hand.asked_for(pid) == [1000]
