"""Aliases (erlang:alias/1, unalias/1, monitor/3 with alias), as OTP 25 was seen to do it; timers for the dead."""

import pytest

from planaria.otp import (
    Alias,
    AliasMonitor,
    Down,
    alias,
    cancel_timer,
    demonitor,
    exit_signal,
    monitor,
    read_timer,
    receive,
    send,
    send_after,
    spawn,
    spawn_monitor,
    unalias,
)
from planaria.otp.kernel.alias import AliasMode
from planaria.testing.node import TestNode
from tests.otp.support import idle

MODES: tuple[AliasMode, ...] = ("explicit_unalias", "demonitor", "reply_demonitor")


async def inbox() -> list[object]:
    found: list[object] = []
    while True:
        try:
            found.append(await receive(timeout=0))
        except TimeoutError:
            return found


async def test_an_alias_is_an_address_until_it_is_given_up(node: TestNode) -> None:
    async def work() -> None:
        many, single = alias(), alias(once=True)
        for number, to in enumerate([many, many, single, single]):
            send(to, number)
        assert await inbox() == [0, 1, 2]
        assert (unalias(many), unalias(many), unalias(single)) == (True, False, False)
        send(many, "late")
        assert await inbox() == []

    await node.run(work)


async def test_only_its_owner_gives_an_alias_up(node: TestNode) -> None:
    results: list[bool] = []

    async def stranger(ref: Alias | AliasMonitor) -> None:
        results.append(unalias(ref))
        send(ref, "still there")

    async def work() -> None:
        watched = monitor(spawn(idle), alias="demonitor")
        for ref in (alias(), watched):
            spawn(stranger, ref)
            assert await receive() == "still there"

    await node.run(work)
    assert results == [False, False]


@pytest.mark.parametrize(
    ("mode", "through", "was_monitored", "was_alias"),
    [
        ("explicit_unalias", [1, 2, 3], True, True),
        ("demonitor", [1, 2], True, False),
        ("reply_demonitor", [1], False, False),
    ],
)
async def test_how_long_the_alias_of_a_monitor_lasts(
    node: TestNode, mode: AliasMode, through: list[int], was_monitored: bool, was_alias: bool
) -> None:
    """Messages before and after demonitor/1: what OTP 25 answered, mode by mode."""

    async def work() -> None:
        ref = monitor(spawn(idle), alias=mode)
        send(ref, 1)
        send(ref, 2)
        assert demonitor(ref) is was_monitored
        send(ref, 3)
        assert unalias(ref) is was_alias
        assert not unalias(ref)
        assert await inbox() == through

    await node.run(work)


@pytest.mark.parametrize("mode", MODES)
async def test_the_down_of_a_monitor_ends_its_alias_unless_that_is_explicit(
    node: TestNode, mode: AliasMode
) -> None:
    async def work() -> list[object]:
        pid = spawn(idle)
        ref = monitor(pid, alias=mode)
        exit_signal(pid, "kill")
        send(ref, "late")
        found = await inbox()
        assert found[0] == Down(ref, pid, "killed")
        assert unalias(ref) is (mode == "explicit_unalias")
        return found[1:]

    assert await node.run(work) == (["late"] if mode == "explicit_unalias" else [])


@pytest.mark.parametrize("mode", MODES)
async def test_a_monitor_outlives_its_alias(node: TestNode, mode: AliasMode) -> None:
    async def work() -> None:
        pid = spawn(idle)
        ref = monitor(pid, alias=mode)
        assert unalias(ref)
        send(ref, "dropped")
        exit_signal(pid, "kill")
        assert await inbox() == [Down(ref, pid, "killed")]

    await node.run(work)


async def test_an_alias_of_the_dead_takes_nothing_and_an_unknown_mode_is_named(node: TestNode) -> None:
    given: list[Alias] = []

    async def short() -> None:
        given.append(alias())

    async def work() -> None:
        _, ref = spawn_monitor(short)
        await receive(Down)
        send(given[0], "anybody?")
        with pytest.raises(ValueError, match="'for_ever'"):
            monitor(ref.target, alias="for_ever")  # type: ignore[call-overload]
        nobody = monitor("nobody", alias="demonitor")
        assert await inbox() == [Down(nobody, "nobody", "noproc")]

    await node.run(work)


async def test_a_process_can_be_spawned_linked_and_watched_at_once(node: TestNode) -> None:
    """erlang:spawn_opt/2 with link and monitor."""

    seen: list[object] = []

    async def work() -> None:
        pid, ref = spawn_monitor(idle, link=True)
        seen.append((node.info(pid).links, ref.target == pid))
        exit_signal(pid, "kill")

    caught = node.spawn(work)
    await node.settle()
    assert seen == [([caught], True)]
    assert caught.reason == "killed"


async def test_timers_for_a_dead_process_are_gone(node: TestNode) -> None:
    """erlang:send_after/3: a timer to a pid ends with it; one to a name does not."""

    async def work() -> None:
        pid = spawn(idle)
        timers = [send_after(1.0, pid, "hi"), send_after(1.0, pid, "hi")]
        assert [read_timer(timer) for timer in timers] == [1.0, 1.0]
        exit_signal(pid, "kill")
        assert [read_timer(timer) for timer in timers] == [None, None]
        assert cancel_timer(timers[0]) is None
        assert read_timer(send_after(1.0, pid, "to the dead")) is None
        nobody = send_after(1.0, "nobody", "hi")
        assert (read_timer(nobody), cancel_timer(nobody), cancel_timer(nobody)) == (1.0, 1.0, None)

    await node.run(work)
