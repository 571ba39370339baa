"""Monitors: one message for one watch, whatever the end."""

from planaria.otp import (
    Crash,
    Down,
    demonitor,
    exit_signal,
    monitor,
    receive,
    register,
    self_,
    send,
    spawn,
    spawn_monitor,
)
from planaria.testing.node import TestNode

from .support import Boom, end_with, idle, reason_of_end


async def test_a_monitor_tells_the_reason_normal_included(node: TestNode) -> None:
    async def crash() -> None:
        raise Boom

    async def work() -> list[object]:
        for fn, *args in ((end_with, "normal"), (end_with, "boom"), (crash,)):
            spawn_monitor(fn, *args)
        return [(await receive(Down)).reason for _ in range(3)]

    reasons = await node.run(work)
    assert {"normal", "boom"} <= {reason for reason in reasons if isinstance(reason, str)}
    assert any(isinstance(reason, Crash) for reason in reasons)


async def test_each_monitor_has_its_own_reference_and_message(node: TestNode) -> None:
    async def work() -> bool:
        pid = spawn(idle)
        first, second = monitor(pid), monitor(pid)
        exit_signal(pid, "boom")
        refs = {(await receive(Down)).ref, (await receive(Down)).ref}
        return refs == {first, second} and first != second

    assert await node.run(work)


async def test_monitoring_the_dead_or_a_name_nobody_has_tells_noproc_at_once(node: TestNode) -> None:
    dead = node.spawn(end_with, "boom")
    await reason_of_end(node, dead)

    async def work() -> list[Down]:
        refs = [monitor(dead), monitor("nobody")]
        downs = [await receive(Down, timeout=0) for _ in refs]
        assert [down.ref for down in downs] == refs
        return downs

    downs = await node.run(work)
    assert [(down.process, down.reason) for down in downs] == [(dead, "noproc"), ("nobody", "noproc")]


async def test_a_monitor_by_name_stays_with_the_process_and_reports_the_name(node: TestNode) -> None:
    async def work() -> Down:
        pid = spawn(idle)
        register("worker", pid)
        monitor("worker")
        exit_signal(pid, "boom")
        down: Down = await receive(Down)
        return down

    down = await node.run(work)
    assert (down.process, down.reason) == ("worker", "boom")


async def test_after_demonitor_nothing_comes(node: TestNode) -> None:
    async def work() -> int:
        pid, ref = spawn_monitor(idle)
        assert demonitor(ref) is True
        exit_signal(pid, "boom")
        send(self_(), "last")
        assert await receive() == "last"
        return 0

    await node.run(work)


async def test_a_down_already_delivered_stays_unless_flushed(node: TestNode) -> None:
    async def work(flush: bool) -> int:
        pid, ref = spawn_monitor(idle)
        exit_signal(pid, "boom")
        assert demonitor(ref, flush=flush) is False
        send(self_(), "last")
        return 0 if await receive() == "last" else 1

    assert await node.run(work, False) == 1
    assert await node.run(work, True) == 0


async def test_only_the_watcher_can_end_its_monitor(node: TestNode) -> None:
    async def work() -> object:
        pid, ref = spawn_monitor(idle)
        watcher = self_()

        async def stranger() -> None:
            send(watcher, demonitor(ref))

        spawn(stranger)
        assert await receive(bool) is False
        exit_signal(pid, "boom")
        return (await receive(Down, timeout=0)).reason

    assert await node.run(work) == "boom"


async def test_a_dead_watcher_leaves_no_trace_on_the_watched(node: TestNode) -> None:
    pid = node.spawn(idle)

    async def work() -> None:
        monitor(pid)

    await node.run(work)
    assert not node.info(pid).monitored_by
