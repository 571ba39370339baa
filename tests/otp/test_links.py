"""Links and exit signals: who falls with whom, and who is told."""

import pytest

from planaria.otp import (
    Crash,
    Exit,
    ExitSignal,
    NoProcess,
    Pid,
    exit_signal,
    link,
    receive,
    self_,
    spawn,
    spawn_link,
    trap_exits,
    unlink,
)
from planaria.testing.node import TestNode

from .support import Boom, collect, end_with, idle, reason_of_end


async def test_an_abnormal_end_takes_linked_processes_along_with_the_same_reason(node: TestNode) -> None:
    async def parent() -> None:
        spawn_link(end_with, "boom")
        await receive()

    assert await reason_of_end(node, node.spawn(parent)) == "boom"


async def test_a_normal_end_takes_nobody_along(node: TestNode) -> None:
    async def parent() -> None:
        spawn_link(end_with, "normal")
        await receive()

    pid = node.spawn(parent)
    await node.settle()
    assert pid.alive


async def test_a_crash_travels_through_a_chain_of_ten_thousand_links(node: TestNode) -> None:
    async def chain(length: int) -> None:
        if length:
            spawn_link(chain, length - 1)
            await receive()
        raise Boom

    reason = await reason_of_end(node, node.spawn(chain, 10_000))
    assert isinstance(reason, Crash) and isinstance(reason.error, Boom)
    assert not node.processes()


async def test_a_trapping_process_finds_the_exit_in_its_mailbox(node: TestNode) -> None:
    async def work() -> ExitSignal:
        trap_exits()
        child = spawn_link(end_with, "boom")
        signal: ExitSignal = await receive(ExitSignal)
        assert signal.sender == child
        return signal

    assert (await node.run(work)).reason == "boom"


async def test_unlink_ends_the_tie_in_both_directions(node: TestNode) -> None:
    async def work() -> bool:
        other = spawn_link(idle)
        unlink(other)
        exit_signal(other, "boom")
        return other.alive

    assert await node.run(work) is False


async def test_linking_to_the_dead_raises_or_tells_by_the_trap_flag(node: TestNode) -> None:
    dead = node.spawn(end_with, "boom")
    await reason_of_end(node, dead)

    async def careless() -> None:
        with pytest.raises(NoProcess):
            link(dead)

    async def trapping() -> ExitSignal:
        trap_exits()
        link(dead)
        signal: ExitSignal = await receive(ExitSignal)
        return signal

    await node.run(careless)
    assert await node.run(trapping) == ExitSignal(dead, "noproc")


async def test_the_signal_normal_is_ignored_unless_sent_to_oneself(node: TestNode) -> None:
    async def signal_self() -> None:
        exit_signal(self_(), "normal")
        raise AssertionError("not reached")

    async def signal_other() -> bool:
        other = spawn(idle)
        exit_signal(other, "normal")
        return other.alive

    assert await reason_of_end(node, node.spawn(signal_self)) == "normal"
    assert await node.run(signal_other) is True


async def test_kill_cannot_be_trapped_and_its_links_see_killed(node: TestNode) -> None:
    seen: list[ExitSignal] = []

    async def victim() -> None:
        trap_exits()
        spawn_link(collect, seen, True)
        await receive()

    pid = node.spawn(victim)
    await node.settle()

    async def work() -> None:
        exit_signal(pid, "kill")

    await node.run(work)
    await node.settle()
    assert pid.reason == "killed"
    assert seen == [ExitSignal(pid, "killed")]


async def test_kill_as_ones_own_reason_is_an_ordinary_reason(node: TestNode) -> None:
    async def work() -> object:
        trap_exits()
        spawn_link(end_with, "kill")
        return (await receive(ExitSignal)).reason

    assert await node.run(work) == "kill"


async def test_an_exit_message_names_the_sender_of_the_signal(node: TestNode) -> None:
    seen: list[ExitSignal] = []

    async def work() -> Pid:
        target = spawn(collect, seen, True)
        await node.run(_nothing)
        exit_signal(target, "boom")
        return self_()

    sender = await node.run(work)
    await node.settle()
    assert seen == [ExitSignal(sender, "boom")]


async def test_an_exit_that_is_caught_does_not_end_the_process(node: TestNode) -> None:
    async def work() -> str:
        try:
            raise Exit("boom")
        except Exit:
            return "went on"

    assert await node.run(work) == "went on"


async def _nothing() -> None:
    return
