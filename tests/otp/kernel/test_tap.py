"""Functions that observe a topic."""

import pytest

from planaria.otp import broadcast, broadcast_from, exit_signal, receive, self_
from planaria.otp.kernel.process import running
from planaria.otp.kernel.tap import tap
from planaria.testing.node import TestNode


async def test_a_tap_gets_at_once_what_is_broadcast_in_any_way(node: TestNode):
    seen: list[object] = []
    stop = tap(node, "rain", seen.append)

    async def work() -> None:
        assert broadcast("rain", 1) == 0
        assert seen == [1]
        broadcast_from("rain", 2)
        broadcast("sun", 3)

    await node.run(work)
    node.broadcast("rain", 4)
    stop()
    node.broadcast("rain", 5)
    assert seen == [1, 2, 4] and node.taps == {}


async def test_one_that_raises_hurts_nobody_and_none_is_a_process(
    node: TestNode, caplog: pytest.LogCaptureFixture
):
    seen: list[object] = []

    def broken(message: object) -> None:
        raise ValueError("leak")

    tap(node, "rain", broken)
    tap(node, "rain", lambda message: seen.append(running.process))

    async def work() -> None:
        broadcast("rain", 1)
        self_()

    await node.run(work)
    assert seen == [None] and "a tap of rain raised" in caplog.text


async def test_a_tap_goes_with_the_process_that_made_it(node: TestNode):
    async def owner() -> None:
        tap(self_().node, "rain", print)
        await receive()

    process = node.spawn(owner)
    await node.settle()

    async def end() -> None:
        exit_signal(process, "kill")

    await node.run(end)
    assert node.taps == {}
