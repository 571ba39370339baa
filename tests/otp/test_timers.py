"""Timers and sleep, on a clock that a test moves."""

import asyncio

from planaria.otp import (
    TimerFired,
    cancel_timer,
    exit_signal,
    now,
    read_timer,
    receive,
    register,
    self_,
    send_after,
    sleep,
    spawn,
    start_timer,
    unregister,
    wall_time,
)
from planaria.testing.node import TestNode

from .support import Counter, collect, idle


async def test_timers_fire_in_the_order_of_their_times(node: TestNode) -> None:
    got: list[object] = []
    pid = node.spawn(collect, got)

    async def work() -> None:
        for seconds in (0.3, 0.1, 0.2):
            send_after(seconds, pid, seconds)

    await node.run(work)
    await node.advance(0.15)
    assert got == [0.1]
    await node.advance(1)
    assert got == [0.1, 0.2, 0.3]


async def test_timers_of_one_moment_fire_in_the_order_they_were_set(node: TestNode) -> None:
    got: list[object] = []
    pid = node.spawn(collect, got)

    async def work() -> None:
        for number in range(20):
            send_after(1, pid, number)

    await node.run(work)
    await node.advance(1)
    assert got == list(range(20))


async def test_a_cancelled_timer_tells_the_time_left_and_never_fires(node: TestNode) -> None:
    async def work() -> tuple[float | None, float | None, float | None]:
        ref = send_after(2, self_(), "x")
        await sleep(0.5)
        left = read_timer(ref)
        return left, cancel_timer(ref), cancel_timer(ref)

    task = asyncio.ensure_future(node.run(work))
    await node.advance(10)
    left, at_cancel, again = await task
    assert left == at_cancel == 1.5
    assert again is None


async def test_a_fired_timer_has_nothing_left_to_cancel(node: TestNode) -> None:
    async def work() -> tuple[object, float | None]:
        ref = send_after(0.1, self_(), "x")
        return await receive(), cancel_timer(ref)

    task = asyncio.ensure_future(node.run(work))
    await node.advance(1)
    assert await task == ("x", None)


async def test_a_zero_timer_needs_no_time(node: TestNode) -> None:
    async def work() -> object:
        send_after(0, self_(), "x")
        return await receive()

    assert await node.run(work) == "x"


async def test_start_timer_delivers_its_reference(node: TestNode) -> None:
    async def work() -> bool:
        ref = start_timer(0, self_(), "x")
        message: object = await receive()
        return message == TimerFired(ref, "x")

    assert await node.run(work)


async def test_a_name_is_looked_up_when_the_timer_fires(node: TestNode) -> None:
    got: list[object] = []

    async def work() -> None:
        first, second = spawn(idle), spawn(collect, got)
        register("n", first)
        send_after(1, "n", "x")
        unregister("n")
        register("n", second)
        send_after(1, "nobody", "lost")

    await node.run(work)
    await node.advance(2)
    assert got == ["x"]


async def test_a_timer_for_the_dead_is_lost(node: TestNode) -> None:
    async def work() -> None:
        pid = spawn(idle)
        send_after(1, pid, "x")
        exit_signal(pid, "boom")

    await node.run(work)
    await node.advance(2)
    assert not node.processes()


async def test_a_sleeping_process_wakes_at_its_time_and_handles_nothing_before(node: TestNode) -> None:
    async def work() -> float:
        begun = now()
        await sleep(3600)
        return now() - begun

    task = asyncio.ensure_future(node.run(work))
    await node.advance(3599)
    assert not task.done()
    await node.advance(1)
    assert await task == 3600


async def test_both_clocks_move_together(node: TestNode) -> None:
    async def work() -> tuple[float, float]:
        return now(), wall_time()

    before = await node.run(work)
    await node.advance(60)
    after = await node.run(work)
    assert after[0] - before[0] == after[1] - before[1] == 60


async def test_deadlines_of_finished_calls_do_not_pile_up(node: TestNode) -> None:
    async def work() -> None:
        pid = await Counter.start()
        for _ in range(1000):
            await Counter.add_slowly(pid)

    await node.run(work)
    assert len(node.timers.heap) <= 2
