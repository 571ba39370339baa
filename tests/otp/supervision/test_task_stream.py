"""Streams of tasks (Task.async_stream and its like): concurrency, order, deadlines, failures, what is left behind."""

from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from planaria.otp import (
    Crash,
    Down,
    Outcome,
    TaskDone,
    TaskSupervisor,
    dynamic,
    now,
    sleep,
    task_stream,
    task_supervisor,
)
from planaria.testing.node import TestNode
from tests.otp.supervision.test_task_results import run
from tests.otp.support import Boom

running: list[int] = []
most: list[int] = []


async def work_on(seconds: float) -> float:
    """Takes that many seconds; negative ones fail at once."""
    if seconds < 0:
        raise Boom
    running.append(1)
    most.append(len(running))
    try:
        await sleep(seconds)
    finally:
        running.pop()
    return seconds


def values(outcomes: list[Outcome]) -> list[Any]:
    return [outcome.value if isinstance(outcome, TaskDone) else outcome.reason for outcome in outcomes]


@pytest.fixture(autouse=True)
def counters() -> Iterator[None]:
    running.clear()
    most.clear()
    yield
    assert running == []


async def test_at_most_so_many_run_at_a_time_and_outcomes_keep_the_order_of_items(node: TestNode) -> None:
    async def work() -> None:
        begun = now()
        outcomes = [outcome async for outcome in task_stream(work_on, [3, 1, 2, 1], concurrency=2)]
        assert values(outcomes) == [3, 1, 2, 1]
        assert now() - begun == 4
        assert max(most) == 2
        assert [outcome async for outcome in task_stream(work_on, [])] == []

    await run(node, work)


async def test_unordered_outcomes_come_as_they_are_ready(node: TestNode) -> None:
    async def work() -> None:
        outcomes = [
            outcome async for outcome in task_stream(work_on, [3, 1, 2], concurrency=3, ordered=False)
        ]
        assert values(outcomes) == [1, 2, 3]

    await run(node, work)


async def test_a_slow_consumer_slows_the_work_down(node: TestNode) -> None:
    """Items are taken as places become free; one slow item does not make the others run ahead without end."""
    taken: list[int] = []

    def items() -> Iterator[float]:
        for number in range(100):
            taken.append(number)
            yield 50.0 if number == 0 else 0.0

    async def work() -> None:
        outcomes = task_stream(work_on, items(), concurrency=3, timeout=None)
        assert taken == []
        assert values([await anext(outcomes)]) == [50.0]
        assert len(taken) <= 7
        await outcomes.aclose()

    await run(node, work)


async def test_a_late_task_is_killed_alone_or_raises_in_the_owner(node: TestNode) -> None:
    async def work() -> None:
        limited = task_stream(work_on, [1, 9, 1], concurrency=1, timeout=2, on_timeout="kill")
        assert values([outcome async for outcome in limited]) == [1, "timeout", 1]
        with pytest.raises(TimeoutError, match="item 1 took more than 2 s"):
            async for _ in task_stream(work_on, [1, 9, 9], concurrency=3, timeout=2):
                pass
        await sleep(1)  # they let go on their next turn
        assert running == []

    await run(node, work)


async def test_without_a_link_failures_are_values(node: TestNode) -> None:
    """Task.Supervisor.async_stream_nolink/4."""

    async def work() -> None:
        failed = [outcome async for outcome in TaskSupervisor.stream("tasks", work_on, [1, -1, 1])]
        assert [type(outcome) for outcome in failed] == [TaskDone, Down, TaskDone]
        assert isinstance(values(failed)[1], Crash)
        assert values(
            [outcome async for outcome in task_stream(work_on, [1], under="nobody", link=False)]
        ) == ["noproc"]

    await node.start(task_supervisor(name="tasks"))
    await run(node, work)


async def test_with_a_link_the_crash_of_a_task_is_the_owners(node: TestNode) -> None:
    async def work() -> None:
        async for _ in task_stream(work_on, [5, -1, 5]):
            pass

    with pytest.raises(Boom):
        await run(node, work)


@pytest.mark.parametrize("link", [True, False])
async def test_nothing_runs_on_when_the_loop_is_left_or_the_owner_ends(node: TestNode, link: bool) -> None:
    async def leaves() -> None:
        async for _ in task_stream(work_on, [0, 9, 9], timeout=None, link=link):
            break

    async def ends() -> None:
        async for _ in task_stream(work_on, [0, 9, 9], timeout=None, link=link):
            return

    async def dies() -> None:
        async for _ in task_stream(work_on, [0, 9, 9], timeout=None, link=link):
            await sleep(1)
            raise Boom

    for work in (leaves, ends):
        await run(node, work)
        await node.settle()
        assert running == []
    with pytest.raises(Boom):
        await run(node, dies)
    assert running == []
    assert node.processes() == []


@pytest.mark.parametrize("link", [True, False])
async def test_nothing_outlives_the_owner_though_somebody_keeps_the_stream(
    node: TestNode, link: bool
) -> None:
    kept: list[AsyncGenerator[Outcome]] = []

    async def owner() -> None:
        kept.append(task_stream(work_on, [0, 9, 9], timeout=None, link=link))
        await anext(kept[0])
        assert len(running) == 2

    await run(node, owner)  # a normal end, which links do not pass on
    await node.settle()
    assert running == []
    assert node.processes() == []


async def test_a_supervisor_of_tasks_has_a_limit_and_runs_work_nobody_waits_for(node: TestNode) -> None:
    """Task.Supervisor.start_child/3, children/1, terminate_child/2, max_children; restart: :transient."""
    tries: list[int] = []

    async def third_time() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise Boom

    async def work() -> None:
        first = await TaskSupervisor.start_child("tasks", work_on, 60)
        assert await TaskSupervisor.children("tasks") == [first]
        refused = TaskSupervisor.start("tasks", work_on, 1)
        assert await refused.poll(1) == Down(refused, refused.pid, "max_children")
        await TaskSupervisor.terminate_child("tasks", first)
        assert await TaskSupervisor.start("tasks", work_on, 1).result() == 1
        await TaskSupervisor.start_child("tasks", third_time, restart="transient")

    await node.start(task_supervisor(name="tasks", max_children=1))
    await run(node, work)
    assert len(tries) == 3


async def test_a_linked_task_below_a_supervisor_takes_its_owner_along(node: TestNode) -> None:
    """Task.Supervisor.async/3."""

    async def work() -> None:
        TaskSupervisor.start("tasks", work_on, -1, link=True)
        await sleep(1)

    await node.start(dynamic(name="tasks"))
    with pytest.raises(Boom):
        await run(node, work)


async def test_nonsense_is_refused_by_name(node: TestNode) -> None:
    async def work() -> None:
        for options, told in (
            ({"concurrency": 0}, "at least 1"),
            ({"on_timeout": "ignore"}, "'exit' or 'kill'"),
        ):
            with pytest.raises(ValueError, match=told):
                await anext(task_stream(work_on, [1], **options))

    await run(node, work)
