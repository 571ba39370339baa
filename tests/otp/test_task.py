"""Tasks: one piece of work in its own process, its result a message or awaited in place."""

import asyncio

import pytest

from planaria.otp import (
    Crash,
    Deferred,
    Down,
    ExitSignal,
    GenServer,
    Pid,
    Task,
    TaskDone,
    TaskFailed,
    TaskRef,
    call,
    dynamic,
    receive,
    sleep,
    supervisor,
    trap_exits,
)
from planaria.testing.node import TestNode

from .support import Boom, reason_of_end


async def double(value: int) -> int:
    return 2 * value


async def fail() -> None:
    raise Boom


async def test_a_linked_task_sends_its_value_to_its_owner(node: TestNode) -> None:
    async def work() -> bool:
        ref = Task.start_link(double, 2)
        message: object = await receive()
        return message == TaskDone(ref, 4)

    assert await node.run(work)


async def test_a_result_can_be_awaited_in_place(node: TestNode) -> None:
    async def work() -> int:
        refs = [Task.start_link(double, value) for value in (1, 2, 3)]
        return sum([await ref.result() for ref in refs])

    assert await node.run(work) == 12


async def test_the_crash_of_a_linked_task_is_the_crash_of_its_owner(node: TestNode) -> None:
    async def work() -> None:
        Task.start_link(fail)
        await receive(TaskDone)

    reason = await reason_of_end(node, node.spawn(work))
    assert isinstance(reason, Crash) and isinstance(reason.error, Boom)


async def test_a_trapping_owner_is_told_of_the_crash(node: TestNode) -> None:
    async def work() -> set[type]:
        trap_exits()
        Task.start_link(fail)
        return {type(await receive()), type(await receive(timeout=0))}

    assert await node.run(work) == {ExitSignal, Down}


async def test_a_task_under_a_supervisor_fails_without_harming_its_owner(node: TestNode) -> None:
    await node.start(supervisor(dynamic(name="tasks")))

    async def work() -> tuple[object, bool]:
        ref = Task.start(fail, under="tasks")
        down = await receive(Down)
        return down.reason, down.ref == ref

    reason, same = await node.run(work)
    assert isinstance(reason, Crash) and same
    await node.settle()
    assert node["tasks"].alive


async def test_a_task_under_a_supervisor_sends_its_value_and_no_down(node: TestNode) -> None:
    await node.start(supervisor(dynamic(name="tasks")))

    async def work() -> list[object]:
        Task.start(double, 2, under="tasks")
        messages = [await receive()]
        with pytest.raises(TimeoutError):
            messages.append(await receive(timeout=0))
        return [type(message) for message in messages]

    assert await node.run(work) == [TaskDone]


async def test_a_task_without_its_supervisor_fails_with_noproc(node: TestNode) -> None:
    async def work() -> object:
        Task.start(double, 2, under="nobody")
        return (await receive(Down)).reason

    assert await node.run(work) == "noproc"


async def test_a_cancelled_task_is_dead_and_says_nothing(node: TestNode) -> None:
    async def work() -> tuple[bool, bool]:
        trap_exits()
        ref = Task.start_link(sleep, 60)
        ref.cancel()
        try:
            await receive(timeout=0)
        except TimeoutError:
            return ref.pid.alive, True
        return ref.pid.alive, False

    assert await node.run(work) == (False, True)


async def test_awaiting_a_failed_task_raises_with_its_reason(node: TestNode) -> None:
    await node.start(supervisor(dynamic(name="tasks")))

    async def work() -> object:
        with pytest.raises(TaskFailed) as caught:
            await Task.start(fail, under="tasks").result()
        return caught.value.reason

    assert isinstance(await node.run(work), Crash)


async def test_awaiting_may_have_a_limit_and_the_task_goes_on(node: TestNode) -> None:
    async def slow() -> str:
        await sleep(1)
        return "done"

    async def work() -> str:
        ref = Task.start_link(slow)
        with pytest.raises(TimeoutError):
            await ref.result(timeout=0.5)
        value: str = await ref.result(timeout=0.6)
        return value

    waiting = asyncio.ensure_future(node.run(work))
    await node.advance(2)
    assert await waiting == "done"


async def test_a_server_that_waits_for_a_task_still_answers(node: TestNode) -> None:
    class Desk(GenServer):
        def init(self) -> None:
            self.waiting: dict[TaskRef, Deferred[str]] = {}

        @call
        def fetch(self) -> Deferred[str]:
            async def slow() -> str:
                await sleep(10)
                return "page"

            self.waiting[Task.start_link(slow)] = deferred = self.defer()
            return deferred

        @call
        def ping(self) -> str:
            return "pong"

        def handle_info(self, message: TaskDone) -> None:
            self.waiting.pop(message.ref).reply(str(message.value))  # type: ignore[call-overload]

    pid: Pid = await node.run(Desk.start)
    fetching = asyncio.ensure_future(Desk.fetch.within(60)(pid))
    await node.settle()
    assert await Desk.ping(pid) == "pong"
    await node.advance(11)
    assert await fetching == "page"


async def test_a_task_ends_with_its_owner(node: TestNode) -> None:
    tasks: list[Pid] = []

    async def work() -> None:
        tasks.append(Task.start_link(sleep, 60).pid)
        raise Boom

    await reason_of_end(node, node.spawn(work))
    assert not tasks[0].alive
