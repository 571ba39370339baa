"""Processes: what they are, how they start, talk and end."""

import pytest

from planaria.otp import (
    Crash,
    Exit,
    Node,
    NoProcess,
    NotAProcess,
    Pid,
    StartFailed,
    node_,
    receive,
    self_,
    send,
    spawn,
)
from planaria.testing.node import TestNode

from .support import Boom, collect, idle, reason_of_end


async def test_a_process_that_returns_ends_normally(node: TestNode) -> None:
    async def work() -> None:
        return

    assert await reason_of_end(node, node.spawn(work)) == "normal"


async def test_an_uncaught_error_becomes_the_crash_reason(node: TestNode) -> None:
    async def work() -> None:
        raise Boom("here")

    reason = await reason_of_end(node, node.spawn(work))
    assert isinstance(reason, Crash)
    assert isinstance(reason.error, Boom)
    assert reason.where is not None and __file__ in reason.where


async def test_a_raised_exit_is_the_reason(node: TestNode) -> None:
    async def work() -> None:
        raise Exit("enough")

    assert await reason_of_end(node, node.spawn(work)) == "enough"


async def test_a_plain_function_may_be_a_process(node: TestNode) -> None:
    ran: list[Pid] = []
    pid = node.spawn(lambda: ran.append(self_()))
    assert await reason_of_end(node, pid) == "normal"
    assert ran == [pid]


async def test_a_process_starts_on_its_own_turn_not_in_its_starter(node: TestNode) -> None:
    async def work() -> list[str]:
        order: list[str] = []
        spawn(lambda: order.append("child"))
        order.append("starter")
        await node_().run(receive_nothing)
        return order

    async def receive_nothing() -> None:
        return

    assert await node.run(work) == ["starter", "child"]


async def test_messages_from_one_sender_arrive_in_order(node: TestNode) -> None:
    got: list[int] = []

    async def work() -> None:
        pid = spawn(collect, got)
        for number in range(100):
            send(pid, number)

    await node.run(work)
    await node.settle()
    assert got == list(range(100))


async def test_receive_takes_the_oldest_match_and_leaves_the_rest_in_order(node: TestNode) -> None:
    async def work() -> list[object]:
        for message in (1, "a", 2, "b", 3):
            send(self_(), message)
        return [await receive(str), await receive(lambda m: m == 3), *[await receive() for _ in range(3)]]

    assert await node.run(work) == ["a", 3, 1, 2, "b"]


async def test_receive_with_a_tuple_of_classes_takes_any_of_them(node: TestNode) -> None:
    async def work() -> object:
        for message in (1.5, "a"):
            send(self_(), message)
        return await receive((str, int))

    assert await node.run(work) == "a"


async def test_receive_gives_up_after_its_timeout(node: TestNode) -> None:
    async def work() -> None:
        with pytest.raises(TimeoutError):
            await receive(timeout=0)
        send(self_(), "there")
        assert await receive(timeout=0) == "there"

    await node.run(work)


async def test_a_message_to_the_dead_is_lost_without_a_word(node: TestNode) -> None:
    pid = node.spawn(lambda: None)
    await reason_of_end(node, pid)

    async def work() -> None:
        send(pid, "hello")

    await node.run(work)
    node.send(pid, "hello")


async def test_a_message_to_an_unknown_name_raises_in_the_sender(node: TestNode) -> None:
    async def work() -> None:
        with pytest.raises(NoProcess, match="nobody"):
            send("nobody", "hello")

    await node.run(work)
    with pytest.raises(NoProcess):
        node.send("nobody", "hello")


async def test_a_function_for_processes_says_so_outside_one(node: TestNode) -> None:
    with pytest.raises(NotAProcess, match="Node"):
        self_()


async def test_pids_are_values_that_can_be_compared_kept_and_sent(node: TestNode) -> None:
    first, second = node.spawn(idle), node.spawn(idle)
    assert first != second
    assert {first: "a", second: "b"}[first] == "a"
    assert str(first) == f"<{node.name}.{first.id}>"
    assert node.find(str(first)) == first

    async def work() -> object:
        send(self_(), first)
        return await receive(Pid)

    assert await node.run(work) == first


async def test_run_hands_back_the_value_or_raises_the_error(node: TestNode) -> None:
    async def good(value: int) -> int:
        return value + 1

    async def bad() -> None:
        raise Boom

    assert await node.run(good, 1) == 2
    with pytest.raises(Boom):
        await node.run(bad)


async def test_a_stopped_node_starts_nothing_more() -> None:
    node = Node("short")
    async with node:
        pid = node.spawn(idle)
    assert not pid.alive
    with pytest.raises(StartFailed):
        node.spawn(idle)


async def test_a_port_receives_messages_for_code_outside(node: TestNode) -> None:
    async with node.open_port() as port:
        node.subscribe("news", port.pid)
        assert node.broadcast("news", "rain") == 1
        assert await port.receive(timeout=1) == "rain"
        pid = port.pid
    assert not pid.alive
    assert node.broadcast("news", "sun") == 0
