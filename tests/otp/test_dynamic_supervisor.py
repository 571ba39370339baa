"""Dynamic supervisors: children that come and go, addressed by pid, stopped all at once."""

import asyncio

import pytest

from planaria.otp import (
    ChildError,
    DynamicSupervisor,
    GenServer,
    NoProcess,
    StartFailed,
    child,
    dynamic,
    sleep,
    stop,
    supervisor,
)
from planaria.testing.node import TestNode

from .support import Counter, Journal, Scribe, idle


async def test_children_are_started_with_their_own_arguments_and_keep_them(node: TestNode) -> None:
    sup = await node.start(dynamic())
    pid = await DynamicSupervisor.start_child(sup, child(Counter, 10, name="ten"))
    assert pid is not None
    await DynamicSupervisor.start_child(sup, child(Counter, 20, name="twenty"))
    Counter.crash(pid)
    await node.settle()
    assert node["ten"] != pid
    assert (await Counter.add(node["ten"]), await Counter.add(node["twenty"])) == (11, 21)


async def test_many_children_of_one_kind_need_no_ids(node: TestNode) -> None:
    sup = await node.start(dynamic())
    for _ in range(10):
        await DynamicSupervisor.start_child(sup, child(Counter))
    assert (await DynamicSupervisor.count_children(sup)).active == 10
    assert len(await DynamicSupervisor.which_children(sup)) == 10


async def test_a_child_is_stopped_by_its_pid(node: TestNode) -> None:
    journal = Journal()
    sup = await node.start(dynamic())
    pid = await DynamicSupervisor.start_child(sup, child(Scribe, journal, "a"))
    assert pid is not None
    journal.take()
    await DynamicSupervisor.terminate_child(sup, pid)
    assert journal.take() == ["a ends"]
    assert await DynamicSupervisor.which_children(sup) == []
    await DynamicSupervisor.terminate_child(sup, pid)  # the dead are fine


async def test_a_living_stranger_or_an_id_is_not_a_child(node: TestNode) -> None:
    sup = await node.start(dynamic())
    stranger = node.spawn(idle)
    with pytest.raises(ChildError, match="not found"):
        await DynamicSupervisor.terminate_child(sup, stranger)
    with pytest.raises(ChildError, match="simple one for one"):
        await DynamicSupervisor.terminate_child(sup, "a")
    assert stranger.alive


async def test_a_refused_start_leaves_nothing_behind(node: TestNode) -> None:
    sup = await node.start(dynamic())
    with pytest.raises(StartFailed) as caught:
        await DynamicSupervisor.start_child(sup, child(Scribe, Journal(), "a", lambda: True))
    assert caught.value.reason == "refused"
    await node.settle()
    assert await DynamicSupervisor.which_children(sup) == []
    assert node.processes() == [sup]


async def test_the_restart_budget_is_shared(node: TestNode) -> None:
    sup = await node.start(dynamic(max_restarts=2, within=60.0))
    for name in ("a", "b", "c"):
        await DynamicSupervisor.start_child(sup, child(Counter, name=name))
    for name in ("a", "b"):
        Counter.crash(node[name])
        await node.settle()
    assert sup.alive
    Counter.crash(node["c"])
    await node.settle()
    assert sup.reason == "shutdown"
    assert not node.processes()


async def test_all_children_are_told_to_stop_at_once(node: TestNode) -> None:
    class Slow(GenServer):
        trap_exit = True

        async def terminate(self, reason: object) -> None:
            await sleep(1)

    sup = await node.start(dynamic())
    for _ in range(5):
        await DynamicSupervisor.start_child(sup, child(Slow))
    ending = asyncio.ensure_future(node.run(stop, sup, "shutdown"))
    await node.advance(1.1)
    assert ending.done(), "the stops add up"
    await ending


async def test_children_that_hang_share_one_shutdown_time(node: TestNode) -> None:
    class Stubborn(GenServer):
        trap_exit = True

        async def terminate(self, reason: object) -> None:
            await sleep(3600)

    sup = await node.start(dynamic())
    pids = [await DynamicSupervisor.start_child(sup, child(Stubborn, shutdown=2.0)) for _ in range(3)]
    ending = asyncio.ensure_future(node.run(stop, sup, "shutdown"))
    await node.advance(1.9)
    assert not ending.done()
    await node.advance(0.2)
    await ending
    assert {pid.reason for pid in pids if pid is not None} == {"killed"}


async def test_there_may_be_a_most_of_children(node: TestNode) -> None:
    sup = await node.start(dynamic(max_children=1))
    await DynamicSupervisor.start_child(sup, child(Counter))
    with pytest.raises(StartFailed) as caught:
        await DynamicSupervisor.start_child(sup, child(Counter))
    assert caught.value.reason == "max_children"


async def test_a_dead_dynamic_supervisor_is_noproc(node: TestNode) -> None:
    sup = await node.start(dynamic())
    await node.run(stop, sup)
    with pytest.raises(NoProcess):
        await DynamicSupervisor.count_children(sup)


async def test_a_temporary_child_that_ends_is_forgotten(node: TestNode) -> None:
    sup = await node.start(supervisor(dynamic(name="workers")))
    for _ in range(3):
        await DynamicSupervisor.start_child(node["workers"], child(Counter, restart="temporary", name="t"))
        Counter.crash(node["t"])
        await node.settle()
    assert await DynamicSupervisor.which_children(node["workers"]) == []
    assert sup.alive
