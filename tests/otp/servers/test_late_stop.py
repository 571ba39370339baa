"""A stop that comes while a server is ending of itself is told from one that was served."""

import asyncio

import pytest

from planaria.otp import CallFailed, Exit, GenServer, Pid, cast, demonitor, monitor, self_, sleep, stop
from planaria.testing.node import TestNode


class SlowToEnd(GenServer):
    """Takes a second to end."""

    @cast
    def end(self, reason: object) -> None:
        self.stop(reason)

    async def terminate(self, reason: object) -> None:
        await sleep(1)


async def stop_late(node: TestNode, ending_with: object, asked: object) -> None:
    async def work() -> None:
        pid = await SlowToEnd.start()
        SlowToEnd.end(pid, ending_with)
        await sleep(0.1)
        await stop(pid, asked)

    working = asyncio.ensure_future(node.run(work))
    await node.advance(2)
    await working


async def test_a_server_that_ended_otherwise_before_it_was_asked_fails_the_stop_like_a_call(
    node: TestNode,
) -> None:
    with pytest.raises(Exit) as failure:
        await stop_late(node, "tired", "normal")
    assert failure.value.reason == CallFailed("tired")


async def test_a_server_that_ended_as_asked_has_been_stopped(node: TestNode) -> None:
    await stop_late(node, "normal", "normal")


async def test_who_starts_and_watches_is_the_parent(node: TestNode) -> None:
    async def work() -> tuple[Pid | None, Pid]:
        pid, _ = await SlowToEnd.start_monitor()
        return pid.parent, self_()

    parent, starter = await node.run(work)
    assert parent is starter


async def test_nobody_watches_himself(node: TestNode) -> None:
    async def work() -> bool:
        return demonitor(monitor(self_()))

    assert not await node.run(work)
