"""Topics: everybody who subscribed is told, nobody twice, the dead are forgotten."""

from planaria.otp import (
    broadcast,
    broadcast_from,
    receive,
    self_,
    subscribe,
    subscribers,
    topics,
    unsubscribe,
)
from planaria.testing.node import TestNode

from .support import Boom, collect


async def test_every_subscriber_gets_what_is_broadcast_on_its_topic(node: TestNode) -> None:
    boxes: list[list[object]] = [[], [], []]
    for box in boxes[:2]:
        node.subscribe("news", node.spawn(collect, box))
    node.subscribe("sport", node.spawn(collect, boxes[2]))
    assert node.broadcast("news", "rain") == 2
    await node.settle()
    assert boxes == [["rain"], ["rain"], []]


async def test_subscribing_twice_delivers_once(node: TestNode) -> None:
    async def work() -> list[object]:
        subscribe("news")
        subscribe("news")
        assert broadcast("news", "rain") == 1
        return [await receive(), node.topics.members("news") == [self_()]]

    assert await node.run(work) == ["rain", True]


async def test_after_unsubscribing_nothing_comes(node: TestNode) -> None:
    async def work() -> int:
        subscribe("news")
        unsubscribe("news")
        unsubscribe("news")
        return broadcast("news", "rain")

    assert await node.run(work) == 0


async def test_a_dead_subscriber_is_forgotten(node: TestNode) -> None:
    async def short() -> None:
        subscribe("news")
        raise Boom

    node.spawn(short)
    await node.settle()
    assert node.broadcast("news", "rain") == 0
    assert node.topics.names() == []


async def test_broadcasts_of_one_sender_arrive_in_order(node: TestNode) -> None:
    got: list[object] = []
    node.subscribe("news", node.spawn(collect, got))

    async def work() -> None:
        for number in range(50):
            broadcast("news", number)

    await node.run(work)
    await node.settle()
    assert got == list(range(50))


async def test_a_sender_may_leave_itself_or_another_out(node: TestNode) -> None:
    """Phoenix.PubSub.broadcast_from/4."""
    box: list[object] = []

    async def work() -> None:
        subscribe("news")
        other = node.spawn(collect, box)
        subscribe("news", other)
        assert subscribers("news") == [self_(), other]
        assert topics() == ["news"]
        assert broadcast_from("news", "to the other") == 1
        assert broadcast_from("news", "to me", but=other) == 1
        assert await receive() == "to me"

    await node.run(work)
    await node.settle()
    assert box == ["to the other"]
    assert node.broadcast("news", "to the one left") == 1
