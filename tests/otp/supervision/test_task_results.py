"""Waiting for tasks: Elixir's Task.yield, shutdown, ignore, await_many and yield_many."""

import pytest

from planaria.otp import (
    Crash,
    Down,
    DynamicSupervisor,
    Task,
    TaskDone,
    TaskFailed,
    await_many,
    dynamic,
    hang,
    now,
    poll_many,
    receive,
    sleep,
    sys,
    trap_exits,
)
from planaria.testing.node import TestNode
from tests.otp.support import Boom


async def answer_after(seconds: float, value: object = "answer") -> object:
    await sleep(seconds)
    return value


async def fail() -> None:
    raise Boom


async def stubborn(seconds: float) -> str:
    trap_exits()
    await sleep(seconds)
    return "late"


async def run(node: TestNode, work: object) -> None:
    """Run `work` as a process, letting time pass until it ends."""
    process = node.spawn(work)  # type: ignore[arg-type]
    for _ in range(100):
        await node.advance(1)
        if not process.alive:
            break
    reason = process.reason
    if isinstance(reason, Crash):
        raise reason.error
    assert reason == "normal"


async def test_polling_tells_a_value_an_end_or_nothing_yet(node: TestNode) -> None:
    """Task.yield/2; waiting again is allowed until there is an outcome."""

    async def work() -> None:
        slow = Task.start_link(answer_after, 10)
        assert await slow.poll() is None
        begun = now()
        assert await slow.poll(4) is None
        assert now() - begun == 4
        assert await slow.poll(60) == TaskDone(slow, "answer")
        assert now() - begun == 10
        broken = Task.start(fail, under="tasks")
        match await broken.poll(None):
            case Down(ref=ref, reason=Crash(error=Boom())):
                assert ref is broken
            case other:
                raise AssertionError(other)

    await node.start(dynamic(name="tasks"))
    await run(node, work)


async def test_shutdown_tells_what_the_task_made_of_it(node: TestNode) -> None:
    """Task.shutdown/2: nil, {:ok, value} or {:exit, reason}; no message follows."""

    async def work() -> None:
        assert await Task.start_link(hang).shutdown() is None
        assert await Task.start_link(hang).shutdown("brutal_kill") is None
        polite = Task.start_link(stubborn, 3)
        await sleep(1)
        assert await polite.shutdown(5) == TaskDone(polite, "late")
        deaf = Task.start_link(stubborn, 1000)
        await sleep(1)
        begun = now()
        assert await deaf.shutdown(5) is None
        assert now() - begun == 5
        assert not deaf.pid.alive
        done = Task.start_link(answer_after, 0)
        broken = Task.start(fail, under="tasks")
        await sleep(1)
        assert await done.shutdown() == TaskDone(done, "answer")
        outcome = await broken.shutdown()
        assert isinstance(outcome, Down)
        assert isinstance(outcome.reason, Crash)
        with pytest.raises(TimeoutError):
            await receive(timeout=1)

    await node.start(dynamic(name="tasks"))
    await run(node, work)


async def test_an_ignored_task_goes_on_and_says_nothing(node: TestNode) -> None:
    """Task.ignore/1."""
    ran: list[object] = []

    async def slow() -> str:
        await sleep(5)
        ran.append("to the end")
        return "unheard"

    async def work() -> None:
        task, early = Task.start_link(slow), Task.start_link(answer_after, 0)
        await sleep(1)
        assert early.ignore() == TaskDone(early, "answer")
        assert task.ignore() is None
        with pytest.raises(TimeoutError):
            await receive(timeout=10)

    await run(node, work)
    assert ran == ["to the end"]


async def test_many_tasks_share_one_deadline(node: TestNode) -> None:
    """Task.await_many/2 and yield_many/2."""

    async def work() -> None:
        tasks = [Task.start_link(answer_after, seconds, seconds) for seconds in (3, 1, 2)]
        begun = now()
        assert await await_many(tasks, timeout=5) == [3, 1, 2]
        assert now() - begun == 3
        tasks = [Task.start_link(answer_after, seconds, seconds) for seconds in (9, 1, 2)]
        assert [outcome and outcome.value for outcome in await poll_many(tasks, 2.5)] == [None, 1, 2]  # type: ignore[union-attr]
        with pytest.raises(TimeoutError):
            await await_many([tasks[0]], timeout=1)
        broken = Task.start(fail, under="tasks")
        with pytest.raises(TaskFailed, match="Boom"):
            await await_many([broken], timeout=1)

    await node.start(dynamic(name="tasks"))
    await run(node, work)


async def test_a_suspended_supervisor_takes_tasks_all_the_same(node: TestNode) -> None:
    """A task is not asked for, so it need not wait; Elixir's caller would."""

    async def work() -> None:
        await sys.suspend("tasks")
        task = Task.start(answer_after, 1, under="tasks")
        assert await task.result(5) == "answer"
        await sys.resume("tasks")
        assert await DynamicSupervisor.which_children("tasks") == []

    await node.start(dynamic(name="tasks"))
    await run(node, work)
