"""Names and the groups of the node: who is found under what, and until when."""

import pytest

from planaria.otp import (
    Down,
    Node,
    Pid,
    StartFailed,
    exit_signal,
    join,
    leave,
    members,
    monitor,
    receive,
    register,
    self_,
    send,
    spawn,
    unregister,
    whereis,
)
from planaria.testing.node import TestNode

from .support import Counter, idle


async def kill(node: Node, pid: Pid) -> None:
    async def work() -> None:
        exit_signal(pid, "kill")

    await node.run(work)


async def test_a_name_belongs_to_one_living_process(node: TestNode) -> None:
    async def work() -> None:
        first, second = spawn(idle), spawn(idle)
        register("n", first)
        for pid in (first, second):
            with pytest.raises(ValueError, match="n"):
                register("n", pid)
        with pytest.raises(ValueError, match="name already"):
            register("m", first)
        assert whereis("n") == first
        exit_signal(first, "boom")
        assert whereis("n") is None
        with pytest.raises(ValueError, match="dead"):
            register("n", first)
        register("n", second)

    await node.run(work)


async def test_a_name_can_be_given_up_and_taken_by_another(node: TestNode) -> None:
    async def work() -> None:
        register("n")
        unregister("n")
        with pytest.raises(ValueError, match="nobody"):
            unregister("n")
        other = spawn(idle)
        register("n", other)
        assert whereis("n") == other

    await node.run(work)


async def test_a_name_is_free_as_soon_as_its_process_is_dead(node: TestNode) -> None:
    async def work() -> Pid:
        pid = await Counter.start(name="n")
        monitor(pid)
        exit_signal(pid, "kill")
        await receive(Down)
        return await Counter.start(name="n")

    assert await node.run(work) == node["n"]


async def test_a_failed_start_leaves_the_name_free(node: TestNode) -> None:
    async def work() -> None:
        with pytest.raises(StartFailed):
            await Counter.start("no number", "too many", name="n")
        await Counter.start(name="n")

    await node.run(work)


async def test_a_process_is_in_a_group_as_often_as_it_joined(node: TestNode) -> None:
    async def work() -> None:
        join("g")
        join("g")
        other = spawn(idle)
        join("g", other)
        assert members("g").count(self_()) == 2
        assert leave("g") is True
        assert members("g").count(self_()) == 1
        assert leave("g") is True
        assert leave("g") is False
        assert leave("h") is False
        assert members("g") == [other]

    await node.run(work)


async def test_the_dead_leave_all_their_groups_and_join_none(node: TestNode) -> None:
    async def work() -> None:
        pid = spawn(idle)
        for group in ("g", "g", "h"):
            join(group, pid)
        exit_signal(pid, "boom")
        assert members("g") == [] == members("h")
        join("g", pid)
        assert members("g") == []

    await node.run(work)
    assert node.groups.names() == []


async def test_members_of_a_group_can_be_sent_to_one_by_one(node: TestNode) -> None:
    got: list[object] = []

    async def member() -> None:
        join("g")
        got.append(await receive())

    for _ in range(3):
        node.spawn(member)
    await node.settle()

    async def work() -> None:
        for pid in members("g"):
            send(pid, "hello")

    await node.run(work)
    await node.settle()
    assert got == ["hello"] * 3
