"""Scopes of process groups: what pg:join, leave, monitor, monitor_scope and demonitor do, and what death does."""

import asyncio
from typing import Any

import pytest

from planaria.otp import (
    GroupChanged,
    Groups,
    NoProcess,
    Pid,
    child,
    exit_signal,
    monitor,
    receive,
    self_,
    spawn,
    spawn_link,
    supervisor,
    trap_exits,
)
from planaria.testing.node import TestNode
from tests.otp.support import idle


async def inbox() -> list[Any]:
    """The messages that wait, taken out."""
    found: list[Any] = []
    while True:
        try:
            found.append(await receive(timeout=0))
        except TimeoutError:
            return found


async def scope_is_idle() -> None:
    """The scope has handled what was sent to it before (gen_server:call as a barrier)."""
    await Groups.unwatch("s", monitor(self_()))


async def test_a_process_is_a_member_as_often_as_it_joined(node: TestNode) -> None:
    """pg:join/3, leave/3, get_members/2, which_groups/1."""

    async def work() -> None:
        await Groups.start_link(name="s")
        other = spawn(idle)
        await Groups.join("s", "g")
        await Groups.join("s", "g", [self_(), other])
        assert Groups.members("s", "g").count(self_()) == 2
        assert await Groups.leave("s", "g", [self_(), self_(), self_()])
        assert Groups.members("s", "g") == [other]
        assert not await Groups.leave("s", "g")
        assert not await Groups.leave("s", "nobody's", other)
        assert not await Groups.leave("s", "g", [])
        await Groups.join("s", "empty", [])
        assert Groups.which_groups("s") == ["g"]
        assert await Groups.leave("s", "g", other)
        assert node.state(node["s"])["joined"] == {}  # nobody is watched any more

    await node.run(work)


async def test_watchers_hear_one_message_for_each_request_and_for_each_membership_of_the_dead(
    node: TestNode,
) -> None:
    """pg:monitor/2 and monitor_scope/1; the order of the last messages is what OTP 25 does."""

    async def work() -> list[Any]:
        await Groups.start_link(name="s")
        one, other = spawn(idle), spawn(idle)
        whole, groups = await Groups.monitor_scope("s")
        only, here = await Groups.monitor("s", "g")
        assert (groups, here) == ({}, [])
        await Groups.join("s", "g", [one, other, one])
        await Groups.join("s", "h", one)
        await Groups.leave("s", "h", [other, one])  # told of both, though only one was a member
        await Groups.join("s", "h", one)
        assert await inbox() == [
            GroupChanged(whole, "join", "g", (one, other, one)),
            GroupChanged(only, "join", "g", (one, other, one)),
            GroupChanged(whole, "join", "h", (one,)),
            GroupChanged(whole, "leave", "h", (other, one)),
            GroupChanged(whole, "join", "h", (one,)),
        ]
        exit_signal(one, "kill")
        await scope_is_idle()
        assert Groups.members("s", "g") == [other]
        assert await inbox() == [
            GroupChanged(whole, "leave", "h", (one,)),
            *[GroupChanged(ref, "leave", "g", (one,)) for _ in range(2) for ref in (whole, only)],
        ]
        return [await Groups.monitor_scope("s"), await Groups.monitor("s", "g"), other]

    (_, groups), (_, members), other = await node.run(work)
    assert (groups, members) == ({"g": [other]}, [other])


async def test_the_dead_join_and_leave_at_once(node: TestNode) -> None:
    async def work() -> list[Any]:
        await Groups.start_link(name="s")
        dead = spawn(idle)
        exit_signal(dead, "kill")
        ref, _ = await Groups.monitor("s", "g")
        await Groups.join("s", "g", dead)
        await scope_is_idle()
        assert Groups.which_groups("s") == []
        return [message.event for message in await inbox() if message.ref is ref]

    assert await node.run(work) == ["join", "leave"]


async def test_demonitor_takes_waiting_messages_out_and_says_whether_there_was_a_watch(
    node: TestNode,
) -> None:
    async def work() -> None:
        await Groups.start_link(name="s")
        ref, _ = await Groups.monitor("s", "g")
        kept, _ = await Groups.monitor("s", "g")
        await Groups.join("s", "g")
        assert await Groups.demonitor("s", ref)
        assert not await Groups.demonitor("s", ref)
        await Groups.join("s", "g")
        assert [message.ref for message in await inbox()] == [kept, kept]

    await node.run(work)


async def test_a_watcher_that_ends_is_forgotten(node: TestNode) -> None:
    async def watcher() -> None:
        await Groups.monitor("s", "g")
        await Groups.monitor_scope("s")

    async def work() -> tuple[int, int]:
        scope = await Groups.start_link(name="s")
        spawn(watcher)
        await asyncio.sleep(0)
        await scope_is_idle()
        return len(node.state(scope)["watches"]), len(node.state(scope)["group_watches"])  # type: ignore[arg-type]

    assert await node.run(work) == (0, 0)


async def test_without_its_scope_a_group_is_empty_and_requests_fail(node: TestNode) -> None:
    """pg:get_members/2 answers with nobody, which_groups/1 raises, the others exit with noproc."""

    async def work() -> None:
        trap_exits()
        scope = await Groups.start_link(name="s")
        await Groups.join("s", "g")
        exit_signal(scope, "kill")
        assert Groups.members("s", "g") == Groups.members(scope, "g") == []
        assert node.tables == {}
        for request in (Groups.join("s", "g"), Groups.monitor("s", "g"), Groups.leave("s", "g")):
            with pytest.raises(NoProcess):
                await request
        with pytest.raises(NoProcess):
            Groups.which_groups("s")

    await node.run(work)


async def test_a_restarted_scope_begins_empty(node: TestNode) -> None:
    await node.start(supervisor(child(Groups, name="s")))

    async def join_and_kill() -> None:
        await Groups.join("s", "g")
        exit_signal(node["s"], "kill")

    async def join_again() -> list[Pid]:
        await Groups.join("s", "h")
        return Groups.members("s", "g")

    await node.run(join_and_kill)
    await node.settle()
    assert await node.run(join_again) == []


async def test_what_is_no_process_is_refused_and_hurts_nobody(node: TestNode) -> None:
    async def work() -> list[Pid]:
        await Groups.start_link(name="s")
        await Groups.join("s", "g")
        for nonsense in ("me", [self_(), "me"]):
            with pytest.raises(TypeError, match="is no process"):
                await Groups.join("s", "g", nonsense)  # type: ignore[arg-type]
        spawn_link(idle, name="other")
        with pytest.raises(TypeError, match="Memberships"):
            Groups.members("other", "g")
        return Groups.members("s", "g")

    assert len(await node.run(work)) == 1
    with pytest.raises(TypeError, match="which processes"):
        await Groups.join(await node.run(Groups.start), "g")


async def test_what_one_caller_gets_wrong_hurts_no_other_member(node: TestNode) -> None:
    no_group: Any = ["a", "list"]
    no_pids: Any = 5

    async def work() -> None:
        scope = await Groups.start(name="s")
        await Groups.join("s", "g")
        for request in (Groups.join, Groups.leave, Groups.monitor):
            with pytest.raises(TypeError, match="cannot be a group: unhashable"):
                await request("s", no_group)
        with pytest.raises(TypeError, match="5 is no process"):
            await Groups.join("s", "g", no_pids)
        assert scope.alive and Groups.members("s", "g") == [self_()]

    await node.run(work)
